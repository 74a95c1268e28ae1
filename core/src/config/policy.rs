//! The list of eviction policies. Everything that names a policy reads it.

/// Calls the macro `callback` with the list of policies. A line is the documentation, the type, and
/// the name. The name is that of the file in `store/policy/`, too. The place of a line is the
/// policy's number in the C ABI, so new lines go to the end.
macro_rules! eviction_policies {
    ($callback:ident) => {
        $callback! {
            /// Evicts items in the order of their last use, as memcached does without its
            /// maintainer (`-o no_lru_maintainer`): a use within a minute of the last one does not
            /// count. A new cache has one shard.
            Flat flat,
            /// Evicts items that are used least for their size (the default).
            Segmented segmented,
            /// Evicts items in the order of their last use, in each shard. Every use counts. A use
            /// moves an item when its turn to be evicted comes.
            Lru lru,
        }
    };
}
pub(crate) use eviction_policies;

macro_rules! define {
    ($($(#[$doc:meta])* $policy:ident $name:ident,)*) => {
        /// The eviction policy: which items make room for new ones.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum EvictionPolicy {
            $($(#[$doc])* $policy,)*
        }

        impl EvictionPolicy {
            /// All policies, by number.
            pub const ALL: &'static [Self] = &[$(Self::$policy,)*];

            /// The names of all policies, by number.
            pub(super) const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Returns the name of the policy, as `lru mode` and settings take it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$policy => stringify!($name),)*
                }
            }
        }
    };
}

eviction_policies!(define);

impl EvictionPolicy {
    /// Returns the policy with this name, or `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|policy| policy.name() == name)
    }

    /// Returns the policy with this number, or `None` if there is none.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_a_number_and_a_name_of_its_own() {
        for (number, &policy) in EvictionPolicy::ALL.iter().enumerate() {
            assert_eq!(policy as usize, number);
            assert_eq!(EvictionPolicy::from_number(number as u32), Some(policy));
            assert_eq!(EvictionPolicy::from_name(policy.name()), Some(policy));
        }
        assert_eq!(EvictionPolicy::from_number(EvictionPolicy::ALL.len() as u32), None);
        assert_eq!(EvictionPolicy::from_name("Flat"), None);
    }
}

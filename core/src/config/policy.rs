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

/// Defines an enum whose variants have names.
macro_rules! named {
    ($(#[$head:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident $name:tt,)* }) => {
        $(#[$head])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $type {
            $($(#[$doc])* $variant,)*
        }

        impl $type {
            /// All values, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// All names, by number.
            pub(super) const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Returns the name, as settings and commands take it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// Returns the value with this name, or `None` if there is none.
            pub fn from_name(name: &str) -> Option<Self> {
                let number = Self::NAMES.iter().position(|known| *known == name)?;
                Self::ALL.get(number).copied()
            }

            /// Returns the value with this number, or `None` if there is none.
            pub fn from_number(number: u32) -> Option<Self> {
                Self::ALL.get(usize::try_from(number).ok()?).copied()
            }
        }

        impl $crate::config::setting::Field for $type {
            fn get(&self) -> $crate::config::setting::Value {
                self.name().into()
            }
            fn put(&mut self, value: &$crate::config::setting::Value) {
                if let $crate::config::setting::Value::Text(name) = value {
                    *self = Self::from_name(name).unwrap_or(*self);
                }
            }
        }
    };
}

pub(super) use named;

macro_rules! define {
    ($($policies:tt)*) => {
        named! {
            /// The eviction policy: which items make room for new ones.
            EvictionPolicy { $($policies)* }
        }
    };
}

eviction_policies!(define);

named! {
    /// The goal of [`EvictionPolicy::Segmented`]. Other policies do not weigh items.
    EvictionGoal {
        /// The fewest misses (the default). Among items of equal use, large ones go first.
        FewestMisses misses,
        /// The fewest bytes of missed items. The size of an item does not count.
        FewestMissedBytes bytes,
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

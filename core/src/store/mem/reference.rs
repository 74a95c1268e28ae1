//! The place of an entry, in four bytes.

/// Number of an entry's first unit of memory, or 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(pub u32);

impl Ref {
    /// No entry.
    pub const NONE: Self = Self(0);

    /// Returns whether this names no entry.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns this entry, or `None` for [`Ref::NONE`].
    #[inline]
    pub fn some(self) -> Option<Self> {
        if self.is_none() { None } else { Some(self) }
    }
}

impl Default for Ref {
    fn default() -> Self {
        Self::NONE
    }
}

//! A key.

use crate::cache::is_key;

/// A key of 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// Returns `bytes` as a key, or `None` if they have a wrong length.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        is_key(bytes).then_some(Self(bytes))
    }

    /// The bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

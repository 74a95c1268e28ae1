//! Lookup hints: the place at which an optimistic read found the item of a key.

use crate::store::mem::Ref;

/// The hash of a key, and the place at which an optimistic read found its item.
///
/// A later lookup can skip the index if the shard has not changed since. A hint is valid only for
/// the store that made it.
#[derive(Clone, Copy, Debug)]
pub struct LookupHint {
    pub(in crate::store) hash: u64,
    /// The shard's version at that read. An odd version means that there was no read.
    pub(in crate::store) version: u64,
    /// The only item that may be the one of the key, or none.
    pub(in crate::store) at: Ref,
}

/// The version of a hint without a read.
pub(in crate::store) const NEVER: u64 = 1;

impl From<u64> for LookupHint {
    /// Returns a hint of a hash alone.
    #[inline]
    fn from(hash: u64) -> Self {
        Self { hash, version: NEVER, at: Ref::NONE }
    }
}

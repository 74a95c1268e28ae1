//! An item that was found, and where its value goes.

use memcache_core::store::{PinnedValue, Visit};

use crate::slab::{SMALL, Slab};

/// Values of which more than this many bytes are shown are pinned while they
/// are copied, if they lie in pieces; else the copy is made under the lock.
const LARGE: usize = 16 * 1024;

/// Where a value has been put.
pub enum Found {
    /// At this place of the slab, so many bytes.
    Slab(usize, usize),
    /// Into the vector.
    Taken,
    /// Nowhere yet: call `join` after the visit.
    Pinned(PinnedValue),
}

impl Found {
    /// Copies a value into the slab if it fits, else into `taken`; pins one that
    /// is large.
    #[inline]
    pub fn see(visit: &mut Visit<'_>, slab: &mut Slab, taken: &mut Vec<u8>) -> Option<Self> {
        let item = visit.item()?;
        let length = item.len();
        if length <= SMALL
            && let Some(at) = slab.room(length)
        {
            item.slices().for_each(|slice| slab.push(slice));
            return Some(Self::Slab(at, length));
        }
        Self::take(visit, taken)
    }

    /// Copies a value into `taken`; pins one that is large.
    pub fn take(visit: &mut Visit<'_>, taken: &mut Vec<u8>) -> Option<Self> {
        let item = visit.item()?;
        if item.len() > LARGE {
            return visit.pin().map(Self::Pinned);
        }
        taken.clear();
        item.copy_to(taken);
        Some(Self::Taken)
    }

    /// Copies what was pinned into `taken`.
    #[inline]
    pub fn join(self, taken: &mut Vec<u8>) -> Option<(usize, usize)> {
        match self {
            Self::Slab(at, length) => return Some((at, length)),
            Self::Taken => {}
            Self::Pinned(value) => {
                taken.clear();
                taken.reserve(value.len());
                value.slices().for_each(|slice| taken.extend_from_slice(slice));
            }
        }
        None
    }
}

//! Copies the value of a found item to JavaScript.

use std::mem::MaybeUninit;

use memcache_core::PinnedValue;
use memcache_core::internal::store::{EntryRef, ReadConflict};

use crate::raw::{Target, Value};

/// Largest value that is copied into a slab. Larger values get memory of their own, so that a small
/// Buffer does not keep a large one alive.
const SLAB_VALUE_MAX: usize = 4096;

/// Longer values that lie in pieces are pinned while they are copied. Shorter ones are copied under
/// the lock.
const INLINE_COPY_MAX: usize = 16 * 1024;

/// JavaScript memory for small values, filled from the start. `node/cache.js` makes Buffers of its
/// parts.
pub struct Slab<'c> {
    memory: Option<Target<'c>>,
    /// Bytes in use.
    used: usize,
}

impl<'c> Slab<'c> {
    /// Wraps a `Uint8Array`, which may be detached, and the number of its bytes in use.
    #[inline]
    pub fn new(memory: Value<'c>, used: Value<'_>) -> Self {
        Self { memory: memory.target(), used: used.number().map_or(usize::MAX, |used| used as usize) }
    }

    /// Returns the place for a value. Returns `None` if the slab would then be full.
    #[inline]
    fn room(&mut self, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let end = self.used.checked_add(length)?;
        let memory = self.memory.as_mut().filter(|memory| length <= SLAB_VALUE_MAX && end < memory.len())?;
        memory.part(self.used, length)
    }
}

/// Where a value was copied to.
pub enum Found {
    /// The slab; the length.
    Slab(usize),
    /// The vector for large values.
    Large,
    /// Not copied yet: call [`Found::finish`] after the lookup.
    Pinned(PinnedValue),
}

impl Found {
    /// Copies a value into the slab if it fits, or into `large`. Pins a long value.
    #[inline]
    pub fn copy(
        entry: &mut EntryRef<'_>,
        slab: &mut Slab<'_>,
        large: &mut Vec<u8>,
    ) -> Result<Self, ReadConflict> {
        match slab.room(entry.len()) {
            Some(room) => entry.fill(room).map(|()| Self::Slab(entry.len())),
            None => Self::copy_large(entry, large),
        }
    }

    /// Copies a value into `large`. Pins a long value.
    pub fn copy_large(entry: &mut EntryRef<'_>, large: &mut Vec<u8>) -> Result<Self, ReadConflict> {
        if entry.len() > INLINE_COPY_MAX {
            return entry.pin().map(Self::Pinned);
        }
        large.clear();
        entry.copy_to(large).map(|()| Self::Large)
    }

    /// Copies a pinned value into `large`. Returns the length of a value in the slab.
    #[inline]
    pub fn finish(self, large: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Slab(length) => return Some(length),
            Self::Large => {}
            Self::Pinned(value) => {
                large.clear();
                large.reserve(value.len());
                value.slices().for_each(|slice| large.extend_from_slice(slice));
            }
        }
        None
    }
}

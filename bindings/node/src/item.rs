//! An item that was found, and where its value goes.

use std::mem::MaybeUninit;

use memcache_core::PinnedValue;
use memcache_core::internal::store::{EntryRef, ReadConflict};

use crate::raw::{Target, Value};

/// Largest value that goes into a slab; larger ones get memory of their own,
/// so that none is kept for long by a small neighbour.
const SMALL: usize = 4096;

/// Values of which more than this many bytes are shown are pinned while they
/// are copied, if they lie in pieces; else the copy is made under the lock.
const LARGE: usize = 16 * 1024;

/// A slab: memory of JavaScript for small values, one behind the other.
/// `node/cache.js` cuts Buffers from it.
pub struct Slab<'c> {
    memory: Option<Target<'c>>,
    /// How much of it is used.
    used: usize,
}

impl<'c> Slab<'c> {
    /// Of a `Uint8Array`, which may have been detached, and a number.
    #[inline]
    pub fn new(memory: Value<'c>, used: Value<'_>) -> Self {
        Self { memory: memory.target(), used: used.number().map_or(usize::MAX, |used| used as usize) }
    }

    /// Where so many bytes are put, if there is room and some is left.
    #[inline]
    fn room(&mut self, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let end = self.used.checked_add(length)?;
        let memory = self.memory.as_mut().filter(|memory| length <= SMALL && end < memory.len())?;
        memory.part(self.used, length)
    }
}

/// Where a value has been put.
pub enum Found {
    /// Into the slab, so many bytes.
    Slab(usize),
    /// Into the vector.
    Taken,
    /// Nowhere yet: call `join` when the item is not shown any more.
    Pinned(PinnedValue),
}

impl Found {
    /// Copies a value into the slab if it fits, else into `taken`; pins one that
    /// is large.
    #[inline]
    pub fn see(
        entry: &mut EntryRef<'_>,
        slab: &mut Slab<'_>,
        taken: &mut Vec<u8>,
    ) -> Result<Self, ReadConflict> {
        match slab.room(entry.len()) {
            Some(room) => entry.fill(room).map(|()| Self::Slab(entry.len())),
            None => Self::take(entry, taken),
        }
    }

    /// Copies a value into `taken`; pins one that is large.
    pub fn take(entry: &mut EntryRef<'_>, taken: &mut Vec<u8>) -> Result<Self, ReadConflict> {
        if entry.len() > LARGE {
            return entry.pin().map(Self::Pinned);
        }
        taken.clear();
        entry.copy_to(taken).map(|()| Self::Taken)
    }

    /// Copies what was pinned into `taken`. Gives the length of what is in the slab.
    #[inline]
    pub fn join(self, taken: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Slab(length) => return Some(length),
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

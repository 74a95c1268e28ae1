//! The view of an item that a read passes to its callback.

#![expect(unsafe_code, reason = "racing reads, and buffers that are filled, then counted")]

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::pinned::PinnedValue;
use super::seqlock::SeqLock;
use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{FLAGS, HEADER, Header, Item, Memory, Ref, bit, fill};
use crate::store::shard::Shard;
use crate::store::store::Store;

/// The shard changed during an optimistic read, so the copied bytes are invalid.
///
/// A callback that gets this error undoes any partial output and returns the error. It is then
/// called again, under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadConflict;

/// An item, as the callback of a read sees it.
///
/// Either its shard is locked, or only its head is known. In the second case, copies of the value
/// are optimistic and may fail.
pub struct EntryRef<'h> {
    time: &'h TimeSnapshot,
    found: Found<'h>,
}

opaque_debug!(EntryRef<'h>);

enum Found<'h> {
    Locked { at: Ref, store: &'h Arc<Store>, shard: &'h mut Shard, hash: u64 },
    Seen(&'h OptimisticEntry<'h>),
}

/// The item of an [`EntryRef`], with a locked shard borrowed for reads.
enum View<'s> {
    Locked(Item<'s>),
    Seen(&'s OptimisticEntry<'s>),
}

/// An item that was read without the lock: its head.
pub(in crate::store) struct OptimisticEntry<'h> {
    pub(in crate::store) memory: &'h Memory,
    pub(in crate::store) at: Ref,
    pub(in crate::store) header: Header,
    pub(in crate::store) key: &'h [u8],
    pub(in crate::store) flags: u32,
    pub(in crate::store) shard: &'h SeqLock<Shard>,
    pub(in crate::store) version: u64,
}

/// Largest value that is copied, if possible without the lock. Larger ones are pinned where
/// possible.
pub const INLINE_COPY_MAX: usize = 4096;

impl<'h> OptimisticEntry<'h> {
    /// Reads the head of the item at `at`, in the shard that was at `version`. Returns `None` if
    /// the item is large, chunked or of another key, or if the read conflicts.
    #[expect(
        clippy::inline_always,
        reason = "an optimistic entry has many words: moving it takes longer than making it"
    )]
    #[inline(always)]
    pub(in crate::store) fn of(
        memory: &'h Memory,
        at: Ref,
        key: &'h [u8],
        shard: &'h SeqLock<Shard>,
        version: u64,
    ) -> Option<Self> {
        let header = memory.header(at).copied();
        // The header is not validated yet, and may be anything.
        let is_small = header.length() as usize <= INLINE_COPY_MAX && !header.has(bit::CHUNKED);
        if !is_small || !memory.reaches(at, header.total()) {
            return None;
        }
        // SAFETY: the key is part of the entry, which is open (checked).
        if usize::from(header.key_len()) != key.len() || !unsafe { memory.is_racing(at, HEADER, key) } {
            return None;
        }
        let mut flags = [MaybeUninit::new(0); FLAGS];
        if header.has(bit::HAS_FLAGS) {
            // SAFETY: so are the flags.
            unsafe { memory.copy_racing(at, HEADER + key.len(), &mut flags) };
        }
        // SAFETY: all bytes were written.
        let flags = u32::from_ne_bytes(flags.map(|byte| unsafe { byte.assume_init() }));
        shard.is_at(version).then_some(Self { memory, at, header, key, flags, shard, version })
    }

    /// Copies the first bytes of the value to `to`.
    ///
    /// # Panics
    /// If `to` is longer than the value.
    #[inline]
    fn copy(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), ReadConflict> {
        assert!(to.len() <= self.header.length() as usize);
        // SAFETY: the value is part of the entry, which is open ([`OptimisticEntry::of`]).
        unsafe { self.memory.copy_racing(self.at, self.header.value_offset(), to) };
        if self.shard.is_at(self.version) { Ok(()) } else { Err(ReadConflict) }
    }
}

impl<'h> EntryRef<'h> {
    /// Returns the view of an item whose shard is locked.
    #[inline]
    pub(in crate::store) fn locked(
        at: Ref,
        time: &'h TimeSnapshot,
        store: &'h Arc<Store>,
        shard: &'h mut Shard,
        hash: u64,
    ) -> Self {
        Self { time, found: Found::Locked { at, store, shard, hash } }
    }

    /// Returns the view of an item that was read without the lock.
    #[inline]
    pub(in crate::store) fn seen(seen: &'h OptimisticEntry<'h>, time: &'h TimeSnapshot) -> Self {
        Self { time, found: Found::Seen(seen) }
    }

    /// Returns the item, or its head.
    #[inline]
    fn view(&self) -> View<'_> {
        match &self.found {
            Found::Locked { at, store, shard, .. } => View::Locked(shard.item(&store.common, *at)),
            Found::Seen(seen) => View::Seen(seen),
        }
    }

    /// Returns the time of the read.
    #[inline]
    pub fn time(&self) -> &TimeSnapshot {
        self.time
    }

    /// Returns the item's header.
    #[inline]
    pub fn header(&self) -> &Header {
        match self.view() {
            View::Locked(item) => item.header(),
            View::Seen(seen) => &seen.header,
        }
    }

    /// Returns the item's key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match self.view() {
            View::Locked(item) => item.key(),
            View::Seen(seen) => seen.key,
        }
    }

    /// Returns the item's client flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        match self.view() {
            View::Locked(item) => item.flags(),
            View::Seen(seen) => seen.flags,
        }
    }

    /// Returns the length of the value in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.header().length() as usize
    }

    /// Returns whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the value to `to`.
    ///
    /// # Errors
    /// [`ReadConflict`] after an optimistic read. Then nothing was appended.
    #[inline]
    pub fn copy_to(&self, to: &mut Vec<u8>) -> Result<(), ReadConflict> {
        let seen = match self.view() {
            View::Locked(item) => {
                item.copy_to(to);
                return Ok(());
            }
            View::Seen(seen) => seen,
        };
        let (before, length) = (to.len(), self.len());
        if to.capacity() == 0 {
            // This takes half the instructions of the first growth of a vector.
            *to = Vec::with_capacity(length);
        }
        to.reserve(length);
        seen.copy(&mut to.spare_capacity_mut()[..length])?;
        // SAFETY: `length` bytes were reserved, and are written.
        unsafe { to.set_len(before + length) };
        Ok(())
    }

    /// Copies the first bytes of the value to `to`, which is at most as long.
    ///
    /// # Errors
    /// [`ReadConflict`] after an optimistic read. Then the contents of `to` are invalid.
    ///
    /// # Panics
    /// If `to` is longer than the value.
    #[inline]
    pub fn fill(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), ReadConflict> {
        assert!(to.len() <= self.len());
        match self.view() {
            View::Locked(item) => {
                fill(to, item.slices());
                Ok(())
            }
            View::Seen(seen) => seen.copy(to),
        }
    }

    /// Calls `found` with the value in one piece. The pieces of a chunked value are joined in
    /// `joined`, which is emptied first.
    ///
    /// # Errors
    /// [`ReadConflict`] after an optimistic read. Then `found` was not called.
    #[inline]
    pub fn show<R>(&self, joined: &mut Vec<u8>, found: impl FnOnce(&[u8]) -> R) -> Result<R, ReadConflict> {
        match self.view() {
            View::Locked(item) if !item.header().has(bit::CHUNKED) => {
                Ok(found(item.slices().next().unwrap_or_default()))
            }
            View::Locked(item) => {
                joined.clear();
                item.copy_to(joined);
                Ok(found(joined))
            }
            View::Seen(seen) => {
                let mut room = [const { MaybeUninit::uninit() }; INLINE_COPY_MAX];
                let room = &mut room[..self.len()];
                seen.copy(room)?;
                // SAFETY: all of it was written.
                Ok(found(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), room.len()) }))
            }
        }
    }

    /// Returns whether the value is chunked. Then it is large, and copying it takes time.
    #[inline]
    pub fn is_in_pieces(&self) -> bool {
        self.header().has(bit::CHUNKED)
    }

    /// Keeps the value readable after the read.
    ///
    /// # Errors
    /// [`ReadConflict`] after an optimistic read.
    pub fn pin(&mut self) -> Result<PinnedValue, ReadConflict> {
        match &mut self.found {
            Found::Locked { at, store, shard, hash } => Ok(PinnedValue::new(store, shard, *at, *hash, false)),
            Found::Seen(_) => {
                let mut copy = Vec::new();
                self.copy_to(&mut copy)?;
                Ok(PinnedValue::copied(copy))
            }
        }
    }
}

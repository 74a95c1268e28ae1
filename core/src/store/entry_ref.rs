//! What a read shows of the item that it found.

#![expect(unsafe_code, reason = "a buffer's spare room is filled, then counted")]

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::Store;
use super::expiry::TimeSnapshot;
use super::item::{FLAGS, HEADER, Header, Item, Ref, bit};
use super::memory::Memory;
use super::pinned::PinnedValue;
use super::seqlock::SeqLock;
use super::shard::Shard;

/// An item was copied without its shard's lock, and somebody changed the shard
/// meanwhile: the copy is none. Who gets this undoes what it began and returns
/// it; it is called again, with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadConflict;

/// An item that was found, as it is shown to who reads it.
///
/// Either its shard is locked meanwhile, or only its head is known and its value
/// is copied without the lock, which may fail.
pub struct EntryRef<'h> {
    time: &'h TimeSnapshot,
    found: Found<'h>,
}

opaque_debug!(EntryRef<'h>);

enum Found<'h> {
    Locked { item: Item<'h>, store: &'h Arc<Store>, shard: &'h mut Shard, hash: u64 },
    Seen(&'h OptimisticEntry<'h>),
}

/// An item that was seen without the lock.
pub(super) struct OptimisticEntry<'h> {
    pub(super) memory: &'h Memory,
    pub(super) at: Ref,
    pub(super) header: Header,
    pub(super) key: &'h [u8],
    pub(super) flags: u32,
    pub(super) shard: &'h SeqLock<Shard>,
    pub(super) version: u64,
}

/// Largest value that is copied, without the lock if that can be: larger ones are
/// pinned where that will do.
pub const INLINE_COPY_MAX: usize = 4096;

impl<'h> OptimisticEntry<'h> {
    /// The item at `at`, which is small, in one piece, and of this key, in the
    /// shard that was at `version`. `None`: it is not, or that cannot be told.
    #[inline]
    pub(super) fn of(
        memory: &'h Memory,
        at: Ref,
        key: &'h [u8],
        shard: &'h SeqLock<Shard>,
        version: u64,
    ) -> Option<Self> {
        let header = memory.header(at).copied();
        // What it says may be anything yet.
        let is_small = header.length() as usize <= INLINE_COPY_MAX && !header.has(bit::CHUNKED);
        if !is_small || !memory.reaches(at, header.total()) {
            return None;
        }
        if usize::from(header.key_len()) != key.len() || !memory.is_racing(at, HEADER, key) {
            return None;
        }
        let mut flags = [MaybeUninit::new(0); FLAGS];
        if header.has(bit::HAS_FLAGS) {
            memory.copy_racing(at, HEADER + key.len(), &mut flags);
        }
        // SAFETY: all of it was written.
        let flags = u32::from_ne_bytes(flags.map(|byte| unsafe { byte.assume_init() }));
        shard.is_at(version).then_some(Self { memory, at, header, key, flags, shard, version })
    }

    /// Copies the beginning of the value to `to`.
    #[inline]
    fn copy(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), ReadConflict> {
        debug_assert!(to.len() <= self.header.length() as usize);
        self.memory.copy_racing(self.at, self.header.value_offset(), to);
        if self.shard.is_at(self.version) { Ok(()) } else { Err(ReadConflict) }
    }
}

impl<'h> EntryRef<'h> {
    /// An item whose shard is locked.
    #[inline]
    pub(super) fn locked(
        item: Item<'h>,
        time: &'h TimeSnapshot,
        store: &'h Arc<Store>,
        shard: &'h mut Shard,
        hash: u64,
    ) -> Self {
        Self { time, found: Found::Locked { item, store, shard, hash } }
    }

    /// An item that was seen without the lock.
    #[inline]
    pub(super) fn seen(seen: &'h OptimisticEntry<'h>, time: &'h TimeSnapshot) -> Self {
        Self { time, found: Found::Seen(seen) }
    }

    /// The moment at which it was found.
    #[inline]
    pub fn time(&self) -> &TimeSnapshot {
        self.time
    }

    /// The item's header.
    #[inline]
    pub fn header(&self) -> &Header {
        match &self.found {
            Found::Locked { item, .. } => item.header(),
            Found::Seen(seen) => &seen.header,
        }
    }

    /// The item's key.
    #[inline]
    pub fn key(&self) -> &'h [u8] {
        match &self.found {
            Found::Locked { item, .. } => item.key(),
            Found::Seen(seen) => seen.key,
        }
    }

    /// The item's client flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        match &self.found {
            Found::Locked { item, .. } => item.flags(),
            Found::Seen(seen) => seen.flags,
        }
    }

    /// Bytes of the value.
    #[inline]
    pub fn len(&self) -> usize {
        self.header().length() as usize
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the value to `to`.
    ///
    /// # Errors
    /// [`ReadConflict`]; then nothing was appended.
    #[inline]
    pub fn copy_to(&self, to: &mut Vec<u8>) -> Result<(), ReadConflict> {
        let seen = match &self.found {
            Found::Locked { item, .. } => {
                item.copy_to(to);
                return Ok(());
            }
            Found::Seen(seen) => seen,
        };
        let (before, length) = (to.len(), self.len());
        to.reserve(length);
        seen.copy(&mut to.spare_capacity_mut()[..length])?;
        // SAFETY: so much was reserved, and is written.
        unsafe { to.set_len(before + length) };
        Ok(())
    }

    /// Copies the first bytes of the value to `to`, which is at most as long.
    ///
    /// # Errors
    /// [`ReadConflict`]; then `to` is anything.
    ///
    /// # Panics
    /// If `to` is longer than the value.
    #[inline]
    pub fn fill(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), ReadConflict> {
        assert!(to.len() <= self.len());
        match &self.found {
            Found::Locked { item, .. } => {
                fill(to, item.slices());
                Ok(())
            }
            Found::Seen(seen) => seen.copy(to),
        }
    }

    /// Shows the value in one piece: pieces are joined in `joined`, which is
    /// emptied before.
    ///
    /// # Errors
    /// [`ReadConflict`]; then `found` was not called.
    #[inline]
    pub fn show<R>(&self, joined: &mut Vec<u8>, found: impl FnOnce(&[u8]) -> R) -> Result<R, ReadConflict> {
        match &self.found {
            Found::Locked { item, .. } if !item.header().has(bit::CHUNKED) => {
                Ok(found(item.slices().next().unwrap_or_default()))
            }
            Found::Locked { item, .. } => {
                joined.clear();
                item.copy_to(joined);
                Ok(found(joined))
            }
            Found::Seen(seen) => {
                let mut room = [const { MaybeUninit::uninit() }; INLINE_COPY_MAX];
                let room = &mut room[..self.len()];
                seen.copy(room)?;
                // SAFETY: all of it was written.
                Ok(found(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), room.len()) }))
            }
        }
    }

    /// Whether the value lies in pieces: then it is large, and it takes time to
    /// copy it.
    #[inline]
    pub fn is_in_pieces(&self) -> bool {
        self.header().has(bit::CHUNKED)
    }

    /// Keeps the value readable for longer.
    ///
    /// # Errors
    /// [`ReadConflict`].
    pub fn pin(&mut self) -> Result<PinnedValue, ReadConflict> {
        match &mut self.found {
            Found::Locked { item, store, shard, hash } => {
                Ok(PinnedValue::new(store, shard, item.at(), *hash, false))
            }
            Found::Seen(_) => {
                let mut copy = Vec::new();
                self.copy_to(&mut copy)?;
                Ok(PinnedValue::copied(copy))
            }
        }
    }
}

/// Copies the pieces of a value to `to`, as far as there is room.
#[inline]
pub(super) fn fill<'s>(mut to: &mut [MaybeUninit<u8>], slices: impl Iterator<Item = &'s [u8]>) {
    for slice in slices {
        let length = slice.len().min(to.len());
        let (part, rest) = to.split_at_mut(length);
        // SAFETY: both have `length` bytes; what is borrowed exclusively is no part
        // of the store.
        unsafe { std::ptr::copy_nonoverlapping(slice.as_ptr(), part.as_mut_ptr().cast(), length) };
        to = rest;
    }
}

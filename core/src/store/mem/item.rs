//! An item that the caller may read, and the parts of its value.

#![expect(unsafe_code, reason = "the bytes of an item, and a buffer that is filled")]

use std::mem::MaybeUninit;

use super::header::{FLAGS, HEADER, Header, bit};
use super::memory::Memory;
use super::reference::Ref;
use super::segment::Segments;
use super::token::ShardToken;

/// A LINKED item of a locked shard.
#[derive(Clone, Copy)]
pub struct Item<'m> {
    memory: &'m Memory,
    at: Ref,
}

opaque_debug!(Item<'m>);

impl<'m> Item<'m> {
    /// Returns the item at `at`, which is of the shard of the token.
    #[inline]
    pub(in crate::store) fn new(segments: &'m Segments, token: &'m ShardToken, at: Ref) -> Self {
        debug_assert!(segments.is_owned_by(at, token));
        Self { memory: &segments.memory, at }
    }

    /// Returns bytes of the item.
    ///
    /// # Safety
    /// They are the key, the client flags, a value in one piece, or the link to the first piece.
    #[inline]
    unsafe fn bytes(self, offset: usize, len: usize) -> &'m [u8] {
        // SAFETY: the contract. They are written only with the token, which is borrowed for `'m`.
        unsafe { self.memory.bytes(self.at, offset, len) }
    }

    /// Returns the place of the item.
    #[inline]
    pub fn at(self) -> Ref {
        self.at
    }

    /// Returns the header.
    #[inline]
    pub fn header(self) -> &'m Header {
        self.memory.header(self.at)
    }

    /// Returns the key.
    #[inline]
    pub fn key(self) -> &'m [u8] {
        // SAFETY: the key.
        unsafe { self.bytes(HEADER, usize::from(self.header().key_len())) }
    }

    /// Returns the client flags.
    #[inline]
    pub fn flags(self) -> u32 {
        if !self.header().has(bit::HAS_FLAGS) {
            return 0;
        }
        let at = HEADER + usize::from(self.header().key_len());
        let mut flags = [0; FLAGS];
        // SAFETY: the client flags.
        flags.copy_from_slice(unsafe { self.bytes(at, FLAGS) });
        u32::from_ne_bytes(flags)
    }

    /// Returns the length of the value in bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.header().length() as usize
    }

    /// Returns whether the value is empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the first piece of the value, or [`Ref::NONE`] if it is in one entry.
    #[inline]
    pub(in crate::store) fn first_piece(self) -> Ref {
        let header = self.header();
        if !header.has(bit::CHUNKED) {
            return Ref::NONE;
        }
        let mut word = [0; size_of::<Ref>()];
        // SAFETY: the link to the first piece.
        word.copy_from_slice(unsafe { self.bytes(header.value_offset(), size_of::<Ref>()) });
        self.memory.known(u32::from_ne_bytes(word))
    }

    /// Iterates over the pieces of the value.
    #[inline]
    pub fn slices(self) -> Slices<'m> {
        let header = self.header();
        if header.has(bit::CHUNKED) {
            return Slices { memory: self.memory, whole: None, next: self.first_piece() };
        }
        // SAFETY: the value, which is in one piece.
        let whole = unsafe { self.bytes(header.value_offset(), header.length() as usize) };
        Slices { memory: self.memory, whole: Some(whole), next: Ref::NONE }
    }

    /// Appends the value to `to`.
    #[inline]
    pub fn copy_to(self, to: &mut Vec<u8>) {
        for slice in self.slices() {
            to.extend_from_slice(slice);
        }
    }
}

/// The pieces of a value.
pub struct Slices<'m> {
    memory: &'m Memory,
    whole: Option<&'m [u8]>,
    next: Ref,
}

opaque_debug!(Slices<'m>);

impl<'m> Iterator for Slices<'m> {
    type Item = &'m [u8];

    #[inline]
    fn next(&mut self) -> Option<&'m [u8]> {
        if let Some(whole) = self.whole.take() {
            return Some(whole);
        }
        let at = self.next.some()?;
        let header = self.memory.header(at);
        self.next = self.memory.next_of(at);
        // SAFETY: the bytes of a piece, which are not written after its item is linked.
        Some(unsafe { self.memory.bytes(at, HEADER, header.length() as usize) })
    }
}

/// Copies the pieces of a value to `to`, as many bytes as fit.
#[inline]
pub(in crate::store) fn fill<'s>(mut to: &mut [MaybeUninit<u8>], slices: impl Iterator<Item = &'s [u8]>) {
    for slice in slices {
        let length = slice.len().min(to.len());
        let (part, rest) = to.split_at_mut(length);
        // SAFETY: both have `length` bytes. `to` is borrowed exclusively, so it is not memory of
        // the store.
        unsafe { std::ptr::copy_nonoverlapping(slice.as_ptr(), part.as_mut_ptr().cast(), length) };
        to = rest;
    }
}

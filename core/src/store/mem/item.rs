//! An item that the caller may read, and the pieces of its value.

#![expect(unsafe_code, reason = "a buffer without contents is filled")]

use std::mem::MaybeUninit;

use super::header::{FLAGS, HEADER, Header, bit};
use super::memory::Memory;
use super::reference::Ref;

/// An item that the caller may read: its shard is locked, or its segment held.
#[derive(Clone, Copy)]
pub struct Item<'m> {
    memory: &'m Memory,
    at: Ref,
}

opaque_debug!(Item<'m>);

impl<'m> Item<'m> {
    /// Returns the item at `at`, which is LINKED or RESERVED.
    #[inline]
    pub(in crate::store) fn new(memory: &'m Memory, at: Ref) -> Self {
        Self { memory, at }
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
        self.memory.bytes(self.at, HEADER, usize::from(self.header().key_len()))
    }

    /// Returns the client flags.
    #[inline]
    pub fn flags(self) -> u32 {
        if !self.header().has(bit::HAS_FLAGS) {
            return 0;
        }
        let at = HEADER + usize::from(self.header().key_len());
        let mut flags = [0; FLAGS];
        flags.copy_from_slice(self.memory.bytes(self.at, at, FLAGS));
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

    /// Iterates over the pieces of the value.
    #[inline]
    pub fn slices(self) -> Slices<'m> {
        let header = self.header();
        let offset = header.value_offset();
        if header.has(bit::CHUNKED) {
            Slices { memory: self.memory, whole: None, next: first_piece(self.memory, self.at) }
        } else {
            let whole = self.memory.bytes(self.at, offset, header.length() as usize);
            Slices { memory: self.memory, whole: Some(whole), next: Ref::NONE }
        }
    }

    /// Appends the value to `to`.
    #[inline]
    pub fn copy_to(self, to: &mut Vec<u8>) {
        for slice in self.slices() {
            to.extend_from_slice(slice);
        }
    }
}

/// Iterates over the pieces of the item at `at`, if its value is chunked. The caller may mark a
/// returned piece as dead, because the next one is already known.
pub(in crate::store) fn pieces(memory: &Memory, at: Ref) -> impl Iterator<Item = Ref> {
    let first = if memory.header(at).has(bit::CHUNKED) { first_piece(memory, at) } else { Ref::NONE };
    std::iter::successors(first.some(), |&at| memory.next_of(at).some())
}

/// Links a piece of the CHUNKED item at `owner` after the one at `before`, or first if that is
/// [`Ref::NONE`].
pub(in crate::store) fn link_piece(memory: &Memory, owner: Ref, before: Ref, piece: Ref) {
    match before.some() {
        Some(before) => memory.header(before).set_links(owner, piece),
        None => memory.write(owner, memory.header(owner).value_offset(), &piece.0.to_ne_bytes()),
    }
}

/// Returns the first piece of the CHUNKED item at `at`.
fn first_piece(memory: &Memory, at: Ref) -> Ref {
    let mut word = [0; 4];
    word.copy_from_slice(memory.bytes(at, memory.header(at).value_offset(), 4));
    memory.known(u32::from_ne_bytes(word))
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
        Some(self.memory.bytes(at, HEADER, header.length() as usize))
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

//! The writer of one entry.

#![expect(unsafe_code, reason = "the bytes of an entry that no other thread reads")]

use std::marker::PhantomData;

use super::memory::Memory;
use super::reference::Ref;
use super::token::ShardToken;

/// The right to write one entry, in order. No other thread reads the entry, except optimistic
/// reads, which will conflict.
///
/// The writer of a new entry has the lifetime `'static`. It ends when the entry is linked. The
/// writer of a linked item borrows the token of its shard.
#[derive(Debug)]
pub(in crate::store) struct EntryWriter<'t> {
    at: Ref,
    /// The next byte to write.
    next: u32,
    /// Bytes of the entry.
    size: u32,
    token: PhantomData<&'t mut ShardToken>,
}

impl EntryWriter<'_> {
    /// Returns a writer from byte `next` on.
    #[inline]
    pub(super) fn new(at: Ref, next: usize, size: usize) -> Self {
        Self { at, next: next as u32, size: size as u32, token: PhantomData }
    }

    /// Returns the place of the entry.
    #[inline]
    pub(in crate::store) fn at(&self) -> Ref {
        self.at
    }

    /// Initializes the header. The entry that it describes must fit.
    #[inline]
    pub(in crate::store) fn start(
        &mut self,
        memory: &Memory,
        class: u8,
        key_len: usize,
        length: usize,
        expiry: u32,
        state: u16,
    ) {
        let header = memory.header(self.at);
        header.start(class, key_len as u8, length as u32, expiry, state);
        debug_assert!(header.extent() <= self.size as usize);
    }

    /// Writes the next bytes.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub(in crate::store) fn push(&mut self, memory: &Memory, bytes: &[u8]) {
        assert!(bytes.len() <= (self.size - self.next) as usize);
        // SAFETY: inside the entry (checked), which this writer alone may access. Nothing refers to
        // its bytes, so `bytes` lies elsewhere.
        unsafe { memory.write(self.at, self.next as usize, bytes) };
        self.next += bytes.len() as u32;
    }

    /// Writes the first `length` bytes of the entry at `from`, header included.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub(in crate::store) fn copy(&mut self, memory: &Memory, _: &ShardToken, from: Ref, length: usize) {
        assert!(length <= self.size as usize);
        // SAFETY: as for `push`. The token lets this thread read the other entry.
        unsafe { memory.copy(from, self.at, length) };
        self.next = length as u32;
    }

    /// Returns whether all bytes are written.
    #[inline]
    pub(in crate::store) fn is_full(&self) -> bool {
        self.next == self.size
    }

    /// Returns the rest of the entry, to be written, then counted by [`EntryWriter::advance`].
    ///
    /// The bytes may be those of a former entry, but are never uninitialized, because the system
    /// gives zeros.
    #[inline]
    pub(in crate::store) fn rest<'a>(&'a mut self, memory: &'a Memory) -> &'a mut [u8] {
        // SAFETY: as for `push`. The writer is borrowed exclusively.
        unsafe { memory.bytes_mut(self.at, self.next as usize, (self.size - self.next) as usize) }
    }

    /// Records that `n` bytes of [`EntryWriter::rest`] were written.
    #[inline]
    pub(in crate::store) fn advance(&mut self, n: usize) {
        self.next += (n as u32).min(self.size - self.next);
    }

    /// Returns the written bytes of the value.
    pub(in crate::store) fn value<'a>(&'a self, memory: &'a Memory) -> &'a [u8] {
        let offset = memory.header(self.at).value_offset();
        // SAFETY: as for `push`. The writer is borrowed.
        unsafe { memory.bytes(self.at, offset, (self.next as usize).saturating_sub(offset)) }
    }
}

//! The rights to the bytes of entries.
//!
//! Key, client flags and value of an entry are plain bytes, so a thread needs a right to them. A
//! right is a value of one of these types, which only this folder makes:
//!
//! | right | allows |
//! |---|---|
//! | [`&ShardToken`](ShardToken) | reads of all entries of a shard, as [`Item`](super::item::Item) |
//! | [`&mut ShardToken`](ShardToken) | appends, and writes of entries without holds |
//! | [`EntryWriter`](super::entry_writer::EntryWriter) | writes of one entry |
//! | [`Hold`] | reads of one value, after the lock is released |
//!
//! The token of a shard lies behind the shard's lock. So a reference to the token proves that this
//! thread has the lock. Bytes that are read through the token are borrowed for as long.
//!
//! Two facts stay rules. A [`Ref`] is used with the token of its own shard, which debug builds
//! check. It is not used after its entry died: the index and the logs forget dead entries.

use super::header::{Kind, bit};
use super::memory::Memory;
use super::reference::Ref;

/// The right to the entries of one shard. It cannot be copied.
#[derive(Debug)]
pub(in crate::store) struct ShardToken(u32);

impl ShardToken {
    /// Returns the token with this number, of which there is one in a cache.
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number of the shard.
    pub(in crate::store) fn number(&self) -> u32 {
        self.0
    }
}

/// The right to read a value without the lock. The segment of the entry is not reused before the
/// end of the hold ([`Segments::end_hold`](super::segment::Segments::end_hold)).
#[derive(Debug)]
pub(in crate::store) struct Hold(Ref);

impl Hold {
    pub(super) fn new(at: Ref) -> Self {
        Self(at)
    }

    /// Returns the place of the entry.
    pub(in crate::store) fn at(&self) -> Ref {
        self.0
    }

    /// Ends the hold.
    pub(super) fn end(self) -> Ref {
        self.0
    }

    /// Returns the value of an item in one entry, or the bytes of a piece. Returns nothing for a
    /// reservation, and for an item in pieces.
    #[expect(unsafe_code, reason = "the bytes of a held entry")]
    pub(in crate::store) fn value<'a>(&'a self, memory: &'a Memory) -> &'a [u8] {
        let header = memory.header(self.0);
        if header.has(bit::CHUNKED) || header.kind() == Kind::Reserved {
            return &[];
        }
        // SAFETY: the entry is complete, and is not overwritten while it is held. The layout of its
        // header does not change.
        unsafe { memory.bytes(self.0, header.value_offset(), header.length() as usize) }
    }
}

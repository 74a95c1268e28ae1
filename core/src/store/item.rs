//! An item in a slab chunk: the bits of its header, and where key, client
//! flags and value lie behind it.
//!
//! ```text
//!  byte 0        4        8                16       20       24       28 29 30
//!       +--------+--------+----------------+--------+--------+--------+--+--+----+
//!       | next   | prev   | cas            | expiry | stamp  | length |k |c |state|  32 bytes
//!       +--------+--------+----------------+--------+--------+--------+--+--+----+
//!       | key (k bytes) | client flags (4, if HAS_FLAGS) | value (length bytes) |
//!       +---------------+--------------------------------+----------------------+
//!  or, if CHUNKED:      | client flags                   | first chunk (4)      |
//!
//!  state  0-1 kind: FREE LINKED DETACHED CHUNK    2-3 queue: hot warm cold temp
//!         4 FETCHED  5 ACTIVE  6 WIN  7 STALE  8 KEY_BINARY  9 HAS_FLAGS
//!         10 CHUNKED  11 PINNED  12-15 zero
//!
//!  FREE      next/prev: the shard's list of free chunks    expiry: shard number
//!  LINKED    in the index and in a queue                   next/prev: the queue
//!  DETACHED  neither: being written, or unlinked while pinned
//!  CHUNK     part of a CHUNKED item's value; length: bytes used; next: the next
//!            chunk; cas: the item it belongs to
//! ```
//!
//! `stamp` is the second of the last use (see `expiry.rs` for why it is not
//! exactly a second). Links are [`Ref`]s, not pointers: 4 bytes each.
//!
//! Who may touch what: header fields change only under the lock of the item's
//! shard (or by the one owner of a DETACHED item); they are relaxed atomics, so
//! that a stray look is stale and not undefined. Key, client flags and value
//! are written before an item is LINKED and never again until its chunk is
//! FREE, so a reader needs the lock only to find the item and to copy or pin it.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::slab::Memory;

/// Bytes of a header.
pub const HEADER: usize = size_of::<Header>();

/// Bytes of stored client flags.
pub const FLAGS: usize = 4;

/// Number of a chunk's first unit of memory; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(pub u32);

impl Ref {
    /// No chunk.
    pub const NONE: Self = Self(0);

    /// Whether this names no chunk.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// This chunk, or `None`.
    #[inline]
    pub fn some(self) -> Option<Self> {
        if self.is_none() { None } else { Some(self) }
    }
}

impl Default for Ref {
    fn default() -> Self {
        Self::NONE
    }
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// On a list of free chunks, or never used.
    Free = 0,
    /// An item that can be found.
    Linked = 1,
    /// An item that cannot be found.
    Detached = 2,
    /// Part of a large value.
    Chunk = 3,
}

/// Queue of an item within its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Queue {
    /// New items.
    Hot = 0,
    /// Items used again and again.
    Warm = 1,
    /// Candidates for eviction.
    Cold = 2,
    /// Short-lived items, never evicted.
    Temp = 3,
}

/// All queues, in the order in which `stats` names them.
pub const QUEUES: [Queue; 4] = [Queue::Hot, Queue::Warm, Queue::Cold, Queue::Temp];

/// The state bits.
pub mod bit {
    /// Fetched at least once.
    pub const FETCHED: u16 = 1 << 4;
    /// Fetched again since it entered its queue.
    pub const ACTIVE: u16 = 1 << 5;
    /// A client was told to recache it.
    pub const WIN: u16 = 1 << 6;
    /// Invalidated, but still served.
    pub const STALE: u16 = 1 << 7;
    /// The key came in base64.
    pub const KEY_BINARY: u16 = 1 << 8;
    /// Client flags are stored.
    pub const HAS_FLAGS: u16 = 1 << 9;
    /// The value is in chunks of its own.
    pub const CHUNKED: u16 = 1 << 10;
    /// Someone holds the value without the lock.
    pub const PINNED: u16 = 1 << 11;
}

const KIND: u16 = 0b11;
const QUEUE_SHIFT: u16 = 2;

/// Header of a chunk. The meaning of the fields depends on the kind.
#[repr(C, align(8))]
pub struct Header {
    next: AtomicU32,
    prev: AtomicU32,
    cas: AtomicU64,
    expiry: AtomicU32,
    stamp: AtomicU32,
    length: AtomicU32,
    key_len: AtomicU8,
    class: AtomicU8,
    state: AtomicU16,
}

macro_rules! field {
    ($(#[$doc:meta])* $get:ident, $set:ident, $field:ident: $type:ty) => {
        $(#[$doc])*
        #[inline]
        pub fn $get(&self) -> $type {
            self.$field.load(Relaxed)
        }

        #[doc = concat!("Sets [`Header::", stringify!($get), "`].")]
        #[inline]
        pub(crate) fn $set(&self, value: $type) {
            self.$field.store(value, Relaxed);
        }
    };
}

impl Header {
    field!(
        /// CAS of an item; owner of a CHUNK.
        cas, set_cas, cas: u64
    );
    field!(
        /// Second at which the item expires, 0 never; shard of a FREE chunk.
        expiry, set_expiry, expiry: u32
    );
    field!(
        /// Stamp of the last use.
        stamp, set_stamp, stamp: u32
    );
    field!(
        /// Bytes of the value.
        length, set_length, length: u32
    );
    field!(
        /// Bytes of the key.
        key_len, set_key_len, key_len: u8
    );
    field!(
        /// Slab class of this chunk.
        class, set_class, class: u8
    );
    field!(
        /// The state bits.
        state, set_state, state: u16
    );

    /// The next chunk of the list this one is on.
    #[inline]
    pub fn next(&self) -> Ref {
        Ref(self.next.load(Relaxed))
    }

    /// Sets [`Header::next`].
    #[inline]
    pub(crate) fn set_next(&self, to: Ref) {
        self.next.store(to.0, Relaxed);
    }

    /// The chunk before this one.
    #[inline]
    pub fn prev(&self) -> Ref {
        Ref(self.prev.load(Relaxed))
    }

    /// Sets [`Header::prev`].
    #[inline]
    pub(crate) fn set_prev(&self, to: Ref) {
        self.prev.store(to.0, Relaxed);
    }

    /// What this chunk is.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.state() & KIND {
            0 => Kind::Free,
            1 => Kind::Linked,
            2 => Kind::Detached,
            _ => Kind::Chunk,
        }
    }

    /// Changes what this chunk is.
    #[inline]
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.set_state(self.state() & !KIND | kind as u16);
    }

    /// The queue it is on.
    #[inline]
    pub fn queue(&self) -> Queue {
        QUEUES[usize::from(self.state() >> QUEUE_SHIFT & 0b11)]
    }

    /// Sets [`Header::queue`].
    #[inline]
    pub(crate) fn set_queue(&self, queue: Queue) {
        self.set_state(self.state() & !(0b11 << QUEUE_SHIFT) | (queue as u16) << QUEUE_SHIFT);
    }

    /// Whether one of `bits` is set.
    #[inline]
    pub fn has(&self, bits: u16) -> bool {
        self.state() & bits != 0
    }

    /// Sets `bits`.
    #[inline]
    pub(crate) fn mark(&self, bits: u16) {
        self.set_state(self.state() | bits);
    }

    /// Clears `bits`.
    #[inline]
    pub(crate) fn unmark(&self, bits: u16) {
        self.set_state(self.state() & !bits);
    }

    /// Makes this the header of a DETACHED item.
    #[inline]
    pub(crate) fn start_item(&self, class: u8, key_len: u8, length: u32, expiry: u32, bits: u16) {
        self.set_next(Ref::NONE);
        self.set_prev(Ref::NONE);
        self.set_cas(0);
        self.set_expiry(expiry);
        self.set_stamp(0);
        self.set_length(length);
        self.set_key_len(key_len);
        self.set_class(class);
        self.set_state(Kind::Detached as u16 | bits);
    }

    /// Bytes the item takes in all, as `stats` counts them.
    #[inline]
    pub fn total(&self) -> usize {
        let flags = if self.has(bit::HAS_FLAGS) { FLAGS } else { 0 };
        HEADER + usize::from(self.key_len()) + flags + self.length() as usize
    }

    /// Offset of the value from the header.
    #[inline]
    pub fn value_offset(&self) -> usize {
        let flags = if self.has(bit::HAS_FLAGS) { FLAGS } else { 0 };
        HEADER + usize::from(self.key_len()) + flags
    }
}

/// Bytes an item takes in one piece.
#[inline]
pub fn item_size(key_len: usize, flags: u32, length: usize) -> usize {
    (HEADER + if flags == 0 { 0 } else { FLAGS }).saturating_add(key_len).saturating_add(length)
}

/// An item that the caller may look at: its shard is locked, or it is pinned.
#[derive(Clone, Copy)]
pub struct Item<'m> {
    memory: &'m Memory,
    at: Ref,
}

impl<'m> Item<'m> {
    /// The item at `at`, which is LINKED or DETACHED.
    #[inline]
    pub(super) fn new(memory: &'m Memory, at: Ref) -> Self {
        Self { memory, at }
    }

    /// Where it is.
    #[inline]
    pub fn at(self) -> Ref {
        self.at
    }

    /// Its header.
    #[inline]
    pub fn header(self) -> &'m Header {
        self.memory.header(self.at)
    }

    /// Its key.
    #[inline]
    pub fn key(self) -> &'m [u8] {
        self.memory.bytes(self.at, HEADER, usize::from(self.header().key_len()))
    }

    /// Its client flags.
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

    /// Bytes of its value.
    #[inline]
    pub fn len(self) -> usize {
        self.header().length() as usize
    }

    /// Whether its value has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Its value, piece by piece.
    #[inline]
    pub fn slices(self) -> Slices<'m> {
        let header = self.header();
        let offset = header.value_offset();
        if header.has(bit::CHUNKED) {
            Slices { memory: self.memory, whole: None, next: first_chunk(self.memory, self.at) }
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

/// The first chunk of the CHUNKED item at `at`.
pub(super) fn first_chunk(memory: &Memory, at: Ref) -> Ref {
    let mut word = [0; 4];
    word.copy_from_slice(memory.bytes(at, memory.header(at).value_offset(), 4));
    Ref(u32::from_ne_bytes(word))
}

/// The pieces of a value.
pub struct Slices<'m> {
    memory: &'m Memory,
    whole: Option<&'m [u8]>,
    next: Ref,
}

impl<'m> Iterator for Slices<'m> {
    type Item = &'m [u8];

    #[inline]
    fn next(&mut self) -> Option<&'m [u8]> {
        if let Some(whole) = self.whole.take() {
            return Some(whole);
        }
        let at = self.next.some()?;
        let header = self.memory.header(at);
        self.next = header.next();
        Some(self.memory.bytes(at, HEADER, header.length() as usize))
    }
}

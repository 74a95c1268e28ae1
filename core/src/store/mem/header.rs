//! An item in its log: the bits of its header, followed by key, client flags and value.
//!
//! ```text
//!  byte 0                8        12       16       20 21 22   24
//!       +----------------+--------+--------+--------+--+--+----+
//!       | cas            | expiry | stamp  | length |k |c |state|  24 bytes
//!       +----------------+--------+--------+--------+--+--+----+
//!       | key (k bytes) | client flags (4, if HAS_FLAGS) | value (length bytes) |
//!       +---------------+--------------------------------+----------------------+
//!  or, if CHUNKED:      | client flags                   | first piece (4)      |
//!
//!  state  0-1 kind: DEAD LINKED RESERVED PIECE    2-3 queue: hot warm cold temp
//!         4 FETCHED  5 ACTIVE  6 WIN  7 STALE  8 KEY_BINARY  9 HAS_FLAGS
//!         10 CHUNKED  11 RECENT  12-14 uses, up to 7  15 USED
//!
//!  LINKED    in the index
//!  RESERVED  being written by its one owner
//!  PIECE     part of a CHUNKED item's value; cas: the item it belongs to, and the
//!            next piece; length: its bytes
//!  DEAD      unlinked, moved or given up. Its bytes stay until its segment is
//!            reused.
//! ```
//!
//! `uses` counts the uses in the item's life. USED marks a use since the item was put where it is.
//! RECENT marks a use since its segment was sampled (`compactor.rs`). `stamp` is the second of the
//! last use (`expiry.rs` says why it is not exactly a second). Links are [`Ref`]s of 4 bytes, not
//! pointers. `class` is memcached's slab class. The store does not depend on it.
//!
//! The rules of access: header fields change only under the lock of the item's shard, or by the
//! owner of a RESERVED entry. They are relaxed atomics, so that a racing read is stale and not
//! undefined. Key, client flags and value are plain bytes. `token.rs` has the rights to read and
//! write them. A reader without a right copies them, and then checks the version of the lock
//! (`optimistic.rs`).
//!
//! `key_len`, `length`, `HAS_FLAGS` and CHUNKED are the layout of an entry. Only its writer sets
//! them.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::reference::Ref;

/// Bytes of a header.
pub const HEADER: usize = size_of::<Header>();

/// Bytes of stored client flags.
pub const FLAGS: usize = 4;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// An entry that is not in use.
    Dead = 0,
    /// An item in the index.
    Linked = 1,
    /// An item that is being written: a reservation.
    Reserved = 2,
    /// A part of a large value.
    Piece = 3,
}

/// The queue of an item, with the names of memcached's queues in `stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Queue {
    /// New items.
    Hot = 0,
    /// Items that were judged and kept.
    Warm = 1,
    /// Items of a policy that keeps an order over all items.
    Cold = 2,
    /// Short-lived items, which are never evicted.
    Temp = 3,
}

/// All queues, in the order in which `stats` names them.
pub const QUEUES: [Queue; 4] = [Queue::Hot, Queue::Warm, Queue::Cold, Queue::Temp];

/// The state bits.
pub mod bit {
    /// Fetched at least once.
    pub const FETCHED: u16 = 1 << 4;
    /// Fetched again.
    pub const ACTIVE: u16 = 1 << 5;
    /// A client has won the right to recache it.
    pub const WIN: u16 = 1 << 6;
    /// Invalidated, but still served.
    pub const STALE: u16 = 1 << 7;
    /// The key came in base64.
    pub const KEY_BINARY: u16 = 1 << 8;
    /// Client flags are stored.
    pub const HAS_FLAGS: u16 = 1 << 9;
    /// The value is in separate pieces.
    pub const CHUNKED: u16 = 1 << 10;
    /// Used since its segment was sampled.
    pub const RECENT: u16 = 1 << 11;
    /// Used since it was put where it is.
    pub const USED: u16 = 1 << 15;

    /// Returns the uses in a state, 7 at most.
    #[inline]
    pub fn uses(state: u16) -> u16 {
        state >> super::USES_SHIFT & super::USES_MAX
    }

    /// Returns the bits of a state with this number of uses.
    #[inline]
    pub fn of_uses(uses: u16) -> u16 {
        uses.min(super::USES_MAX) << super::USES_SHIFT
    }
}

const KIND: u16 = 0b11;
const LAYOUT: u16 = bit::HAS_FLAGS | bit::CHUNKED;
const QUEUE_SHIFT: u16 = 2;
const USES_SHIFT: u16 = 12;

/// Most uses of an item that are counted.
pub const USES_MAX: u16 = 7;

/// The header of an entry. The meaning of the fields depends on the kind.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Header {
    cas: AtomicU64,
    expiry: AtomicU32,
    stamp: AtomicU32,
    length: AtomicU32,
    key_len: AtomicU8,
    class: AtomicU8,
    state: AtomicU16,
}

macro_rules! field {
    ($(#[$doc:meta])* $get:ident, $vis:vis $set:ident, $field:ident: $type:ty) => {
        $(#[$doc])*
        #[inline]
        pub fn $get(&self) -> $type {
            self.$field.load(Relaxed)
        }

        #[doc = concat!("Sets [`Header::", stringify!($get), "`].")]
        #[inline]
        $vis fn $set(&self, value: $type) {
            self.$field.store(value, Relaxed);
        }
    };
}

impl Header {
    field!(
        /// Returns the CAS of an item.
        cas, pub(crate) set_cas, cas: u64
    );
    field!(
        /// Returns the second at which the item expires, or 0 for never.
        expiry, pub(crate) set_expiry, expiry: u32
    );
    field!(
        /// Returns the stamp of the last use.
        stamp, pub(crate) set_stamp, stamp: u32
    );
    field!(
        /// Returns the length of the value in bytes.
        length, set_length, length: u32
    );
    field!(
        /// Returns the length of the key in bytes.
        key_len, set_key_len, key_len: u8
    );
    field!(
        /// memcached's slab class.
        class, set_class, class: u8
    );
    field!(
        /// The state bits.
        state, pub(in crate::store) set_state, state: u16
    );

    /// Returns a copy, made field by field.
    #[inline]
    pub(in crate::store) fn copied(&self) -> Self {
        Self {
            cas: self.cas().into(),
            expiry: self.expiry().into(),
            stamp: self.stamp().into(),
            length: self.length().into(),
            key_len: self.key_len().into(),
            class: self.class().into(),
            state: self.state().into(),
        }
    }

    /// Returns the numbers of the item that a PIECE belongs to, and of the piece after it.
    #[inline]
    pub(super) fn links(&self) -> (u32, u32) {
        ((self.cas() >> 32) as u32, self.cas() as u32)
    }

    /// Sets the item that a PIECE belongs to, and the piece after it.
    #[inline]
    pub(crate) fn set_links(&self, owner: Ref, next: Ref) {
        self.set_cas(u64::from(owner.0) << 32 | u64::from(next.0));
    }

    /// Returns the kind of this entry.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.state() & KIND {
            0 => Kind::Dead,
            1 => Kind::Linked,
            2 => Kind::Reserved,
            _ => Kind::Piece,
        }
    }

    /// Changes the kind of this entry.
    #[inline]
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.set_state(self.state() & !KIND | kind as u16);
    }

    /// Returns the queue of the item.
    #[inline]
    pub fn queue(&self) -> Queue {
        QUEUES[usize::from(self.state() >> QUEUE_SHIFT & 0b11)]
    }

    /// Sets [`Header::queue`].
    #[inline]
    pub(crate) fn set_queue(&self, queue: Queue) {
        self.set_state(self.state() & !(0b11 << QUEUE_SHIFT) | (queue as u16) << QUEUE_SHIFT);
    }

    /// Returns whether one of `bits` is set.
    #[inline]
    pub fn has(&self, bits: u16) -> bool {
        self.state() & bits != 0
    }

    /// Sets `bits`.
    #[inline]
    pub(crate) fn mark(&self, bits: u16) {
        debug_assert_eq!(bits & LAYOUT, 0);
        self.set_state(self.state() | bits);
    }

    /// Clears `bits`.
    #[inline]
    pub(crate) fn unmark(&self, bits: u16) {
        debug_assert_eq!(bits & LAYOUT, 0);
        self.set_state(self.state() & !bits);
    }

    /// Initializes the header of an entry.
    #[inline]
    pub(super) fn start(&self, class: u8, key_len: u8, length: u32, expiry: u32, state: u16) {
        self.set_cas(0);
        self.set_expiry(expiry);
        self.set_stamp(0);
        self.set_length(length);
        self.set_key_len(key_len);
        self.set_class(class);
        self.set_state(state);
    }

    /// Returns the number of uses of the item, 7 at most.
    #[inline]
    pub fn uses(&self) -> u16 {
        bit::uses(self.state())
    }

    /// Returns the state of a LINKED item.
    #[inline]
    pub(crate) fn linked(queue: Queue, uses: u16) -> u16 {
        Kind::Linked as u16 | (queue as u16) << QUEUE_SHIFT | uses.min(USES_MAX) << USES_SHIFT
    }

    /// Returns `state` with one more use.
    #[inline]
    pub(crate) fn used(state: u16) -> u16 {
        let full = state >> USES_SHIFT & USES_MAX == USES_MAX;
        (if full { state } else { state + (1 << USES_SHIFT) }) | bit::USED | bit::RECENT
    }

    /// Sets [`Header::uses`].
    #[inline]
    pub(crate) fn set_uses(&self, uses: u16) {
        self.set_state(self.state() & !(USES_MAX << USES_SHIFT) | uses.min(USES_MAX) << USES_SHIFT);
    }

    /// Returns the bytes of the entry in its segment, before rounding.
    #[inline]
    pub fn extent(&self) -> usize {
        if self.has(bit::CHUNKED) { self.value_offset() + size_of::<Ref>() } else { self.total() }
    }

    /// Returns the bytes of the item in total, as `stats` counts them.
    #[inline]
    pub fn total(&self) -> usize {
        let flags = if self.has(bit::HAS_FLAGS) { FLAGS } else { 0 };
        HEADER + usize::from(self.key_len()) + flags + self.length() as usize
    }

    /// Returns the offset of the value from the header.
    #[inline]
    pub fn value_offset(&self) -> usize {
        let flags = if self.has(bit::HAS_FLAGS) { FLAGS } else { 0 };
        HEADER + usize::from(self.key_len()) + flags
    }
}

/// Returns the bytes of an item with its whole value.
#[inline]
pub fn item_size(key_len: usize, flags: u32, length: usize) -> usize {
    (HEADER + if flags == 0 { 0 } else { FLAGS }).saturating_add(key_len).saturating_add(length)
}

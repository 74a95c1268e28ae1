//! The metadata of an item.

use crate::store::{EntryRef, Header, Item, TimeSnapshot, bit};

/// The metadata of an item: everything but its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemInfo {
    /// Client flags.
    pub flags: u32,
    /// The CAS, or 0 if the cache keeps none.
    pub cas: u64,
    /// Seconds until the item expires, or `None` if it never does.
    pub ttl: Option<u32>,
    /// Seconds since the item was last used.
    pub idle: u32,
    /// Bytes of the value.
    pub length: usize,
    /// Whether the item was read since it was stored.
    pub fetched: bool,
    /// Whether the item was invalidated (meta delete with `I`).
    pub stale: bool,
}

impl ItemInfo {
    /// Returns the metadata of an item at `time`.
    pub fn new(item: Item<'_>, time: &TimeSnapshot) -> Self {
        Self::tell(item.header(), item.flags(), time)
    }

    /// Returns the metadata of an item that a read found.
    pub fn of(entry: &EntryRef<'_>) -> Self {
        Self::tell(entry.header(), entry.flags(), entry.time())
    }

    fn tell(header: &Header, flags: u32, time: &TimeSnapshot) -> Self {
        let ttl = match header.expiry() {
            0 => None,
            expiry => Some(expiry.saturating_sub(time.now)),
        };
        Self {
            flags,
            cas: header.cas(),
            ttl,
            idle: time.idle(header),
            length: header.length() as usize,
            fetched: header.has(bit::FETCHED),
            stale: header.has(bit::STALE),
        }
    }
}

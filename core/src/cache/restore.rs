//! Storing an item of a snapshot, with its history.

use super::Cache;
use crate::base::error::AllocError;
use crate::store::{NewItem, Reservation, TimeSnapshot, bit};

/// An item of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestoredItem<'a> {
    /// The hash of the key in this cache.
    pub(crate) hash: u64,
    /// The key, 1 to 250 bytes.
    pub(crate) key: &'a [u8],
    /// The value.
    pub(crate) value: &'a [u8],
    /// Client flags.
    pub(crate) flags: u32,
    /// Second of the clock at which it expires, or 0 for never.
    pub(crate) expiry: u32,
    /// The CAS, or 0 for the next one.
    pub(crate) cas: u64,
    /// Seconds since its last use.
    pub(crate) idle: u32,
    /// Uses that were counted.
    pub(crate) uses: u16,
    /// Bits of its header ([`crate::store::bit`]).
    pub(crate) bits: u16,
    /// The begin of the load. A flush since then kills the item.
    pub(crate) began: TimeSnapshot,
}

/// The outcome of [`Cache::restore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// The item is stored.
    Stored,
    /// The cache has an item with this key.
    Existing,
    /// The item is larger than `item_size_max`.
    TooLarge,
    /// There is no memory, and nothing may be evicted.
    NoMemory,
}

impl From<AllocError> for Restored {
    fn from(e: AllocError) -> Self {
        match e {
            AllocError::TooLarge => Self::TooLarge,
            AllocError::NoMemory => Self::NoMemory,
        }
    }
}

impl Cache {
    /// Stores an item of a snapshot. With `replace`, it takes the place of an item with its key.
    /// No command is counted, and no watcher sees it.
    pub(crate) fn restore(&self, item: &RestoredItem<'_>, replace: bool) -> Restored {
        let restored = self.try_restore(item, replace).unwrap_or_else(Restored::from);
        if restored == Restored::Stored {
            self.store().keep_quota(item.key);
        }
        restored
    }

    fn try_restore(&self, item: &RestoredItem<'_>, replace: bool) -> Result<Restored, AllocError> {
        let store = self.store();
        let hash = item.hash;
        let class = store.admit(item.key, item.flags, item.value.len())?;
        let new = NewItem {
            key: item.key,
            flags: item.flags,
            expiry: item.expiry,
            class,
            bits: item.bits | bit::of_uses(item.uses),
        };
        let cas = if item.cas == 0 { store.next_cas() } else { item.cas };
        if store.is_chunked(item.key.len(), item.flags, item.value.len()) {
            if !replace && store.entry(item.key, hash).item().is_some() {
                return Ok(Restored::Existing);
            }
            let mut reservation = Reservation::new(store, hash, &new, item.value.len(), true)?;
            reservation.write(item.value)?;
            let mut entry = store.entry(item.key, hash);
            if !replace && entry.item().is_some() {
                drop(entry);
                return Ok(Restored::Existing);
            }
            entry.publish_reservation(reservation, 0, cas);
            entry.set_history(item.uses, item.idle, &item.began);
            return Ok(Restored::Stored);
        }
        let mut attempts = store.attempts(hash);
        loop {
            let mut entry = store.entry(item.key, hash);
            if entry.item().is_some() {
                if !replace {
                    return Ok(Restored::Existing);
                }
                // The item does not count as a use of the one before.
                entry.remove();
            }
            if entry.publish(&new, item.value, cas).is_ok() {
                entry.set_history(item.uses, item.idle, &item.began);
                return Ok(Restored::Stored);
            }
            drop(entry);
            attempts.make_room(class)?;
        }
    }
}

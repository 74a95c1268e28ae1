//! Uses of items that are recorded in batches.
//!
//! A multi-get reads many items without the lock, and records their uses after all of them. So it
//! takes the lock of each shard once for several uses, and does not wait for memory between two
//! reads.

use arrayvec::ArrayVec;

use super::lookup_hint::LookupHint;
use crate::store::mem::Ref;
use crate::store::policy;
use crate::store::store::Store;

/// Most uses of a batch.
const BATCH_MAX: usize = 64;

const _: () = assert!(BATCH_MAX <= 1 << 8);

/// Uses of items, to be recorded by [`Store::record_accesses`].
#[derive(Default)]
pub(crate) struct AccessBatch<'k>(ArrayVec<Access<'k>, BATCH_MAX>);

struct Access<'k> {
    key: &'k [u8],
    hint: LookupHint,
    cas: u64,
}

impl<'k> AccessBatch<'k> {
    /// Returns whether there is no room for another use.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds a use. There must be room.
    #[inline]
    pub(in crate::store) fn push(&mut self, key: &'k [u8], hint: LookupHint, cas: u64) {
        let pushed = self.0.try_push(Access { key, hint, cas });
        debug_assert!(pushed.is_ok(), "no room");
    }
}

impl Store {
    /// Records the uses of items that still exist, and empties the batch.
    pub(crate) fn record_accesses(&self, uses: &mut AccessBatch<'_>) {
        // Sort by shard. Numbers are sorted faster than uses.
        let mut places: ArrayVec<u64, BATCH_MAX> = ArrayVec::new();
        for (place, Access { hint, .. }) in uses.0.iter().enumerate() {
            places.push((self.common.shard_of(hint.hash) << 8 | place) as u64);
        }
        places.sort_unstable();
        for places in places.chunk_by(|one, other| one >> 8 == other >> 8) {
            let mut those = places.iter().filter_map(|&place| uses.0.get((place & 0xff) as usize)).peekable();
            let Some(Access { hint, .. }) = those.peek() else { continue };
            let shard = self.shard(hint.hash).lock();
            let time = self.common.time();
            // This loop removes no items, so an item is still where it was read.
            for Access { key, hint, cas } in those {
                let at_hint = if shard.is_next_after(hint.version) { hint.at } else { Ref::NONE };
                let Some(at) = shard.locate(&self.common, key, hint.hash, at_hint) else { continue };
                let header = self.common.memory().header(at);
                if header.cas() == *cas && !self.common.is_dead(&time, header, || key) {
                    policy::record_access(shard.tuning.policy, header, &time);
                }
            }
        }
        uses.0.clear();
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::watch::WatchHub;
    use crate::config::CacheConfig;
    use crate::store::{NewItem, bit};

    fn store(shards: usize) -> Arc<Store> {
        let config =
            CacheConfig { memory_limit: shards << 19, shards: Some(shards), ..CacheConfig::default() };
        let clock = Arc::new(Clock::new());
        clock.freeze();
        Arc::new(Store::new(&config, clock, Arc::new(WatchHub::default())).unwrap())
    }

    fn set(store: &Arc<Store>, key: &[u8], expiry: u32) {
        let class = store.class_for(key.len(), 0, 5).unwrap();
        let new = NewItem { key, flags: 0, expiry, class, bits: 0 };
        store.entry(key, store.hash(key)).publish(&new, b"value", store.next_cas()).unwrap();
    }

    fn is_fetched(store: &Arc<Store>, key: &[u8]) -> bool {
        store.entry(key, store.hash(key)).item().unwrap().header().has(bit::FETCHED)
    }

    /// Reads an item without the lock, and adds its use to the batch.
    fn try_get_unlocked<'k>(store: &Store, key: &'k [u8], uses: &mut AccessBatch<'k>) {
        let shown = store.try_get_unlocked(key, store.lookup_hint(key), Some(uses), |entry| {
            assert!(entry.header().has(bit::FETCHED), "it is shown as read");
            Ok(entry.len())
        });
        assert_eq!(shown.ok(), Some(Some(5)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes minutes")]
    fn every_use_is_noted_in_its_shard() {
        for shards in [1, 4, 64] {
            let store = store(shards);
            let keys: Vec<_> = (0..BATCH_MAX as u32).map(u32::to_be_bytes).collect();
            keys.iter().for_each(|key| set(&store, key, 0));
            let mut uses = AccessBatch::default();
            keys.iter().for_each(|key| try_get_unlocked(&store, key, &mut uses));
            assert!(uses.is_full());
            assert!(keys.iter().all(|key| !is_fetched(&store, key)));
            store.record_accesses(&mut uses);
            assert!(keys.iter().all(|key| is_fetched(&store, key)));
            assert!(uses.0.is_empty());
        }
    }

    #[test]
    fn what_changed_meanwhile_is_not_what_was_seen() {
        let store = store(1);
        for key in [b"gone", b"here", b"anew"] {
            set(&store, key, 0);
        }
        let mut uses = AccessBatch::default();
        for key in [b"gone", b"here", b"anew"] {
            try_get_unlocked(&store, key, &mut uses);
        }
        for key in [b"gone", b"anew"] {
            store.entry(key, store.hash(key)).remove();
        }
        // The memory of the removed items may hold other entries now.
        set(&store, b"anew", 0);
        store.record_accesses(&mut uses);
        assert!(store.entry(b"gone", store.hash(b"gone")).item().is_none());
        assert!(is_fetched(&store, b"here") && !is_fetched(&store, b"anew"));
    }

    /// Reads do not take the lock when an item has expired.
    #[test]
    fn what_died_meanwhile_is_left_to_others() {
        let store = store(1);
        let now = store.time().now;
        set(&store, b"short", now + 5);
        set(&store, b"long", 0);
        let mut uses = AccessBatch::default();
        for key in [&b"short"[..], b"short", b"long"] {
            try_get_unlocked(&store, key, &mut uses);
        }
        store.common.clock.advance(5).unwrap();
        store.record_accesses(&mut uses);
        assert_eq!(store.totals().curr_items, 2);
        assert!(is_fetched(&store, b"long"));
        assert!(store.entry(b"short", store.hash(b"short")).item().is_none());
        assert_eq!(store.totals().curr_items, 1);
        store.verify();
    }
}

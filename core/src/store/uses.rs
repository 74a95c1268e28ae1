//! Uses that are noted together.
//!
//! Who shows many items without the lock notes their uses when all are shown: the
//! lock of each shard is then taken once for several, and none of them waits in
//! between for memory that was asked for.

use arrayvec::ArrayVec;

use super::item::Ref;
use super::peek::Lead;
use super::{Store, policy};

/// Most uses that wait to be noted.
const MOST: usize = 64;

/// Lists that they are sorted into by shard: a cache has about as many.
const LISTS: usize = 16;

/// What ends a list.
const END: u8 = u8::MAX;

/// Uses of items that were shown, to be noted by [`Store::note`].
#[derive(Default)]
pub(crate) struct Uses<'k>(ArrayVec<Use<'k>, MOST>);

struct Use<'k> {
    key: &'k [u8],
    lead: Lead,
    /// Place of the one after it in its list.
    next: u8,
}

impl<'k> Uses<'k> {
    /// Whether there is no room for another.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds one. There must be room.
    #[inline]
    pub(super) fn push(&mut self, key: &'k [u8], lead: Lead) {
        let pushed = self.0.try_push(Use { key, lead, next: END });
        debug_assert!(pushed.is_ok(), "no room");
    }

    fn at(&self, place: u8) -> Option<&Use<'k>> {
        self.0.get(usize::from(place))
    }
}

impl Store {
    /// Notes uses, of items that are still there, and forgets them.
    pub(crate) fn note(&self, uses: &mut Uses<'_>) {
        if uses.0.is_empty() {
            return;
        }
        let mut lists = [END; LISTS];
        for (place, used) in uses.0.iter_mut().enumerate() {
            let list = &mut lists[self.common.shard_of(used.lead.hash) % LISTS];
            used.next = std::mem::replace(list, place as u8);
        }
        for first in lists {
            let mut next = uses.at(first);
            while let Some(Use { lead, .. }) = next {
                let latch = self.shard(lead.hash);
                let mut shard = latch.lock();
                let moment = self.common.moment();
                while let Some(Use { key, lead, next: after }) = next
                    && std::ptr::eq(self.shard(lead.hash), latch)
                {
                    let hint = if shard.follows(lead.version) { lead.at } else { Ref::NONE };
                    if let (_, Some(at)) = shard.find(&self.common, &moment, key, lead.hash, hint) {
                        policy::hit(shard.tuning.is_flat(), self.common.memory().header(at), &moment);
                    }
                    next = uses.at(*after);
                }
            }
        }
        uses.0.clear();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::config::CacheConfig;
    use crate::store::{NewItem, bit};
    use crate::watch::WatchHub;

    fn store(shards: usize) -> Arc<Store> {
        let config =
            CacheConfig { memory_limit: shards << 19, shards: Some(shards), ..CacheConfig::default() };
        let clock = Arc::new(Clock::new());
        clock.freeze();
        Arc::new(Store::new(&config, clock, Arc::new(WatchHub::default())).unwrap())
    }

    fn set(store: &Arc<Store>, key: &[u8]) {
        let class = store.class_for(key.len(), 0, 5).unwrap();
        let new = NewItem { key, flags: 0, expiry: 0, class, bits: 0 };
        store.visit(key, store.hash(key)).publish(&new, &[b"value"], store.next_cas()).unwrap();
    }

    fn is_fetched(store: &Arc<Store>, key: &[u8]) -> bool {
        store.visit(key, store.hash(key)).item().unwrap().header().has(bit::FETCHED)
    }

    /// Looks at an item without the lock, and has its use noted later.
    fn peek<'k>(store: &Store, key: &'k [u8], uses: &mut Uses<'k>) {
        let shown = store.peek(key, store.lead(key), Some(uses), |hit| {
            assert!(hit.header().has(bit::FETCHED), "it is shown as read");
            Ok(hit.len())
        });
        assert_eq!(shown.ok(), Some(Some(5)));
    }

    #[test]
    fn every_use_is_noted_in_its_shard() {
        for shards in [1, 4, 64] {
            let store = store(shards);
            let keys: Vec<_> = (0..MOST as u32).map(u32::to_be_bytes).collect();
            keys.iter().for_each(|key| set(&store, key));
            let mut uses = Uses::default();
            keys.iter().for_each(|key| peek(&store, key, &mut uses));
            assert!(uses.is_full());
            assert!(keys.iter().all(|key| !is_fetched(&store, key)));
            store.note(&mut uses);
            assert!(keys.iter().all(|key| is_fetched(&store, key)));
            assert!(uses.0.is_empty());
        }
    }

    #[test]
    fn what_changed_meanwhile_is_looked_up_again() {
        let store = store(1);
        for key in [b"gone", b"here", b"anew"] {
            set(&store, key);
        }
        let mut uses = Uses::default();
        for key in [b"gone", b"here", b"anew"] {
            peek(&store, key, &mut uses);
        }
        for key in [b"gone", b"anew"] {
            store.visit(key, store.hash(key)).remove();
        }
        // Where the removed ones were there may be anything by now.
        set(&store, b"anew");
        store.note(&mut uses);
        assert!(store.visit(b"gone", store.hash(b"gone")).item().is_none());
        assert!(is_fetched(&store, b"here") && is_fetched(&store, b"anew"));
    }
}

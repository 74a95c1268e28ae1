//! The store under pressure, small enough for Miri (`make miri`). Miri finds what tests cannot:
//! reads of memory that another thread writes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::thread;

use super::{NewItem, PinnedValue, Reservation, Store};
use crate::base::clock::Clock;
use crate::base::watch::WatchHub;
use crate::config::CacheConfig;

const KEYS: u64 = 120;
const ROUNDS: u64 = if cfg!(miri) { 100 } else { 20_000 };

/// A small random number generator (splitmix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

/// Returns a store of `shards` shards and 16 segments of 16 KiB each.
fn store(shards: usize, evictions: bool) -> Arc<Store> {
    let config = CacheConfig {
        memory_limit: shards * 256 * 1024,
        shards: Some(shards),
        evictions,
        // The table of classes is of this size.
        slab_chunk_max: 4096,
        ..CacheConfig::default()
    };
    let clock = Arc::new(Clock::new());
    clock.freeze();
    Arc::new(Store::new(&config, clock, Arc::new(WatchHub::default())).unwrap())
}

/// Changes its own keys (those of `number` in `of`), and reads all keys.
struct Worker<'a> {
    store: &'a Arc<Store>,
    rng: Rng,
    number: u64,
    of: u64,
    held: Vec<(u8, PinnedValue)>,
    drafts: Vec<Reservation>,
}

fn check<'a>(first: u8, slices: impl Iterator<Item = &'a [u8]>) {
    for slice in slices {
        assert!(slice.first().is_none_or(|&byte| byte == first), "torn");
        assert!(cfg!(miri) || slice.windows(2).all(|pair| pair[0] == pair[1]), "torn");
        assert!(slice.last().is_none_or(|&byte| byte == first), "torn");
    }
}

impl Worker<'_> {
    fn store(&mut self, key: &[u8], fill: u8) {
        // Under Miri, fewer and larger values fill the store.
        let length = match self.rng.below(if cfg!(miri) { 3 } else { 8 }) {
            0 | 1 => 1000 + self.rng.below(20_000) as usize,
            2 => 700,
            _ => 300 + self.rng.below(600) as usize,
        };
        let (store, hash) = (self.store, self.store.hash(key));
        let flags = self.rng.below(2) as u32;
        let class = store.class_for(key.len(), flags, length).unwrap();
        let new = NewItem { key, flags, expiry: 0, class, bits: 0 };
        let value = vec![fill; length];
        if store.is_chunked(key.len(), flags, length) || self.rng.below(8) == 0 {
            let Ok(mut draft) = Reservation::new(store, hash, &new, length, true) else { return };
            if self.rng.below(4) == 0 {
                let _ = draft.write(&value[..length / 2]);
                self.drafts.push(draft);
            } else if draft.write(&value).is_ok() {
                store.entry(key, hash).publish_reservation(draft, 0, 1);
            }
            return;
        }
        while store.entry(key, hash).publish(&new, &value, 1).is_err() {
            if store.make_room(hash, class).is_err() {
                return;
            }
        }
    }

    fn step(&mut self) {
        let any = self.rng.below(KEYS);
        let own = any - any % self.of + self.number;
        let key = format!("key{own}").into_bytes();
        match self.rng.below(20) {
            0..10 => self.store(&key, own as u8),
            10..16 => {
                let key = format!("key{any}").into_bytes();
                let mut entry = self.store.entry(&key, self.store.hash(&key));
                entry.hit();
                if let Some(item) = entry.item() {
                    check(any as u8, item.slices());
                }
                let pinned = entry.pin();
                drop(entry);
                self.held.extend(pinned.map(|value| (any as u8, value)));
            }
            16 => self.store.entry(&key, self.store.hash(&key)).remove(),
            17 if self.rng.below(20) == 0 => {
                self.store.flush();
                self.store.sweep_recent(1000);
            }
            _ => {
                if self.store.crawl(0, 0, 50, u64::MAX, |_| ()).is_some() {
                    let mut hint = self.rng.0.into();
                    self.store.prefetch(&hint);
                    self.store.locate_hint(&mut hint);
                    self.store.prefetch_item(&hint);
                }
            }
        }
        if self.held.len() > 4 {
            let (first, value) = self.held.swap_remove(self.rng.below(4) as usize);
            check(first, value.slices());
        }
        if self.drafts.len() > 2 {
            self.drafts.swap_remove(0);
        }
    }

    fn run(mut self) {
        (0..ROUNDS).for_each(|_| self.step());
        self.held.iter().for_each(|(first, value)| check(*first, value.slices()));
    }
}

fn worker(store: &Arc<Store>, seed: u64, number: u64, of: u64) -> Worker<'_> {
    Worker { store, rng: Rng(seed), number, of, held: Vec::new(), drafts: Vec::new() }
}

fn finish(store: &Store) {
    store.verify();
    store.flush();
    store.sweep_recent(usize::MAX);
    let found = store.verify();
    assert_eq!((found.items, found.drafts, found.held), (0, 0, 0));
    assert_eq!(store.totals().live_bytes, 0);
}

#[test]
fn one_thread() {
    for evictions in [true, false] {
        let store = store(1, evictions);
        worker(&store, 1, 0, 1).run();
        let evicted = store.totals().class_sum().evicted > 0;
        // Under Miri, there may be too few rounds.
        assert!(cfg!(miri) || store.totals().compacted > 0);
        assert!(evicted == evictions || cfg!(miri) && !evicted);
        finish(&store);
    }
}

#[test]
fn two_threads() {
    for shards in [1, 2] {
        let store = store(shards, true);
        thread::scope(|scope| {
            for number in 0..2 {
                let store = &store;
                scope.spawn(move || worker(store, 2 + number, number, 2).run());
            }
        });
        finish(&store);
    }
}

#[test]
fn limits_that_change() {
    let store = store(2, true);
    let mut worker = worker(&store, 5, 0, 1);
    for round in 0..ROUNDS {
        worker.step();
        if round % 50 == 0 {
            assert!(store.set_limit((256 + worker.rng.below(256) as usize) * 1024));
        }
        store.shrink_to_limit((round % 2) as usize);
    }
    drop(worker);
    finish(&store);
}

//! The store under pressure: too little memory, compaction, flushes, changes of the limit, readers
//! that pin values, and threads. A value that is found is always the last one stored. At the end
//! every byte is accounted for.

#![expect(clippy::print_stdout, reason = "a test tells what it has measured")]
#![allow(clippy::similar_names, reason = "short names of a short-lived test")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{iter, thread};

use memcache_rs::internal::base::error::AllocError;
use memcache_rs::internal::cache::{
    DeltaOperation, MetaDelete, Mode, Request, StoreOperation, StoreValue, Stored,
};
use memcache_rs::internal::config::MIB;
use memcache_rs::internal::store::stats::Totals;
use memcache_rs::internal::store::{Reservation, Store};
use memcache_rs::{Cache, CacheConfig, EvictionPolicy, PinnedValue};

/// A small generator of numbers (splitmix64). A seed identifies a run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// Returns a size below `most`. Sizes have all magnitudes.
    fn size(&mut self, most: usize) -> usize {
        let bits = most.ilog2() as usize + 1;
        let scale = 1usize << (1 + self.below(bits));
        self.below(scale.min(most))
    }
}

/// Bytes at the head of a value: key, version, length.
const HEAD: usize = 24;

/// Returns a value that describes itself: key, version and length, then bytes that follow from
/// them. It is at least as long as its head.
fn value_of(key: u64, version: u64, length: usize) -> Vec<u8> {
    let length = length.max(HEAD);
    let mut value = Vec::with_capacity(length);
    value.extend_from_slice(&key.to_le_bytes());
    value.extend_from_slice(&version.to_le_bytes());
    value.extend_from_slice(&(length as u64).to_le_bytes());
    let mut fill = Rng(key ^ version.rotate_left(32) ^ length as u64);
    while value.len() < length {
        value.extend_from_slice(&fill.next().to_le_bytes());
    }
    value.truncate(length);
    value
}

/// Checks that `value` is a complete value of `key`. Returns its version.
fn version_in<'a>(key: u64, slices: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut value = Vec::new();
    slices.for_each(|slice| value.extend_from_slice(slice));
    assert!(value.len() >= HEAD, "{} bytes", value.len());
    let word = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
    assert_eq!(word(0), key, "a value of another key");
    assert!(value == value_of(key, word(8), word(16) as usize), "torn value of key {key}");
    word(8)
}

fn name(key: u64) -> Vec<u8> {
    let mut name = format!("k{key}.").into_bytes();
    name.resize(name.len() + (key as usize * 37) % 220, b'x');
    name
}

fn set(cache: &Cache, key: &[u8], value: &[u8]) -> Result<Stored, AllocError> {
    cache
        .store_value(&Request::new(key, StoreOperation::default()), StoreValue::Bytes(value))
        .map(|reply| reply.stored)
}

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general enough")]
fn pin(cache: &Cache, key: &[u8]) -> Option<PinnedValue> {
    cache.fetch(key, None, 0, |hit| hit.pin())
}

fn frozen(config: CacheConfig) -> Arc<Cache> {
    let cache = Cache::new(config).expect("a cache");
    cache.clock().freeze();
    cache
}

/// Frees dead items until the store is within its limit.
fn shrink_to_limit(store: &Store) {
    for shard in 0..store.shard_count() {
        let mut bucket = Some(usize::MAX);
        while let Some(below) = bucket {
            bucket = store.crawl(shard, below, 1000, u64::MAX, |_| ());
        }
    }
}

/// Checks the invariants of an idle cache without pins or reservations.
fn check(cache: &Cache) {
    let store = cache.store();
    // The background thread may still work, for example on a lowered limit. Repeats until nothing
    // changes.
    let end = Instant::now() + Duration::from_secs(20);
    let (totals, found) = loop {
        shrink_to_limit(store);
        let before = store.totals();
        let found = store.verify();
        let after = store.totals();
        let settled = after.usage.malloced <= after.usage.limit || Instant::now() > end;
        if settled && before.curr_items == after.curr_items && before.live_bytes == after.live_bytes {
            break (after, found);
        }
    };
    assert_eq!(totals.curr_items, found.items);
    assert_eq!(totals.curr_bytes, found.bytes);
    assert_eq!((found.drafts, found.held), (0, 0));
    assert!(totals.usage.malloced <= totals.usage.limit);
}

/// Empties the cache and checks that all memory is free.
fn check_empty(cache: &Cache) {
    cache.flush(None);
    check(cache);
    let totals = cache.store().totals();
    assert_eq!((totals.curr_items, totals.curr_bytes, totals.live_bytes), (0, 0, 0));
}

fn small(limit: usize) -> CacheConfig {
    CacheConfig {
        memory_limit: limit,
        item_size_max: 512 * 1024,
        slab_chunk_max: 64 * 1024,
        ..CacheConfig::default()
    }
}

/// Unpins values, which must not have changed.
fn check_held(held: &mut Vec<(u64, u64, PinnedValue)>) {
    for (key, version, value) in held.drain(..) {
        assert_eq!(version_in(key, value.slices()), version);
    }
}

/// One thread that works at random in too little memory.
struct Churn {
    cache: Arc<Cache>,
    /// The largest value.
    largest: usize,
    rng: Rng,
    /// For each key, the newest version that was stored.
    versions: Vec<u64>,
    held: Vec<(u64, u64, PinnedValue)>,
    drafts: Vec<Reservation>,
    refused: usize,
}

impl Churn {
    /// Stores a value. Returns whether there was memory for it.
    fn store(&mut self, key: u64, version: u64) -> bool {
        let long = name(key);
        let value = value_of(key, version, self.rng.size(self.largest));
        let flags = (self.rng.next() % 2) as u32;
        let expiry = if self.rng.below(10) == 0 { self.cache.clock().now() + 3 } else { 0 };
        let request = Request::new(&long, StoreOperation { flags, expiry, ..StoreOperation::default() });
        match self.cache.store_value(&request, StoreValue::Bytes(&value)) {
            Ok(reply) => {
                assert_eq!(reply.stored, Stored::Stored);
                self.versions[key as usize] = version;
                true
            }
            Err(AllocError::TooLarge) => unreachable!("{} bytes", value.len()),
            Err(AllocError::NoMemory) => {
                self.refused += 1;
                // The old value of the key is out of date.
                assert!(pin(&self.cache, &long).is_none());
                false
            }
        }
    }

    fn read(&self, key: u64) {
        let seen = self.cache.fetch(&name(key), None, 0, |hit| {
            hit.show(&mut Vec::new(), |value| version_in(key, iter::once(value)))
        });
        assert!(seen.is_none_or(|seen| seen == self.versions[key as usize]), "a stale value");
    }

    fn delete(&self, key: u64) {
        self.cache.delete_for(&name(key), 0, 0);
        assert!(pin(&self.cache, &name(key)).is_none());
    }

    /// Pins a value, and unpins another one if many are pinned.
    fn hold(&mut self, key: u64) {
        if let Some(value) = pin(&self.cache, &name(key)) {
            self.held.push((key, self.versions[key as usize], value));
        }
        if self.held.len() > 12 {
            let (key, version, value) = self.held.swap_remove(self.rng.below(12));
            assert_eq!(version_in(key, value.slices()), version);
        }
    }

    /// Begins an upload, and abandons another one if many are under way.
    fn upload(&mut self, key: u64) {
        let length = self.rng.size(self.largest);
        let long = name(key);
        let request = Request::new(&long, StoreOperation::default());
        if let Ok(mut draft) = self.cache.reserve(&request, length) {
            let _ = draft.write(&vec![7; length / 2]);
            self.drafts.push(draft);
        }
        if self.drafts.len() > 3 {
            self.drafts.swap_remove(self.rng.below(3));
        }
    }

    /// Appends or prepends to a value that grows until it is too large.
    fn join(&mut self) {
        let mode = if self.rng.below(2) == 0 { Mode::Append } else { Mode::Prepend };
        let grown = Request::new(b"log", StoreOperation { mode, ..StoreOperation::default() });
        let _ = self.cache.store_value(&grown, StoreValue::Bytes(&[b'a'; 700]));
    }

    fn release(&mut self) {
        check_held(&mut self.held);
        self.drafts.clear();
    }

    fn check_values(&self) {
        for (key, &version) in (0..).zip(&self.versions) {
            if let Some(value) = pin(&self.cache, &name(key)) {
                assert_eq!(version_in(key, value.slices()), version);
            }
        }
    }

    fn check_usage(&self) -> Totals {
        let totals = self.cache.store().totals();
        assert!(totals.usage.malloced <= totals.usage.limit, "{} bytes", totals.usage.malloced);
        totals
    }
}

/// Stores, reads and deletes at random in too little memory.
fn churn(config: CacheConfig, seed: u64, rounds: usize) {
    let evicts = config.evictions;
    let temporary = config.temporary_ttl.is_some();
    let cache = frozen(config);
    let mut churn = Churn {
        largest: cache.config().item_size_max - 300,
        cache,
        rng: Rng(seed),
        versions: vec![0; 3000],
        held: Vec::new(),
        drafts: Vec::new(),
        refused: 0,
    };
    for round in 0..rounds {
        let key = churn.rng.next() % churn.versions.len() as u64;
        // In every other stretch nothing is pinned, so no store is refused.
        let holds = round / 500 % 2 == 0;
        if !holds {
            churn.release();
        }
        match churn.rng.below(100) {
            0..55 => {
                let stored = churn.store(key, round as u64 + 1);
                // Temporary items are not evicted.
                assert!(stored || holds || !evicts || temporary, "refused in round {round}");
            }
            55..80 => churn.read(key),
            80..85 => churn.delete(key),
            85..88 if holds => churn.hold(key),
            88..91 if holds => churn.upload(key),
            91..94 => churn.join(),
            94..98 => {
                churn.cache.touch_for(&name(key), 0, 0);
            }
            85..91 => {}
            98 => churn.cache.clock().advance(1).unwrap(),
            _ => {
                churn.cache.store().verify();
            }
        }
        if round % 997 == 0 {
            churn.check_usage();
        }
    }
    churn.release();
    check(&churn.cache);
    churn.check_values();
    let (evicted, refused) = (churn.check_usage().class_sum().evicted, churn.refused);
    println!("{refused} refused in {rounds} rounds, {evicted} evicted");
    if evicts {
        assert!(evicted > 0);
    } else {
        assert_eq!(evicted, 0);
        assert!(refused > 0);
    }
    for key in 0..churn.versions.len() as u64 {
        churn.cache.delete_for(&name(key), 0, 0);
    }
    check_empty(&churn.cache);
}

const ROUNDS: usize = if cfg!(debug_assertions) { 8_000 } else { 60_000 };

#[test]
fn what_is_found_is_what_was_stored() {
    for (seed, limit) in [(1, 2), (2, 3), (3, 4)] {
        churn(small(limit * MIB), seed, ROUNDS);
    }
}

#[test]
fn in_one_shard_and_in_many() {
    churn(CacheConfig { shards: Some(1), ..small(3 * MIB) }, 4, ROUNDS);
    churn(CacheConfig { shards: Some(64), ..small(3 * MIB) }, 5, ROUNDS);
}

#[test]
fn without_evictions() {
    churn(CacheConfig { evictions: false, ..small(3 * MIB) }, 6, ROUNDS);
}

#[test]
fn with_small_items_only() {
    let config = CacheConfig { slab_chunk_max: 1024, item_size_max: 64 * 1024, ..small(2 * MIB) };
    churn(config, 7, ROUNDS);
}

#[test]
fn with_every_policy_and_short_lives() {
    for &eviction_policy in EvictionPolicy::ALL {
        churn(CacheConfig { eviction_policy, ..small(3 * MIB) }, 8, ROUNDS);
    }
    churn(CacheConfig { temporary_ttl: Some(10), ..small(3 * MIB) }, 9, ROUNDS);
}

#[test]
fn with_classes_given() {
    let config = CacheConfig { slab_sizes: Some(vec![80, 200, 1000, 30_000]), ..small(3 * MIB) };
    churn(config, 10, ROUNDS);
    churn(CacheConfig { chunk_size: 1, growth_factor: 2.0, ..small(3 * MIB) }, 11, ROUNDS);
}

#[test]
fn temporary_items_outlive_all_others() {
    let config = CacheConfig { memory_limit: 2 * MIB, temporary_ttl: Some(61), ..CacheConfig::default() };
    let cache = frozen(config);
    for (key, length) in [(1, 66_560), (2, 100)] {
        let expiry = cache.clock().now() + 30;
        let request = Request::new(
            if key == 1 { b"large" } else { b"small" },
            StoreOperation { expiry, ..StoreOperation::default() },
        );
        let value = value_of(key, 1, length);
        assert!(cache.store_value(&request, StoreValue::Bytes(&value)).is_ok());
    }
    for key in 0..100 {
        assert_eq!(set(&cache, &name(key), &value_of(key, 1, 66_560)), Ok(Stored::Stored));
    }
    assert_eq!(version_in(1, pin(&cache, b"large").expect("there").slices()), 1);
    assert_eq!(version_in(2, pin(&cache, b"small").expect("there").slices()), 1);
    assert!(cache.store().totals().class_sum().evicted > 50);
}

#[test]
fn a_large_value_that_is_used_stays() {
    let cache = frozen(CacheConfig { memory_limit: 6 * MIB, ..CacheConfig::default() });
    let value = value_of(1, 1, 66_560);
    assert_eq!(set(&cache, b"canary", &value), Ok(Stored::Stored));
    for key in 0..300 {
        assert_eq!(set(&cache, &name(key), &value_of(key, 1, 66_560)), Ok(Stored::Stored));
        if key % 30 == 0 {
            assert!(cache.get(b"canary").is_some_and(|got| got == value), "lost after {key} others");
        }
    }
    assert!(cache.store().totals().class_sum().evicted > 200);
}

#[test]
fn held_values_do_not_end_all_storing() {
    let cache = frozen(CacheConfig { memory_limit: 2 * MIB, ..CacheConfig::default() });
    let large = |key| value_of(key, 1, 100_000);
    let mut held = Vec::new();
    for key in 0..15 {
        assert_eq!(set(&cache, &name(key), &large(key)), Ok(Stored::Stored));
        held.extend(pin(&cache, &name(key)).map(|value| (key, 1, value)));
        // One reader pins a small value in every segment.
        for small in 0..300 {
            let key = 1000 + key * 300 + small;
            assert_eq!(set(&cache, &name(key), &value_of(key, 1, 100)), Ok(Stored::Stored));
            held.extend(pin(&cache, &name(key)).map(|value| (key, 1, value)));
        }
    }
    assert!(held.len() > 4000);
    for key in 20_000..30_000 {
        assert_eq!(set(&cache, &name(key), &value_of(key, 1, 100)), Ok(Stored::Stored));
    }
    cache.store().verify();
    assert!(cache.store().totals().usage.malloced <= 2 * MIB);
    check_held(&mut held);
    check(&cache);
    check_empty(&cache);
}

#[test]
fn half_uploads_do_not_end_all_storing() {
    let cache = frozen(CacheConfig { memory_limit: 2 * MIB, ..CacheConfig::default() });
    let mut drafts = Vec::new();
    for key in 0..20_000 {
        assert_eq!(set(&cache, &name(key), &value_of(key, 1, 100)), Ok(Stored::Stored));
        if key % 10 == 0 {
            drafts.push((
                key,
                cache.reserve(&Request::new(&name(key), StoreOperation::default()), 120).unwrap(),
            ));
        }
    }
    cache.store().verify();
    for (key, mut draft) in drafts {
        draft.write(&value_of(key, 2, 120)).unwrap();
        let name = name(key);
        let reply = cache
            .store_value(&Request::new(&name, StoreOperation::default()), StoreValue::Reservation(draft))
            .unwrap();
        assert_eq!(reply.stored, Stored::Stored);
        assert_eq!(version_in(key, pin(&cache, &name).expect("just stored").slices()), 2);
    }
    check(&cache);
    check_empty(&cache);
}

/// A value that is being sent does not change, even if its item is replaced or removed.
#[test]
fn a_held_value_outlives_its_item_and_its_segment() {
    let cache = frozen(CacheConfig { memory_limit: 2 * MIB, shards: Some(1), ..CacheConfig::default() });
    for length in [200, 30_000] {
        assert_eq!(set(&cache, b"held", &value_of(1, 1, length)), Ok(Stored::Stored));
        let held = pin(&cache, b"held").unwrap();
        // Same size: it would be overwritten in place if it were not pinned.
        assert_eq!(set(&cache, b"held", &value_of(1, 2, length)), Ok(Stored::Stored));
        for key in 0..20_000 {
            assert_eq!(set(&cache, &name(key), &value_of(key, 1, 150)), Ok(Stored::Stored));
        }
        assert!(cache.store().totals().compacted > 100);
        assert_eq!(version_in(1, held.slices()), 1);
        drop(held);
        check(&cache);
    }
    check_empty(&cache);
}

#[test]
fn a_draft_whose_last_chunk_cannot_be_had_leaves_nothing_behind() {
    let config = CacheConfig { evictions: false, ..small(2 * MIB) };
    let cache = frozen(config);
    let mut drafts = Vec::new();
    let failed = loop {
        let mut draft = match cache.reserve(&Request::new(b"upload", StoreOperation::default()), 300_000) {
            Ok(draft) => draft,
            Err(error) => break error,
        };
        match draft.write(&vec![1; 300_000]) {
            Ok(()) => drafts.push(draft),
            Err(error) => {
                assert!(draft.missing() > 0);
                break error;
            }
        }
    };
    assert_eq!(failed, AllocError::NoMemory);
    assert!(drafts.len() >= 3);
    drop(drafts);
    check_empty(&cache);
    assert_eq!(set(&cache, b"upload", &value_of(1, 1, 300_000)), Ok(Stored::Stored));
    check(&cache);
}

#[test]
fn the_limit_moves_up_and_down() {
    let cache = frozen(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() });
    let store = cache.store();
    let mut key = 0;
    let mut fill = |pages: usize| {
        while !store.is_full() {
            for _ in 0..50 {
                assert_eq!(set(&cache, &name(key), &value_of(key, 1, 2000)), Ok(Stored::Stored));
                key += 1;
            }
        }
        for _ in 0..2000 {
            assert_eq!(set(&cache, &name(key), &value_of(key, 1, 2000)), Ok(Stored::Stored));
            key += 1;
        }
        let Totals { usage, segment_size, .. } = store.totals();
        let used = usage.malloced + usage.charged;
        assert!(used <= pages * MIB && used + segment_size > pages * MIB, "{usage:?}");
    };
    fill(8);
    assert!(store.set_limit(12 * MIB));
    fill(12);
    assert!(store.set_limit(10 * MIB));
    // The background thread shrinks the store. This test does the same and does not wait for it.
    while store.shrinks() {
        (0..store.shard_count()).for_each(|shard| store.shrink_to_limit(shard));
    }
    fill(10);
    assert!(!store.set_limit(usize::MAX));
    assert_eq!(store.limit(), 10 * MIB);
    check(&cache);
    check_empty(&cache);
}

/// State that the threads of [`stress`] share. For each key, it has the newest version that a
/// thread began to store, and the newest that a delete or store finished.
struct Board {
    begun: Vec<AtomicU64>,
    /// Lengths of values. If empty, values have any length.
    lengths: &'static [usize],
    /// Whether the memory limit changes, to at most 8 MiB.
    limits: bool,
    done: AtomicBool,
    finished: AtomicU32,
}

/// One thread of [`stress`]. Each key belongs to one writing thread, which therefore knows the
/// key's exact value. All threads read all keys.
struct Worker<'a> {
    cache: &'a Cache,
    board: &'a Board,
    number: u64,
    threads: u64,
    /// The largest value.
    largest: usize,
    rng: Rng,
    /// For each of the thread's keys, the version that was stored, or 0 if it was deleted.
    own: Vec<u64>,
    held: Vec<(u64, u64, PinnedValue)>,
    /// The newest version.
    version: u64,
}

impl<'a> Worker<'a> {
    fn new(cache: &'a Cache, board: &'a Board, number: u64, threads: u64, seed: u64) -> Self {
        Self {
            cache,
            board,
            number,
            threads,
            largest: cache.config().item_size_max - 300,
            rng: Rng(seed ^ number.rotate_left(17)),
            own: vec![0; board.begun.len()],
            held: Vec::new(),
            version: 0,
        }
    }

    /// Works until the board says that it is done. Returns the number of operations.
    fn run(mut self) -> u64 {
        let mut operations = 0;
        while !self.board.done.load(Relaxed) {
            operations += 1;
            self.operate();
        }
        check_held(&mut self.held);
        self.board.finished.fetch_add(1, Relaxed);
        operations
    }

    /// Carries out one operation.
    fn operate(&mut self) {
        let (cache, keys) = (self.cache, self.own.len() as u64);
        let any = self.rng.next() % keys;
        let mine = any - any % self.threads + self.number;
        match self.rng.below(100) {
            0..40 if mine < keys => self.store(mine),
            0..40 => {}
            40..70 => self.read(any),
            70..76 if mine < keys => self.delete(mine),
            76..79 => self.abandon(mine),
            79..84 => self.write_common(),
            84..86 if mine < keys => {
                let ask = MetaDelete { stale: true, ..MetaDelete::default() };
                cache.meta_delete(&Request::new(&name(mine), ask));
            }
            86..88 => {
                cache.touch_for(&name(any), 0, 0);
            }
            88..94 => {
                if self.rng.below(50) == 0 {
                    cache.store().verify();
                }
            }
            94..96 => {
                let shard = self.rng.below(cache.store().shard_count());
                cache.store().shrink_to_limit(shard);
            }
            96 => {
                let shard = self.rng.below(cache.store().shard_count());
                cache.store().crawl(shard, usize::MAX, 500, u64::MAX, |_| ());
            }
            97 => self.check_usage(),
            98 if self.board.limits && self.rng.below(50) == 0 => {
                cache.store().set_limit((3 + self.rng.below(6)) * MIB);
            }
            99 if self.rng.below(20) == 0 => match self.rng.below(3) {
                0 => cache.clock().advance(1).unwrap(),
                1 => cache.flush(None),
                _ => cache.flush(Some(cache.clock().now() + 1)),
            },
            _ => {
                let mut hint = self.rng.next().into();
                cache.store().prefetch(&hint);
                cache.store().locate_hint(&mut hint);
                cache.store().prefetch_item(&hint);
            }
        }
    }

    fn store(&mut self, key: u64) {
        self.version += 1;
        self.board.begun[key as usize].store(self.version, Relaxed);
        let length = match self.board.lengths {
            [] => self.rng.size(self.largest),
            lengths => lengths[self.rng.below(lengths.len())],
        };
        let value = value_of(key, self.version, length);
        let mode = if self.rng.below(4) == 0 { Mode::Add } else { Mode::Set };
        let expiry = if self.rng.below(8) == 0 { self.cache.clock().now() + 2 } else { 0 };
        let flags = (self.rng.next() % 3) as u32;
        let long = name(key);
        let request =
            Request::new(&long, StoreOperation { mode, expiry, flags, ..StoreOperation::default() });
        match self.cache.store_value(&request, StoreValue::Bytes(&value)) {
            Ok(reply) if reply.stored == Stored::Stored => self.own[key as usize] = self.version,
            Ok(_) => {}
            Err(_) => self.own[key as usize] = 0,
        }
    }

    fn read(&mut self, key: u64) {
        let seen = self.cache.fetch(&name(key), None, 0, |hit| {
            let version = hit.show(&mut Vec::new(), |value| version_in(key, iter::once(value)))?;
            Ok((version, (hit.len() > 2000).then(|| hit.pin()).transpose()?))
        });
        if let Some((seen, pinned)) = seen {
            assert!(seen <= self.board.begun[key as usize].load(Relaxed));
            if key % self.threads == self.number {
                assert_eq!(seen, self.own[key as usize], "a stale value");
            }
            self.held.extend(pinned.map(|value| (key, seen, value)));
        }
        // Values that stay pinned would end all storing.
        if self.held.len() > 6 || !self.held.is_empty() && self.rng.below(4) == 0 {
            let (key, version, value) = self.held.swap_remove(self.rng.below(self.held.len()));
            assert_eq!(version_in(key, value.slices()), version);
        }
    }

    fn delete(&mut self, key: u64) {
        self.cache.delete_for(&name(key), 0, 0);
        self.own[key as usize] = 0;
        assert!(self.cache.inspect(&name(key), 0, |_| Ok(())).is_none());
    }

    /// Begins an upload, and abandons it.
    fn abandon(&mut self, key: u64) {
        let length = self.rng.size(self.largest);
        let long = name(key);
        let request = Request::new(&long, StoreOperation::default());
        if let Ok(mut draft) = self.cache.reserve(&request, length) {
            let _ = draft.write(&vec![9; self.rng.below(length + 1)]);
        }
    }

    /// Changes a counter and a log that all threads write.
    fn write_common(&mut self) {
        let delta =
            Request::new(b"counter", DeltaOperation { vivify: Some((1, 0)), ..DeltaOperation::new(true, 1) });
        let _ = self.cache.add_delta(&delta);
        let mode = if self.rng.below(2) == 0 { Mode::Append } else { Mode::Prepend };
        let log = Request::new(b"log", StoreOperation { mode, vivify: true, ..StoreOperation::default() });
        let joined = self.cache.store_value(&log, StoreValue::Bytes(&[b'a'; 1000]));
        if joined.is_ok_and(|reply| reply.length > 200_000) {
            self.cache.delete_for(b"log", 0, 0);
        }
        self.cache.fetch(b"log", None, 0, |hit| {
            hit.show(&mut Vec::new(), |value| {
                assert_eq!(value.len() % 1000, 0);
                assert!(value.iter().all(|&byte| byte == b'a'));
            })
        });
    }

    fn check_usage(&self) {
        let usage = self.cache.store().totals().usage;
        let allowed = usage.malloced <= 8 * MIB || !self.board.limits && usage.malloced <= usage.limit;
        assert!(allowed, "{} bytes", usage.malloced);
    }
}

fn stress(config: CacheConfig, seed: u64, keys: u64, lengths: &'static [usize]) -> Totals {
    const THREADS: u64 = 4;
    let limits = config.evictions && lengths.is_empty();
    let cache = frozen(config);
    let board = Board {
        begun: (0..keys).map(|_| AtomicU64::new(0)).collect(),
        lengths,
        limits,
        done: AtomicBool::new(false),
        finished: AtomicU32::new(0),
    };
    let operations: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (cache, board) = (&cache, &board);
                scope.spawn(move || Worker::new(cache, board, number, THREADS, seed).run())
            })
            .collect();
        let end = Instant::now() + TIME;
        while Instant::now() < end && threads.iter().all(|thread| !thread.is_finished()) {
            thread::park_timeout(Duration::from_millis(20));
        }
        board.done.store(true, Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no thread failed")).sum()
    });
    assert_eq!(board.finished.load(Relaxed), THREADS as u32);
    assert!(operations > 0);
    check(&cache);
    let totals = cache.store().totals();
    println!(
        "{operations} operations, {} evicted, {} segments cleaned, {} items moved, {} refused",
        totals.class_sum().evicted,
        totals.compacted,
        totals.moved,
        totals.commands.store_no_memory,
    );
    check_empty(&cache);
    totals
}

const TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 2000 });

#[test]
fn threads_in_the_usual_shards() {
    stress(CacheConfig { shards: Some(4), ..small(6 * MIB) }, 21, 2000, &[]);
}

#[test]
fn threads_in_one_shard() {
    stress(CacheConfig { shards: Some(1), slab_chunk_max: 1024, ..small(4 * MIB) }, 22, 2000, &[]);
}

#[test]
fn threads_in_many_shards() {
    stress(CacheConfig { shards: Some(64), ..small(8 * MIB) }, 23, 2000, &[]);
}

#[test]
fn threads_without_evictions() {
    stress(CacheConfig { evictions: false, ..small(6 * MIB) }, 24, 2000, &[]);
}

#[test]
fn threads_while_items_move_that_others_read() {
    // Everything fits, so that items are moved and not evicted. Pinned items are moved as well, and
    // their readers keep the old copy.
    let totals = stress(small(24 * MIB), 25, 200, &[900, 5000, 9000, 30_000, 50_000]);
    // A slow build may not get that far.
    assert!(totals.moved > 0 || cfg!(debug_assertions));
}

/// Threads pin values only for moments. A store may have to wait for memory, but must not fail.
#[test]
fn threads_that_hold_nothing_are_refused_next_to_nothing() {
    const SIZES: [usize; 7] = [100, 300, 700, 1500, 4000, 9000, 20_000];
    const STORES: usize = if cfg!(debug_assertions) { 3_000 } else { 20_000 };
    let cache = frozen(CacheConfig { memory_limit: 2 * MIB, ..CacheConfig::default() });
    let refused: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut rng = Rng(number);
                    (0..STORES)
                        .filter(|_| {
                            let key = rng.next() % 5000;
                            set(cache, &name(key), &vec![1; SIZES[rng.below(7)]]).is_err()
                        })
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(refused * 100 < 4 * STORES, "{refused} of {} refused", 4 * STORES);
    check(&cache);
    check_empty(&cache);
}

/// An item stored after a flush stays, even if a reader has an outdated time. One stored before
/// never comes back.
#[test]
fn flushes_take_what_was_there_and_nothing_else() {
    let cache = frozen(CacheConfig { shards: Some(1), ..CacheConfig::default() });
    let done = AtomicBool::new(false);
    let end = Instant::now() + TIME;
    thread::scope(|scope| {
        for number in 0..3u64 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let mut rng = Rng(number);
                while !done.load(Relaxed) {
                    let key = [b'0' + rng.below(8) as u8];
                    cache.fetch(&key, None, 0, |_| Ok(()));
                }
            });
        }
        // A failure must end the readers as well.
        let mut wrong = None;
        let mut round = 0u64;
        while Instant::now() < end && wrong.is_none() {
            round += 1;
            for key in b'0'..b'8' {
                assert_eq!(set(&cache, &[key], b"old"), Ok(Stored::Stored));
            }
            // Not `Cache::flush`, which also frees the items that it finds.
            cache.store().flush();
            for key in b'0'..b'4' {
                if cache.inspect(&[key], 0, |_| Ok(())).is_some() {
                    wrong = Some(format!("flushed, but there in round {round}"));
                }
            }
            for key in b'0'..b'8' {
                assert_eq!(set(&cache, &[key], b"new"), Ok(Stored::Stored));
            }
            for key in b'0'..b'8' {
                if cache.inspect(&[key], 0, |_| Ok(())).is_none() {
                    wrong = Some(format!("stored, but lost in round {round}"));
                }
            }
        }
        done.store(true, Relaxed);
        assert_eq!(wrong, None);
    });
}

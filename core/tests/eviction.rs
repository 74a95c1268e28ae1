//! Which items stay when memory is short.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use memcache_rs::internal::config::MIB;
use memcache_rs::{Cache, CacheConfig, EvictionGoal, EvictionPolicy, Ttl};

const LIMIT: usize = 32 * MIB;

struct Subject(Arc<Cache>);

impl Subject {
    fn new() -> Self {
        Self(Cache::new(CacheConfig { memory_limit: LIMIT, ..CacheConfig::default() }).unwrap())
    }

    /// Uses the cache as a program does. Returns whether `key` was found, and if not, stores a
    /// value of `size` bytes.
    fn ask(&self, kind: &str, key: usize, size: usize) -> bool {
        let name = format!("{kind}{key}");
        let mut value = Vec::new();
        if self.0.get_into(name.as_bytes(), &mut value) {
            return true;
        }
        self.0.set(name.as_bytes(), vec![0; size], Ttl::Never).unwrap();
        false
    }

    /// Calls [`Subject::ask`] for each of the keys in turn, `times` times.
    fn ask_all(&self, kind: &str, count: usize, size: usize, times: usize) {
        for key in (0..times).flat_map(|_| 0..count) {
            self.ask(kind, key, size);
        }
    }

    /// Returns the percentage of the keys that are stored. Does not count as an access.
    fn held(&self, kind: &str, count: usize) -> usize {
        let there = |key: &usize| self.0.info(format!("{kind}{key}").as_bytes()).is_some();
        (0..count).filter(there).count() * 100 / count
    }
}

/// Returns the number of keys whose values of `size` bytes take `percent` of the limit.
fn keys(size: usize, percent: usize) -> usize {
    LIMIT / 100 * percent / (size + 60)
}

#[test]
fn what_is_used_outlasts_a_scan() {
    let cache = Subject::new();
    let (hot, scanned) = (keys(500, 30), keys(500, 500));
    cache.ask_all("hot", hot, 500, 4);
    // Between two uses of a key, more bytes are stored than there is memory. LRU would evict all
    // keys.
    let mut hits = 0;
    for key in 0..scanned {
        cache.ask("scanned", key, 500);
        hits += usize::from(key % 3 == 0 && cache.ask("hot", key / 3 % hot, 500));
    }
    assert!(cache.held("hot", hot) >= 90, "{} %", cache.held("hot", hot));
    assert!(hits * 100 >= 90 * (scanned / 3), "{hits} hits of {}", scanned / 3);
}

/// Uses small and large items twice each, which take more memory than there is. Returns the
/// percentages of the small and of the large ones that are stored.
fn held_by_goal(eviction_goal: EvictionGoal) -> (usize, usize) {
    let config = CacheConfig { memory_limit: LIMIT, eviction_goal, ..CacheConfig::default() };
    let cache = Subject(Cache::new(config).unwrap());
    let (small, large) = (keys(100, 60), keys(10_000, 60));
    for key in 0..small.max(large) {
        for (kind, count, size) in [("small", small, 100), ("large", large, 10_000)] {
            if key * count / small.max(large) != (key + 1) * count / small.max(large) {
                let key = key * count / small.max(large);
                cache.ask(kind, key, size);
                cache.ask(kind, key, size);
            }
        }
    }
    (cache.held("small", small), cache.held("large", large))
}

#[test]
fn the_large_goes_before_the_small() {
    let (small, large) = held_by_goal(EvictionGoal::FewestMisses);
    assert!(small >= 90 && large < 90, "{small} % of the small, {large} % of the large");
}

#[test]
fn for_the_fewest_missed_bytes_small_and_large_go_alike() {
    let (small, large) = held_by_goal(EvictionGoal::FewestMissedBytes);
    assert!(small < 90 && small.abs_diff(large) < 10, "{small} % of the small, {large} % of the large");
}

#[test]
fn what_was_used_and_is_not_any_more_goes() {
    let cache = Subject::new();
    let (small, large) = (keys(100, 90), keys(10_000, 60));
    cache.ask_all("small", small, 100, 8);
    let mut rounds = 0;
    // Other programs use other sizes. A large item has a hundredth of the priority of a small one.
    while (0..large).filter(|&key| cache.ask("large", key, 10_000)).count() < large * 9 / 10 {
        rounds += 1;
        assert!(rounds < 40, "{} % of the small are still there", cache.held("small", small));
    }
    assert!(cache.held("small", small) < 60);
}

/// Evictions of a full cache of `size` bytes an item while each of `count` new keys is stored.
fn evictions_of_each(size: usize, count: usize) -> Vec<u64> {
    let cache = Subject::new();
    let evicted = || cache.0.store().totals().class_sum().evicted;
    cache.ask_all("old", keys(size, 130), size, 1);
    let mut before = evicted();
    assert!(before > 0);
    let mut evict = |key| {
        cache.ask("new", key, size);
        let now = evicted();
        std::mem::replace(&mut before, now).abs_diff(now)
    };
    (0..count).map(&mut evict).collect()
}

#[test]
fn a_store_of_a_large_value_evicts_at_once() {
    // A segment of such items was evicted at a time, so most stores evicted nothing.
    let evictions = evictions_of_each(11_000, 500);
    let without = evictions.iter().filter(|&&count| count == 0).count();
    assert!(without <= 10, "{without} of 500 stores evicted nothing");
    assert!(evictions.iter().all(|&count| count <= 4), "{evictions:?}");
}

#[test]
fn small_values_are_evicted_a_few_at_a_time() {
    let evictions = evictions_of_each(100, 3000);
    let runs = evictions.split(|&count| count > 0).map(<[u64]>::len);
    // In each shard up to eight items go together. There was none for hundreds of stores.
    assert!(runs.max() < Some(80), "{evictions:?}");
    let all: u64 = evictions.iter().sum();
    assert!((2500..3500).contains(&all), "{all} evictions for 3000 stores");
}

#[test]
fn what_expired_at_the_end_of_a_log_is_freed_without_the_crawler() {
    let config = CacheConfig { lru_maintainer: false, lru_crawler: false, ..CacheConfig::default() };
    let cache = Cache::new(CacheConfig { eviction_policy: EvictionPolicy::Segmented, ..config }).unwrap();
    cache.clock().freeze();
    let set = |key: usize, ttl| cache.set(format!("key{key}").as_bytes(), b"value", ttl).unwrap();
    (0..20).for_each(|key| set(key, Duration::from_secs(1).into()));
    set(20, Ttl::Never);
    (21..30).for_each(|key| set(key, Duration::from_secs(1).into()));
    cache.clock().advance(2).unwrap();
    let store = cache.store();
    let freed: usize = (0..store.shard_count()).map(|shard| store.reclaim_tails(shard)).sum();
    // Items behind a live item of the same shard wait for the crawler.
    assert!((20..30).contains(&freed), "{freed}");
    let totals = store.totals();
    assert_eq!(totals.curr_items, 30 - freed as u64);
    assert_eq!(totals.class_sum().reclaimed, freed as u64);
    assert_eq!(cache.get(b"key20").as_deref(), Some(&b"value"[..]));
}

#[test]
fn in_flat_mode_a_store_over_a_flushed_item_counts_as_reclaimed() {
    let config = CacheConfig {
        lru_maintainer: false,
        eviction_policy: EvictionPolicy::Flat,
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).unwrap();
    cache.clock().freeze();
    let reclaimed = || cache.store().totals().class_sum().reclaimed;
    cache.set(b"key", b"1", Ttl::Never).unwrap();
    cache.set(b"key", b"22", Ttl::Never).unwrap();
    assert_eq!(reclaimed(), 0);
    cache.clock().advance(2).unwrap();
    cache.store().flush();
    cache.set(b"key", b"1", Ttl::Never).unwrap();
    assert_eq!(reclaimed(), 1);
}

/// A full cache of one shard with items that were never read: their numbers, from the oldest on.
fn filled(eviction_policy: EvictionPolicy) -> (Arc<Cache>, Vec<usize>) {
    let config = CacheConfig {
        memory_limit: MIB,
        item_size_max: MIB / 2,
        shards: Some(1),
        eviction_policy,
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).unwrap();
    cache.clock().freeze();
    (0..20_000).for_each(|number| put(&cache, number));
    let held = (0..20_000).filter(|&number| is_there(&cache, number)).collect();
    (cache, held)
}

fn key_of(number: usize) -> String {
    format!("key{number:08}")
}

fn put(cache: &Cache, number: usize) {
    cache.set(key_of(number).as_bytes(), [0; 100], Ttl::Never).unwrap();
}

/// Returns whether an item is there, without a use of it.
fn is_there(cache: &Cache, number: usize) -> bool {
    cache.info(key_of(number).as_bytes()).is_some()
}

/// Reads every tenth item of a full cache once, `idle` seconds after its store. Then stores nine
/// new items for each ten. Returns how many of the read items are still there, in percent.
fn kept_of_read(policy: EvictionPolicy, idle: i64) -> usize {
    let (cache, held) = filled(policy);
    cache.clock().advance(idle).unwrap();
    let read: Vec<usize> = held.iter().copied().step_by(10).collect();
    for &number in &read {
        assert!(cache.get(key_of(number).as_bytes()).is_some());
    }
    (0..held.len() * 9 / 10).for_each(|number| put(&cache, 100_000 + number));
    // The older half of the items that were not read is gone under any order of last use.
    let unread = held[..held.len() / 2].iter().filter(|number| !read.contains(number));
    assert_eq!(unread.filter(|&&number| is_there(&cache, number)).count(), 0);
    read.iter().filter(|&&number| is_there(&cache, number)).count() * 100 / read.len()
}

#[test]
fn policies_with_an_order_evict_what_was_stored_first() {
    for policy in [EvictionPolicy::Flat, EvictionPolicy::Lru] {
        let (_, held) = filled(policy);
        assert_eq!(held.last(), Some(&19_999), "{policy:?}");
        let gap = held.windows(2).find(|pair| pair[1] != pair[0] + 1);
        assert_eq!(gap, None, "{policy:?}");
    }
}

#[test]
fn lru_keeps_what_was_read_within_the_last_pass() {
    assert_eq!(kept_of_read(EvictionPolicy::Lru, 0), 100);
    assert_eq!(kept_of_read(EvictionPolicy::Lru, 61), 100);
}

/// As in memcached, a use within a minute of the store does not count in flat mode.
#[test]
fn flat_keeps_what_was_read_a_minute_after_its_store() {
    let kept = kept_of_read(EvictionPolicy::Flat, 0);
    assert!(kept < 50, "{kept}%");
    assert_eq!(kept_of_read(EvictionPolicy::Flat, 61), 100);
}

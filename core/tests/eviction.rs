//! What stays when memory is short.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use memcache_core::internal::config::MIB;
use memcache_core::{Cache, CacheConfig, Ttl};

const LIMIT: usize = 32 * MIB;

struct Subject(Arc<Cache>);

impl Subject {
    fn new() -> Self {
        Self(Cache::new(CacheConfig { memory_limit: LIMIT, ..CacheConfig::default() }).unwrap())
    }

    /// As a program uses a cache: whether `key` was there; if not it is now, with a value of `size` bytes.
    fn ask(&self, kind: &str, key: usize, size: usize) -> bool {
        let name = format!("{kind}{key}");
        let mut value = Vec::new();
        if self.0.get_into(name.as_bytes(), &mut value) {
            return true;
        }
        self.0.set(name.as_bytes(), vec![0; size], Ttl::Never).unwrap();
        false
    }

    /// Asks for each of the keys, in turn, so many times.
    fn ask_all(&self, kind: &str, count: usize, size: usize, times: usize) {
        for key in (0..times).flat_map(|_| 0..count) {
            self.ask(kind, key, size);
        }
    }

    /// Percent of the keys that are there; that is no use of them.
    fn held(&self, kind: &str, count: usize) -> usize {
        let there = |key: &usize| self.0.info(format!("{kind}{key}").as_bytes()).is_some();
        (0..count).filter(there).count() * 100 / count
    }
}

/// Keys whose values of `size` bytes are `percent` of the limit.
fn keys(size: usize, percent: usize) -> usize {
    LIMIT / 100 * percent / (size + 60)
}

#[test]
fn what_is_used_outlasts_a_scan() {
    let cache = Subject::new();
    let (hot, scanned) = (keys(500, 30), keys(500, 500));
    cache.ask_all("hot", hot, 500, 4);
    // Between two uses of a key comes more than there is memory: with LRU all would be gone.
    let mut hits = 0;
    for key in 0..scanned {
        cache.ask("scanned", key, 500);
        hits += usize::from(key % 3 == 0 && cache.ask("hot", key / 3 % hot, 500));
    }
    assert!(cache.held("hot", hot) >= 90, "{} %", cache.held("hot", hot));
    assert!(hits * 100 >= 90 * (scanned / 3), "{hits} hits of {}", scanned / 3);
}

#[test]
fn the_large_goes_before_the_small() {
    let cache = Subject::new();
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
    let (small, large) = (cache.held("small", small), cache.held("large", large));
    assert!(small >= 90 && large < 90, "{small} % of the small, {large} % of the large");
}

#[test]
fn what_was_used_and_is_not_any_more_goes() {
    let cache = Subject::new();
    let (small, large) = (keys(100, 90), keys(10_000, 60));
    cache.ask_all("small", small, 100, 8);
    let mut rounds = 0;
    // Other programs, other sizes. Each of the large has a hundredth of the worth of a small one.
    while (0..large).filter(|&key| cache.ask("large", key, 10_000)).count() < large * 9 / 10 {
        rounds += 1;
        assert!(rounds < 40, "{} % of the small are still there", cache.held("small", small));
    }
    assert!(cache.held("small", small) < 60);
}

//! Resident memory, as the system counts it, stays within the limit and a constant for all sizes of
//! items. After a change of sizes, the new items get the memory. Each test runs in a process of its
//! own.

#![expect(clippy::print_stdout, reason = "a test tells what it has measured")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod alone;

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use memcache_rs::internal::config::MIB;
use memcache_rs::{Cache, CacheConfig, Ttl};

use alone::alone;

/// Memory of the cache.
const LIMIT: usize = 64 * MIB;

/// Bytes allowed beside the limit and the memory that the process had before: tables that grow with
/// the address space, stacks, and pages that are used in part.
const BESIDE: usize = 8 * MIB;

/// Bytes of an item beside its value: header, key and its share of the index.
const OVERHEAD: usize = 24 + 8 + 16;

/// Operations between two checks of resident memory.
const LOOK_EVERY: u64 = 4096;

/// Resident bytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kib.unwrap().parse::<usize>().unwrap() * 1024
}

/// A cache whose memory is checked.
struct Watched {
    cache: Arc<Cache>,
    before: usize,
    limit: usize,
    most: usize,
    steps: u64,
    value: Vec<u8>,
    random: u64,
}

impl Watched {
    fn new() -> Self {
        // Not zeros, so that the memory of values is resident before the first check.
        let value = vec![1; 256 * 1024];
        let before = resident();
        let config = CacheConfig { memory_limit: LIMIT, ..CacheConfig::default() };
        let cache = Cache::new(config).unwrap();
        cache.clock().freeze();
        Self { cache, before, limit: LIMIT, most: 0, steps: 0, value, random: 1 }
    }

    /// Returns a number below `most` (splitmix64).
    fn below(&mut self, most: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most as u64) as usize
    }

    #[track_caller]
    fn set(&mut self, key: u64, size: usize, ttl: Ttl) {
        self.cache.set(key.to_le_bytes(), &self.value[..size], ttl).unwrap();
        self.steps += 1;
        if self.steps.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    fn get(&self, key: u64) -> bool {
        let mut bytes = 0;
        self.cache.get_many(&[key.to_le_bytes()], |_, value| bytes = value.len());
        bytes > 0
    }

    #[track_caller]
    fn look(&mut self) {
        let taken = resident().saturating_sub(self.before);
        self.most = self.most.max(taken);
        assert!(
            taken <= self.limit + BESIDE,
            "{} KiB above a limit of {} KiB after {} stores",
            (taken - self.limit) / 1024,
            self.limit / 1024,
            self.steps
        );
    }

    /// Returns the number of keys whose values of `size` bytes take `percent` of the memory.
    fn keys(&self, size: usize, percent: usize) -> u64 {
        (self.limit / 100 * percent / (size + OVERHEAD)) as u64
    }

    /// Returns the share of the keys from `first` on that are stored. Does not count as an access.
    fn held(&self, first: u64, count: u64) -> f64 {
        let there = |key: &u64| self.cache.inspect(&key.to_le_bytes(), 0, |_| Ok(())).is_some();
        (first..first + count).filter(there).count() as f64 / count as f64
    }

    #[track_caller]
    fn done(mut self, what: &str) {
        self.look();
        let above = self.most as i64 - self.limit as i64;
        println!("{what}: at most {} KiB above the limit, {} stores", above / 1024, self.steps);
    }
}

#[test]
fn a_fill() {
    alone("a_fill", || {
        let mut watched = Watched::new();
        for key in 0..watched.keys(100, 250) {
            watched.set(key, 100, Ttl::Never);
        }
        let totals = watched.cache.store().totals();
        assert!(totals.class_sum().evicted > 0);
        println!("{} items", totals.curr_items);
        watched.done("fill");
    });
}

#[test]
fn a_change_of_all_sizes() {
    alone("a_change_of_all_sizes", || {
        let mut watched = Watched::new();
        for (phase, size) in (0..).zip([100, 10 * 1024, 500, 100]) {
            let first = phase << 32;
            // The index for the smallest items stays, and so do the segments that are being filled.
            let count = watched.keys(size, 85);
            // Stores every key once.
            for key in first..first + count {
                watched.set(key, size, Ttl::Never);
            }
            let held = watched.held(first, count);
            println!("values of {size} bytes: {:.1}% there after one pass", held * 100.0);
            assert!(held > 0.95, "{:.1}% of the values of {size} bytes", held * 100.0);
        }
        watched.done("change of sizes");
    });
}

#[test]
fn a_change_of_all_sizes_of_what_was_used() {
    alone("a_change_of_all_sizes_of_what_was_used", || {
        let mut watched = Watched::new();
        // Items that were accessed often are evicted as they are found idle. Seldom that takes a
        // fifth pass.
        for (phase, size) in (0..).zip([100, 10 * 1024, 500, 100]) {
            let first = phase << 32;
            // Among some thousands of keys, a shard may get a tenth more than its part. If keys are
            // read in turn, it keeps all of them, or none if they do not fit.
            let count = watched.keys(size, 70);
            let mut share = 0.0;
            for pass in 0..8 {
                let mut hits = 0;
                for key in first..first + count {
                    // Stores a missing key, as clients do.
                    if watched.get(key) {
                        hits += 1;
                    } else {
                        watched.set(key, size, Ttl::Never);
                    }
                }
                share = f64::from(hits) / count as f64;
                println!("values of {size} bytes, pass {pass}: {:.1}% hits", share * 100.0);
                if share > 0.95 {
                    break;
                }
            }
            assert!(share > 0.95, "{:.1}% of the values of {size} bytes", share * 100.0);
        }
        watched.done("change of sizes of what was used");
    });
}

#[test]
fn overwrites_with_random_sizes() {
    alone("overwrites_with_random_sizes", || {
        let mut watched = Watched::new();
        for _ in 0..60_000 {
            let key = watched.below(4000) as u64;
            let scale = 1024 << watched.below(7);
            let size = watched.below(scale);
            watched.set(key, size, Ttl::Never);
        }
        watched.done("overwrites");
    });
}

#[test]
fn a_day_of_expiring_items() {
    alone("a_day_of_expiring_items", || {
        let mut watched = Watched::new();
        let mut key = 0;
        for _minute in 0..24 * 60 {
            for _ in 0..400 {
                key += 1;
                let seconds = 60 + watched.below(4 * 3600) as u64;
                let scale = 64 << watched.below(8);
                let size = watched.below(scale);
                watched.set(key, size, Ttl::After(Duration::from_secs(seconds)));
            }
            watched.cache.clock().advance(60).unwrap();
        }
        let totals = watched.cache.store().totals();
        println!("{} items of {} stored", totals.curr_items, totals.commands.total_items);
        watched.done("a day");
    });
}

#[test]
fn a_limit_that_is_lowered() {
    alone("a_limit_that_is_lowered", || {
        let mut watched = Watched::new();
        for key in 0..watched.keys(500, 150) {
            watched.set(key, 500, Ttl::Never);
        }
        assert!(watched.cache.store().set_limit(LIMIT / 4));
        watched.cache.maintainer().wake();
        let start = Instant::now();
        while watched.cache.store().shrinks() {
            assert!(start.elapsed() < Duration::from_secs(50), "the limit is not kept");
            thread::sleep(Duration::from_millis(5));
        }
        println!("the limit was kept after {:?}", start.elapsed());
        watched.limit = LIMIT / 4;
        watched.most = 0;
        watched.look();
        for key in 0..watched.keys(300, 300) {
            watched.set(key, 300, Ttl::Never);
        }
        watched.done("lowered limit");
    });
}

#[test]
fn caches_that_come_and_go() {
    alone("caches_that_come_and_go", || {
        let make = || {
            let cache = Cache::new(CacheConfig { memory_limit: LIMIT, ..CacheConfig::default() }).unwrap();
            cache.set(b"key", b"value", Ttl::Never).unwrap();
            cache
        };
        // The old caches live while the next ones are created, so the memory that they free lies
        // between that of others.
        let mut there: Vec<_> = (0..20).map(|_| make()).collect();
        let before = resident();
        for _ in 0..5 {
            let next = (0..20).map(|_| make()).collect();
            there = next;
        }
        assert_eq!(there.len(), 20);
        let after = resident();
        assert!(after <= before + 2 * BESIDE, "{after} bytes, {before} before");
    });
}

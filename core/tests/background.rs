//! The background thread: one for all caches of a process, and asleep while there is
//! nothing to do.

#![expect(clippy::print_stdout, reason = "a test tells what it has measured")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;

use std::fmt::Display;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use memcache_rs::{Cache, CacheConfig, Ttl};

use alone::alone;

/// The name of the thread.
const NAME: &str = "mcrs-maintain";

fn cache() -> Arc<Cache> {
    Cache::new(CacheConfig::default()).unwrap()
}

fn set(cache: &Cache, key: impl Display, seconds: u64) {
    let ttl = if seconds == 0 { Ttl::Never } else { Ttl::After(Duration::from_secs(seconds)) };
    cache.set(format!("{key}").as_bytes(), b"value", ttl).unwrap();
}

fn items(cache: &Cache) -> u64 {
    // It does not read the clock.
    cache.store().totals().curr_items
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(50);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often each background thread of this process went to sleep.
fn sleeps() -> Vec<u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let status = |task: std::io::Result<fs::DirEntry>| -> Option<u64> {
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        if !status.lines().next()?.ends_with(NAME) {
            return None;
        }
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
        line.split_whitespace().last()?.parse().ok()
    };
    tasks.filter_map(status).collect()
}

#[test]
fn each_cache_had_a_thread_of_its_own() {
    alone("each_cache_had_a_thread_of_its_own", || {
        for _ in 0..3 {
            let caches: Vec<_> = (0..10).map(|_| cache()).collect();
            until("there is one thread", || sleeps().len() == 1);
            drop(caches);
            until("the thread ends with the last cache", || sleeps().is_empty());
        }
    });
}

#[test]
fn an_idle_cache_woke_ten_times_a_second() {
    alone("an_idle_cache_woke_ten_times_a_second", || {
        let caches: Vec<_> = (0..10).map(|_| cache()).collect();
        for cache in &caches {
            cache.set(b"large", vec![b'x'; 100_000], Ttl::Never).unwrap();
            set(cache, "key", 0);
            set(cache, "later", 3600);
        }
        // Until the turns for growth, for expired items and for the last reads of the clock are
        // over.
        thread::sleep(Duration::from_secs(4));
        let before = sleeps();
        thread::sleep(Duration::from_secs(3));
        let after = sleeps();
        println!("{before:?} {after:?}");
        assert_eq!(after.len(), 1);
        assert!(after[0] - before[0] <= 1, "{} times in three seconds", after[0] - before[0]);
        // It wakes when there is something to do.
        set(&caches[7], "key", 1);
        until("an item expires", || items(&caches[7]) == 2);
        assert!(sleeps()[0] > after[0]);
    });
}

#[test]
fn ten_caches_in_use_wake_once_a_second() {
    alone("ten_caches_in_use_wake_once_a_second", || {
        let caches: Vec<_> = (0..10).map(|_| cache()).collect();
        let read = |seconds: u64| {
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end {
                caches.iter().for_each(|cache| assert_eq!(cache.get(b"key"), None));
                thread::sleep(Duration::from_millis(50));
            }
        };
        read(2);
        let before = sleeps();
        read(3);
        let woke = sleeps()[0] - before[0];
        println!("{woke} wake-ups in three seconds");
        // Once a second; each wake-up may wait for locks.
        assert!(woke <= 10, "{woke} times in three seconds");
    });
}

#[test]
fn what_expired_in_an_idle_cache_is_freed() {
    let cache = cache();
    set(&cache, "never", 0);
    set(&cache, "soon", 1);
    until("the item is freed", || items(&cache) == 1);
}

#[test]
fn what_expired_is_freed_when_the_clock_moves() {
    let cache = cache();
    cache.clock().freeze();
    for (key, seconds) in [("a", 100), ("b", 200), ("c", 300), ("d", 0), ("e", 0)] {
        set(&cache, key, seconds);
    }
    cache.clock().advance(150).unwrap();
    until("the first is freed", || items(&cache) == 4);
    cache.clock().advance(100).unwrap();
    until("the second is freed", || items(&cache) == 3);
    assert!(cache.touch(b"d", Ttl::After(Duration::from_secs(20))));
    cache.clock().advance(30).unwrap();
    until("one that was touched is freed", || items(&cache) == 2);
    cache.clock().advance(30).unwrap();
    until("the third is freed", || items(&cache) == 1);
    cache.flush(Some(cache.clock().now() + 10));
    cache.clock().advance(11).unwrap();
    until("the last is flushed", || items(&cache) == 0);
}

#[test]
fn what_is_stored_as_the_crawler_works_is_freed() {
    const ITEMS: u64 = 60_000;
    let cache = cache();
    cache.clock().freeze();
    cache.maintainer().state().crawler_sleep.store(0, Relaxed);
    // Items move while the index grows, and the crawler works all the time.
    for n in 0..ITEMS {
        set(&cache, n, 20 + n % 50);
        if n % 2000 == 0 {
            cache.clock().advance(1).unwrap();
        }
    }
    cache.clock().advance(100).unwrap();
    until("all are freed", || items(&cache) == 0);
    // Nothing is crawled where nothing can be dead: at most once more, to learn that.
    set(&cache, "never", 0);
    let state = cache.maintainer().state();
    let before = state.crawler_starts.load(Relaxed);
    assert!(before > 0);
    for _ in 0..5 {
        cache.clock().advance(100).unwrap();
        let rounds = state.juggles.load(Relaxed);
        until("the thread has seen the clock", || {
            cache.maintainer().wake();
            state.juggles.load(Relaxed) > rounds
        });
    }
    assert!(state.crawler_starts.load(Relaxed) <= before + 1);
}

#[test]
fn a_part_of_a_crawl_forgets_nothing() {
    let cache = cache();
    cache.clock().freeze();
    (0..5000).for_each(|n| set(&cache, n, 100));
    let state = cache.maintainer().state();
    let rests = || !state.crawler_running.load(Relaxed);
    // A class without items, and then a few items of each.
    assert!(cache.maintainer().crawl(1 << 40));
    until("a class is crawled", rests);
    state.crawler_tocrawl.store(256, Relaxed);
    assert!(cache.maintainer().crawl(u64::MAX));
    until("some items are crawled", rests);
    state.crawler_tocrawl.store(0, Relaxed);
    assert_eq!(items(&cache), 5000);
    cache.clock().advance(100).unwrap();
    until("all are freed", || items(&cache) == 0);
}

#[test]
fn a_child_of_fork_has_a_thread_of_its_own() {
    alone("a_child_of_fork_has_a_thread_of_its_own", || {
        for round in 0..10 {
            let of_parent = cache();
            set(&of_parent, round, 1);
            #[expect(unsafe_code, reason = "the test forks")]
            // SAFETY: the child has one thread, and ends by _exit.
            let child = unsafe { libc::fork() };
            assert_ne!(child, -1);
            if child == 0 {
                #[expect(unsafe_code, reason = "a child that hangs is to end")]
                // SAFETY: there is no handler of this signal, so it ends the process.
                unsafe {
                    libc::alarm(60);
                }
                // A panic must not return from here.
                let good = panic::catch_unwind(AssertUnwindSafe(|| {
                    let own = cache();
                    set(&own, "key", 1);
                    until("the child's item is freed", || items(&own) == 0);
                    assert_eq!(sleeps().len(), 1);
                    drop(own);
                    until("the child's thread ends", || sleeps().is_empty());
                    // The parent's caches are left alone, and nothing waits for its thread.
                    drop(of_parent);
                }))
                .is_ok();
                #[expect(unsafe_code, reason = "the child ends")]
                // SAFETY: ends the child at once.
                unsafe {
                    libc::_exit(i32::from(!good));
                }
            }
            let mut status = -1;
            #[expect(unsafe_code, reason = "the test waits for its child")]
            // SAFETY: `status` is a valid place for the answer.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((waited, status), (child, 0));
        }
    });
}

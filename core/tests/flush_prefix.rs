//! `flush_prefix`: random requests against a map, threads, and the end of the marks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod dialogue;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::session::Session;
use memcache_rs::internal::state::ServerState;
use memcache_rs::{
    Cache, CacheConfig, EvictionPolicy, LoadOptions, Protocol, SaveOptions, ServerConfig, SnapshotProgress,
    Ttl,
};
use proptest::prelude::*;

use dialogue::talk;

const PREFIXES: [&str; 6] = ["a", "a:", "a:b", "b:", "b:long-prefix-of-a-tenant:", "c"];

#[derive(Clone, Debug)]
enum Action {
    Set {
        prefix: usize,
        key: u8,
        length: usize,
    },
    Get {
        prefix: usize,
        key: u8,
    },
    GetMany {
        prefix: usize,
    },
    Append {
        prefix: usize,
        key: u8,
    },
    Delete {
        prefix: usize,
        key: u8,
    },
    FlushPrefix {
        prefix: usize,
    },
    FlushAll,
    MoveClock {
        to: i64,
    },
    /// Sets of other keys, so that the index grows.
    Grow,
    Crawl,
    /// A crawl of the background thread, while the index grows.
    CrawlWhileGrowing,
    Reload,
}

fn action() -> impl Strategy<Value = Action> {
    let (prefix, key) = (0..PREFIXES.len(), 0..12_u8);
    let length = prop_oneof![8 => 0..200_usize, 1 => 5_000..20_000_usize];
    prop_oneof![
        12 => (prefix.clone(), key.clone(), length)
            .prop_map(|(prefix, key, length)| Action::Set { prefix, key, length }),
        12 => (prefix.clone(), key.clone()).prop_map(|(prefix, key)| Action::Get { prefix, key }),
        2 => prefix.clone().prop_map(|prefix| Action::GetMany { prefix }),
        1 => (prefix.clone(), key.clone()).prop_map(|(prefix, key)| Action::Append { prefix, key }),
        1 => (prefix.clone(), key).prop_map(|(prefix, key)| Action::Delete { prefix, key }),
        4 => prefix.prop_map(|prefix| Action::FlushPrefix { prefix }),
        1 => Just(Action::FlushAll),
        2 => (-100..100_i64).prop_map(|to| Action::MoveClock { to }),
        1 => Just(Action::Grow),
        1 => Just(Action::Crawl),
        2 => Just(Action::CrawlWhileGrowing),
        1 => Just(Action::Reload),
    ]
}

/// The cache and what it must have.
struct Model {
    cache: Arc<Cache>,
    items: HashMap<String, Vec<u8>>,
    grown: usize,
}

impl Model {
    fn new(eviction_policy: EvictionPolicy) -> Self {
        let config = CacheConfig {
            memory_limit: 64 * MIB,
            shards: Some(2),
            lru_crawler: false,
            eviction_policy,
            ..CacheConfig::default()
        };
        let cache = Cache::new(config).unwrap();
        cache.clock().freeze();
        Self { cache, items: HashMap::new(), grown: 0 }
    }

    fn crawl(&self) {
        let store = self.cache.store();
        for shard in 0..store.shard_count() {
            let mut below = Some(usize::MAX);
            while let Some(bucket) = below {
                below = store.crawl(shard, bucket, 16, u64::MAX, |_| ());
            }
        }
    }

    fn act(&mut self, action: &Action) {
        let cache = &self.cache;
        let name = |prefix: usize, key: u8| format!("{}{key}", PREFIXES[prefix]);
        match *action {
            Action::Set { prefix, key, length } => {
                let value = vec![key; length];
                cache.set(name(prefix, key), &value, Ttl::Never).unwrap();
                self.items.insert(name(prefix, key), value);
            }
            Action::Get { prefix, key } => {
                assert_eq!(cache.get(name(prefix, key)).as_ref(), self.items.get(&name(prefix, key)));
            }
            Action::GetMany { prefix } => {
                let names: Vec<String> = (0..12).map(|key| name(prefix, key)).collect();
                let mut found = HashMap::new();
                cache.get_many(&names, |at, value| drop(found.insert(names[at].clone(), value.to_vec())));
                let wanted =
                    names.iter().filter_map(|name| Some((name.clone(), self.items.get(name)?.clone())));
                assert_eq!(found, wanted.collect());
            }
            Action::Append { prefix, key } => {
                let key = name(prefix, key);
                let had = self.items.get_mut(&key).map(|value| value.extend(b"end")).is_some();
                assert_eq!(cache.append(&key, b"end").unwrap(), had);
            }
            Action::Delete { prefix, key } => {
                let key = name(prefix, key);
                assert_eq!(cache.delete(&key), self.items.remove(&key).is_some());
            }
            Action::FlushPrefix { prefix } => {
                cache.flush_prefix(PREFIXES[prefix]);
                self.items.retain(|key, _| !key.starts_with(PREFIXES[prefix]));
            }
            Action::FlushAll => {
                cache.flush(None);
                self.items.clear();
            }
            Action::MoveClock { to } => cache.clock().advance(to).unwrap(),
            Action::Grow => {
                for _ in 0..400 {
                    self.grown += 1;
                    let key = format!("other{}", self.grown);
                    cache.set(&key, b"", Ttl::Never).unwrap();
                    self.items.insert(key, Vec::new());
                }
            }
            Action::Crawl => self.crawl(),
            Action::CrawlWhileGrowing => {
                let begin = self.cache.store().begin_crawl();
                for shard in 0..self.cache.store().shard_count() {
                    let mut below = self.cache.store().crawl(shard, usize::MAX, 64, u64::MAX, |_| ());
                    self.act(&Action::Grow);
                    while let Some(bucket) = below {
                        below = self.cache.store().crawl(shard, bucket, 64, u64::MAX, |_| ());
                    }
                }
                self.cache.store().end_crawl(begin);
            }
            Action::Reload => {
                let mut file = Vec::new();
                cache.save_to(&mut file, SaveOptions::default()).unwrap();
                // The items of the file come back, and stay although their prefix was flushed.
                cache.flush_prefix("a");
                cache.load_from(file.as_slice(), LoadOptions::default()).unwrap();
            }
        }
    }

    /// Compares everything.
    fn check(&self) {
        let mut keys: Vec<Vec<u8>> = self.cache.keys().collect();
        keys.sort();
        let mut wanted: Vec<&[u8]> = self.items.keys().map(String::as_bytes).collect();
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        for (key, value) in &self.items {
            assert_eq!(self.cache.get(key).as_ref(), Some(value), "{key}");
        }
        self.crawl();
        assert_eq!(self.cache.store().totals().curr_items, self.items.len() as u64);
        self.cache.store().verify();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_flush_takes_its_prefix_alone(actions in prop::collection::vec(action(), 1..100), flat: bool) {
        let mut model = Model::new(if flat { EvictionPolicy::Flat } else { EvictionPolicy::Segmented });
        actions.iter().for_each(|action| model.act(action));
        model.check();
    }
}

#[test]
fn more_prefixes_than_marks() {
    let mut model = Model::new(EvictionPolicy::Segmented);
    for n in 0..10_000 {
        model.cache.set(format!("{n}:"), b"x", Ttl::Never).unwrap();
    }
    for n in 0..9_999 {
        model.cache.flush_prefix(format!("{n}:"));
        assert!(model.cache.store().flushed_prefixes() <= 4096);
    }
    model.cache.flush_prefix("x".repeat(251));
    model.items.insert("9999:".into(), b"x".into());
    model.check();
    model.cache.flush_prefix("");
    model.items.clear();
    model.check();
}

/// A value whose set was complete before a flush of its prefix began is not seen after that flush.
#[test]
fn threads_never_see_what_was_flushed() {
    const WRITERS: usize = 2;
    const KEYS: usize = 50;
    let cache = Cache::new(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() }).unwrap();
    let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    // Versions whose set is complete, and those that a complete flush forbids.
    let (stored, forbidden) = (zeros(), zeros());
    let end = Instant::now() + Duration::from_secs(2);
    thread::scope(|scope| {
        let (cache, stored, forbidden) = (&cache, &stored, &forbidden);
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut n = 0_u64;
                while Instant::now() < end {
                    n += 1;
                    for key in (writer..KEYS).step_by(WRITERS) {
                        cache.set(format!("tenant:{key}"), n.to_string(), Ttl::Never).unwrap();
                        stored[key].store(n, SeqCst);
                        cache.set(format!("other:{n}"), [b'x'; 500], Ttl::Never).unwrap();
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(move || {
                while Instant::now() < end {
                    for (key, old) in forbidden.iter().enumerate() {
                        let old = old.load(SeqCst);
                        if let Some(value) = cache.get(format!("tenant:{key}")) {
                            let seen: u64 = String::from_utf8(value).unwrap().parse().unwrap();
                            assert!(seen > old, "{seen} of tenant:{key}, {old} was flushed");
                        }
                    }
                }
            });
        }
        while Instant::now() < end {
            let before: Vec<u64> = stored.iter().map(|version| version.load(SeqCst)).collect();
            cache.flush_prefix("tenant:");
            before.iter().zip(forbidden).for_each(|(&version, old)| old.store(version, SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(stored.iter().all(|version| version.load(SeqCst) > 10));
    cache.store().verify();
}

#[test]
fn the_crawler_frees_the_items_and_the_mark() {
    let cache = Cache::new(CacheConfig::default()).unwrap();
    for n in 0..20_000 {
        cache.set(format!("{}:{n}", n % 2), vec![b'x'; 100], Ttl::Never).unwrap();
    }
    cache.flush_prefix("1:");
    let begun = Instant::now();
    while cache.store().totals().curr_items > 10_000 || cache.store().flushed_prefixes() > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "the crawler does not come");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((0..20_000).filter(|n| cache.get(format!("{}:{n}", n % 2)).is_some()).count(), 10_000);
}

#[test]
fn a_flush_during_a_save_or_a_load() {
    let filled = || {
        let cache = Cache::new(CacheConfig { shards: Some(4), ..CacheConfig::default() }).unwrap();
        for n in 0..40_000 {
            cache.set(format!("{}:{n}", n % 2), vec![b'x'; 200], Ttl::Never).unwrap();
        }
        cache
    };
    let cache = filled();
    let mut file = Vec::new();
    let mut flush = |_: &SnapshotProgress| {
        cache.flush_prefix("1:");
        ControlFlow::Continue(())
    };
    // Each call of the callback flushes, so the save ends only if that does not interrupt it.
    let options = SaveOptions { progress: Some(&mut flush), threads: 1, ..SaveOptions::default() };
    assert!(cache.save_to(&mut file, options).unwrap().items >= 20_000);
    let left = |cache: &Cache, prefix: u32| {
        (0..40_000)
            .filter(|n| n % 2 == prefix)
            .filter(|n| cache.get(format!("{prefix}:{n}")).is_some())
            .count()
    };
    assert_eq!((left(&cache, 0), left(&cache, 1)), (20_000, 0));

    file.clear();
    filled().save_to(&mut file, SaveOptions::default()).unwrap();
    for all in [false, true] {
        let warm = Cache::new(CacheConfig::default()).unwrap();
        let mut calls = 0;
        let mut flush = |_: &SnapshotProgress| {
            calls += 1;
            if calls == 2 {
                if all { warm.clear() } else { warm.flush_prefix("1:") }
            }
            ControlFlow::Continue(())
        };
        let options = LoadOptions { progress: Some(&mut flush), threads: 1, ..LoadOptions::default() };
        warm.load_from(file.as_slice(), options).unwrap();
        assert!(calls > 3);
        assert_eq!((left(&warm, 0), left(&warm, 1)), (if all { 0 } else { 20_000 }, 0));
    }
}

#[test]
fn the_command() {
    let ask = |config: ServerConfig, text: &str| {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let state = ServerState::new(cache, config).unwrap();
        let (said, _) = talk(&state, &mut Session::new(Protocol::Ascii), text.as_bytes());
        String::from_utf8(said).unwrap()
    };
    let said = ask(
        ServerConfig::default(),
        "set a:1 0 0 1\r\nx\r\nset b:1 0 0 1\r\ny\r\nflush_prefix a:\r\nget a:1 b:1\r\n\
         flush_prefix b: noreply\r\nget a:1 b:1\r\nflush_prefix\r\nflush_prefix noreply\r\n\
         flush_prefix a b\r\nmn\r\n",
    );
    let bad = "CLIENT_ERROR bad command line format\r\n";
    assert_eq!(
        said,
        format!("STORED\r\nSTORED\r\nOK\r\nVALUE b:1 0 1\r\ny\r\nEND\r\nEND\r\n{bad}{bad}MN\r\n")
    );
    let refused =
        ask(ServerConfig { flush_enabled: false, ..ServerConfig::default() }, "flush_prefix a:\r\n");
    assert_eq!(refused, "CLIENT_ERROR flush_prefix not allowed\r\n");
}

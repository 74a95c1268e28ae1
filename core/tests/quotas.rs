//! Quotas: random work with evictions against a scan of all items, threads, and single rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialogue;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::session::Session;
use memcache_rs::internal::state::ServerState;
use memcache_rs::internal::store::HEADER;
use memcache_rs::{
    Cache, CacheConfig, DeltaError, EvictionPolicy, LoadOptions, Protocol, Quota, QuotaConfig, SaveOptions,
    ServerConfig, StoreError, Ttl,
};
use proptest::prelude::*;

use dialogue::talk;

/// The last one has no quota.
const PREFIXES: [&str; 4] = ["a:", "b:", "c/", "free:"];

#[derive(Clone, Debug)]
enum Action {
    Set { prefix: usize, key: u16, length: usize, seconds: u64 },
    Many { prefix: usize, from: u16, length: usize },
    Get { prefix: usize, key: u16 },
    Append { prefix: usize, key: u16, length: usize },
    Count { prefix: usize, key: u16 },
    Delete { prefix: usize, key: u16 },
    FlushPrefix { prefix: usize },
    FlushAll,
    Advance { seconds: i64 },
    Limit { prefix: usize, limit: Option<u64> },
    Reload,
}

fn action() -> impl Strategy<Value = Action> {
    let (prefix, key) = (0..PREFIXES.len(), 0..300_u16);
    let length = prop_oneof![8 => 0..300_usize, 2 => 3_000..40_000_usize, 1 => 200_000..300_000_usize];
    let limit = prop_oneof![4 => (0..400_000_u64).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        12 => (prefix.clone(), key.clone(), length.clone(), 0..20_u64)
            .prop_map(|(prefix, key, length, seconds)| Action::Set { prefix, key, length, seconds }),
        8 => (prefix.clone(), key.clone(), 0..2_000_usize)
            .prop_map(|(prefix, from, length)| Action::Many { prefix, from, length }),
        6 => (prefix.clone(), key.clone()).prop_map(|(prefix, key)| Action::Get { prefix, key }),
        4 => (prefix.clone(), key.clone(), length)
            .prop_map(|(prefix, key, length)| Action::Append { prefix, key, length }),
        2 => (prefix.clone(), key.clone()).prop_map(|(prefix, key)| Action::Count { prefix, key }),
        2 => (prefix.clone(), key).prop_map(|(prefix, key)| Action::Delete { prefix, key }),
        1 => prefix.prop_map(|prefix| Action::FlushPrefix { prefix }),
        1 => Just(Action::FlushAll),
        2 => (1..10_i64).prop_map(|seconds| Action::Advance { seconds }),
        3 => (0..PREFIXES.len() - 1, limit).prop_map(|(prefix, limit)| Action::Limit { prefix, limit }),
        1 => Just(Action::Reload),
    ]
}

fn cache_of(eviction_policy: EvictionPolicy, memory_limit: usize) -> Arc<Cache> {
    let config = CacheConfig {
        memory_limit,
        shards: Some(2),
        lru_crawler: false,
        clock_frozen: true,
        eviction_policy,
        ..CacheConfig::default()
    };
    Cache::new(config).unwrap()
}

/// Returns the bytes of an item, as `stats` counts them.
fn size(key: &str, length: usize) -> u64 {
    (HEADER + key.len() + length) as u64
}

fn quota(cache: &Cache, prefix: &str) -> Quota {
    cache.quotas().into_iter().find(|quota| quota.prefix == prefix.as_bytes()).unwrap()
}

/// Checks that each quota holds, and that its counts are those of a scan.
fn check(cache: &Cache) {
    for quota in cache.quotas() {
        assert!(quota.bytes <= quota.limit, "{quota:?}");
        let mut seen = (0, 0);
        for key in cache.keys().filter(|key| key.starts_with(&quota.prefix)) {
            let info = cache.info(&key).unwrap();
            seen = (seen.0 + 1, seen.1 + (HEADER + key.len() + info.length) as u64);
        }
        // Dead items count as well.
        assert!(seen.0 <= quota.items && seen.1 <= quota.bytes, "{seen:?} of {quota:?}");
    }
}

fn act(cache: &mut Arc<Cache>, action: &Action) {
    let name = |prefix: usize, key: u16| format!("{}{key}", PREFIXES[prefix]);
    let fits = |key: &str, length: usize| {
        let limit = cache.quotas().into_iter().find(|quota| key.as_bytes().starts_with(&quota.prefix));
        limit.is_none_or(|quota| size(key, length) <= quota.limit)
    };
    match *action {
        Action::Set { prefix, key, length, seconds } => {
            let key = name(prefix, key);
            let ttl = if seconds == 0 { Ttl::Never } else { Duration::from_secs(seconds).into() };
            match cache.set(&key, vec![7; length], ttl) {
                // The new item itself is never the one that is evicted.
                Ok(()) => assert!(fits(&key, length) && cache.info(&key).is_some()),
                Err(error) => assert_eq!((error, fits(&key, length)), (StoreError::NoMemory, false)),
            }
        }
        Action::Many { prefix, from, length } => {
            for key in from..from + 50 {
                let key = name(prefix, key);
                assert_eq!(cache.set(&key, vec![7; length], Ttl::Never).is_ok(), fits(&key, length));
            }
        }
        Action::Get { prefix, key } => drop(cache.get(name(prefix, key))),
        Action::Append { prefix, key, length } => {
            let key = name(prefix, key);
            if let Some(before) = cache.info(&key).map(|info| info.length)
                && cache.append(&key, vec![7; length]) == Ok(true)
            {
                assert_eq!(cache.info(&key).map(|info| info.length), Some(before + length));
            }
        }
        Action::Count { prefix, key } => {
            let key = name(prefix, key);
            if cache.set(&key, "99999", Ttl::Never).is_ok() {
                assert!(matches!(cache.incr(&key, 1), Ok(100_000) | Err(DeltaError::NoMemory)));
            }
        }
        Action::Delete { prefix, key } => drop(cache.delete(name(prefix, key))),
        Action::FlushPrefix { prefix } => cache.flush_prefix(PREFIXES[prefix]),
        Action::FlushAll => cache.flush(None),
        Action::Advance { seconds } => cache.clock().advance(seconds).unwrap(),
        Action::Limit { prefix, limit } => cache.set_quota(PREFIXES[prefix], limit).unwrap(),
        Action::Reload => {
            let mut file = Vec::new();
            cache.save_to(&mut file, SaveOptions::default()).unwrap();
            let quotas = cache.quotas();
            *cache = cache_of(cache.config().eviction_policy, cache.config().memory_limit);
            for quota in quotas {
                cache.set_quota(quota.prefix, Some(quota.limit)).unwrap();
            }
            cache.load_from(file.as_slice(), LoadOptions::default()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn quotas_hold(
        actions in prop::collection::vec(action(), 1..100),
        policy in prop::sample::select(EvictionPolicy::ALL),
        megabytes in 2..5_usize,
    ) {
        let mut cache = cache_of(policy, megabytes * MIB);
        cache.set_quota("a:", Some(300_000)).unwrap();
        for action in &actions {
            act(&mut cache, action);
            check(&cache);
        }
        // It compares the counts with those of all items, dead ones included.
        cache.store().verify();
    }
}

#[test]
fn others_stay() {
    let cache = cache_of(EvictionPolicy::Segmented, 16 * MIB);
    for n in 0..1000 {
        cache.set(format!("b:{n}"), [0; 100], Ttl::Never).unwrap();
    }
    cache.set_quota("a:", Some(10 * size("a:100", 100))).unwrap();
    for n in 100..200 {
        cache.set(format!("a:{n}"), [0; 100], Ttl::Never).unwrap();
    }
    assert_eq!(cache.keys().filter(|key| key.starts_with(b"b:")).count(), 1000);
    let quota = quota(&cache, "a:");
    assert_eq!((quota.items, quota.bytes, quota.evicted), (10, quota.limit, 90));
    assert_eq!(cache.store().totals().class_sum().evicted, 90);
    cache.reset_stats();
    let quota = self::quota(&cache, "a:");
    assert_eq!((quota.items, quota.evicted), (10, 0));
    // Each shard evicts its oldest.
    assert!(cache.get("a:199").is_some() && cache.get("a:100").is_none());
}

#[test]
fn a_used_item_stays_longer() {
    let config = CacheConfig { shards: Some(1), clock_frozen: true, ..CacheConfig::default() };
    let cache = Cache::new(config).unwrap();
    cache.set_quota("a:", Some(10 * size("a:00", 100))).unwrap();
    for n in 10..20 {
        cache.set(format!("a:{n}"), [0; 100], Ttl::Never).unwrap();
    }
    cache.clock().advance(100).unwrap();
    // The first fetch of an item does not count as a use, as in memcached.
    for key in ["a:10", "a:11"] {
        assert!(cache.get(key).is_some() && cache.get(key).is_some());
    }
    for n in 20..28 {
        cache.set(format!("a:{n}"), [0; 100], Ttl::Never).unwrap();
    }
    let mut keys: Vec<_> = cache.keys().map(|key| String::from_utf8(key).unwrap()).collect();
    keys.sort();
    assert_eq!(keys, ["a:10", "a:11", "a:20", "a:21", "a:22", "a:23", "a:24", "a:25", "a:26", "a:27"]);
}

#[test]
fn an_item_above_its_quota_is_refused_and_evicts_nothing() {
    let cache = cache_of(EvictionPolicy::Segmented, 16 * MIB);
    cache.set_quota("a:", Some(200_000)).unwrap();
    cache.set("a:1", [0; 1000], Ttl::Never).unwrap();
    cache.set("a:2", vec![1; 150_000], Ttl::Never).unwrap();
    for length in [200_000, 500_000] {
        assert_eq!(cache.set("a:3", vec![0; length], Ttl::Never), Err(StoreError::NoMemory));
    }
    assert_eq!(cache.append("a:2", vec![0; 60_000]), Ok(false));
    assert!(cache.get("a:2") == Some(vec![1; 150_000]));
    assert_eq!(quota(&cache, "a:").items, 2);
    cache.set_quota("b:", Some(0)).unwrap();
    assert_eq!(cache.set("b:1", "", Ttl::Never), Err(StoreError::NoMemory));
}

#[test]
fn without_evictions_a_store_is_refused() {
    let cache = Cache::new(CacheConfig { evictions: false, ..CacheConfig::default() }).unwrap();
    cache.set_quota("a:", Some(2 * size("a:1", 100))).unwrap();
    for key in ["a:1", "a:2"] {
        cache.set(key, [0; 100], Ttl::Never).unwrap();
    }
    assert_eq!(cache.set("a:3", [0; 100], Ttl::Never), Err(StoreError::NoMemory));
    assert_eq!(cache.set("b:3", [0; 100], Ttl::Never), Ok(()));
    assert!(cache.delete("a:1"));
    assert_eq!(cache.set("a:3", [0; 100], Ttl::Never), Ok(()));
    // A lower limit waits for deletes.
    cache.set_quota("a:", Some(10)).unwrap();
    assert_eq!(quota(&cache, "a:").items, 2);
    cache.set_quota("a:", None).unwrap();
    assert_eq!(cache.set("a:4", [0; 100], Ttl::Never), Ok(()));
    assert_eq!(cache.quotas(), []);
}

#[test]
fn a_quota_counts_what_is_there_and_evicts_down_to_its_limit() {
    let cache = cache_of(EvictionPolicy::Segmented, 64 * MIB);
    for n in 10_000..30_000 {
        cache.set(format!("a:{n}"), [0; 100], Ttl::Never).unwrap();
    }
    cache.set_quota("a:", Some(20_000 * size("a:10000", 100))).unwrap();
    let full = quota(&cache, "a:");
    assert_eq!((full.items, full.bytes, full.evicted), (20_000, full.limit, 0));
    cache.set_quota("a:", Some(1_000 * size("a:10000", 100))).unwrap();
    let less = quota(&cache, "a:");
    assert_eq!((less.items, less.bytes, less.evicted), (1_000, less.limit, 19_000));
    cache.store().verify();
}

#[test]
fn the_queue_of_a_key_that_comes_and_goes_is_bounded() {
    let cache = cache_of(EvictionPolicy::Segmented, 16 * MIB);
    cache.set_quota("a:", Some(100_000)).unwrap();
    cache.set("a:stays", "", Ttl::Never).unwrap();
    for _ in 0..20_000 {
        cache.set("a:1", "1", Ttl::Never).unwrap();
        assert!(cache.delete("a:1"));
    }
    cache.store().verify();
    assert_eq!(quota(&cache, "a:").items, 1);
}

#[test]
fn quotas_hold_under_threads() {
    const THREADS: u64 = 4;
    let config = CacheConfig {
        memory_limit: 2 * MIB,
        quotas: vec![QuotaConfig::new("a:", 500_000)],
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).unwrap();
    thread::scope(|scope| {
        for id in 0..THREADS {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..20_000_u64 {
                    let key = format!("{}{}", PREFIXES[(n % 4) as usize], n * (id + 7) % 5000);
                    match n % 11 {
                        0 => drop(cache.delete(&key)),
                        1 => drop(cache.append(&key, "more")),
                        2 if n % 1000 == 2 => cache.flush_prefix("a:"),
                        3 if n % 500 == 3 => cache.set_quota("b:", Some(100_000 + n)).unwrap(),
                        4 if n % 900 == 4 => cache.set_quota("b:", None).unwrap(),
                        _ => drop(cache.set(&key, vec![0; (n % 700) as usize], Ttl::Never)),
                    }
                    let bytes = quota(cache, "a:").bytes;
                    // A thread adds its item before it evicts others.
                    assert!(bytes <= 500_000 + THREADS * 2000, "{bytes}");
                }
            });
        }
    });
    // The last evictions of two threads may have met.
    cache.set("a:last", "", Ttl::Never).unwrap();
    let scanned: HashMap<Vec<u8>, u64> =
        cache.quotas().into_iter().map(|quota| (quota.prefix, quota.bytes)).collect();
    assert!(scanned[&b"a:"[..]] <= 500_000);
    cache.store().verify();
}

#[test]
fn prefixes_are_checked() {
    let cache = Cache::new(CacheConfig::default()).unwrap();
    let users = cache.namespace("users:");
    users.set_quota(Some(1000)).unwrap();
    assert_eq!(users.quota().map(|quota| quota.limit), Some(1000));
    let error = |prefix: &str| cache.set_quota(prefix, Some(1)).unwrap_err().message;
    assert_eq!(error("users:1"), "quota must not overlap with another, got users:1 beside users:");
    assert_eq!(error("u"), "quota must not overlap with another, got u beside users:");
    assert_eq!(error(""), "quota must have a prefix of 1 to 250 bytes, got 0 bytes");
    let overlap = vec![QuotaConfig::new("a", 1), QuotaConfig::new("a:", 1)];
    assert!(CacheConfig { quotas: overlap, ..CacheConfig::default() }.validate().is_err());
}

#[test]
fn stats_show_quotas() {
    let cache = CacheConfig {
        clock_frozen: true,
        quotas: vec!["site2::1k".parse().unwrap(), "site1::100".parse().unwrap()],
        ..CacheConfig::default()
    };
    let state = ServerState::new(Cache::new(cache).unwrap(), ServerConfig::default()).unwrap();
    let set = |key: &str, length: usize| format!("set {key} 0 0 {length}\r\n{}\r\n", "v".repeat(length));
    let requests = [set("site1:a", 50), set("site1:b", 50), set("site1:c", 80)].concat();
    let requests = requests + "get site1:a site1:b site1:c\r\nstats quotas\r\n";
    let (said, _) = talk(&state, &mut Session::new(Protocol::Ascii), requests.as_bytes());
    let value = "v".repeat(50);
    assert_eq!(
        String::from_utf8(said).unwrap(),
        format!(
            "STORED\r\nSTORED\r\nSERVER_ERROR out of memory storing object\r\n\
         VALUE site1:b 0 50\r\n{value}\r\nEND\r\n\
         STAT quota:1:prefix site1:\r\nSTAT quota:1:limit 100\r\nSTAT quota:1:bytes 81\r\n\
         STAT quota:1:items 1\r\nSTAT quota:1:evicted 1\r\n\
         STAT quota:2:prefix site2:\r\nSTAT quota:2:limit 1024\r\nSTAT quota:2:bytes 0\r\n\
         STAT quota:2:items 0\r\nSTAT quota:2:evicted 0\r\nEND\r\n"
        )
    );
}

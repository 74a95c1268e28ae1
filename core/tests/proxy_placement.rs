//! Pools put keys where the real clients and proxies put them.
//!
//! `compat/cluster/placement.py` records `data/placement.toml` from them, and checks it again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use memcache_rs::ServiceRecord;
use memcache_rs::internal::proxy::config;
use memcache_rs::internal::proxy::distribution::DISTRIBUTIONS;
use memcache_rs::internal::proxy::hash::KEY_HASHES;
use memcache_rs::internal::proxy::pool::Pool;
use memcache_rs::internal::proxy::source::of_records;
use toml::de::{DeTable, DeValue};

const RECORDED: &str = include_str!("data/placement.toml");

fn text<'a>(table: &'a DeTable<'_>, name: &str) -> &'a str {
    table.get(name).and_then(|value| value.get_ref().as_str()).unwrap()
}

#[test]
fn keys_are_where_clients_put_them() {
    let recorded = DeTable::parse(RECORDED).unwrap().into_inner();
    let list = |name: &str| recorded.get(name).and_then(|value| value.get_ref().as_array()).unwrap();
    let keys: Vec<&str> = list("keys").iter().map(|key| key.get_ref().as_str().unwrap()).collect();
    let (mut distributions, mut hashes) = (HashSet::new(), HashSet::new());
    let mut count = 0;
    for case in list("case") {
        let DeValue::Table(case) = case.get_ref() else { panic!("a case is a table") };
        let client = text(case, "client");
        let config = format!("route = 'p'\n[pools.p]\n{}", text(case, "pool"));
        let routes = config::parse(&config).unwrap_or_else(|fault| panic!("{client}: {fault}"));
        let pool = &routes.pools[0];
        distributions.insert(pool.distribution.name);
        hashes.extend(pool.key_hash.map(|hash| hash.name));
        let node = text(case, "node");
        assert!(node.len() > 200, "{client}");
        for (key, digit) in keys.iter().zip(node.chars()) {
            assert_eq!(pool.choose(key.as_bytes()), digit.to_digit(10).unwrap() as usize, "{client}: {key}");
        }
        count += 1;
    }
    assert!(count >= 55, "{count}");
    // Every distribution and every hash has a client that shows it.
    for distribution in &DISTRIBUTIONS {
        assert!(distributions.contains(distribution.name), "{}", distribution.name);
    }
    for hash in &KEY_HASHES {
        assert!(hashes.contains(hash.name), "{}", hash.name);
    }
}

/// When a node joins ten others, about an eleventh of the keys moves, all of them to the new node.
/// The order of discovered nodes is stable, and the pods of a growing set are appended.
#[test]
fn a_node_that_joins_takes_its_share() {
    const KEYS: usize = 20_000;
    for distribution in DISTRIBUTIONS.iter().map(|distribution| distribution.name) {
        let text =
            format!("route = 'p'\n[pools.p]\nbackends = [{{ srv = 's' }}]\ndistribution = '{distribution}'");
        let pool_of = |count: usize| {
            // The answer has any order.
            let records: Vec<ServiceRecord> = (0..count)
                .map(|number| (number * 7 + 3) % count)
                .map(|number| ServiceRecord { priority: 0, host: format!("mc-{number}.mc"), port: 11211 })
                .collect();
            let mut pool = config::parse(&text).unwrap().pools.remove(0);
            pool.discover(|_| of_records(&records).unwrap());
            pool
        };
        let (ten, eleven) = (pool_of(10), pool_of(11));
        let (mut moved, mut strays) = (0, 0);
        for key in (0..KEYS).map(|key| format!("key:{key}")) {
            let name = |pool: &Pool| pool.backends[pool.choose(key.as_bytes())].to_string();
            let (before, after) = (name(&ten), name(&eleven));
            moved += usize::from(before != after);
            strays += usize::from(before != after && after != "mc-10.mc:11211");
        }
        if distribution == "modula" {
            // The keys that stay have the same remainder by 10 and by 11.
            assert!(moved > KEYS * 8 / 10, "{moved}");
            continue;
        }
        assert_eq!(strays, 0, "{distribution}");
        // A ring of few points is not quite even.
        let share = KEYS / 11;
        let slack = if distribution == "jump" { share / 10 } else { share / 3 };
        assert!(moved.abs_diff(share) < slack, "{distribution}: {moved} of {KEYS}");
    }
}

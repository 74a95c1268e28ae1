//! Pools put keys where the real clients and proxies put them.
//!
//! `compat/cluster/placement.py` records `data/placement.toml` from them, and checks it again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use memcache_rs::internal::proxy::config;
use memcache_rs::internal::proxy::distribution::DISTRIBUTIONS;
use memcache_rs::internal::proxy::hash::KEY_HASHES;
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

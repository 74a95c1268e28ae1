//! The keys of a cache.

use std::collections::HashSet;

use memcache_core::Cache;

/// Calls `each` with each key, once, in the order of a scan. It runs without a lock. A key that is
/// stored or removed during the scan may be left out.
pub fn for_each(cache: &Cache, mut each: impl FnMut(&[u8])) {
    // An item that moves during the scan may be visited twice.
    let mut seen = HashSet::new();
    for key in cache.keys() {
        if !seen.contains(&key) {
            each(&key);
            seen.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use memcache_core::{CacheConfig, Ttl};

    use super::*;

    #[test]
    fn each_key_is_shown_once() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        for number in 0..1000 {
            cache.set(format!("{number:03}"), "value", Ttl::Never).unwrap();
        }
        let mut keys = Vec::new();
        for_each(&cache, |key| {
            // The callback may use the cache.
            assert!(cache.delete(key));
            keys.push(String::from_utf8(key.to_vec()).unwrap());
        });
        keys.sort_unstable();
        assert_eq!(keys, (0..1000).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    }
}

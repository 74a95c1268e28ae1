//! Iterators over the keys and the items of a cache. No lock is held between two steps.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use super::Cache;
use super::item::CacheItem;
use super::scan::Scan;

/// Keys that are copied while a part of the cache is locked.
const STEP: usize = 64;

/// An iterator over the keys of a cache, made by [`Cache::keys`], or of a
/// [`Namespace`](super::namespace::Namespace).
pub struct Keys<'c> {
    cache: &'c Cache,
    /// Other keys are left out. The iterator returns keys without it.
    prefix: &'c [u8],
    scan: Scan,
    /// Whole keys.
    found: vec::IntoIter<Vec<u8>>,
}

/// An iterator over the keys and items of a cache, made by [`Cache::iter`], or of a
/// [`Namespace`](super::namespace::Namespace).
#[derive(Debug)]
pub struct Iter<'c> {
    keys: Keys<'c>,
}

impl Cache {
    /// Returns an iterator over the keys, in no order.
    ///
    /// It returns every key whose item exists for the whole iteration, and each key once. Items
    /// that are stored or removed during the iteration may be missed. Each step locks a part
    /// of the cache for a few items. Between steps no lock is held, so the loop may use the cache.
    ///
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, Ttl};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set("user:1", "Ada", Ttl::Never)?;
    /// cache.set("post:1", "Hello", Ttl::Never)?;
    /// for key in cache.keys().filter(|key| key.starts_with(b"post:")) {
    ///     cache.delete(&key);
    /// }
    /// assert_eq!(cache.keys().collect::<Vec<_>>(), [b"user:1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keys(&self) -> Keys<'_> {
        self.keys_under(&[])
    }

    /// Returns an iterator over the keys that begin with `prefix`, and leaves out the prefix.
    #[doc(hidden)]
    pub fn keys_under<'c>(&'c self, prefix: &'c [u8]) -> Keys<'c> {
        Keys { cache: self, prefix, scan: Scan::default(), found: Vec::new().into_iter() }
    }

    /// Returns an iterator over the keys and copies of their items, in no order. It returns the
    /// keys of [`Cache::keys`], and does not count as an access of the items.
    ///
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, Ttl};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set("user:1", "Ada", Ttl::Never)?;
    /// for (key, item) in cache.iter() {
    ///     assert_eq!((&key[..], &item.value[..]), (&b"user:1"[..], &b"Ada"[..]));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter::of(self.keys())
    }
}

impl<'c> IntoIterator for &'c Cache {
    type Item = (Vec<u8>, CacheItem);
    type IntoIter = Iter<'c>;

    fn into_iter(self) -> Iter<'c> {
        self.iter()
    }
}

impl Keys<'_> {
    /// Returns the next key with its prefix.
    fn next_whole(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(key) = self.found.next() {
                return Some(key);
            }
            if self.scan.is_done(self.cache) {
                return None;
            }
            let mut found = Vec::with_capacity(STEP);
            self.scan.advance(self.cache, STEP, |item, _| {
                if item.key().starts_with(self.prefix) {
                    found.push(item.key().to_vec());
                }
            });
            self.found = found.into_iter();
        }
    }

    fn without_prefix(&self, mut key: Vec<u8>) -> Vec<u8> {
        key.drain(..self.prefix.len());
        key
    }
}

impl Iterator for Keys<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let key = self.next_whole()?;
        Some(self.without_prefix(key))
    }
}

impl<'c> Iter<'c> {
    /// Returns an iterator over these keys and their items.
    pub(super) fn of(keys: Keys<'c>) -> Self {
        Self { keys }
    }
}

impl Iterator for Iter<'_> {
    type Item = (Vec<u8>, CacheItem);

    fn next(&mut self) -> Option<(Vec<u8>, CacheItem)> {
        loop {
            let key = self.keys.next_whole()?;
            if let Some(item) = self.keys.cache.peek_item(&key) {
                return Some((self.keys.without_prefix(key), item));
            }
        }
    }
}

impl FusedIterator for Keys<'_> {}
impl FusedIterator for Iter<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("cache", self.cache).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::cache::{Cache, Ttl};
    use crate::config::CacheConfig;

    fn cache_of(count: u32) -> Arc<Cache> {
        let cache = Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() }).unwrap();
        for n in 0..count {
            cache.set(format!("key{n}"), n.to_string(), Ttl::Never).unwrap();
        }
        cache
    }

    #[test]
    fn every_item_is_found_with_its_value() {
        let cache = cache_of(5000);
        let found: BTreeMap<_, _> = cache.iter().map(|(key, item)| (key, item.value)).collect();
        let stored = (0..5000).map(|n| (format!("key{n}").into_bytes(), n.to_string().into_bytes()));
        assert_eq!(found, stored.collect());
        assert_eq!(cache.keys().count(), 5000);
        // The iteration does not count as an access.
        assert!(cache.iter().all(|(_, item)| !item.info.fetched));
    }

    #[test]
    fn an_empty_cache_has_no_items() {
        let cache = cache_of(0);
        assert_eq!((cache.keys().next(), cache.iter().next()), (None, None));
        let mut keys = cache.keys();
        assert_eq!((keys.next(), keys.next()), (None, None));
    }

    #[test]
    fn expired_items_are_not_found() {
        let cache = cache_of(10);
        cache.set("short", "1", Duration::from_secs(5)).unwrap();
        cache.clock().advance(5).unwrap();
        assert_eq!(cache.keys().count(), 10);
    }

    #[test]
    fn each_key_is_shown_once() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        for number in 0..1000 {
            cache.set(format!("{number:03}"), "value", Ttl::Never).unwrap();
        }
        let mut keys = Vec::new();
        for key in cache.keys() {
            assert!(cache.delete(&key));
            keys.push(String::from_utf8(key).unwrap());
        }
        keys.sort_unstable();
        assert_eq!(keys, (0..1000).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    }

    #[test]
    fn the_loop_may_change_the_cache() {
        let cache = cache_of(2000);
        for key in cache.keys() {
            assert!(cache.delete(&key));
            cache.set("another", "1", Ttl::Never).unwrap();
        }
        assert!((0..2000).all(|n| cache.get(format!("key{n}")).is_none()));
        // An item that goes after its key was copied is left out.
        let cache = cache_of(2000);
        let mut items = cache.iter();
        let (first, _) = items.next().unwrap();
        cache.clear();
        cache.set("after", "1", Ttl::Never).unwrap();
        assert!(items.all(|(key, item)| key == b"after" && item.value == b"1" && key != first));
    }
}

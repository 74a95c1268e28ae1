//! A copy of an item: its value and its metadata.

use super::{Cache, ItemInfo, is_key};
use crate::store::{EntryRef, ReadConflict};

/// A copy of an item, as [`Cache::get_item`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheItem {
    /// The value.
    pub value: Vec<u8>,
    /// Client flags, CAS, TTL and other metadata.
    pub info: ItemInfo,
}

impl CacheItem {
    fn of(entry: &mut EntryRef<'_>) -> Result<Self, ReadConflict> {
        let info = ItemInfo::of(entry);
        let mut value = Vec::with_capacity(entry.len());
        entry.copy_to(&mut value)?;
        Ok(Self { value, info })
    }
}

impl Cache {
    /// Returns a copy of the item of `key`, or `None` if there is no such item.
    ///
    /// The metadata is as it was before this call, which counts as an access.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memcache_rs::{Cache, CacheConfig, StoreOptions};
    ///
    /// let cache = Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() })?;
    /// let options = StoreOptions { flags: 7, ttl: Duration::from_secs(60).into(), ..StoreOptions::default() };
    /// cache.set_with("user:1", "Ada", options)?;
    ///
    /// let item = cache.get_item("user:1").ok_or("not found")?;
    /// assert_eq!(item.value, b"Ada");
    /// assert_eq!((item.info.flags, item.info.ttl), (7, Some(60)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_item(&self, key: impl AsRef<[u8]>) -> Option<CacheItem> {
        let key = key.as_ref();
        if !is_key(key) {
            return None;
        }
        self.fetch_as_was(key, CacheItem::of)
    }

    /// Like [`Cache::get_item`], but does not count as an access.
    pub(super) fn peek_item(&self, key: &[u8]) -> Option<CacheItem> {
        self.inspect(key, 0, CacheItem::of)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::cache::{Cache, Ttl};
    use crate::config::CacheConfig;

    #[test]
    fn an_item_is_shown_as_it_was_before_the_read() {
        let cache = Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() }).unwrap();
        // Values in one piece, and in several.
        for length in [0, 3, 700_000] {
            cache.set("a", vec![b'x'; length], Ttl::Never).unwrap();
            cache.clock().advance(5).unwrap();
            let first = cache.get_item("a").unwrap();
            assert_eq!(first.value, vec![b'x'; length]);
            assert_eq!((first.info.length, first.info.idle, first.info.fetched), (length, 5, false));
            assert!(cache.get_item("a").unwrap().info.fetched);
        }
        assert_eq!(
            (cache.get_item("b"), cache.get_item(""), cache.get_item([b'k'; 251])),
            (None, None, None)
        );
    }

    #[test]
    fn a_peek_is_no_access() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        cache.set("a", "1", Ttl::Never).unwrap();
        assert_eq!(cache.peek_item(b"a").unwrap().value, b"1");
        assert!(!cache.peek_item(b"a").unwrap().info.fetched);
    }
}

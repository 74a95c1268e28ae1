//! The methods of `Cache` for a program in this process: keys and values in, values out.
//!
//! They are the short forms of the operations in `cache`, which also take client flags, a CAS and
//! the client's descriptor.

use super::{
    Cache, Deleted, DeltaOperation, ItemInfo, LONGEST, Mode, Request, StoreOperation, StoreReply, StoreValue,
    Stored, Ttl, is_key,
};
use crate::base::error::{DeltaError, StoreError};
use crate::store::{AccessBatch, EntryRef, LookupHint, ReadConflict};

/// Keys of a group of [`Cache::get_many`]. The lines of a group are prefetched together: the
/// processor resolves several addresses at a time if it has nothing to do in between.
const AHEAD: usize = 16;

impl Cache {
    /// Returns the second of the clock at which an item stored now expires.
    #[doc(hidden)]
    pub fn expires(&self, ttl: Ttl) -> u32 {
        match ttl {
            Ttl::Never => 0,
            Ttl::After(time) => {
                let whole = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
                let whole = u32::try_from(whole).unwrap_or(LONGEST).min(LONGEST);
                // 0 would be never.
                self.clock().now().saturating_add(whole).max(1)
            }
        }
    }

    /// Returns a copy of the value of `key`, or `None` if there is no such item.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.get_into(key, &mut value).then_some(value)
    }

    /// Appends the value of `key` to `to`. Returns `false` if there is no such item.
    pub fn get_into(&self, key: impl AsRef<[u8]>, to: &mut Vec<u8>) -> bool {
        let key = key.as_ref();
        is_key(key) && self.fetch(key, None, 0, |entry| entry.copy_to(to)).is_some()
    }

    /// Calls `found` with each value and the position of its key in `keys`, in that order. Keys
    /// without an item are left out.
    ///
    /// If most items are not in the processor's caches, one call takes a fraction of the time of
    /// separate gets. It waits for several items at once.
    ///
    /// `found` may run while a part of the cache is locked. It must be short, and it must not use
    /// the cache.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K], mut found: impl FnMut(usize, &[u8])) {
        let mut joined = Vec::new();
        self.fetch_many(keys, |index, entry| entry.show(&mut joined, |value| found(index, value)));
    }

    /// Like [`Cache::get_many`], but passes the whole entry. `found` may run twice for one key,
    /// after a read conflict.
    #[doc(hidden)]
    pub fn fetch_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut found: impl FnMut(usize, &mut EntryRef<'_>) -> Result<(), ReadConflict>,
    ) {
        self.sample_many(keys);
        let store = self.store();
        let mut uses = AccessBatch::default();
        // Three groups are under way: the index lines of the first are prefetched, then the items
        // of the second, whose index lines have arrived, and the third is read.
        let group = |number: usize| number * AHEAD..keys.len().min(number.saturating_add(1) * AHEAD);
        let mut hints = [[LookupHint::from(0); AHEAD]; 3];
        for number in 0..keys.len().div_ceil(AHEAD) + 2 {
            let asked = keys.get(group(number)).unwrap_or_default();
            let place = &mut hints[number % 3][..asked.len()];
            place.iter_mut().zip(asked).for_each(|(hint, key)| *hint = store.lookup_hint(key.as_ref()));
            place.iter().for_each(|hint| store.prefetch(hint));
            let Some(before) = number.checked_sub(1) else { continue };
            let place = &mut hints[before % 3][..group(before).len()];
            place.iter_mut().for_each(|hint| store.locate_hint(hint));
            place.iter().for_each(|hint| store.prefetch_item(hint));
            let Some(ready) = before.checked_sub(1) else { continue };
            for (index, &hint) in group(ready).zip(&hints[ready % 3]) {
                let Some(key) = keys.get(index).map(AsRef::as_ref).filter(|key| is_key(key)) else {
                    continue;
                };
                if uses.is_full() {
                    store.record_accesses(&mut uses);
                }
                self.fetch_at(key, hint, Some(&mut uses), None, 0, |entry| found(index, entry));
            }
        }
        store.record_accesses(&mut uses);
    }

    /// Returns the metadata of `key`, or `None` if there is no such item. Does not count as an
    /// access.
    pub fn info(&self, key: impl AsRef<[u8]>) -> Option<ItemInfo> {
        let key = key.as_ref();
        if !is_key(key) {
            return None;
        }
        self.inspect(key, 0, |entry| Ok(ItemInfo::of(entry)))
    }

    /// Stores `value` under `key`, in place of an item that is there.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<(), StoreError> {
        self.put(Mode::Set, key.as_ref(), value.as_ref(), ttl.into()).map(|_| ())
    }

    /// Stores `value` if there is no item under `key`. Returns `false` if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    pub fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<bool, StoreError> {
        self.put(Mode::Add, key.as_ref(), value.as_ref(), ttl.into())
    }

    /// Stores `value` if there is an item under `key`. Returns `false` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    pub fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<bool, StoreError> {
        self.put(Mode::Replace, key.as_ref(), value.as_ref(), ttl.into())
    }

    /// Appends `value` to the value under `key`. Returns `false` if there is no item, or no memory
    /// for the longer value.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    pub fn append(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        self.put(Mode::Append, key.as_ref(), value.as_ref(), Ttl::Never)
    }

    /// Prepends `value` to the value under `key`. Returns `false` if there is no item, or no memory
    /// for the longer value.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    pub fn prepend(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        self.put(Mode::Prepend, key.as_ref(), value.as_ref(), Ttl::Never)
    }

    fn put(&self, mode: Mode, key: &[u8], value: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        let operation = StoreOperation { mode, expiry: self.expires(ttl), ..StoreOperation::of(mode) };
        Ok(self.store_checked(key, value, operation)?.stored == Stored::Stored)
    }

    /// Stores a value under a key of any length, for this process.
    #[inline]
    pub(super) fn store_checked(
        &self,
        key: &[u8],
        value: &[u8],
        operation: StoreOperation,
    ) -> Result<StoreReply, StoreError> {
        if !is_key(key) {
            return Err(StoreError::BadKey);
        }
        Ok(self.store_value(&Request::new(key, operation), StoreValue::Bytes(value))?)
    }

    /// Removes the item under `key`. Returns `false` if there was none.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        is_key(key) && self.delete_for(key, 0, 0) == Deleted::Deleted
    }

    /// Removes all items: later gets find none. Frees the memory of up to 100,000 items at once; in
    /// a larger cache the crawler frees it later.
    pub fn clear(&self) {
        const LARGE: u64 = 100_000;
        self.flush(None);
        if self.store().totals().curr_items <= LARGE {
            self.crawl_now();
        }
    }

    /// Removes all items whose keys begin with `prefix`, in constant time: later gets find none.
    /// The crawler frees their memory. An empty prefix is that of all items.
    ///
    /// The cache remembers up to 4,096 prefixes until the crawler has seen all items, a few seconds
    /// in a large cache. One more flush then does the work of the crawler itself.
    ///
    /// # Examples
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, Ttl};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set("site1:page", "old", Ttl::Never)?;
    /// cache.set("site2:page", "other", Ttl::Never)?;
    /// cache.flush_prefix("site1:");
    /// assert_eq!(cache.get("site1:page"), None);
    /// assert_eq!(cache.get("site2:page").as_deref(), Some(&b"other"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush_prefix(&self, prefix: impl AsRef<[u8]>) {
        let prefix = prefix.as_ref();
        if prefix.is_empty() {
            return self.clear();
        }
        while !self.try_flush_prefix(prefix) {
            let begin = self.store().begin_crawl();
            self.crawl_now();
            self.store().end_crawl(begin);
        }
    }

    /// Like [`Cache::flush_prefix`], but returns `false` if it would have to do the work of the
    /// crawler.
    #[doc(hidden)]
    pub fn try_flush_prefix(&self, prefix: &[u8]) -> bool {
        /// Prefixes for which the crawler begins before its time.
        const MANY: usize = 1024;
        self.loads.mark_prefix(prefix);
        // No key begins with a longer prefix.
        let is_noted = !is_key(prefix) || self.store().flush_prefix(prefix);
        if self.store().flushed_prefixes() >= MANY {
            self.maintainer().crawl_soon();
        } else {
            self.maintainer().wake();
        }
        is_noted
    }

    /// Frees all dead items.
    fn crawl_now(&self) {
        const STEP: usize = 256;
        let store = self.store();
        for shard in 0..store.shard_count() {
            let mut below = Some(usize::MAX);
            while let Some(bucket) = below {
                below = store.crawl(shard, bucket, STEP, u64::MAX, |_| ());
            }
        }
    }

    /// Gives the item under `key` a new TTL. Returns `false` if there is no such item.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> bool {
        let key = key.as_ref();
        is_key(key) && self.touch_for(key, self.expires(ttl.into()), 0)
    }

    /// Adds `delta` to the decimal number under `key` and returns the result, which wraps at 2^64.
    ///
    /// # Errors
    /// There is no item, or its value is not a number.
    pub fn incr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<u64, DeltaError> {
        self.count(key.as_ref(), true, delta)
    }

    /// Subtracts `delta` from the decimal number under `key` and returns the result, at least 0.
    ///
    /// # Errors
    /// There is no item, or its value is not a number.
    pub fn decr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<u64, DeltaError> {
        self.count(key.as_ref(), false, delta)
    }

    fn count(&self, key: &[u8], increment: bool, delta: u64) -> Result<u64, DeltaError> {
        if !is_key(key) {
            return Err(DeltaError::NotFound);
        }
        self.add_delta(&Request::new(key, DeltaOperation::new(increment, delta))).map(|number| number.value)
    }
}

#[cfg(all(test, feature = "server"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::admin::each_stat;
    use crate::cache::scan::Scan;
    use crate::config::CacheConfig;
    use crate::state::ServerState;
    use std::sync::Arc;
    use std::time::Duration;

    fn cache() -> Arc<Cache> {
        let cache = Cache::new(CacheConfig::default()).unwrap_or_else(|e| unreachable!("{e}"));
        cache.clock().freeze();
        cache
    }

    #[test]
    fn clear_leaves_no_item() {
        let cache = cache();
        for n in 0..10_000_u32 {
            assert_eq!(cache.set(n.to_be_bytes(), [0; 100], Ttl::Never), Ok(()));
        }
        cache.clear();
        assert_eq!(cache.store().totals().curr_items, 0);
        assert_eq!(cache.get(5_u32.to_be_bytes()), None);
    }

    #[test]
    fn values_come_and_go() {
        let cache = cache();
        assert_eq!(cache.set(b"a", b"1", Ttl::Never), Ok(()));
        assert_eq!(cache.add(b"a", b"2", Ttl::Never), Ok(false));
        assert_eq!(cache.replace(b"b", b"2", Ttl::Never), Ok(false));
        assert_eq!(cache.append(b"a", b"2"), Ok(true));
        assert_eq!(cache.prepend(b"a", b"3"), Ok(true));
        assert_eq!(cache.get(b"a").as_deref(), Some(&b"312"[..]));
        assert_eq!(cache.incr(b"a", 8), Ok(320));
        assert_eq!(cache.decr(b"a", 1000), Ok(0));
        assert!(cache.delete(b"a"));
        assert!(!cache.delete(b"a"));
        assert_eq!(cache.get(b"a"), None);
        assert_eq!(cache.incr(b"a", 1), Err(DeltaError::NotFound));
    }

    #[test]
    fn many_are_found_in_order() {
        let cache = cache();
        // Small values, and those that are kept in pieces.
        let value = |n: usize| vec![n as u8; if n.is_multiple_of(7) { 300_000 } else { n }];
        let keys: Vec<String> = (0..100).map(|n| format!("key{n}")).collect();
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 3 > 0) {
            assert_eq!(cache.set(key.as_bytes(), value(n), Ttl::Never), Ok(()));
        }
        let mut seen = Vec::new();
        cache.get_many(&keys, |n, found| {
            assert_eq!(found, value(n));
            seen.push(n);
        });
        assert_eq!(seen, (0..100).filter(|n| n % 3 > 0).collect::<Vec<_>>());
        let long = [b'k'; 300];
        cache.get_many(&[&b""[..], &long], |_, _| unreachable!("these cannot be keys"));
        cache.get_many::<&[u8]>(&[], |_, _| unreachable!("nothing was asked for"));
    }

    /// Each counts as a use, however many there are and however often one is asked
    /// for.
    #[test]
    fn many_are_used() {
        let cache = cache();
        let keys: Vec<String> = (0..200).map(|n| format!("key{n}")).collect();
        for key in &keys {
            assert_eq!(cache.set(key.as_bytes(), b"1", Ttl::Never), Ok(()));
        }
        let (mut found, mut idle) = (0, 0);
        let twice: Vec<_> = keys.iter().chain(&keys).collect();
        cache.get_many(&twice, |_, _| found += 1);
        assert_eq!(found, 400);
        for key in &keys {
            assert!(cache.info(key.as_bytes()).is_some_and(|info| info.fetched));
        }
        // A further access is visible.
        cache.clock().advance(10).unwrap();
        cache.fetch_many(&keys, |_, entry| {
            idle += ItemInfo::of(entry).idle;
            Ok(())
        });
        assert_eq!(idle, 0);
        assert!(keys.iter().all(|key| cache.info(key.as_bytes()).is_some_and(|info| info.idle == 0)));
    }

    #[test]
    fn buffers_are_added_to() {
        let cache = cache();
        assert_eq!(cache.set(b"a", b"1", Ttl::Never), Ok(()));
        let mut to = b"0".to_vec();
        assert!(cache.get_into(b"a", &mut to) && cache.get_into(b"a", &mut to));
        assert!(!cache.get_into(b"b", &mut to));
        assert_eq!(to, b"011");
    }

    #[test]
    fn time_is_the_clocks() {
        let cache = cache();
        assert_eq!(cache.set(b"a", b"1", Duration::from_secs(10)), Ok(()));
        cache.clock().advance(9).unwrap();
        assert!(cache.get(b"a").is_some());
        assert!(cache.touch(b"a", Duration::from_millis(1500)));
        cache.clock().advance(1).unwrap();
        assert!(cache.get(b"a").is_some());
        cache.clock().advance(1).unwrap();
        assert!(cache.get(b"a").is_none());
        assert_eq!(cache.set(b"a", b"1", Duration::ZERO), Ok(()));
        assert!(cache.get(b"a").is_none());
    }

    #[test]
    fn items_are_described() {
        let cache = cache();
        let request = Request::new(
            b"a",
            StoreOperation {
                flags: 7,
                expiry: cache.expires(Duration::from_secs(9).into()),
                ..StoreOperation::default()
            },
        );
        assert!(cache.store_value(&request, StoreValue::Bytes(b"one")).is_ok());
        cache.clock().advance(2).unwrap();
        let info = cache.info(b"a").unwrap_or_else(|| unreachable!("it was stored"));
        assert_eq!((info.flags, info.ttl, info.idle, info.length), (7, Some(7), 2, 3));
        assert!(info.cas > 0 && !info.fetched && !info.stale);
        assert!(cache.get(b"a").is_some() && cache.info(b"a").is_some_and(|info| info.fetched));
        assert_eq!(cache.set(b"b", b"", Ttl::Never), Ok(()));
        assert!(cache.info(b"b").is_some_and(|info| info.ttl.is_none() && info.length == 0));
        assert_eq!((cache.info(b"c"), cache.info(b"")), (None, None));
    }

    #[test]
    fn a_walk_sees_every_item() {
        let cache = cache();
        for n in 0..2000 {
            assert_eq!(cache.set(format!("key{n}").as_bytes(), b"", Ttl::Never), Ok(()));
        }
        let (mut scan, mut keys, mut steps) = (Scan::default(), Vec::new(), 0);
        while scan.advance(&cache, 50, |item, _| keys.push(item.key().to_vec())) {
            steps += 1;
        }
        assert!(scan.is_done(&cache) && steps > 10);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 2000);
    }

    #[test]
    fn statistics_are_the_programs_too() {
        let cache = cache();
        assert_eq!(cache.set(b"a", b"1", Ttl::Never), Ok(()));
        let context = ServerState::of_cache(Arc::clone(&cache));
        for (group, name, expected) in
            [("", "curr_items", "1"), ("settings", "num_threads", "0"), ("items", "items:1:number", "1")]
        {
            let mut value = None;
            assert!(each_stat(&context, group, &mut |n, v| {
                if n == name {
                    value = Some(v.to_owned());
                }
            }));
            assert_eq!(value.as_deref(), Some(expected), "{name}");
        }
        assert!(!each_stat(&context, "nothing", &mut |_, _| unreachable!("there is no such group")));
    }

    #[test]
    fn what_cannot_be_says_so() {
        let cache = cache();
        assert_eq!(cache.set(b"", b"1", Ttl::Never), Err(StoreError::BadKey));
        assert_eq!(cache.set([b'k'; 251], b"1", Ttl::Never), Err(StoreError::BadKey));
        assert_eq!(cache.set(b"a", vec![0; 2 << 20], Ttl::Never), Err(StoreError::TooLarge));
        assert_eq!(cache.get([b'k'; 300]), None);
    }
}

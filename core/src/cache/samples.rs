//! Reports of a cache about its requests: hot keys, ages of evicted items, counts by prefix.

use super::prefix::PrefixCounts;
use super::{Access, Cache, HotKeys, is_key};
use crate::base::histogram::Histogram;

impl Cache {
    /// Returns the `most` keys with the most requests in the last 2 to 4 seconds, up to 512.
    ///
    /// The numbers are estimates from samples: one of [`CacheConfig::sample_rate`] requests is
    /// counted. Requests of clients of a server of this cache count, and those of this program. A
    /// key with n sampled requests has an error of about the square root of n.
    ///
    /// [`CacheConfig::sample_rate`]: crate::config::CacheConfig::sample_rate
    ///
    /// # Examples
    /// ```
    /// use memcache_rs::{Cache, CacheConfig};
    ///
    /// let cache = Cache::new(CacheConfig { sample_rate: 1, ..CacheConfig::default() })?;
    /// for n in 0..100 {
    ///     cache.get("page:home");
    ///     cache.get(format!("page:{n}"));
    /// }
    /// let hot = cache.hot_keys(1);
    /// assert_eq!(hot.keys[0].key, b"page:home");
    /// assert_eq!((hot.keys[0].reads, hot.keys[0].share), (100, 0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hot_keys(&self, most: usize) -> HotKeys {
        self.key_samples.top(self.clock.now(), most, self.sampler.rate())
    }

    /// Returns the ages of evicted items: the seconds since their last use, or since they were
    /// stored if they were never used. Counts every eviction since `stats reset`.
    ///
    /// Low ages mean that the cache evicts items that clients may still need.
    pub fn evicted_ages(&self) -> Histogram {
        self.store.totals().evicted_ages.histogram()
    }

    /// Returns the counts by key prefix, up to 65,536, in the order in which the prefixes appeared.
    ///
    /// Empty unless counting is on: [`CacheConfig::detail_enabled`], or the command `stats detail
    /// on`.
    ///
    /// [`CacheConfig::detail_enabled`]: crate::config::CacheConfig::detail_enabled
    pub fn prefix_counts(&self) -> Vec<PrefixCounts> {
        let mut all = Vec::new();
        self.prefixes.each(0, usize::MAX, |prefix, [gets, hits, sets, deletes]| {
            all.push(PrefixCounts { prefix: prefix.to_vec(), gets, hits, sets, deletes });
        });
        all
    }

    /// Counts a sampled request for `key`.
    #[cold]
    #[doc(hidden)]
    pub fn note_key(&self, key: &[u8], access: Access) {
        self.key_samples.note(self.clock.now(), key, self.store.hash(key) as u32, access);
    }

    /// Counts a request of this program, if it is sampled. A session samples the requests of its
    /// client, which is not 0.
    #[inline]
    pub(super) fn sample(&self, key: &[u8], access: Access, client: i32) {
        if client == 0 && self.sampler.is_due() {
            self.note_key(key, access);
        }
    }

    /// Counts the keys of a get of this program, if it is sampled.
    #[inline]
    pub(super) fn sample_many<K: AsRef<[u8]>>(&self, keys: &[K]) {
        if self.sampler.is_due() {
            let keys = keys.iter().map(AsRef::as_ref).filter(|key| is_key(key));
            keys.for_each(|key| self.note_key(key, Access::Read));
        }
    }
}

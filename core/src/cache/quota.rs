//! Quotas of prefixes, as methods of a cache and of a namespace.

use super::Cache;
use super::namespace::Namespace;
use crate::base::error::ConfigError;
use crate::store::Quota;

impl Cache {
    /// Limits the bytes of all items whose keys begin with `prefix`, as `stats` counts them. `None`
    /// removes the limit.
    ///
    /// A store that exceeds the limit evicts other items of the prefix, old ones first, and none of
    /// others. A single item that is larger gets [`StoreError::NoMemory`](crate::StoreError). So
    /// does a store that exceeds the limit of a cache that does not evict.
    ///
    /// A lower limit than before evicts at once. The prefixes of quotas must not overlap. A new
    /// quota examines all items of the cache, and locks one part after the other for that. So set
    /// quotas at the start, or by [`CacheConfig::quotas`](crate::CacheConfig::quotas).
    ///
    /// # Errors
    /// The prefix does not have 1 to 250 bytes, overlaps with that of another quota, or there are
    /// 1,024 quotas.
    ///
    /// # Examples
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, Ttl};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set_quota("site1:", Some(100_000))?;
    /// for n in 0..1000 {
    ///     cache.set(format!("site1:{n}"), [0; 1000], Ttl::Never)?;
    /// }
    /// let quota = &cache.quotas()[0];
    /// assert!(quota.bytes <= 100_000 && quota.evicted > 900);
    /// assert!(cache.get("site1:999").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_quota(&self, prefix: impl AsRef<[u8]>, limit: Option<u64>) -> Result<(), ConfigError> {
        self.store().set_quota(prefix.as_ref(), limit)
    }

    /// Returns the quotas and what they have used, sorted by prefix.
    pub fn quotas(&self) -> Vec<Quota> {
        self.store().quotas()
    }
}

impl Namespace {
    /// Calls [`Cache::set_quota`] with the prefix.
    ///
    /// # Errors
    /// Those of [`Cache::set_quota`].
    pub fn set_quota(&self, limit: Option<u64>) -> Result<(), ConfigError> {
        self.cache().set_quota(self.prefix(), limit)
    }

    /// Returns the quota of this prefix, if there is one.
    pub fn quota(&self) -> Option<Quota> {
        self.cache().quotas().into_iter().find(|quota| quota.prefix == self.prefix())
    }
}

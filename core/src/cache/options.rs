//! Stores with client flags, or with a CAS to compare: the options and the outcome.

use super::{Cache, Mode, StoreOperation, Stored, Ttl};
use crate::base::error::StoreError;

/// The options of [`Cache::set_with`]. The default is a set without flags that never expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// When to store.
    pub mode: StoreMode,
    /// How long the item lives.
    pub ttl: Ttl,
    /// Client flags: a number that is kept with the value. The cache does not interpret it.
    pub flags: u32,
}

/// The condition of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreMode {
    /// Store unconditionally.
    #[default]
    Set,
    /// Store if there is no item.
    Add,
    /// Store if there is an item.
    Replace,
    /// Store if there is an item with this CAS: it has not changed since [`Cache::get_item`] or
    /// [`Cache::info`] returned the CAS. No item has 0.
    Cas(u64),
}

/// The outcome of [`Cache::set_with`] and [`Cache::cas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOutcome {
    /// The value is stored.
    Stored {
        /// The CAS of the new item.
        cas: u64,
    },
    /// There is an item ([`StoreMode::Add`]), or there is none ([`StoreMode::Replace`]).
    NotStored,
    /// The item has another CAS, because it has changed.
    Exists,
    /// There is no item to compare with.
    NotFound,
}

impl StoreOutcome {
    /// Returns whether the value is stored.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

impl Cache {
    /// Stores `value` under `key` with client flags, a TTL and a condition.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    ///
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, StoreMode, StoreOptions, StoreOutcome};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// let options = StoreOptions { mode: StoreMode::Add, flags: 7, ..StoreOptions::default() };
    /// assert!(cache.set_with("lock", "me", options)?.is_stored());
    /// assert_eq!(cache.set_with("lock", "you", options)?, StoreOutcome::NotStored);
    /// assert_eq!(cache.info("lock").map(|info| info.flags), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: StoreOptions,
    ) -> Result<StoreOutcome, StoreError> {
        let (mode, compare) = match options.mode {
            StoreMode::Set => (Mode::Set, 0),
            StoreMode::Add => (Mode::Add, 0),
            StoreMode::Replace => (Mode::Replace, 0),
            StoreMode::Cas(cas) => (Mode::Cas, cas),
        };
        let (flags, expiry) = (options.flags, self.expires(options.ttl));
        let operation = StoreOperation { mode, flags, expiry, compare, ..StoreOperation::of(mode) };
        let reply = self.store_checked(key.as_ref(), value.as_ref(), operation)?;
        Ok(match reply.stored {
            Stored::Stored => StoreOutcome::Stored { cas: reply.cas },
            Stored::NotStored => StoreOutcome::NotStored,
            Stored::Exists => StoreOutcome::Exists,
            Stored::NotFound => StoreOutcome::NotFound,
        })
    }

    /// Stores `value` if the item under `key` has this CAS: it has not changed since
    /// [`Cache::get_item`] or [`Cache::info`] returned the CAS. Clears the client flags;
    /// [`Cache::set_with`] takes both.
    ///
    /// # Errors
    /// [`StoreError`] if the key is invalid, the item is too large, or there is no memory.
    ///
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, StoreOutcome, Ttl};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set("stock", "6", Ttl::Never)?;
    /// let item = cache.get_item("stock").ok_or("not found")?;
    /// assert!(cache.cas("stock", "5", item.info.cas, Ttl::Never)?.is_stored());
    /// // The item has changed since.
    /// assert_eq!(cache.cas("stock", "4", item.info.cas, Ttl::Never)?, StoreOutcome::Exists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cas(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        cas: u64,
        ttl: impl Into<Ttl>,
    ) -> Result<StoreOutcome, StoreError> {
        self.set_with(key, value, StoreOptions { mode: StoreMode::Cas(cas), ttl: ttl.into(), flags: 0 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{StoreMode, StoreOptions, StoreOutcome};
    use crate::base::error::StoreError;
    use crate::cache::{Cache, Ttl};
    use crate::config::CacheConfig;

    fn cache() -> Arc<Cache> {
        Cache::new(CacheConfig { clock_frozen: true, ..CacheConfig::default() }).unwrap()
    }

    fn with(mode: StoreMode) -> StoreOptions {
        StoreOptions { mode, ..StoreOptions::default() }
    }

    #[test]
    fn flags_and_ttl_are_kept() {
        let cache = cache();
        let ttl = Duration::from_secs(9).into();
        let options = StoreOptions { flags: u32::MAX, ttl, ..StoreOptions::default() };
        assert!(cache.set_with("a", "1", options).unwrap().is_stored());
        let info = cache.info("a").unwrap();
        assert_eq!((info.flags, info.ttl), (u32::MAX, Some(9)));
        cache.set_with("a", "1", StoreOptions::default()).unwrap();
        let info = cache.info("a").unwrap();
        assert_eq!((info.flags, info.ttl), (0, None));
    }

    #[test]
    fn each_mode_has_its_condition() {
        let cache = cache();
        let outcome = |mode| cache.set_with("a", "1", with(mode)).unwrap();
        assert_eq!(outcome(StoreMode::Replace), StoreOutcome::NotStored);
        assert_eq!(outcome(StoreMode::Cas(1)), StoreOutcome::NotFound);
        assert!(outcome(StoreMode::Add).is_stored());
        assert_eq!(outcome(StoreMode::Add), StoreOutcome::NotStored);
        assert!(outcome(StoreMode::Replace).is_stored() && outcome(StoreMode::Set).is_stored());
        assert_eq!(outcome(StoreMode::Cas(0)), StoreOutcome::Exists);
    }

    #[test]
    fn a_cas_is_good_for_one_store() {
        let cache = cache();
        let StoreOutcome::Stored { cas } = cache.set_with("a", "1", StoreOptions::default()).unwrap() else {
            panic!("not stored")
        };
        assert_eq!(cache.info("a").unwrap().cas, cas);
        let StoreOutcome::Stored { cas: newer } = cache.cas("a", "2", cas, Ttl::Never).unwrap() else {
            panic!("not stored")
        };
        assert_eq!(cache.cas("a", "3", cas, Ttl::Never), Ok(StoreOutcome::Exists));
        assert!(cache.cas("a", "4", newer, Ttl::Never).unwrap().is_stored());
        assert_eq!(cache.get("a").as_deref(), Some(&b"4"[..]));
        assert!(cache.delete("a"));
        assert_eq!(cache.cas("a", "5", newer, Ttl::Never), Ok(StoreOutcome::NotFound));
    }

    #[test]
    fn wrong_keys_and_large_values_are_refused() {
        let cache = cache();
        assert_eq!(cache.set_with("", "1", StoreOptions::default()), Err(StoreError::BadKey));
        assert_eq!(cache.cas([b'k'; 251], "1", 1, Ttl::Never), Err(StoreError::BadKey));
        assert_eq!(cache.cas("a", vec![0; 2 << 20], 1, Ttl::Never), Err(StoreError::TooLarge));
    }
}

//! A cache that several JavaScript threads share by its name.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use memcache_core::{Cache, CacheConfig};
use memcache_embed::settings::set_cache;
use memcache_embed::stats::CacheStats;
use napi::bindgen_prelude::retain_current_module_for_unload_safety;
use parking_lot::Mutex;

use crate::errors::{self, Failure};
use crate::settings::{Setting, convert, differs};
use crate::single_flight::SingleFlight;

/// A cache, with the state that its users share beside the items.
pub struct SharedCache {
    /// The cache.
    pub core: Arc<Cache>,
    /// Values that are being made.
    pub single_flight: Arc<SingleFlight>,
    /// The source of its statistics.
    pub stats: CacheStats,
    name: Option<String>,
}

/// The named caches that are in use.
static NAMED: Mutex<BTreeMap<String, Weak<SharedCache>>> = Mutex::new(BTreeMap::new());

impl SharedCache {
    /// Opens the cache of this name, or creates a new one.
    pub fn open(name: Option<String>, options: &CacheOptions) -> Result<Arc<Self>, Failure> {
        // A cache has a thread, which needs its code even after the last environment that loaded it
        // has ended.
        retain_current_module_for_unload_safety();
        let Some(name) = name else { return Self::create(None, options) };
        let mut named = NAMED.lock();
        if let Some(found) = named.get(&name).and_then(Weak::upgrade) {
            // This may be the last reference by now, and dropping that takes the lock.
            drop(named);
            return match options.conflict(found.core.config())? {
                None => Ok(found),
                Some(option) => Err(errors::bad_argument(format!(
                    "{option} must match the open cache {name:?}: leave it out, or use another name"
                ))),
            };
        }
        let created = Self::create(Some(name.clone()), options)?;
        named.insert(name, Arc::downgrade(&created));
        Ok(created)
    }

    fn create(name: Option<String>, options: &CacheOptions) -> Result<Arc<Self>, Failure> {
        let core = Cache::new(options.config()?).map_err(|e| errors::not_started(&e))?;
        Ok(Arc::new(Self { core, single_flight: Arc::default(), stats: CacheStats::default(), name }))
    }

    /// Returns whether other threads can open it.
    pub fn is_named(&self) -> bool {
        self.name.is_some()
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let mut named = NAMED.lock();
            // A new cache may have taken the name since.
            if named.get(name).is_some_and(|found| found.strong_count() == 0) {
                named.remove(name);
            }
        }
    }
}

/// A reference that does not keep the cache alive. JavaScript may forget an object that has one
/// without closing it. So the memory of a cache is freed when the cache is closed, not when such
/// objects are collected.
pub struct WeakCache(Weak<SharedCache>);

impl WeakCache {
    /// Refers to a cache.
    pub fn new(shared: &Arc<SharedCache>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Returns the cache, after its server has settled. Fails if the cache is closed.
    pub fn get(&self) -> Result<Arc<SharedCache>, Failure> {
        let shared = self.0.upgrade().ok_or_else(errors::cache_closed)?;
        shared.core.settle();
        Ok(shared)
    }
}

/// Settings of a cache, by name. The others have memcached's defaults.
#[derive(Default)]
pub struct CacheOptions(pub Vec<Setting>);

impl CacheOptions {
    /// Converts to the core's settings.
    pub fn config(&self) -> Result<CacheConfig, Failure> {
        let mut config = CacheConfig::default();
        set_cache(&mut config, convert(&self.0)).map_err(|e| errors::bad_setting(&e))?;
        Ok(config)
    }

    /// Returns the first given setting that differs in `open`.
    fn conflict(&self, open: &CacheConfig) -> Result<Option<&str>, Failure> {
        for setting in &self.0 {
            let mut wanted = open.clone();
            let setting_alone = convert(std::slice::from_ref(setting));
            set_cache(&mut wanted, setting_alone).map_err(|e| errors::bad_setting(&e))?;
            if differs(&wanted, open, setting) {
                return Ok(Some(&setting.name));
            }
        }
        Ok(None)
    }
}

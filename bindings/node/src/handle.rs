//! A hold on a cache: threads of JavaScript share one by its name.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use memcache_core::internal::context::ServerState;
use memcache_core::{Cache, CacheConfig};
use napi::bindgen_prelude::retain_current_module_for_unload_safety;
use parking_lot::Mutex;

use crate::errors::{self, Failure};
use crate::flight::Flights;

/// A cache with what its users share beside the items.
pub struct Shared {
    /// The cache.
    pub core: Arc<Cache>,
    /// Values that are being made.
    pub flights: Arc<Flights>,
    name: Option<String>,
    /// What statistics are asked of, once they were.
    context: OnceLock<Arc<ServerState>>,
}

/// The caches that have a name, for as long as somebody uses them.
static NAMED: Mutex<BTreeMap<String, Weak<Shared>>> = Mutex::new(BTreeMap::new());

impl Shared {
    /// The cache of this name, or a new one.
    pub fn open(name: Option<String>, wanted: &Wanted) -> Result<Arc<Self>, Failure> {
        // A cache has a thread, which must find its code after the last
        // environment that loaded it has ended.
        retain_current_module_for_unload_safety();
        let Some(name) = name else { return Self::make(None, wanted) };
        let mut named = NAMED.lock();
        if let Some(there) = named.get(&name).and_then(Weak::upgrade) {
            // This may be the last hold by now, which is not to be dropped while they
            // are locked.
            drop(named);
            return match wanted.differs(there.core.config()) {
                None => Ok(there),
                Some(what) => Err(errors::bad_argument(format!(
                    "the cache {name:?} is there already, with another {what}; leave it out, or take another name"
                ))),
            };
        }
        let made = Self::make(Some(name.clone()), wanted)?;
        named.insert(name, Arc::downgrade(&made));
        Ok(made)
    }

    fn make(name: Option<String>, wanted: &Wanted) -> Result<Arc<Self>, Failure> {
        let core = Cache::new(wanted.config()).map_err(|e| errors::not_started(&e))?;
        Ok(Arc::new(Self { core, flights: Arc::default(), name, context: OnceLock::new() }))
    }

    /// What statistics are asked of.
    pub fn context(&self) -> &Arc<ServerState> {
        self.context.get_or_init(|| Arc::new(ServerState::of_cache(Arc::clone(&self.core))))
    }

    /// Whether other threads may find it.
    pub fn is_named(&self) -> bool {
        self.name.is_some()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let mut named = NAMED.lock();
            // Another one may have taken the name since.
            if named.get(name).is_some_and(|there| there.strong_count() == 0) {
                named.remove(name);
            }
        }
    }
}

/// A cache that others hold. Objects that JavaScript forgets somewhere have this, so that the memory of a cache goes when it
/// is closed, and not when they are collected.
pub struct Seen(Weak<Shared>);

impl Seen {
    /// Of a cache that is there.
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The cache, if somebody still holds it, once what clients of its server have
    /// sent is carried out.
    pub fn get(&self) -> Result<Arc<Shared>, Failure> {
        let shared = self.0.upgrade().ok_or_else(errors::cache_closed)?;
        shared.core.settle();
        Ok(shared)
    }
}

/// Settings of a cache: what is not given is as in memcached.
#[derive(Default)]
pub struct Wanted {
    /// Bytes for items and what finds them.
    pub memory_limit: Option<usize>,
    /// Bytes of an item.
    pub item_size_max: Option<usize>,
    /// Whether items go to make room.
    pub evictions: Option<bool>,
}

impl Wanted {
    /// As the core has it.
    pub fn config(&self) -> CacheConfig {
        let mut config = CacheConfig::default();
        config.memory_limit = self.memory_limit.unwrap_or(config.memory_limit);
        config.evictions = self.evictions.unwrap_or(config.evictions);
        if let Some(size) = self.item_size_max.filter(|size| *size > 0) {
            // memcached's rule: whole chunks, whose size divides a page.
            let chunk = memcache_core::internal::config::PAGE_SIZE / 2;
            let chunk = if size < chunk { 1 << size.ilog2() } else { chunk };
            config.slab_chunk_max = chunk;
            config.item_size_max = size.saturating_add(chunk - 1) / chunk * chunk;
        }
        config
    }

    /// What of it is not as in `there`.
    fn differs(&self, there: &CacheConfig) -> Option<&'static str> {
        let here = self.config();
        if self.memory_limit.is_some() && here.memory_limit != there.memory_limit {
            Some("memoryLimit")
        } else if self.item_size_max.is_some() && here.item_size_max != there.item_size_max {
            Some("itemSizeMax")
        } else if self.evictions.is_some() && here.evictions != there.evictions {
            Some("evictions")
        } else {
            None
        }
    }
}

//! The program of a server: memcached's proxy with a configuration in Lua.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use memcache_core::ProxyConfig;
use memcache_core::internal::proxy::engine::Host;
use memcache_core::internal::proxy::program::{AnyEngine, Program, Seat, Statistics};

use crate::engine::LuaEngine;
use crate::load::load;
use crate::loaded::Sources;
use crate::reload::Reloads;

/// A proxy whose configuration is written in Lua.
pub struct LuaProxy {
    sources: Sources,
    reloads: Arc<Reloads>,
    /// Number of workers. Held during a reload.
    workers: Mutex<usize>,
    loads: AtomicU64,
    load_fails: AtomicU64,
}

impl fmt::Debug for LuaProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuaProxy").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl LuaProxy {
    /// Returns the proxy of a configuration, which is loaded when the server starts.
    pub fn new(sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            sources,
            reloads: Arc::default(),
            workers: Mutex::new(0),
            loads: AtomicU64::new(0),
            load_fails: AtomicU64::new(0),
        })
    }

    /// Returns the setting for a server with this proxy.
    pub fn config(self: &Arc<Self>) -> ProxyConfig {
        ProxyConfig::from(Arc::clone(self) as Arc<dyn Program>)
    }
}

impl Program for LuaProxy {
    fn start(&self, workers: usize) -> Result<(), String> {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
        self.loads.fetch_add(1, Relaxed);
        self.reloads.begin_with(load(&self.sources, workers, None)?);
        Ok(())
    }

    fn reload(&self) -> Result<(), String> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        self.loads.fetch_add(1, Relaxed);
        let before = self.reloads.current();
        let loaded = load(&self.sources, *workers, before.as_deref());
        let result = loaded.and_then(|loaded| self.reloads.reload(loaded));
        self.load_fails.fetch_add(u64::from(result.is_err()), Relaxed);
        result
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            reloads: self.loads.load(Relaxed),
            reload_fails: self.load_fails.load(Relaxed),
            ..Statistics::default()
        };
        if let Some(loaded) = self.reloads.current() {
            statistics.active_limit = loaded.active_limit();
            statistics.held_limit = loaded.memory_limit();
            statistics.user = loaded.counters.named().map(|(name, sum)| (name.to_owned(), sum)).collect();
            statistics.functions = loaded.functions.all();
        }
        statistics
    }

    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let engine = LuaEngine::new(seat.worker, Arc::clone(&self.reloads), host)?;
        self.reloads.join(seat.worker, seat.wake);
        Ok(AnyEngine::Other(Box::new(engine)))
    }
}

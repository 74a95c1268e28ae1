//! The program of a server: memcached's proxy with a configuration in Lua.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use memcache_core::ProxyConfig;
use memcache_core::internal::proxy::engine::Host;
use memcache_core::internal::proxy::program::{AnyEngine, Program, Seat};

use crate::engine::LuaEngine;
use crate::load::load;
use crate::loaded::Sources;
use crate::reload::Reloads;

/// A proxy whose configuration is written in Lua.
pub struct LuaProxy {
    sources: Sources,
    reloads: Arc<Reloads>,
    /// Held during a load.
    loads: Mutex<usize>,
}

impl fmt::Debug for LuaProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuaProxy").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl LuaProxy {
    /// Returns the proxy of a configuration, which is loaded when the server starts.
    pub fn new(sources: Sources) -> Arc<Self> {
        Arc::new(Self { sources, reloads: Arc::default(), loads: Mutex::new(0) })
    }

    /// Returns the setting for a server with this proxy.
    pub fn config(self: &Arc<Self>) -> ProxyConfig {
        ProxyConfig::from(Arc::clone(self) as Arc<dyn Program>)
    }
}

impl Program for LuaProxy {
    fn start(&self, workers: usize) -> Result<(), String> {
        let mut known = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        *known = workers;
        self.reloads.begin_with(load(&self.sources, workers)?);
        Ok(())
    }

    fn reload(&self) -> Result<(), String> {
        let workers = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        self.reloads.reload(load(&self.sources, *workers)?)
    }

    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let engine = LuaEngine::new(seat.worker, Arc::clone(&self.reloads), host)?;
        self.reloads.join(seat.worker, seat.wake);
        Ok(AnyEngine::Other(Box::new(engine)))
    }
}

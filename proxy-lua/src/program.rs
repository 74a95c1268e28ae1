//! The program of a server: memcached's proxy with a configuration in Lua.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use memcache_core::ProxyConfig;
use memcache_core::internal::proxy::engine::Host;
use memcache_core::internal::proxy::links::Links;
use memcache_core::internal::proxy::program::{AnyEngine, Program, Seat, ServerView, Statistics};

use crate::configurator::{self, Configurator, Runs};
use crate::engine::LuaEngine;
use crate::loaded::Sources;
use crate::reload::Reloads;

/// A proxy whose configuration is written in Lua.
pub struct LuaProxy {
    sources: Sources,
    reloads: Arc<Reloads>,
    runs: Arc<Runs>,
    configurator: OnceLock<Configurator>,
    /// Whether a reload has failed in a way that ends memcached.
    is_broken: AtomicBool,
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
            runs: Arc::default(),
            configurator: OnceLock::new(),
            is_broken: AtomicBool::new(false),
        })
    }

    /// Returns the setting for a server with this proxy.
    pub fn config(self: &Arc<Self>) -> ProxyConfig {
        ProxyConfig::from(Arc::clone(self) as Arc<dyn Program>)
    }

    fn configurator(&self) -> Result<&Configurator, String> {
        self.configurator.get().ok_or_else(|| "the proxy has not been started".into())
    }
}

impl Program for LuaProxy {
    fn name(&self) -> String {
        self.sources.files.join(":")
    }

    fn check(&self, workers: usize, links: &mut Links) -> Result<(), String> {
        configurator::check(&self.sources, workers, links).map_err(|fault| fault.line)
    }

    fn start(&self, workers: usize, server: Arc<dyn ServerView>) -> Result<(), String> {
        let (reloads, runs) = (Arc::clone(&self.reloads), Arc::clone(&self.runs));
        let started = Configurator::start(self.sources.clone(), workers, reloads, runs, server);
        let started = started.map_err(|e| format!("failed to start the thread of the configuration: {e}"))?;
        self.configurator.set(started).map_err(|_| "a proxy can be started once only".to_owned())?;
        self.configurator()?.load().map_err(|fault| fault.line)
    }

    fn reload(&self) -> Result<(), String> {
        self.configurator()?.reload().map_err(|fault| {
            self.is_broken.fetch_or(fault.is_fatal, Relaxed);
            fault.line
        })
    }

    fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let engine = LuaEngine::new(seat, Arc::clone(&self.reloads), host)?;
        Ok(AnyEngine::Other(Box::new(engine)))
    }

    fn statistics(&self) -> Statistics {
        let Runs { loads, load_fails, crons, cron_fails } = &*self.runs;
        let mut statistics = Statistics {
            reloads: loads.load(Relaxed),
            reload_fails: load_fails.load(Relaxed),
            cron_runs: crons.load(Relaxed),
            cron_fails: cron_fails.load(Relaxed),
            ..Statistics::default()
        };
        if let Some(loaded) = self.reloads.current() {
            statistics.active_limit = loaded.active_limit();
            statistics.held_limit = loaded.memory_limit();
            statistics.user = loaded.counters.named().map(|(name, sum)| (name.to_owned(), sum)).collect();
            statistics.functions = self.reloads.functions().all();
        }
        statistics
    }
}

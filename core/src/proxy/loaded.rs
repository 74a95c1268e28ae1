//! A configuration as the workers of a server share it. Each worker takes over the next one when it
//! sees another version.

use std::sync::Arc;

use super::backend::Backend;
use super::links::Place;
use super::pool::Pool;
use super::route::Routes;
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};

/// Pools and routes as workers use them.
#[derive(Debug)]
pub struct Loaded {
    /// Pools and routes.
    pub routes: Arc<Routes>,
    /// For each pool and backend, the places of its connections.
    pub places: Vec<Vec<Vec<Arc<Place>>>>,
}

impl Loaded {
    /// Returns routes with their places.
    pub fn new(routes: Routes) -> Self {
        let place = |pool: &Pool, backend: &Backend| {
            if backend.is_down { Vec::new() } else { pool.place(backend).of_worker() }
        };
        let of_pool = |pool: &Pool| pool.backends.iter().map(|backend| place(pool, backend)).collect();
        let places = routes.pools.iter().map(of_pool).collect();
        Self { places, routes: Arc::new(routes) }
    }
}

/// The configuration that workers share.
#[derive(Debug)]
pub struct Shared {
    /// Rises when another configuration is there.
    version: AtomicU64,
    loaded: Mutex<Arc<Loaded>>,
}

impl Shared {
    /// Returns what workers share.
    pub fn new(loaded: Loaded) -> Self {
        Self { version: AtomicU64::new(0), loaded: Mutex::new(Arc::new(loaded)) }
    }

    /// Returns a number that rises when another configuration is there.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns the configuration, and its version.
    pub fn get(&self) -> (u64, Arc<Loaded>) {
        let loaded = self.loaded.lock();
        (self.version(), Arc::clone(&loaded))
    }

    /// Replaces the configuration.
    pub fn set(&self, new: Loaded) {
        let mut loaded = self.loaded.lock();
        *loaded = Arc::new(new);
        self.version.fetch_add(1, Ordering::Release);
    }
}

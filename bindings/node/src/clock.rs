//! The clock of a cache, which tests stop and move.

use std::sync::Arc;

use memcache_embed::{time, ttl};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::shared_cache::{SharedCache, WeakCache};

/// The clock of a cache, in whole seconds.
#[napi]
pub struct Clock(WeakCache);

impl Clock {
    pub fn new(cache: &Arc<SharedCache>) -> Self {
        Self(WeakCache::new(cache))
    }
}

#[napi]
impl Clock {
    /// Stops time.
    #[napi(catch_unwind)]
    pub fn freeze(&self) -> Result<(), Failure> {
        self.0.get()?.core.clock().freeze();
        Ok(())
    }

    /// Lets time run again from where it stands. Does nothing if the cache is closed.
    #[napi(catch_unwind)]
    pub fn resume(&self) {
        if let Ok(shared) = self.0.get() {
            shared.core.clock().resume();
        }
    }

    /// Sets the clock to the system's time and lets it run. JavaScript cannot do that: test runners
    /// replace its `Date`.
    #[napi(catch_unwind)]
    pub fn reset(&self) -> Result<(), Failure> {
        self.0.get()?.core.clock().reset();
        Ok(())
    }

    /// Moves time by seconds, backwards if negative.
    #[napi(catch_unwind)]
    pub fn advance(&self, seconds: f64) -> Result<(), Failure> {
        let by = time::whole_seconds(seconds).map_err(|error| errors::bad_argument(error.to_string()))?;
        let moved = self.0.get()?.core.clock().advance(by);
        moved.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Returns the time as a Unix time.
    #[napi(catch_unwind)]
    pub fn time(&self) -> Result<f64, Failure> {
        Ok(ttl::unix_time(&self.0.get()?.core) as f64)
    }
}

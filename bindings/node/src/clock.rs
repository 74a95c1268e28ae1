//! The clock of a cache, which tests stop and move.

use std::sync::Arc;

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
        if seconds.fract() != 0.0 || seconds.abs() >= f64::from(u32::MAX) {
            return Err(errors::bad_argument(format!(
                "seconds must be an integer between -4294967295 and 4294967295, got {seconds}"
            )));
        }
        let moved = self.0.get()?.core.clock().advance(seconds as i64);
        moved.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Returns the time as a Unix time.
    #[napi(catch_unwind)]
    pub fn time(&self) -> Result<f64, Failure> {
        let shared = self.0.get()?;
        let clock = shared.core.clock();
        Ok((clock.origin() + i64::from(clock.now())) as f64)
    }
}

//! The clock of a cache, which tests stop and move.

use std::sync::Arc;

use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::handle::{Seen, Shared};

/// The clock of a cache: whole seconds.
#[napi]
pub struct Clock(Seen);

impl Clock {
    pub fn new(of: &Arc<Shared>) -> Self {
        Self(Seen::new(of))
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

    /// Lets time run again from where it stands. That of a cache that is closed
    /// runs already.
    #[napi(catch_unwind)]
    pub fn resume(&self) {
        if let Ok(shared) = self.0.get() {
            shared.core.clock().resume();
        }
    }

    /// Sets time to what it is for the system, and lets it run. JavaScript does not
    /// know that time for sure: test runners replace its `Date`.
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
                "the clock counts whole seconds and cannot be moved by {seconds}; give a whole number"
            )));
        }
        let moved = self.0.get()?.core.clock().advance(seconds as i64);
        moved.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Now, as a Unix time.
    #[napi(catch_unwind)]
    pub fn time(&self) -> Result<f64, Failure> {
        let shared = self.0.get()?;
        let clock = shared.core.clock();
        Ok((clock.origin() + i64::from(clock.now())) as f64)
    }
}

//! The clock of a cache, which tests stop and move.

use std::sync::Arc;

use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::handle::Shared;

/// The clock of a cache: whole seconds.
#[napi]
pub struct Clock(Arc<Shared>);

impl Clock {
    pub fn new(of: Arc<Shared>) -> Self {
        Self(of)
    }
}

#[napi]
impl Clock {
    /// Stops time.
    #[napi(catch_unwind)]
    pub fn freeze(&self) {
        self.0.core.clock().freeze();
    }

    /// Lets time run again from where it stands.
    #[napi(catch_unwind)]
    pub fn resume(&self) {
        self.0.core.clock().resume();
    }

    /// Moves time by seconds, backwards if negative.
    #[napi(catch_unwind)]
    pub fn advance(&self, seconds: f64) -> Result<(), Failure> {
        if seconds.fract() != 0.0 || seconds.abs() >= f64::from(u32::MAX) {
            return Err(errors::bad_argument(format!(
                "the clock counts whole seconds and cannot be moved by {seconds}; give a whole number"
            )));
        }
        self.0.core.clock().advance(seconds as i64);
        Ok(())
    }

    /// Now, as a Unix time.
    #[napi(catch_unwind)]
    pub fn time(&self) -> f64 {
        let hands = self.0.core.clock();
        (hands.origin() + i64::from(hands.now())) as f64
    }
}

//! Injected faults.

use std::sync::Arc;
use std::time::Duration;

use memcache_core::{Fault, FaultRule as Rule, FaultRuleId};
use napi::bindgen_prelude::{BufferSlice, Either};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::shared_cache::{SharedCache, WeakCache};

/// When a fault applies. All given conditions must hold.
#[napi(object, object_to_js = false)]
pub struct FaultConditions<'a> {
    pub command: Option<String>,
    pub key: Option<Either<String, BufferSlice<'a>>>,
    pub times: Option<f64>,
    pub probability: Option<f64>,
}

/// The faults of a server.
#[napi]
pub struct Faults(WeakCache);

impl Faults {
    pub fn new(cache: &Arc<SharedCache>) -> Self {
        Self(WeakCache::new(cache))
    }

    fn add(&self, fault: Fault, when: FaultConditions<'_>) -> Result<FaultRule, Failure> {
        let probability = when.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(errors::bad_argument(format!("probability must be from 0 to 1, got {probability}")));
        }
        let times = match when.times {
            None => None,
            Some(times) if times.fract() == 0.0 && times >= 0.0 => Some(times as u64),
            Some(times) => {
                return Err(errors::bad_argument(format!("times must be an integer from 0, got {times}")));
            }
        };
        let key = when.key.map(|key| match key {
            Either::A(text) => text.into_bytes(),
            Either::B(bytes) => bytes.to_vec(),
        });
        let shared = self.0.get()?;
        let id = shared.core.faults().add(Rule { fault, command: when.command, key, times, probability });
        Ok(FaultRule { cache: WeakCache::new(&shared), id, removed: false, applied: 0 })
    }
}

#[napi]
impl Faults {
    /// Delays commands by seconds.
    #[napi(catch_unwind)]
    pub fn delay(&self, seconds: f64, when: FaultConditions) -> Result<FaultRule, Failure> {
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|_| errors::bad_argument(format!("seconds must be at least 0, got {seconds}")))?;
        self.add(Fault::Delay(time), when)
    }

    /// Closes the connection instead of running a command.
    #[napi(catch_unwind)]
    pub fn drop(&self, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(Fault::Drop, when)
    }

    /// Answers commands with `SERVER_ERROR` and this text, and does not run them.
    #[napi(catch_unwind)]
    pub fn error(&self, message: String, when: FaultConditions) -> Result<FaultRule, Failure> {
        if message.contains(['\r', '\n']) {
            return Err(errors::bad_argument(format!("message must be one line, got {message:?}")));
        }
        self.add(Fault::Error(message), when)
    }

    /// Makes reads find nothing.
    #[napi(catch_unwind)]
    pub fn miss(&self, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(Fault::Miss, when)
    }

    /// Ends a reply after this many bytes, and closes the connection.
    #[napi(catch_unwind)]
    pub fn truncate(&self, after: f64, when: FaultConditions) -> Result<FaultRule, Failure> {
        if after.fract() != 0.0 || !(0.0..f64::from(u32::MAX)).contains(&after) {
            return Err(errors::bad_argument(format!(
                "after must be an integer from 0 to 4294967294, got {after}"
            )));
        }
        self.add(Fault::Truncate(after as usize), when)
    }

    /// Removes all faults.
    #[napi(catch_unwind)]
    pub fn clear(&self) -> Result<(), Failure> {
        self.0.get()?.core.faults().clear();
        Ok(())
    }
}

/// An injected fault.
#[napi]
pub struct FaultRule {
    cache: WeakCache,
    id: FaultRuleId,
    removed: bool,
    applied: u64,
}

#[napi]
impl FaultRule {
    /// Removes the fault. Returns how often it applied, or 0 if its server has stopped.
    #[napi(catch_unwind)]
    pub fn remove(&mut self) -> f64 {
        if !self.removed {
            self.removed = true;
            let applied = self.cache.get().ok().and_then(|shared| shared.core.faults().remove(self.id));
            self.applied = applied.unwrap_or(self.applied);
        }
        self.applied as f64
    }
}

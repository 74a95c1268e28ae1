//! Injected faults.

use std::sync::Arc;

use memcache_core::Fault;
use memcache_embed::faults::{self, Conditions, FaultError, InjectedFault};
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
        let FaultConditions { command, key, times, probability } = when;
        let times = match times {
            None => None,
            Some(times) if times.fract() == 0.0 && times >= 0.0 => Some(times as u64),
            Some(times) => {
                return Err(errors::bad_argument(format!("times must be an integer from 0, got {times}")));
            }
        };
        let key = key.map(|key| match key {
            Either::A(text) => text.into_bytes(),
            Either::B(bytes) => bytes.to_vec(),
        });
        let (shared, when) = (self.0.get()?, Conditions { command, key, times, probability });
        let fault = faults::inject(&shared.core, fault, when).map_err(refused)?;
        Ok(FaultRule { cache: WeakCache::new(&shared), fault })
    }
}

fn refused(error: FaultError) -> Failure {
    errors::bad_argument(error.to_string())
}

#[napi]
impl Faults {
    /// Delays commands by seconds.
    #[napi(catch_unwind)]
    pub fn delay(&self, seconds: f64, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(faults::delay(seconds).map_err(refused)?, when)
    }

    /// Runs commands, and delays their replies by seconds.
    #[napi(catch_unwind)]
    pub fn delay_reply(&self, seconds: f64, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(faults::delay_reply(seconds).map_err(refused)?, when)
    }

    /// Closes the connection instead of running a command.
    #[napi(catch_unwind)]
    pub fn drop(&self, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(Fault::Drop, when)
    }

    /// Answers commands with `SERVER_ERROR` and this text, and does not run them.
    #[napi(catch_unwind)]
    pub fn error(&self, message: String, when: FaultConditions) -> Result<FaultRule, Failure> {
        self.add(faults::error(&message).map_err(refused)?, when)
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
    fault: InjectedFault,
}

#[napi]
impl FaultRule {
    /// Removes the fault. Returns how often it applied, or 0 if its server has stopped.
    #[napi(catch_unwind)]
    pub fn remove(&self) -> f64 {
        let shared = self.cache.get().ok();
        self.fault.remove(shared.as_ref().map(|shared| &*shared.core)) as f64
    }
}

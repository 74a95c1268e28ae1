//! Injected faults.

use std::sync::Arc;
use std::time::Duration;

use memcache_core::{Fault, FaultRule as Rule, FaultRuleId};
use napi::bindgen_prelude::{BufferSlice, Either};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::handle::{Seen, Shared};

/// When something goes wrong.
#[napi(object, object_to_js = false)]
pub struct When<'a> {
    pub command: Option<String>,
    pub key: Option<Either<String, BufferSlice<'a>>>,
    pub times: Option<f64>,
    pub probability: Option<f64>,
}

/// The faults of a server.
#[napi]
pub struct Faults(Seen);

impl Faults {
    pub fn new(of: &Arc<Shared>) -> Self {
        Self(Seen::new(of))
    }

    fn add(&self, fault: Fault, when: When<'_>) -> Result<FaultRule, Failure> {
        let probability = when.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(errors::bad_argument(format!("a probability is from 0 to 1, not {probability}")));
        }
        let times = match when.times {
            None => None,
            Some(times) if times.fract() == 0.0 && times >= 0.0 => Some(times as u64),
            Some(times) => return Err(errors::bad_argument(format!("times is a whole number, not {times}"))),
        };
        let key = when.key.map(|key| match key {
            Either::A(text) => text.into_bytes(),
            Either::B(bytes) => bytes.to_vec(),
        });
        let of = self.0.get()?;
        let id = of.core.faults().add(Rule { fault, command: when.command, key, times, probability });
        Ok(FaultRule { of: Seen::new(&of), id, gone: false, applied: 0 })
    }
}

#[napi]
impl Faults {
    /// Commands wait so many seconds first.
    #[napi(catch_unwind)]
    pub fn delay(&self, seconds: f64, when: When) -> Result<FaultRule, Failure> {
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|_| errors::bad_argument(format!("a delay is seconds from 0 on, not {seconds}")))?;
        self.add(Fault::Delay(time), when)
    }

    /// The connection is closed instead.
    #[napi(catch_unwind)]
    pub fn drop(&self, when: When) -> Result<FaultRule, Failure> {
        self.add(Fault::Drop, when)
    }

    /// Commands answer `SERVER_ERROR` with this text and do nothing.
    #[napi(catch_unwind)]
    pub fn error(&self, message: String, when: When) -> Result<FaultRule, Failure> {
        if message.contains(['\r', '\n']) {
            return Err(errors::bad_argument("the text of an error is one line"));
        }
        self.add(Fault::Error(message), when)
    }

    /// Reads find nothing.
    #[napi(catch_unwind)]
    pub fn miss(&self, when: When) -> Result<FaultRule, Failure> {
        self.add(Fault::Miss, when)
    }

    /// Replies end after so many bytes, and the connection with them.
    #[napi(catch_unwind)]
    pub fn truncate(&self, after: f64, when: When) -> Result<FaultRule, Failure> {
        if after.fract() != 0.0 || !(0.0..f64::from(u32::MAX)).contains(&after) {
            return Err(errors::bad_argument(format!("a reply has a whole number of bytes, not {after}")));
        }
        self.add(Fault::Truncate(after as usize), when)
    }

    /// Takes all faults away.
    #[napi(catch_unwind)]
    pub fn clear(&self) -> Result<(), Failure> {
        self.0.get()?.core.faults().clear();
        Ok(())
    }
}

/// A fault that is injected until it is removed.
#[napi]
pub struct FaultRule {
    of: Seen,
    id: FaultRuleId,
    gone: bool,
    applied: u64,
}

#[napi]
impl FaultRule {
    /// Takes the fault away. Gives how often it was met, as far as is known once
    /// its server is gone.
    #[napi(catch_unwind)]
    pub fn remove(&mut self) -> f64 {
        if !self.gone {
            self.gone = true;
            let applied = self.of.get().ok().and_then(|of| of.core.faults().remove(self.id));
            self.applied = applied.unwrap_or(self.applied);
        }
        self.applied as f64
    }
}

//! Faults that a server injects for its clients, with their conditions checked.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use memcache_core::{Cache, Fault, FaultRule, FaultRuleId};

/// A fault that cannot be injected.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FaultError {
    /// The delay is not a time.
    Delay(f64),
    /// The text of an error has a line break.
    Message(String),
    /// The probability is not from 0 to 1.
    Probability(f64),
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(seconds) => write!(f, "seconds must be from 0 to 2**64, got {seconds}"),
            Self::Message(text) => write!(f, "message must be one line, got {text:?}"),
            Self::Probability(number) => write!(f, "probability must be from 0 to 1, got {number}"),
        }
    }
}

impl Error for FaultError {}

/// When a fault applies. All given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Name of the command on the wire.
    pub command: Option<String>,
    /// Pattern for keys, in which `*` stands for any bytes.
    pub key: Option<Vec<u8>>,
    /// Number of times it applies at most.
    pub times: Option<u64>,
    /// Probability; `None` is 1.
    pub probability: Option<f64>,
}

/// Returns a fault that delays commands.
///
/// # Errors
/// `seconds` is negative, not a number, or 2^64 or more.
pub fn delay(seconds: f64) -> Result<Fault, FaultError> {
    time(seconds).map(Fault::Delay)
}

/// Returns a fault that runs commands and delays their replies.
///
/// # Errors
/// `seconds` is negative, not a number, or 2^64 or more.
pub fn delay_reply(seconds: f64) -> Result<Fault, FaultError> {
    time(seconds).map(Fault::DelayReply)
}

fn time(seconds: f64) -> Result<Duration, FaultError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| FaultError::Delay(seconds))
}

/// Returns a fault that answers commands with `SERVER_ERROR` and a text.
///
/// # Errors
/// `message` has a line break.
pub fn error(message: &str) -> Result<Fault, FaultError> {
    if message.contains(['\r', '\n']) {
        return Err(FaultError::Message(message.to_owned()));
    }
    Ok(Fault::Error(message.to_owned()))
}

/// Lets clients of the cache's servers meet a fault.
///
/// # Errors
/// The probability is not from 0 to 1.
pub fn inject(cache: &Cache, fault: Fault, when: Conditions) -> Result<InjectedFault, FaultError> {
    let probability = when.probability.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&probability) {
        return Err(FaultError::Probability(probability));
    }
    let Conditions { command, key, times, .. } = when;
    let id = cache.faults().add(FaultRule { fault, command, key, times, probability });
    Ok(InjectedFault { id, removed: AtomicBool::new(false), applied: AtomicU64::new(0) })
}

/// A fault that clients meet until it is removed.
#[derive(Debug)]
pub struct InjectedFault {
    id: FaultRuleId,
    removed: AtomicBool,
    /// How often it applied, once it is removed.
    applied: AtomicU64,
}

impl InjectedFault {
    /// Returns its number, for a face that keeps numbers.
    pub fn id(&self) -> FaultRuleId {
        self.id
    }

    /// Removes the fault, and returns how often it applied. A second call removes nothing. Pass the
    /// cache of [`inject`], or `None` if it is gone.
    pub fn remove(&self, cache: Option<&Cache>) -> u64 {
        if !self.removed.swap(true, Relaxed)
            && let Some(applied) = cache.and_then(|cache| cache.faults().remove(self.id))
        {
            self.applied.store(applied, Relaxed);
        }
        self.applied.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use memcache_core::CacheConfig;

    use super::*;

    #[test]
    fn conditions_out_of_range_are_refused() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let when = |probability| Conditions { probability: Some(probability), ..Conditions::default() };
        for probability in [-0.1, 1.1, f64::NAN] {
            let refused = inject(&cache, Fault::Drop, when(probability)).unwrap_err();
            assert!(refused.to_string().starts_with("probability must be from 0 to 1"), "{refused}");
        }
        assert!(!cache.faults().armed());
        assert_eq!(error("two\r\nlines"), Err(FaultError::Message("two\r\nlines".into())));
        assert_eq!(delay(-1.0), Err(FaultError::Delay(-1.0)));
        assert_eq!(delay_reply(f64::INFINITY), Err(FaultError::Delay(f64::INFINITY)));
        let half = Duration::from_millis(500);
        assert_eq!((delay(0.5), delay_reply(0.5)), (Ok(Fault::Delay(half)), Ok(Fault::DelayReply(half))));
    }

    #[test]
    fn a_fault_is_removed_once() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let fault = inject(&cache, Fault::Miss, Conditions::default()).unwrap();
        assert!(cache.faults().armed());
        assert_eq!((fault.remove(Some(&cache)), fault.remove(Some(&cache)), fault.remove(None)), (0, 0, 0));
        assert!(!cache.faults().armed());
    }
}

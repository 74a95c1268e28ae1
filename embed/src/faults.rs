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
    /// There is no such kind of faults.
    Kind(String),
    /// The text of an error has a line break.
    Message(String),
    /// A kind of faults needs a parameter that is not there.
    Missing {
        /// The kind.
        kind: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// A kind of faults does not take a parameter.
    Needless {
        /// The kind.
        kind: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// The probability is not from 0 to 1.
    Probability(f64),
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(seconds) => write!(f, "seconds must be from 0 to 2**64, got {seconds}"),
            Self::Kind(name) => write!(f, "kind must be one of {}, got {name:?}", KINDS.join(", ")),
            Self::Missing { kind, parameter } => write!(f, "a fault of kind {kind} needs {parameter}"),
            Self::Needless { kind, parameter } => write!(f, "a fault of kind {kind} takes no {parameter}"),
            Self::Message(text) => write!(f, "message must be one line, got {text:?}"),
            Self::Probability(number) => write!(f, "probability must be from 0 to 1, got {number}"),
        }
    }
}

impl Error for FaultError {}

/// The kinds of faults, by their names in data.
pub const KINDS: [&str; 6] = ["delay", "delay_reply", "drop", "error", "miss", "truncate"];

/// The parameter of a fault, in data. Each kind takes at most one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// The time of `delay` and `delay_reply`.
    pub seconds: Option<f64>,
    /// The text of `error`; `None` is `injected`.
    pub message: Option<String>,
    /// The bytes of a reply that `truncate` lets pass.
    pub after: Option<usize>,
}

impl Parameters {
    /// Returns an error if there is a parameter that `kind` does not take.
    fn only(&self, kind: &'static str, taken: &str) -> Result<(), FaultError> {
        let given = [
            ("seconds", self.seconds.is_some()),
            ("message", self.message.is_some()),
            ("after", self.after.is_some()),
        ];
        match given.into_iter().find(|(parameter, is_given)| *is_given && *parameter != taken) {
            Some((parameter, _)) => Err(FaultError::Needless { kind, parameter }),
            None => Ok(()),
        }
    }
}

/// Returns the fault that data describes.
///
/// # Errors
/// There is no such kind, or its parameter is missing or wrong, or it takes no such parameter.
pub fn named(kind: &str, with: &Parameters) -> Result<Fault, FaultError> {
    let known = KINDS.into_iter().find(|name| *name == kind);
    let kind = known.ok_or_else(|| FaultError::Kind(kind.to_owned()))?;
    let missing = |parameter| FaultError::Missing { kind, parameter };
    let taken = match kind {
        "delay" | "delay_reply" => "seconds",
        "error" => "message",
        "truncate" => "after",
        _ => "",
    };
    with.only(kind, taken)?;
    match kind {
        "delay" => delay(with.seconds.ok_or_else(|| missing(taken))?),
        "delay_reply" => delay_reply(with.seconds.ok_or_else(|| missing(taken))?),
        "error" => error(with.message.as_deref().unwrap_or("injected")),
        "truncate" => Ok(Fault::Truncate(with.after.ok_or_else(|| missing(taken))?)),
        "drop" => Ok(Fault::Drop),
        _ => Ok(Fault::Miss),
    }
}

/// Returns the kind and the parameters that describe a fault. It is the reverse of [`named`].
pub fn described(fault: &Fault) -> (&'static str, Parameters) {
    let mut with = Parameters::default();
    let kind = match fault {
        Fault::Delay(time) => {
            with.seconds = Some(time.as_secs_f64());
            "delay"
        }
        Fault::DelayReply(time) => {
            with.seconds = Some(time.as_secs_f64());
            "delay_reply"
        }
        Fault::Drop => "drop",
        Fault::Error(message) => {
            with.message = Some(message.clone());
            "error"
        }
        Fault::Miss => "miss",
        Fault::Truncate(after) => {
            with.after = Some(*after);
            "truncate"
        }
    };
    (kind, with)
}

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
    fn data_describes_each_fault() {
        let half = Duration::from_millis(500);
        let all = [
            Fault::Delay(half),
            Fault::DelayReply(half),
            Fault::Drop,
            Fault::Error("out of order".into()),
            Fault::Miss,
            Fault::Truncate(3),
        ];
        for (fault, name) in all.into_iter().zip(KINDS) {
            let (kind, with) = described(&fault);
            assert_eq!((kind, named(kind, &with)), (name, Ok(fault)));
        }
        assert_eq!(named("error", &Parameters::default()), Ok(Fault::Error("injected".into())));
        let refused = |kind, with| named(kind, &with).unwrap_err().to_string();
        let kinds = "kind must be one of delay, delay_reply, drop, error, miss, truncate, got \"stall\"";
        assert_eq!(refused("stall", Parameters::default()), kinds);
        assert_eq!(refused("delay", Parameters::default()), "a fault of kind delay needs seconds");
        assert_eq!(refused("truncate", Parameters::default()), "a fault of kind truncate needs after");
        let with = Parameters { after: Some(3), ..Parameters::default() };
        assert_eq!(refused("miss", with), "a fault of kind miss takes no after");
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

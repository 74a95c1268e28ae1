//! Health of backends: how they are probed, and when a backend is down.
//!
//! One worker of a process probes and decides. All workers read the decision, so none of them sends
//! a key elsewhere than the others.

use std::sync::Arc;
use std::time::Duration;

use crate::base::counter::Counter;
use crate::base::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How the backends of a pool are probed, and the treatment of requests for one that is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time from the start of a probe to that of the next one.
    pub every: Duration,
    /// The request of a probe.
    pub probe: Probe,
    /// Time that a probe may take, connecting included.
    pub timeout: Duration,
    /// Failures in a row after which a backend is down.
    pub fall: u32,
    /// Successes in a row after which it is up.
    pub rise: u32,
    /// The treatment of requests for it while it is down.
    pub eject: Eject,
}

impl Health {
    /// Returns the time before the first probe of a backend. Probes are spread, because each may be
    /// a handshake of TLS.
    pub fn delay(&self, index: usize, backends: usize) -> Duration {
        let part = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.every.saturating_mul(part(index)) / part(backends).max(1)
    }
}

/// The request of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The version, which any connection begins with.
    Version,
    /// A get of this key as well. A miss is a success.
    Get(String),
}

/// The treatment of requests for a backend that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eject {
    /// They fail at once.
    No,
    /// Reads miss, and writes fail.
    Miss,
    /// The other backends get them.
    Rehash,
}

/// The names of [`Eject`] in configurations.
pub static EJECTS: [(&str, Eject); 3] = [("no", Eject::No), ("miss", Eject::Miss), ("rehash", Eject::Rehash)];

impl Eject {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        EJECTS.iter().find(|(_, eject)| *eject == self).map_or("", |(name, _)| name)
    }
}

/// Whether a backend is down, and what its probes have found. The worker that probes writes it, and
/// any thread reads it.
#[derive(Debug, Default)]
pub struct Condition {
    is_down: AtomicBool,
    /// Probes that have ended.
    pub probes: Counter,
    /// Of these, those that failed.
    pub failed_probes: Counter,
}

impl Condition {
    /// Returns whether the backend is down.
    #[inline]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Relaxed)
    }
}

/// The health of the backends of a pool.
#[derive(Clone, Debug)]
pub struct PoolHealth {
    /// The rules.
    pub rules: Health,
    /// The condition of each backend. A reload keeps those of backends that stay.
    pub conditions: Vec<Arc<Condition>>,
}

impl PoolHealth {
    /// Returns the health of this many backends, which are up.
    pub fn new(rules: Health, backends: usize) -> Self {
        Self { rules, conditions: (0..backends).map(|_| Arc::default()).collect() }
    }

    /// Returns whether a backend is up.
    #[inline]
    pub fn is_up(&self, backend: usize) -> bool {
        self.conditions.get(backend).is_none_or(|condition| !condition.is_down())
    }
}

/// Results of probes in a row that speak against the condition of a backend.
#[derive(Debug, Default)]
pub struct Streak(u32);

impl Streak {
    /// Counts a result. Returns whether the condition has changed with it.
    pub fn count(&mut self, success: bool, rules: &Health, condition: &Condition) -> bool {
        condition.probes.add(1);
        condition.failed_probes.add(u64::from(!success));
        let is_down = condition.is_down();
        if success != is_down {
            self.0 = 0;
            return false;
        }
        self.0 += 1;
        if self.0 < if is_down { rules.rise } else { rules.fall } {
            return false;
        }
        self.0 = 0;
        condition.is_down.store(!is_down, Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Health = Health {
        every: Duration::from_secs(2),
        probe: Probe::Version,
        timeout: Duration::from_secs(1),
        fall: 3,
        rise: 2,
        eject: Eject::No,
    };

    #[test]
    fn first_probes_are_spread() {
        let delays = [0, 1, 3].map(|index| RULES.delay(index, 4).as_millis());
        assert_eq!(delays, [0, 500, 1500]);
    }

    #[test]
    fn results_in_a_row_change_the_condition() {
        let (condition, mut streak) = (Condition::default(), Streak::default());
        let results = "+--+---+-++-+--";
        let conditions: String = results
            .chars()
            .map(|result| {
                let before = condition.is_down();
                assert_eq!(streak.count(result == '+', &RULES, &condition), before != condition.is_down());
                if condition.is_down() { 'd' } else { 'u' }
            })
            .collect();
        assert_eq!(conditions, "uuuuuudddduuuuu", "{results}");
        assert_eq!((condition.probes.get(), condition.failed_probes.get()), (15, 9));
    }
}

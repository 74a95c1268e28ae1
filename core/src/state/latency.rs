//! Durations of sampled requests by class of command, for `stats latency`.

use std::time::Duration;

use crate::base::durations::Durations;
use crate::base::histogram::Histogram;

/// A class of commands. A command of any protocol belongs to the class of its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandClass {
    /// Reads: `get`, `gets`, `gat`, `gats`, `mg`, `me`.
    Get,
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`, `ms`.
    Set,
    /// `touch`.
    Touch,
    /// `delete`, `md`.
    Delete,
    /// `incr`, `decr`, `ma`.
    Arithmetic,
    /// Commands about the server.
    Other,
}

impl CommandClass {
    /// All classes.
    pub const ALL: [Self; 6] =
        [Self::Get, Self::Set, Self::Touch, Self::Delete, Self::Arithmetic, Self::Other];

    /// Returns the name in statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Touch => "touch",
            Self::Delete => "delete",
            Self::Arithmetic => "arithmetic",
            Self::Other => "other",
        }
    }
}

/// The durations of a server's sampled requests. Any thread may record, which is rare.
#[derive(Debug, Default)]
pub struct Latency([Durations; CommandClass::ALL.len()]);

impl Latency {
    /// Records the duration of a request.
    pub(crate) fn record(&self, class: CommandClass, duration: Duration) {
        if let Some(durations) = self.0.get(class as usize) {
            durations.record(duration);
        }
    }

    /// Returns the durations of a class in nanoseconds.
    pub fn of(&self, class: CommandClass) -> Histogram {
        self.0.get(class as usize).map(Durations::histogram).unwrap_or_default()
    }

    /// Removes all durations, for `stats reset`.
    pub fn reset(&self) {
        self.0.iter().for_each(Durations::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_class() {
        let latency = Latency::default();
        for nanoseconds in [0, 100, 101, 1_500, 2_000_000_000] {
            latency.record(CommandClass::Set, Duration::from_nanos(nanoseconds));
        }
        let set = latency.of(CommandClass::Set);
        assert_eq!((set.count(), set.sum()), (5, 2_000_001_701));
        let buckets: Vec<_> = set.buckets().collect();
        assert_eq!(buckets[..5], [(100, 2), (200, 3), (500, 3), (1_000, 3), (2_000, 4)]);
        assert_eq!(buckets.last(), Some(&(1_000_000_000, 4)));
        assert_eq!(latency.of(CommandClass::Get).count(), 0);
        latency.reset();
        assert_eq!((latency.of(CommandClass::Set).count(), latency.of(CommandClass::Set).sum()), (0, 0));
    }
}

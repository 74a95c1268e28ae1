//! Durations of sampled requests by class of command, for `stats latency`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::base::histogram::Histogram;

/// Bounds of the buckets in nanoseconds: 100 ns to 1 s, in steps of 1, 2 and 5.
const BOUNDS: [u64; 22] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

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
pub struct Latency([Class; CommandClass::ALL.len()]);

/// The durations of a class.
#[derive(Debug, Default)]
struct Class {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// In nanoseconds.
    sum: AtomicU64,
}

impl Latency {
    /// Records the duration of a request.
    pub(crate) fn record(&self, class: CommandClass, duration: Duration) {
        let Some(class) = self.0.get(class as usize) else { return };
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < nanoseconds);
        if let Some(count) = class.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
            class.sum.fetch_add(nanoseconds, Relaxed);
        }
    }

    /// Returns the durations of a class in nanoseconds.
    pub fn of(&self, class: CommandClass) -> Histogram {
        let (mut counts, mut sum) = (Vec::new(), 0);
        if let Some(class) = self.0.get(class as usize) {
            counts = class.counts.iter().map(|count| count.load(Relaxed)).collect();
            sum = class.sum.load(Relaxed);
        }
        Histogram::new(&BOUNDS, counts, sum)
    }

    /// Removes all durations, for `stats reset`.
    pub fn reset(&self) {
        for class in &self.0 {
            class.counts.iter().for_each(|count| count.store(0, Relaxed));
            class.sum.store(0, Relaxed);
        }
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

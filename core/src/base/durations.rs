//! Counts of durations that any thread may add to, which is rare: they are those of samples.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::Histogram;

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

/// Counts of durations, from 100 ns to 1 s and above.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// In nanoseconds.
    sum: AtomicU64,
}

impl Durations {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < nanoseconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
            self.sum.fetch_add(nanoseconds, Relaxed);
        }
    }

    /// Adds the counts to `counts`, and returns the sum.
    fn add_to(&self, counts: &mut [u64; BOUNDS.len() + 1]) -> u64 {
        for (sum, count) in counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
        self.sum.load(Relaxed)
    }

    /// Returns the durations in nanoseconds.
    pub fn histogram(&self) -> Histogram {
        Self::sum([self])
    }

    /// Returns the durations of all, in nanoseconds.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Histogram {
        let mut counts = [0; BOUNDS.len() + 1];
        let sum = all.into_iter().map(|one| one.add_to(&mut counts)).sum();
        Histogram::new(&BOUNDS, counts.into(), sum)
    }

    /// Removes all durations.
    pub fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
        self.sum.store(0, Relaxed);
    }
}

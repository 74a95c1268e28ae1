//! Token buckets of rate limits.

use std::sync::Arc;

use crate::base::sync::Mutex;

/// Tokens that come back with time. A new bucket is full.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    /// Tokens taken and not yet back, each as `every_ms` parts.
    missing: u64,
    /// The `every_ms` of the last call.
    one: u64,
    /// Time of the last call, in milliseconds.
    last: u64,
}

/// Milliseconds by which the clocks of two workers differ at most.
const SKEW: u64 = 1000;

/// A rate limit of a configuration.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Its place in the file. After a reload, a limit at the same place goes on.
    pub place: String,
    /// The bucket of all workers. Without it, each worker has its own.
    pub shared: Option<Arc<Mutex<Bucket>>>,
}

impl Bucket {
    /// Takes a token at a time in milliseconds, out of a bucket of `burst` tokens that gets
    /// `tokens` back in `every_ms`. Returns whether there was one. These numbers may be others than
    /// before.
    pub fn take(&mut self, now: u64, tokens: u32, every_ms: u32, burst: u32) -> bool {
        let one = u64::from(every_ms);
        if self.one != one {
            self.missing = self.missing.checked_div(self.one).unwrap_or(0).saturating_mul(one);
            self.one = one;
        }
        let all = u64::from(burst).saturating_mul(one);
        // A clock that was set back gives no tokens.
        let back = now.saturating_sub(self.last).saturating_mul(tokens.into());
        // A time that is a little earlier is that of another worker.
        if now >= self.last || self.last - now > SKEW {
            self.last = now;
        }
        let missing = self.missing.min(all).saturating_sub(back) + one;
        let taken = missing <= all;
        self.missing = if taken { missing } else { missing - one };
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_time() {
        let mut bucket = Bucket::default();
        let mut taken = |now| (0..100).take_while(|_| bucket.take(now, 2, 1000, 3)).count();
        assert_eq!(taken(5000), 3);
        assert_eq!(taken(5000), 0);
        assert_eq!(taken(5499), 0);
        assert_eq!(taken(5500), 1);
        assert_eq!(taken(0), 0);
        assert_eq!(taken(1000), 2);
        assert_eq!(taken(u64::MAX), 3);
        let mut slow = Bucket::default();
        let mut taken = |now| (0..100).take_while(|_| slow.take(now, 1, 60_000, 2)).count();
        assert_eq!((taken(60_000), taken(119_999), taken(120_000)), (2, 0, 1));
    }

    #[test]
    fn a_smaller_bucket_is_empty_at_most() {
        let mut bucket = Bucket::default();
        assert_eq!((0..100).take_while(|_| bucket.take(0, 1, 1000, 50)).count(), 50);
        // Tokens that are missing stay so if another time gives them back.
        assert!(!bucket.clone().take(0, 1, 60_000, 50));
        assert!(!bucket.take(999, 1, 1000, 2));
        assert!(bucket.take(1000, 1, 1000, 2));
    }

    #[test]
    fn workers_with_slightly_different_clocks_share_a_bucket() {
        let mut bucket = Bucket::default();
        let taken = (0..10_000).filter(|n| bucket.take(5000 - n % 2, 1, 1000, 5)).count();
        assert_eq!(taken, 5);
    }
}

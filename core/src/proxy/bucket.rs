//! Token buckets of rate limits.

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

impl Bucket {
    /// Returns this bucket for a limit of `burst` tokens, with the tokens that are missing now.
    pub fn resized(&self, every_ms: u32, burst: u32) -> Self {
        let one = u64::from(every_ms);
        let missing = if self.one == one {
            self.missing
        } else {
            self.missing.checked_div(self.one).unwrap_or(0).saturating_mul(one)
        };
        Self { missing: missing.min(u64::from(burst).saturating_mul(one)), one, ..self.clone() }
    }

    /// Takes a token at a time in milliseconds, out of a bucket of `burst` tokens that gets
    /// `tokens` back in `every_ms`. Returns whether there was one.
    pub fn take(&mut self, now: u64, tokens: u32, every_ms: u32, burst: u32) -> bool {
        // A clock that was set back gives no tokens.
        let back = now.saturating_sub(self.last).saturating_mul(tokens.into());
        let one = u64::from(every_ms);
        (self.last, self.one) = (now, one);
        let missing = self.missing.saturating_sub(back) + one;
        let taken = missing <= u64::from(burst).saturating_mul(one);
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
        let mut smaller = bucket.resized(1000, 2);
        assert!(!smaller.take(999, 1, 1000, 2));
        assert!(smaller.take(1000, 1, 1000, 2));
        // Tokens that are missing stay so if another time gives them back.
        assert!(!bucket.resized(60_000, 50).take(0, 1, 60_000, 50));
    }
}

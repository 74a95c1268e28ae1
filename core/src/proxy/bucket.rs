//! Token buckets of rate limits.

/// Tokens that come back with time. A new bucket is full.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    /// Tokens taken and not yet back, in thousandths.
    missing: u64,
    /// Time of the last call, in milliseconds.
    last: u64,
}

impl Bucket {
    /// Returns this bucket for a limit of `burst` tokens, with the tokens that are missing now.
    pub fn resized(&self, burst: u32) -> Self {
        Self { missing: self.missing.min(u64::from(burst) * 1000), ..self.clone() }
    }

    /// Takes a token at a time in milliseconds, out of a bucket of `burst` tokens that gets
    /// `per_second` back. Returns whether there was one.
    pub fn take(&mut self, now: u64, per_second: u32, burst: u32) -> bool {
        // A clock that was set back gives no tokens.
        let back = now.saturating_sub(self.last).saturating_mul(per_second.into());
        self.last = now;
        let missing = self.missing.saturating_sub(back) + 1000;
        let taken = missing <= u64::from(burst) * 1000;
        self.missing = if taken { missing } else { missing - 1000 };
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_time() {
        let mut bucket = Bucket::default();
        let mut taken = |now| (0..100).take_while(|_| bucket.take(now, 2, 3)).count();
        assert_eq!(taken(5000), 3);
        assert_eq!(taken(5000), 0);
        assert_eq!(taken(5499), 0);
        assert_eq!(taken(5500), 1);
        assert_eq!(taken(0), 0);
        assert_eq!(taken(1000), 2);
        assert_eq!(taken(u64::MAX), 3);
    }

    #[test]
    fn a_smaller_bucket_is_empty_at_most() {
        let mut bucket = Bucket::default();
        assert_eq!((0..100).take_while(|_| bucket.take(0, 1, 50)).count(), 50);
        let mut smaller = bucket.resized(2);
        assert!(!smaller.take(999, 1, 2));
        assert!(smaller.take(1000, 1, 2));
    }
}

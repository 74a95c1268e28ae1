//! The token bucket of `mcp.ratelim_tbf`.

/// Tokens that come back with time. A new bucket is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBucket {
    tokens: u32,
    limit: u32,
    /// Tokens that a tick gives back, at least 1.
    fill: u32,
    /// Milliseconds of a tick, at least 1.
    tick: u32,
    /// The last tick, as Unix time in milliseconds.
    last: u64,
}

impl TokenBucket {
    /// Returns a full bucket. A `fill` or a `tick` of 0 is taken for 1.
    pub fn new(limit: u32, fill: u32, tick: u32, now: u64) -> Self {
        Self { tokens: limit, limit, fill: fill.max(1), tick: tick.max(1), last: now }
    }

    /// Takes tokens at a Unix time in milliseconds. Returns `false` if the bucket would be empty or
    /// has fewer: as in memcached, the last token is never taken.
    pub fn take(&mut self, count: i64, now: u64) -> bool {
        // A clock that was set back gives no tokens.
        let passed = now.saturating_sub(self.last);
        if passed > self.tick.into() {
            let ticks = passed / u64::from(self.tick);
            self.last += ticks * u64::from(self.tick);
            let back = ticks.saturating_mul(self.fill.into());
            let tokens = u64::from(self.tokens).saturating_add(back).min(self.limit.into());
            self.tokens = tokens as u32;
        }
        match u32::try_from(count) {
            Ok(count) if self.tokens > count => {
                self.tokens -= count;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_by_ticks() {
        let mut bucket = TokenBucket::new(10, 3, 100, 5000);
        let mut taken = |now| (0..100).take_while(|_| bucket.take(1, now)).count();
        assert_eq!(taken(5000), 9);
        assert_eq!(taken(5100), 0, "a tick has to be over");
        assert_eq!(taken(5101), 3);
        assert_eq!(taken(5200), 0);
        assert_eq!(taken(5399), 6);
        assert_eq!(taken(1000), 0);
        assert_eq!(taken(u64::MAX), 9);
        assert!(!bucket.take(-1, 0) && !bucket.take(i64::MAX, 0) && bucket.take(0, u64::MAX));
    }

    #[test]
    fn small_numbers() {
        assert!(!TokenBucket::new(0, 0, 0, 0).take(0, 0));
        let mut bucket = TokenBucket::new(2, 0, 0, 0);
        assert!(bucket.take(1, 0) && !bucket.take(1, 1) && bucket.take(1, 2));
    }
}

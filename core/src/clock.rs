//! The only source of time: whole seconds, coarse, settable, freezable.
//!
//! Times are relative to an origin 62 seconds before the start (as memcached
//! counts them), so that 0 can mean "never" and an item may be older than the
//! process. Reading the time is one relaxed load; whoever owns the cache's
//! maintainer calls [`Clock::tick`].

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::Mutex;

/// Seconds that the clock shows at start.
const START: u32 = 62;

/// Longest TTL that is relative, in seconds; larger numbers are Unix times
/// (memcached's protocol.txt, "Expiration times").
pub const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// Seconds of a cache's life.
pub struct Clock {
    now: AtomicU32,
    hand: Mutex<Hand>,
    /// Unix time of second 0.
    origin: i64,
    started: Instant,
}

#[derive(Default)]
struct Hand {
    /// Seconds added by [`Clock::advance`].
    moved: i64,
    /// Real seconds since the start at which time was stopped.
    frozen: Option<i64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that starts now.
    pub fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        Self {
            now: AtomicU32::new(START),
            hand: Mutex::default(),
            origin: unix as i64 - i64::from(START),
            started: Instant::now(),
        }
    }

    /// Seconds since the origin; any thread.
    #[inline]
    pub fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Unix time of second 0.
    pub fn origin(&self) -> i64 {
        self.origin
    }

    /// Seconds that the process has lived, as `stats` shows them.
    pub fn uptime(&self) -> u32 {
        self.now().saturating_sub(START - 2)
    }

    /// Brings [`Clock::now`] up to date.
    pub fn tick(&self) {
        self.show(&self.hand.lock());
    }

    /// Time until [`Clock::now`] changes by itself.
    pub fn until_next_second(&self) -> Duration {
        Duration::from_nanos(u64::from(1_000_000_000 - self.started.elapsed().subsec_nanos()))
    }

    /// Stops time. [`Clock::advance`] still moves it.
    pub fn freeze(&self) {
        let mut hand = self.hand.lock();
        if hand.frozen.is_none() {
            hand.frozen = Some(self.elapsed());
        }
        self.show(&hand);
    }

    /// Lets time run again from where it stands.
    pub fn resume(&self) {
        let mut hand = self.hand.lock();
        if let Some(at) = hand.frozen.take() {
            hand.moved -= self.elapsed() - at;
        }
        self.show(&hand);
    }

    /// Moves time by `seconds`, backwards if negative (not before the origin).
    pub fn advance(&self, seconds: i64) {
        let mut hand = self.hand.lock();
        hand.moved = hand.moved.saturating_add(seconds);
        self.show(&hand);
    }

    fn elapsed(&self) -> i64 {
        self.started.elapsed().as_secs() as i64
    }

    fn show(&self, hand: &Hand) {
        let elapsed = hand.frozen.unwrap_or_else(|| self.elapsed());
        let now = elapsed.saturating_add(i64::from(START)).saturating_add(hand.moved);
        self.now.store(now.clamp(1, i64::from(u32::MAX - 1)) as u32, Relaxed);
    }

    /// When an item with the TTL `exptime` of a request expires: 0 never, else
    /// a second of this clock. Negative TTLs have expired already; numbers
    /// above 30 days are Unix times.
    #[inline]
    pub fn expiry(&self, exptime: i64) -> u32 {
        if exptime == 0 {
            return 0;
        }
        if (1..=RELATIVE_MAX).contains(&exptime) {
            return self.now().saturating_add(exptime as u32);
        }
        // An item that expired before the clock began expires at second 1:
        // 0 would mean never.
        let unix = if exptime < 0 { RELATIVE_MAX + 1 } else { exptime };
        (unix - self.origin).clamp(1, i64::from(u32::MAX)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_rule() {
        let clock = Clock::new();
        clock.freeze();
        let now = clock.now();
        assert_eq!(clock.expiry(0), 0);
        assert_eq!(clock.expiry(1), now + 1);
        assert_eq!(clock.expiry(RELATIVE_MAX), now + RELATIVE_MAX as u32);
        assert_eq!(clock.expiry(RELATIVE_MAX + 1), 1);
        assert_eq!(clock.expiry(-1), 1);
        assert_eq!(clock.expiry(clock.origin() + 500), 500);
    }

    #[test]
    fn frozen_time_moves_only_by_hand() {
        let clock = Clock::new();
        clock.freeze();
        let at = clock.now();
        clock.tick();
        assert_eq!(clock.now(), at);
        clock.advance(100);
        assert_eq!(clock.now(), at + 100);
        clock.resume();
        assert!(clock.now() >= at + 100);
        clock.advance(-1_000_000);
        assert_eq!(clock.now(), 1);
    }
}

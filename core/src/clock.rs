//! The only source of time: whole seconds, which a test can move and freeze.
//!
//! ```text
//!   0        1                        START                             u32::MAX - 1
//!   never    34 years before start    start + 100 years: longest TTL    102 years after
//!            `------------ Clock::advance moves within these ------------'
//! ```
//!
//! Times are seconds since an origin 34 years before the start, so that a test can move the clock
//! back. 0 means "never". Reading the time is one relaxed load. The maintenance thread calls
//! [`Clock::tick`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::Mutex;

/// The time at start.
const START: u32 = 1 << 30;

/// The first second of memcached's clock. An expiry before it is moved to it, because clients can
/// see how long ago an item expired.
const FIRST: u32 = START - 61;

/// The first and the last second that the clock can show.
const RANGE: std::ops::RangeInclusive<i64> = 1..=u32::MAX as i64 - 1;

/// Longest TTL that is relative, in seconds; larger numbers are Unix times
/// (memcached's protocol.txt, "Expiration times").
pub const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// An error: the clock cannot be moved as far as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockError {
    /// Seconds by which it can be moved back.
    pub back: i64,
    /// Seconds by which it can be moved ahead.
    pub ahead: i64,
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { back, ahead } = self;
        write!(f, "the clock can be moved back by at most {back} seconds and ahead by at most {ahead}")
    }
}

impl std::error::Error for ClockError {}

/// The clock of a cache, in whole seconds. A test can freeze and move it.
pub struct Clock {
    now: AtomicU32,
    hand: Mutex<Hand>,
    /// Unix time of second 0.
    origin: i64,
    started: Instant,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Hand {
    /// Seconds added by [`Clock::advance`], less those lost while the clock was frozen. At each
    /// change, the time shown is in [`RANGE`].
    moved: i64,
    /// Real seconds since the start at which the clock was frozen.
    frozen: Option<i64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Returns a clock that starts now.
    pub fn new() -> Self {
        Self {
            now: AtomicU32::new(START),
            hand: Mutex::default(),
            origin: unix_time() - i64::from(START),
            started: Instant::now(),
        }
    }

    /// Returns the seconds since the origin.
    #[inline]
    pub fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Unix time of second 0.
    pub fn origin(&self) -> i64 {
        self.origin
    }

    /// Returns the seconds since the start, as `stats` reports them.
    pub fn uptime(&self) -> u32 {
        // memcached begins at 2.
        self.now().saturating_sub(START - 2)
    }

    /// Updates [`Clock::now`] from the system's clock.
    pub fn tick(&self) {
        self.show(&self.hand.lock());
    }

    /// Returns the time until [`Clock::now`] changes by itself.
    pub fn until_next_second(&self) -> Duration {
        Duration::from_nanos(u64::from(1_000_000_000 - self.started.elapsed().subsec_nanos()))
    }

    /// Freezes the clock. [`Clock::advance`] still moves it.
    pub fn freeze(&self) {
        let mut hand = self.hand.lock();
        if hand.frozen.is_none() {
            hand.frozen = Some(self.elapsed());
        }
        self.show(&hand);
    }

    /// Lets a frozen clock run again from the time it shows.
    pub fn resume(&self) {
        let mut hand = self.hand.lock();
        if let Some(at) = hand.frozen.take() {
            hand.moved -= self.elapsed() - at;
        }
        self.show(&hand);
    }

    /// Moves the clock by `seconds`, backwards if negative.
    ///
    /// # Errors
    /// [`ClockError`] if the clock cannot show that time. It is not moved then.
    pub fn advance(&self, seconds: i64) -> Result<(), ClockError> {
        let mut hand = self.hand.lock();
        let now = self.time(&hand);
        if !now.checked_add(seconds).is_some_and(|then| RANGE.contains(&then)) {
            return Err(ClockError { back: now - RANGE.start(), ahead: RANGE.end() - now });
        }
        hand.moved += seconds;
        self.show(&hand);
        Ok(())
    }

    /// Sets the clock to the system's time and lets it run.
    pub fn reset(&self) {
        let mut hand = self.hand.lock();
        *hand = Hand { moved: unix_time() - self.origin - i64::from(START) - self.elapsed(), frozen: None };
        self.show(&hand);
    }

    fn elapsed(&self) -> i64 {
        self.started.elapsed().as_secs() as i64
    }

    fn time(&self, hand: &Hand) -> i64 {
        let elapsed = hand.frozen.unwrap_or_else(|| self.elapsed());
        // After a move, the clock runs on for the rest of the process's life at most.
        (i64::from(START) + elapsed + hand.moved).clamp(*RANGE.start(), *RANGE.end())
    }

    fn show(&self, hand: &Hand) {
        self.now.store(self.time(hand) as u32, Relaxed);
    }

    /// Returns the second at which an item with the exptime of a request expires, or 0 for never. A
    /// negative exptime has expired already. Numbers above 30 days are Unix times.
    #[inline]
    pub fn expiry(&self, exptime: i64) -> u32 {
        if exptime == 0 {
            return 0;
        }
        if (1..=RELATIVE_MAX).contains(&exptime) {
            return self.now().saturating_add(exptime as u32);
        }
        let unix = if exptime < 0 { RELATIVE_MAX + 1 } else { exptime };
        // 0 would mean "never".
        let second = (unix - self.origin).clamp(1, i64::from(u32::MAX)) as u32;
        // A clock that was moved back may show an earlier second.
        if second < FIRST && self.now() >= FIRST { FIRST } else { second }
    }
}

/// Returns the system's time.
fn unix_time() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
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
        assert_eq!(clock.expiry(RELATIVE_MAX + 1), FIRST);
        assert_eq!(clock.expiry(-1), FIRST);
        assert_eq!(clock.expiry(clock.origin() + 500), FIRST);
        assert_eq!(clock.expiry(clock.origin() + i64::from(now) + 500), now + 500);
        clock.advance(-3600).unwrap();
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
        clock.advance(100).unwrap();
        assert_eq!(clock.now(), at + 100);
        clock.resume();
        assert!(clock.now() >= at + 100);
    }

    #[test]
    fn a_clock_moved_back_stood_still() {
        const YEAR: i64 = 365 * 24 * 3600;
        let clock = Clock::new();
        clock.freeze();
        let at = clock.now();
        for seconds in [-3600, 61, -86_400, 1, -30 * YEAR, 30 * YEAR, 100 * YEAR, -100 * YEAR] {
            let before = i64::from(clock.now());
            clock.advance(seconds).unwrap();
            assert_eq!(i64::from(clock.now()), before + seconds);
        }
        clock.advance(-3600).unwrap();
        clock.reset();
        clock.freeze();
        assert!(clock.now().abs_diff(at) < 60);
    }

    #[test]
    fn a_move_out_of_range_moves_nothing() {
        let clock = Clock::new();
        clock.freeze();
        let at = clock.now();
        for seconds in [i64::MIN, -(1 << 30), 1 << 32, i64::MAX] {
            let ClockError { back, ahead } = clock.advance(seconds).unwrap_err();
            assert_eq!(clock.now(), at);
            assert!(seconds < -back || seconds > ahead);
        }
        let ClockError { back, ahead } = clock.advance(i64::MAX).unwrap_err();
        clock.advance(ahead).unwrap();
        clock.advance(-ahead - back).unwrap();
        assert_eq!(clock.now(), 1);
    }
}

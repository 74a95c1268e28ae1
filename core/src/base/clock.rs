//! The only source of time: whole seconds, which a test can move and freeze.
//!
//! ```text
//!   0        1                        START                             u32::MAX - 1
//!   never    34 years before start    start + 100 years: longest TTL    102 years after
//!            `------------ Clock::advance moves within these ------------'
//! ```
//!
//! Times are seconds since an origin 34 years before the start, so that a test can move the clock
//! back. 0 means "never".
//!
//! Reading the time is one relaxed load of the second that the background thread showed last. The
//! thread calls `Clock::tick` once a second, and only while the clock is read. It marks each
//! second that it shows. The first read of that second removes the mark.
//!
//! ```text
//!   63 .. 34   33      32       31 .. 0
//!   0          STALE   UNREAD   second
//!
//!   0 --tick--> UNREAD --read--> 0        read at least once a second
//!               UNREAD --tick--> STALE    not read for a second: no more ticks
//!               STALE  --read--> 0        the reader computes the time and wakes the thread
//! ```

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::scheduler::Waker;
use crate::base::sync::Mutex;

/// The time at start.
const START: u32 = 1 << 30;

/// The first second of memcached's clock. An expiry before it is moved to it, because clients can
/// see how long ago an item expired.
const FIRST: u32 = START - 61;

/// The first and the last second that the clock can show.
const RANGE: std::ops::RangeInclusive<i64> = 1..=u32::MAX as i64 - 1;

/// The part of [`Clock::shown`] that is a second.
const SECOND: u64 = u32::MAX as u64;

/// The shift of a clock that is frozen.
const FROZEN: i64 = i64::MIN;

/// Mark of a second that nothing has read.
const UNREAD: u64 = 1 << 32;

/// Mark of a second that may be over: no thread ticks.
const STALE: u64 = 1 << 33;

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
    /// The second shown, and marks above it.
    shown: AtomicU64,
    hand: Mutex<Hand>,
    /// Seconds from the system's time to the one shown, or [`FROZEN`].
    shift: AtomicI64,
    /// Unix time of second 0.
    origin: i64,
    /// A moment at which a second begins. Clocks of one thread share it, so that one
    /// wake-up a second is enough for all of them.
    epoch: Instant,
    /// Whole seconds from `epoch` to the start.
    started: i64,
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
    /// As `moved`, from the system's time.
    shift: i64,
    /// Real seconds since the start at which the clock was frozen.
    frozen: Option<i64>,
    /// Wakes the thread that ticks. Without one the clock is always stale, and each
    /// read computes the time.
    waker: Option<Waker>,
}

impl Hand {
    fn wake(&self) {
        self.waker.iter().for_each(Waker::wake);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Returns a clock that starts now.
    pub fn new() -> Self {
        Self::aligned_to(Instant::now())
    }

    /// A clock that starts now, and whose seconds begin as those counted from `epoch`.
    pub(crate) fn aligned_to(epoch: Instant) -> Self {
        Self {
            shown: AtomicU64::new(u64::from(START) | STALE),
            hand: Mutex::default(),
            shift: AtomicI64::new(0),
            origin: unix_time() - i64::from(START),
            epoch,
            started: epoch.elapsed().as_secs() as i64,
        }
    }

    /// Returns the seconds since the origin.
    #[inline]
    pub fn now(&self) -> u32 {
        let shown = self.shown.load(Relaxed);
        if shown & (UNREAD | STALE) == 0 { shown as u32 } else { self.read_marked(shown) }
    }

    /// Removes a mark by reading the second.
    #[cold]
    fn read_marked(&self, mut shown: u64) -> u32 {
        while shown & STALE == 0 {
            // Not a plain store: the thread may be about to stop ticking.
            match self.shown.compare_exchange(shown, shown & SECOND, SeqCst, SeqCst) {
                Ok(_) => return shown as u32,
                Err(other) => shown = other,
            }
        }
        let hand = self.hand.lock();
        self.show(&hand);
        hand.wake();
        self.time(&hand) as u32
    }

    /// Unix time of second 0.
    pub fn origin(&self) -> i64 {
        self.origin
    }

    /// Returns the Unix time.
    #[doc(hidden)]
    pub fn unix(&self) -> i64 {
        self.origin + i64::from(self.now())
    }

    /// Returns the Unix time in milliseconds.
    pub fn unix_millis(&self) -> u64 {
        let millis = match self.shift.load(Relaxed) {
            FROZEN => self.unix() * 1000,
            shift => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                since.as_millis() as i64 + shift * 1000
            }
        };
        millis.max(0) as u64
    }

    /// Returns the seconds since the start, as `stats` reports them.
    pub fn uptime(&self) -> u32 {
        // memcached begins at 2.
        self.now().saturating_sub(START - 2)
    }

    /// Has `waker` wake the thread that calls [`Clock::tick`] from now on; `None`: there
    /// is no such thread.
    pub(crate) fn attended_by(&self, waker: Option<Waker>) {
        let mut hand = self.hand.lock();
        hand.waker = waker;
        self.show(&hand);
        hand.wake();
    }

    /// Brings [`Clock::now`] up to date. Returns the time without reading the clock,
    /// and when the next second begins. That is `None` if time stands still, or if
    /// nothing has read the clock since the last second began.
    pub(crate) fn tick(&self) -> (u32, Option<Instant>) {
        let hand = self.hand.lock();
        // Before the time is read: a second that begins in between is not missed.
        let elapsed = self.epoch.elapsed().as_secs();
        let time = self.time(&hand);
        let mut shown = self.shown.load(SeqCst);
        while hand.frozen.is_none() && shown & STALE == 0 && shown & SECOND != time as u64 {
            let next = if shown & UNREAD == 0 { time as u64 | UNREAD } else { shown | STALE };
            match self.shown.compare_exchange(shown, next, SeqCst, SeqCst) {
                Ok(_) => shown = next,
                Err(other) => shown = other,
            }
        }
        let ticks = hand.frozen.is_none() && shown & STALE == 0;
        let next = || self.epoch.checked_add(Duration::from_secs(elapsed + 1));
        (time as u32, if ticks { next() } else { None })
    }

    /// The moment at which the clock will show `second`. `None`: time stands still.
    pub(crate) fn moment_of(&self, second: u32) -> Option<Instant> {
        let hand = self.hand.lock();
        if hand.frozen.is_some() {
            return None;
        }
        let elapsed = i64::from(second) - i64::from(START) - hand.moved;
        self.epoch.checked_add(Duration::from_secs((self.started + elapsed).max(0) as u64))
    }

    /// Freezes the clock. [`Clock::advance`] still moves it.
    pub fn freeze(&self) {
        let mut hand = self.hand.lock();
        if hand.frozen.is_none() {
            hand.frozen = Some(self.elapsed());
        }
        self.show(&hand);
    }

    /// Returns whether the clock is frozen.
    pub fn is_frozen(&self) -> bool {
        self.hand.lock().frozen.is_some()
    }

    /// Lets a frozen clock run again from the time it shows.
    pub fn resume(&self) {
        let mut hand = self.hand.lock();
        if let Some(at) = hand.frozen.take() {
            let lost = self.elapsed() - at;
            hand.moved -= lost;
            hand.shift -= lost;
        }
        self.show(&hand);
        hand.wake();
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
        hand.shift += seconds;
        self.show(&hand);
        hand.wake();
        Ok(())
    }

    /// Sets the clock to the system's time and lets it run.
    pub fn reset(&self) {
        let mut hand = self.hand.lock();
        hand.moved = unix_time() - self.origin - i64::from(START) - self.elapsed();
        hand.shift = 0;
        hand.frozen = None;
        self.show(&hand);
        hand.wake();
    }

    fn elapsed(&self) -> i64 {
        self.epoch.elapsed().as_secs() as i64 - self.started
    }

    fn time(&self, hand: &Hand) -> i64 {
        let elapsed = hand.frozen.unwrap_or_else(|| self.elapsed());
        // After a move, the clock runs on for the rest of the process's life at most.
        (i64::from(START) + elapsed + hand.moved).clamp(*RANGE.start(), *RANGE.end())
    }

    fn show(&self, hand: &Hand) {
        self.shift.store(if hand.frozen.is_some() { FROZEN } else { hand.shift }, Relaxed);
        let stale = hand.frozen.is_none() && hand.waker.is_none();
        self.shown.store(self.time(hand) as u64 | if stale { STALE } else { 0 }, SeqCst);
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
    use std::sync::mpsc::{self, Sender};

    use super::*;
    use crate::base::scheduler::{Scheduler, Task};

    #[test]
    fn milliseconds_follow_a_clock_that_is_moved_or_frozen() {
        let clock = Clock::new();
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let is_shifted = |seconds: i64| {
            let before = system();
            let millis = (clock.unix_millis() as i64 - seconds * 1000) as u64;
            (before..=system()).contains(&millis)
        };
        assert!(is_shifted(0));
        clock.advance(-3600).unwrap();
        assert!(is_shifted(-3600));
        clock.freeze();
        let frozen = clock.unix_millis();
        assert_eq!(frozen, clock.unix() as u64 * 1000);
        clock.advance(90).unwrap();
        assert_eq!(clock.unix_millis(), frozen + 90_000);
        clock.reset();
        assert!(is_shifted(0));
    }

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

    /// A task whose wake-ups are counted.
    struct Wakes(Sender<()>);

    impl Task for Wakes {
        fn turn(&mut self) -> Option<Instant> {
            self.0.send(()).unwrap();
            None
        }

        fn recover(&mut self) {}
    }

    #[test]
    fn a_clock_that_nothing_reads_ticked() {
        let (sender, wakes) = mpsc::channel();
        let task = Scheduler::of_process().unwrap().add(|_| Wakes(sender));
        wakes.recv().unwrap();
        let mut clock = Clock::new();
        clock.attended_by(Some(task.waker().clone()));
        wakes.recv().unwrap();
        // From here on the test begins each second, so it may take as long as it likes.
        let mut seconds = 0;
        let mut pass = |clock: &mut Clock| {
            seconds += 1;
            clock.epoch = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        };
        let began = clock.now();
        for second in 1..4 {
            pass(&mut clock);
            assert!(clock.tick().1.is_some(), "it was read");
            assert_eq!(clock.now(), began + second);
            assert!(clock.tick().1.is_some(), "twice in a second");
        }
        pass(&mut clock);
        assert!(clock.tick().1.is_some(), "it was read in the second before");
        pass(&mut clock);
        assert_eq!(clock.tick(), (began + 5, None));
        pass(&mut clock);
        assert_eq!(clock.tick(), (began + 6, None));
        assert!(wakes.try_recv().is_err());
        // The next read wakes the thread, and sees the right time.
        assert_eq!(clock.now(), began + 6);
        wakes.recv().unwrap();
        assert!(clock.tick().1.is_some());
        // Without a thread each read sees the right time.
        clock.attended_by(None);
        pass(&mut clock);
        assert_eq!(clock.now(), began + 7);
        assert_eq!(clock.tick().1, None);
    }

    #[test]
    fn the_moment_of_a_second_is_when_the_clock_shows_it() {
        let mut clock = Clock::new();
        clock.epoch -= Duration::from_secs(5);
        clock.advance(100).unwrap();
        let now = clock.now();
        let moment = |second| clock.moment_of(second).unwrap();
        assert!(moment(now) <= Instant::now());
        assert_eq!(moment(now + 60) - moment(now), Duration::from_mins(1));
        assert_eq!(moment(1), clock.epoch);
        clock.freeze();
        assert_eq!(clock.moment_of(now + 1), None);
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
        assert!(clock.is_frozen());
        clock.resume();
        assert!(!clock.is_frozen() && clock.now() >= at + 100);
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

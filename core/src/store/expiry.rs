//! `flush_all`, now or later, in constant time.
//!
//! Items carry a *stamp* of their last use. It is the second of the clock plus
//! the number of immediate flushes so far: a flush moves all later stamps by
//! one, so an item stored in the same second as a flush, but after it, can be
//! told from one stored before. No live item is older than the last flush, so
//! differences of stamps of live items are seconds. If the clock is moved back,
//! stamps stand still until it has caught up: they never fall to what was
//! flushed.
//!
//! Expiry itself is lazy (`Shard::find`) and swept by the crawler
//! (`Shard::crawl`); both ask [`Moment::is_dead`].

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::policy::Moment;

/// What was flushed and what will be.
#[derive(Default)]
pub struct Flush {
    /// Immediate flushes so far (upper half), and the stamp up to which items
    /// are flushed (lower half). One word: a stamp that takes a flush into
    /// account, beside a limit that does not, would let a read save an old item.
    state: AtomicU64,
    /// The highest stamp that was given.
    latest: AtomicU32,
    /// Second of a flush to come, or 0.
    due: AtomicU32,
    /// Second of the last flush that came.
    came: AtomicU32,
    change: Mutex<()>,
}

impl Flush {
    /// The moment at second `now`. For a moment that leaves its stamp in items:
    /// call with their shard locked, or the stamp may be older than the items.
    #[inline]
    pub fn moment(&self, now: u32) -> Moment {
        let due = self.due.load(Relaxed);
        if due != 0 && now >= due {
            self.carry_out(due);
        }
        let (shift, flushed) = self.state();
        let mut stamp = now.wrapping_add(shift);
        if stamp <= flushed && now != self.came.load(Relaxed) {
            // The clock was moved back.
            stamp = flushed.saturating_add(1);
        }
        if stamp > self.latest.load(Relaxed) {
            self.latest.fetch_max(stamp, Relaxed);
        }
        Moment { now, stamp, flushed }
    }

    #[inline]
    fn state(&self) -> (u32, u32) {
        let state = self.state.load(Relaxed);
        ((state >> 32) as u32, state as u32)
    }

    fn set_state(&self, shift: u32, flushed: u32) {
        self.state.store(u64::from(shift) << 32 | u64::from(flushed), Relaxed);
    }

    /// Flushes everything there is at second `now`.
    pub fn now(&self, now: u32) {
        let _guard = self.change.lock();
        self.due.store(0, Relaxed);
        self.came.store(0, Relaxed);
        let (shift, flushed) = self.state();
        let newest = now.wrapping_add(shift).max(self.latest.load(Relaxed));
        self.set_state(shift.wrapping_add(1), flushed.max(newest));
    }

    /// Flushes at second `at` whatever is there until the end of it. As in
    /// memcached there is at most one flush to come; 0 cancels it.
    pub fn later(&self, at: u32) {
        let _guard = self.change.lock();
        self.due.store(at, Relaxed);
    }

    /// Second of the flush to come, or of the last one (`stats settings`).
    pub fn oldest(&self) -> u32 {
        match self.due.load(Relaxed) {
            0 => {
                let (shift, flushed) = self.state();
                flushed.saturating_sub(shift)
            }
            due => due,
        }
    }

    #[cold]
    fn carry_out(&self, due: u32) {
        let _guard = self.change.lock();
        if self.due.load(Relaxed) == due {
            let (shift, flushed) = self.state();
            self.came.store(due, Relaxed);
            self.set_state(shift, flushed.max(due.wrapping_add(shift)));
            self.due.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_spares_what_comes_after_it() {
        let flush = Flush::default();
        let before = flush.moment(100).stamp;
        flush.now(100);
        let moment = flush.moment(100);
        assert!(before <= moment.flushed);
        assert!(moment.stamp > moment.flushed);
    }

    #[test]
    fn a_later_flush_takes_its_whole_second() {
        let flush = Flush::default();
        flush.later(105);
        assert_eq!(flush.moment(104).flushed, 0);
        let moment = flush.moment(105);
        assert!(moment.stamp <= moment.flushed);
        let moment = flush.moment(106);
        assert!(moment.stamp > moment.flushed);
    }

    #[test]
    fn an_immediate_flush_cancels_a_later_one() {
        let flush = Flush::default();
        flush.later(105);
        flush.now(100);
        let moment = flush.moment(110);
        assert_eq!(moment.flushed, 100);
    }

    #[test]
    fn a_clock_moved_back_neither_kills_new_items_nor_saves_old_ones() {
        let flush = Flush::default();
        let before = flush.moment(200).stamp;
        flush.now(100);
        let moment = flush.moment(100);
        assert!(before <= moment.flushed);
        assert!(moment.stamp > moment.flushed);
        let moment = flush.moment(90);
        assert!(moment.stamp > moment.flushed);
        flush.now(90);
        assert!(moment.stamp <= flush.moment(90).flushed);
    }
}

//! `flush_all`, now or later, in constant time.
//!
//! Items carry a *stamp* of their last use. It is the second of the clock plus
//! the number of immediate flushes so far: a flush moves all later stamps by
//! one, so an item stored in the same second as a flush, but after it, can be
//! told from one stored before. No live item is older than the last flush, so
//! differences of stamps of live items are seconds.
//!
//! Expiry itself is lazy (`Shard::find`) and swept by the crawler
//! (`Shard::crawl`); both ask [`Moment::is_dead`].

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use super::policy::Moment;

/// What was flushed and what will be.
#[derive(Default)]
pub struct Flush {
    /// Immediate flushes so far.
    shift: AtomicU32,
    /// Items with at most this stamp are flushed.
    flushed: AtomicU32,
    /// Second of a flush to come, or 0.
    due: AtomicU32,
    change: Mutex<()>,
}

impl Flush {
    /// The moment at second `now`.
    #[inline]
    pub fn moment(&self, now: u32) -> Moment {
        let due = self.due.load(Relaxed);
        if due != 0 && now >= due {
            self.carry_out(due);
        }
        Moment { now, stamp: now.wrapping_add(self.shift.load(Relaxed)), flushed: self.flushed.load(Relaxed) }
    }

    /// Flushes everything there is at second `now`.
    pub fn now(&self, now: u32) {
        let _guard = self.change.lock();
        self.due.store(0, Relaxed);
        let shift = self.shift.load(Relaxed);
        // The order matters to lock-free readers: a new item's stamp must not
        // be taken before old stamps are flushed, or it would die with them.
        self.shift.store(shift.wrapping_add(1), Relaxed);
        self.flushed.fetch_max(now.wrapping_add(shift), Relaxed);
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
            0 => self.flushed.load(Relaxed).saturating_sub(self.shift.load(Relaxed)),
            due => due,
        }
    }

    #[cold]
    fn carry_out(&self, due: u32) {
        let _guard = self.change.lock();
        if self.due.load(Relaxed) == due {
            self.flushed.fetch_max(due.wrapping_add(self.shift.load(Relaxed)), Relaxed);
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
}

//! `flush_all`, now or later, and `flush_prefix`, in constant time.
//!
//! Each item has a *stamp* of its last use: the second of the clock plus the number of immediate
//! flushes so far. A flush moves all later stamps by one. So an item stored in the same second
//! before a flush differs from one stored after it. No live item is older than the last flush, so
//! differences of stamps of live items are seconds. If the clock is moved back, stamps stay above
//! the flushed ones and stand still until the clock has caught up.
//!
//! A flush of a prefix kills only some of the items with an older stamp, those with a marked prefix
//! (`marks.rs`). So items that are older than the last flush of any kind are *suspect*: their keys
//! are looked up. Such a flush does not move stamps, because older items stay alive. Instead, later
//! stamps stay above the marked ones, as after a clock was moved back.
//!
//! Expiry itself is lazy (`Shard::find`) and swept by the crawler (`Shard::crawl`); both call
//! [`StoreShared::is_dead`](super::shared::StoreShared::is_dead). No item dies before [`Flush::earliest`], so the crawler sleeps until
//! then. Every item that is stored, touched, or seen alive by the crawler lowers that second.

use super::marks::Marks;
use super::mem::Header;
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

/// The time at which an access happens, and the limit of the last flush.
#[derive(Clone, Copy, Debug)]
pub struct TimeSnapshot {
    /// Second of the clock.
    pub now: u32,
    /// Stamp that a use at this time leaves in an item.
    pub stamp: u32,
    /// Items with at most this stamp were flushed.
    pub flushed: u32,
    /// Items with at most this stamp were perhaps flushed, by their prefix. At least `flushed`.
    pub suspect: u32,
}

impl TimeSnapshot {
    /// Returns whether the item was flushed with all others.
    #[inline]
    pub fn is_flushed(&self, header: &Header) -> bool {
        header.stamp() <= self.flushed
    }

    /// Returns whether the item has expired.
    #[inline]
    pub fn is_expired(&self, header: &Header) -> bool {
        let expiry = header.expiry();
        expiry != 0 && expiry <= self.now
    }

    /// Returns whether the item has expired, or was perhaps flushed.
    #[inline]
    pub fn is_perhaps_dead(&self, header: &Header) -> bool {
        self.is_suspect(header) || self.is_expired(header)
    }

    /// Returns whether the item was perhaps flushed.
    #[inline]
    pub fn is_suspect(&self, header: &Header) -> bool {
        header.stamp() <= self.suspect
    }

    /// Returns the seconds since the item's last use.
    #[inline]
    pub fn idle(&self, header: &Header) -> u32 {
        self.stamp.saturating_sub(header.stamp())
    }
}

/// The beginning of a crawl over all items.
#[derive(Clone, Copy, Debug)]
pub struct CrawlBegin {
    /// The last flush of a prefix.
    last: u64,
    /// The value of `Flush::moves`.
    moves: u64,
}

/// The state of flushes, past and planned, and the earliest death of an item.
pub struct Flush {
    /// Immediate flushes so far (upper half), and the stamp up to which items are flushed (lower
    /// half). They share one word: with a new stamp and an old limit, a read could save a flushed
    /// item.
    state: AtomicU64,
    /// The newest stamp of a marked prefix, or 0.
    marked: AtomicU32,
    /// Prefixes that were flushed.
    marks: Marks,
    /// How many items that such a flush killed have come to where a crawl may have been: the index
    /// moved them, or a load stored them.
    moves: AtomicU64,
    /// Loads of snapshots under way. Their items are as old as the begin of the load.
    loads: AtomicU32,
    /// The highest stamp so far. It rises under the lock `change`, so that a flush knows every
    /// stamp from before it.
    latest: AtomicU32,
    /// Second of a planned flush, or 0.
    due: AtomicU32,
    /// Second of the last planned flush that was carried out.
    came: AtomicU32,
    /// A second before which no item that is there dies; [`NEVER`] if none will. It
    /// lies beside what every request reads.
    earliest: AtomicU32,
    change: Mutex<()>,
}

/// No second: nothing will die.
const NEVER: u32 = u32::MAX;

impl Default for Flush {
    fn default() -> Self {
        Self {
            state: AtomicU64::new(0),
            marked: AtomicU32::new(0),
            marks: Marks::default(),
            moves: AtomicU64::new(0),
            loads: AtomicU32::new(0),
            latest: AtomicU32::new(0),
            due: AtomicU32::new(0),
            came: AtomicU32::new(0),
            earliest: AtomicU32::new(NEVER),
            change: Mutex::default(),
        }
    }
}

impl Flush {
    /// Returns whether an item that dies at second `expiry` (0: never) is the first to die.
    #[inline]
    pub fn is_earliest(&self, expiry: u32) -> bool {
        expiry != 0 && expiry < self.earliest.load(Relaxed)
    }

    /// Records that an item may die at second `at`.
    pub fn dies_at(&self, at: u32) {
        self.earliest.fetch_min(at, SeqCst);
    }

    /// Returns a second before which no item dies, or `None` if no item will die.
    pub fn earliest(&self) -> Option<u32> {
        Some(self.earliest.load(SeqCst)).filter(|&second| second != NEVER)
    }

    /// Resets the earliest death, for the crawler, which is about to see all items. Returns the
    /// second from before.
    pub fn forget_earliest(&self) -> Option<u32> {
        let before = self.earliest.swap(NEVER, SeqCst);
        // An item that the crawler finds alive dies by a flush that comes after that.
        match self.due.load(Acquire) {
            0 => {}
            due => self.dies_at(due),
        }
        Some(before).filter(|&second| second != NEVER)
    }

    /// Returns the snapshot of second `now`. If its stamp is written into items, call this with
    /// their shard locked. Otherwise the stamp may be older than the items.
    #[inline]
    pub fn time(&self, now: u32) -> TimeSnapshot {
        let due = self.due.load(Acquire);
        if due != 0 && now >= due {
            self.carry_out(due);
        }
        let state = self.state.load(Acquire);
        let time = self.moment_in(state, now);
        // Every flush that began after `latest` rose to this stamp knows it. A flush that began
        // earlier shows in the state.
        if time.stamp <= self.latest.load(Acquire) && self.state.load(Relaxed) == state {
            return time;
        }
        self.first_moment(now)
    }

    /// Returns the snapshot of second `now` if it is the first with its stamp, or if a flush has
    /// just happened.
    #[cold]
    fn first_moment(&self, now: u32) -> TimeSnapshot {
        let _guard = self.change.lock();
        let time = self.moment_in(self.state.load(Relaxed), now);
        if time.stamp > self.latest.load(Relaxed) {
            self.latest.store(time.stamp, Release);
        }
        time
    }

    #[inline]
    fn moment_in(&self, state: u64, now: u32) -> TimeSnapshot {
        let (shift, flushed) = halves(state);
        let marked = self.marked.load(Acquire);
        let suspect = flushed.max(marked);
        let mut stamp = now.wrapping_add(shift);
        if stamp <= suspect && (stamp <= marked || now != self.came.load(Relaxed)) {
            // The clock was moved back.
            stamp = suspect.saturating_add(1);
        }
        TimeSnapshot { now, stamp, flushed, suspect }
    }

    /// Returns a number that each flush of all items changes.
    pub fn version(&self) -> u64 {
        self.state.load(SeqCst)
    }

    fn state(&self) -> (u32, u32) {
        halves(self.state.load(Relaxed))
    }

    fn set_state(&self, shift: u32, flushed: u32) {
        self.state.store(u64::from(shift) << 32 | u64::from(flushed), Release);
    }

    /// Flushes all items at second `now`.
    pub fn now(&self, now: u32) {
        let _guard = self.change.lock();
        self.came.store(0, Relaxed);
        let (shift, flushed) = self.state();
        self.set_state(shift.wrapping_add(1), flushed.max(self.newest(now, shift)));
        // This store is last: a thread that sees 0 also sees the new state.
        self.due.store(0, Release);
    }

    /// Returns the newest stamp up to second `now`. The lock `change` must be held.
    fn newest(&self, now: u32, shift: u32) -> u32 {
        now.wrapping_add(shift).max(self.latest.load(Relaxed))
    }

    /// Flushes the items whose keys begin with `prefix`, at second `now`. Returns `false` if too
    /// many flushes of prefixes are under way.
    pub fn prefix(&self, now: u32, prefix: &[u8]) -> bool {
        let _guard = self.change.lock();
        let (shift, _) = self.state();
        let newest = self.newest(now, shift).max(self.marked.load(Relaxed));
        if !self.marks.add(prefix, newest) {
            return false;
        }
        self.marked.store(newest, Release);
        true
    }

    /// Returns whether the suspect item with this key was flushed by its prefix.
    #[cold]
    pub fn covers(&self, key: &[u8], stamp: u32) -> bool {
        self.marks.covers(key, stamp)
    }

    /// Returns the number of marked prefixes.
    pub fn flushed_prefixes(&self) -> usize {
        self.marks.len()
    }

    /// Begins a crawl that is about to see all items.
    pub fn begin_crawl(&self) -> CrawlBegin {
        CrawlBegin { moves: self.moves.load(SeqCst), last: self.marks.last() }
    }

    /// Records that the index moved an item that was flushed by its prefix. A crawl may miss it.
    pub fn note_moved(&self) {
        self.moves.fetch_add(1, SeqCst);
    }

    /// Begins a load, which may store items that a flush since then has killed.
    pub fn begin_load(&self) {
        self.loads.fetch_add(1, SeqCst);
    }

    /// Ends a load.
    pub fn end_load(&self) {
        self.note_moved();
        self.loads.fetch_sub(1, SeqCst);
    }

    /// Removes the marks of the flushes before a crawl over all items, which is over. Returns
    /// whether no mark is left.
    pub fn end_crawl(&self, begin: CrawlBegin) -> bool {
        let _guard = self.change.lock();
        if self.moves.load(SeqCst) == begin.moves && self.loads.load(SeqCst) == 0 {
            self.marked.store(self.marks.remove(begin.last), Release);
        }
        self.marks.len() == 0
    }

    /// Plans a flush at second `at` of all items stored until the end of that second. As in
    /// memcached, there is at most one planned flush. 0 cancels it.
    pub fn later(&self, at: u32) {
        let _guard = self.change.lock();
        self.due.store(at, Release);
    }

    /// Returns the second of the planned flush, or of the last one (`stats settings`).
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
            self.due.store(0, Release);
        }
    }
}

/// Returns the two halves of [`Flush::state`].
#[inline]
fn halves(state: u64) -> (u32, u32) {
    ((state >> 32) as u32, state as u32)
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use super::*;

    /// A shard with one item, represented by its stamp.
    type Shard = Mutex<u32>;

    /// Reads the item at second `now`, which renews it if it is alive.
    fn hit(flush: &Flush, shard: &Shard, now: u32) {
        let mut stamp = shard.lock();
        let time = flush.time(now);
        if *stamp > time.flushed {
            *stamp = time.stamp;
        }
    }

    fn is_flushed(flush: &Flush, shard: &Shard, now: u32) -> bool {
        let stamp = shard.lock();
        *stamp <= flush.time(now).flushed
    }

    fn setup() -> (Arc<Flush>, [Arc<Shard>; 2]) {
        let flush = Flush::default();
        let stamp = flush.time(100).stamp;
        (Arc::new(flush), [(); 2].map(|()| Arc::new(Mutex::new(stamp))))
    }

    /// Readers with a later clock do not save flushed items.
    #[test]
    fn no_reader_saves_what_was_flushed() {
        loom::model(|| {
            let (flush, shards) = setup();
            let readers = shards.clone().map(|shard| {
                let flush = Arc::clone(&flush);
                loom::thread::spawn(move || hit(&flush, &shard, 101))
            });
            flush.now(100);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert!(shards.iter().all(|shard| is_flushed(&flush, shard, 101)));
        });
    }

    /// The same after the clock was moved back behind an earlier flush.
    #[test]
    fn no_reader_saves_what_was_flushed_with_the_clock_moved_back() {
        loom::model(|| {
            let (flush, [shard, _]) = setup();
            flush.now(100);
            *shard.lock() = flush.time(90).stamp;
            let reader = {
                let (flush, shard) = (Arc::clone(&flush), Arc::clone(&shard));
                loom::thread::spawn(move || hit(&flush, &shard, 95))
            };
            flush.now(90);
            reader.join().unwrap();
            assert!(is_flushed(&flush, &shard, 95));
        });
    }

    /// Items stored after a flush stay, even with concurrent readers.
    #[test]
    fn what_is_stored_after_a_flush_stays() {
        loom::model(|| {
            let (flush, shards) = setup();
            let reader = {
                let (flush, shards) = (Arc::clone(&flush), shards.clone());
                loom::thread::spawn(move || shards.iter().for_each(|shard| hit(&flush, shard, 101)))
            };
            flush.now(100);
            {
                let mut stamp = shards[0].lock();
                *stamp = flush.time(100).stamp;
            }
            reader.join().unwrap();
            assert!(!is_flushed(&flush, &shards[0], 100));
            assert!(is_flushed(&flush, &shards[1], 101));
        });
    }

    /// A planned flush takes the existing items, once.
    #[test]
    fn a_flush_at_a_second_takes_what_was_there() {
        loom::model(|| {
            let (flush, shards) = setup();
            flush.later(101);
            let readers = shards.clone().map(|shard| {
                let flush = Arc::clone(&flush);
                loom::thread::spawn(move || hit(&flush, &shard, 102))
            });
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert!(shards.iter().all(|shard| is_flushed(&flush, shard, 102)));
            assert!(flush.time(102).stamp > flush.time(102).flushed);
        });
    }

    /// An immediate flush at the time of a planned one.
    #[test]
    fn a_flush_now_replaces_the_one_that_falls_due() {
        loom::model(|| {
            let (flush, [shard, _]) = setup();
            flush.later(101);
            let reader = {
                let (flush, shard) = (Arc::clone(&flush), Arc::clone(&shard));
                loom::thread::spawn(move || hit(&flush, &shard, 102))
            };
            flush.now(101);
            reader.join().unwrap();
            assert!(is_flushed(&flush, &shard, 102));
            assert!(flush.time(102).stamp > flush.time(102).flushed);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_flush_spares_what_comes_after_it() {
        let flush = Flush::default();
        let before = flush.time(100).stamp;
        flush.now(100);
        let time = flush.time(100);
        assert!(before <= time.flushed);
        assert!(time.stamp > time.flushed);
    }

    #[test]
    fn a_later_flush_takes_its_whole_second() {
        let flush = Flush::default();
        flush.later(105);
        assert_eq!(flush.time(104).flushed, 0);
        let time = flush.time(105);
        assert!(time.stamp <= time.flushed);
        let time = flush.time(106);
        assert!(time.stamp > time.flushed);
    }

    #[test]
    fn an_immediate_flush_cancels_a_later_one() {
        let flush = Flush::default();
        flush.later(105);
        flush.now(100);
        let time = flush.time(110);
        assert_eq!(time.flushed, 100);
    }

    #[test]
    fn a_clock_moved_back_neither_kills_new_items_nor_saves_old_ones() {
        let flush = Flush::default();
        let before = flush.time(200).stamp;
        flush.now(100);
        let time = flush.time(100);
        assert!(before <= time.flushed);
        assert!(time.stamp > time.flushed);
        let time = flush.time(90);
        assert!(time.stamp > time.flushed);
        flush.now(90);
        assert!(time.stamp <= flush.time(90).flushed);
    }
}

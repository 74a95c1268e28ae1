//! Segments: parts of item memory of equal size, each filled by appending, and the pool of those
//! without a shard. This module enforces the memory limit.
//!
//! ```text
//!            take              append, append ...             compact
//!   pool ----------> open ---------------------> sealed -----------------> pool
//!                    one for each log                     compacting, then
//!                    of a shard                           held while it has holds
//! ```
//!
//! The fields of a [`Segment`] that a shard owns change under that shard's lock. Those on which the
//! rights of `token.rs` depend change only here: the bytes appended, and the holds.

#![expect(unsafe_code, reason = "segments are given back, and links written; each block says why")]

use std::io;
use std::ops::Range;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, Release},
    fence,
};

use super::entry_writer::EntryWriter;
use super::header::{HEADER, bit};
use super::mapped::{Mapped, atomics};
use super::memory::Memory;
use super::rank::Rank;
use super::reference::Ref;
use super::token::{Hold, ShardToken};
use crate::base::scheduler::Waker;
use crate::base::sync::Mutex;
use crate::config::{CacheConfig, MIB};

/// Least number of segments of a shard when all memory is in use. With fewer, open and spare
/// segments would be a large part of it.
const PER_SHARD: usize = 256;

/// Smallest and largest segment.
const SIZES: (usize, usize) = (16 * 1024, MIB);

/// Least number of segments of a cache, even with a very low limit.
const FEWEST: usize = 16;

/// Limit from which the system is asked for large pages. Item memory is then much larger than the
/// memory that the processor's TLB covers. Segments are taken in order, so only the last large page
/// is partly unused.
const LARGE_PAGES_FROM: usize = 64 * MIB;

/// Least number of bytes that are opened at once in a cache without a limit.
const OPENED_AHEAD: usize = 64 * MIB;

/// Segments of each shard that a lower limit never takes away, on average. Each shard has some open
/// ones, and spares.
const LEAST_PER_SHARD: usize = 8;

/// The state of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::store) enum State {
    /// In the pool, a spare of a shard, or never used.
    Free = 0,
    /// Being filled.
    Open = 1,
    /// Full.
    Sealed = 2,
    /// Its live entries are being moved or evicted.
    Compacting = 3,
    /// Compacted, but held.
    Held = 4,
}

/// The data of a segment.
pub(in crate::store) struct Segment {
    filled: AtomicU32,
    live: AtomicU32,
    holds: AtomicU32,
    state: AtomicU8,
    rank: AtomicU8,
    used: AtomicU8,
    idle: AtomicU8,
    priority: AtomicU64,
    seen: AtomicU64,
    older: AtomicU32,
    newer: AtomicU32,
    owner: AtomicU32,
}

atomics!(Segment { filled, live, holds, state, rank, used, idle, priority, seen, older, newer, owner });

macro_rules! counter {
    ($(#[$doc:meta])* $get:ident, $vis:vis $set:ident) => {
        $(#[$doc])*
        #[inline]
        pub(in crate::store) fn $get(&self) -> usize {
            self.$get.load(Relaxed) as usize
        }

        #[doc = concat!("Sets [`Segment::", stringify!($get), "`].")]
        #[inline]
        $vis fn $set(&self, value: usize) {
            self.$get.store(value as u32, Relaxed);
        }
    };
}

impl Segment {
    counter!(
        /// Returns the bytes appended.
        filled, set_filled
    );
    counter!(
        /// Returns the bytes of entries that are not DEAD.
        live, pub(in crate::store) set_live
    );
    counter!(
        /// Returns the number of holds: readers or writers of its entries without the lock.
        holds, set_holds
    );

    counter!(
        /// Returns the number of the sealed segment before it in its log plus one, or 0 for none.
        older, pub(in crate::store) set_older
    );
    counter!(
        /// Returns the number of the sealed segment after it in its log plus one, or 0 for none.
        newer, pub(in crate::store) set_newer
    );

    #[inline]
    pub(in crate::store) fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Free,
            1 => State::Open,
            2 => State::Sealed,
            3 => State::Compacting,
            _ => State::Held,
        }
    }

    #[inline]
    pub(in crate::store) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Returns the rank of its log.
    #[inline]
    pub(in crate::store) fn rank(&self) -> Rank {
        Rank::at(usize::from(self.rank.load(Relaxed)))
    }

    /// Returns the priority of the segment: the inflation at which its items are judged.
    #[inline]
    pub(in crate::store) fn priority(&self) -> u64 {
        self.priority.load(Relaxed)
    }

    /// Returns the time of the last sample of its items, in bytes that the shard had stored.
    #[inline]
    pub(in crate::store) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    fn set_seen(&self, stored: u64) {
        self.seen.store(stored, Relaxed);
    }

    /// Records a sample of its items: whether they were used since the last one. Returns whether
    /// they were idle for as many samples as they were used.
    pub(in crate::store) fn note_look(&self, used: bool, stored: u64) -> bool {
        self.set_seen(stored);
        if used {
            self.used.store(self.used.load(Relaxed).saturating_add(1), Relaxed);
            self.idle.store(0, Relaxed);
            return false;
        }
        let idle = self.idle.load(Relaxed).saturating_add(1);
        self.idle.store(idle, Relaxed);
        idle >= self.used.load(Relaxed)
    }

    /// Makes a segment of the token's shard open and empty.
    ///
    /// # Panics
    /// If the segment has holds or live entries.
    pub(in crate::store) fn open(&self, token: &mut ShardToken, rank: Rank, priority: u64, stored: u64) {
        debug_assert_eq!(self.owner.load(Relaxed), token.number());
        assert_eq!((self.holds(), self.live()), (0, 0), "a segment in use is opened");
        self.set_filled(0);
        self.set_live(0);
        self.rank.store(rank.index() as u8, Relaxed);
        self.priority.store(priority, Relaxed);
        self.set_seen(stored);
        self.used.store(0, Relaxed);
        self.idle.store(0, Relaxed);
        self.set_state(State::Open);
    }
}

/// All segments, and the pool.
pub struct Segments {
    /// The item memory.
    pub memory: Memory,
    shift: u32,
    large_pages: bool,
    /// The table has room for all reserved addresses, of which few may ever be used.
    table: Mapped<Segment>,
    pool: Mutex<Pool>,
    shards: usize,
    /// Number of the next token.
    tokens: AtomicU32,
    evicts: bool,
    /// Whether the pool cannot provide a segment.
    exhausted: AtomicBool,
    /// Bytes that count against the limit besides segments: the index.
    charged: AtomicUsize,
}

/// A place between two entries of a segment. It is valid until the segment is reused.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Cursor {
    number: u32,
    offset: usize,
}

impl Cursor {
    /// Returns the start of a segment.
    pub(in crate::store) fn start_of(number: u32) -> Self {
        Self { number, offset: 0 }
    }

    /// Returns the number of the segment.
    pub(in crate::store) fn number(self) -> u32 {
        self.number
    }

    /// Returns the bytes before this place.
    pub(in crate::store) fn offset(self) -> usize {
        self.offset
    }
}

/// The memory that counts against the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The limit in bytes, or 0 for none.
    pub limit: usize,
    /// Bytes of segments in use and in the pool.
    pub malloced: usize,
    /// Bytes besides segments: the index.
    pub charged: usize,
    /// Segments in the pool.
    pub pool: usize,
}

struct Pool {
    /// Segments that were used and are free now.
    free: Vec<u32>,
    /// Segments that were given back to the system.
    released: Vec<u32>,
    /// Number of the first segment that was never used.
    untouched: u32,
    /// Bytes of segments that the system has provided.
    malloced: usize,
    limit: usize,
    /// Woken once when memory is used first that can be touched ahead, or the limit
    /// changes.
    on_growth: Option<Waker>,
}

impl Pool {
    fn wake(&mut self) {
        if let Some(waker) = self.on_growth.take() {
            waker.wake();
        }
    }
}

impl Segments {
    /// Reserves addresses for a cache of `shards` shards.
    ///
    /// # Errors
    /// The system refuses addresses even for the limit alone.
    pub fn new(config: &CacheConfig, shards: usize) -> io::Result<Self> {
        let size = match config.memory_limit / shards / PER_SHARD {
            _ if config.memory_limit == 0 => SIZES.1,
            0 => SIZES.0,
            share => (1 << share.ilog2()).clamp(SIZES.0, SIZES.1),
        };
        let limit = match config.memory_limit {
            0 => 0,
            limit => limit.max(FEWEST * size * shards.min(2)),
        };
        let memory = Memory::reserve(limit, SIZES.1)?;
        let large_pages = config.large_pages || limit == 0 || limit >= LARGE_PAGES_FROM;
        if large_pages {
            memory.advise_large();
        }
        memory.open(limit)?;
        let table = Mapped::zeroed(memory.reserved() / size)?;
        // A thread that gives a segment back never waits for an allocation.
        let (mut free, mut released) = (Vec::new(), Vec::new());
        for list in [&mut free, &mut released] {
            list.try_reserve_exact(limit / size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        Ok(Self {
            memory,
            shift: size.ilog2(),
            large_pages,
            table,
            pool: Mutex::new(Pool {
                free,
                released,
                untouched: 0,
                malloced: config.initial_malloced,
                limit,
                on_growth: None,
            }),
            shards,
            tokens: AtomicU32::new(0),
            evicts: config.evictions,
            exhausted: AtomicBool::new(false),
            charged: AtomicUsize::new(0),
        })
    }

    /// Returns the token of the next shard.
    pub(in crate::store) fn token(&self) -> ShardToken {
        ShardToken::new(self.tokens.fetch_add(1, Relaxed))
    }

    /// Returns the bytes of a segment.
    #[inline]
    pub fn size(&self) -> usize {
        1 << self.shift
    }

    /// Returns the size of the largest entry that is stored in one piece. So little memory is lost
    /// at the end of a segment, where the next entry does not fit.
    #[inline]
    pub fn whole_max(&self) -> usize {
        self.size() / 8
    }

    /// Returns the rounded size of an entry of `extent` bytes.
    #[inline]
    pub fn round(&self, extent: usize) -> usize {
        extent.next_multiple_of(self.memory.unit())
    }

    /// Returns the rounded size of the entry at `at`.
    #[inline]
    pub fn taken_by(&self, at: Ref) -> usize {
        self.round(self.memory.header(at).extent())
    }

    /// Returns the number of the segment of `at`.
    #[inline]
    pub fn number_of(&self, at: Ref) -> u32 {
        (self.memory.offset(at) >> self.shift) as u32
    }

    /// Returns the segment with this number.
    #[inline]
    pub(in crate::store) fn get(&self, number: u32) -> &Segment {
        &self.table[number as usize]
    }

    /// Returns the segment of `at`.
    #[inline]
    pub(in crate::store) fn of(&self, at: Ref) -> &Segment {
        self.get(self.number_of(at))
    }

    /// Returns whether the entry at `at` is of the shard of `token`.
    pub(in crate::store) fn is_owned_by(&self, at: Ref, token: &ShardToken) -> bool {
        self.of(at).owner.load(Relaxed) == token.number()
    }

    /// Appends an entry of `size` bytes (rounded) to the open segment `number` of the token's
    /// shard. Returns `None` if it does not fit.
    #[inline]
    pub(in crate::store) fn append(
        &self,
        token: &mut ShardToken,
        number: u32,
        size: usize,
    ) -> Option<EntryWriter<'static>> {
        let segment = self.get(number);
        debug_assert_eq!((segment.owner.load(Relaxed), segment.state()), (token.number(), State::Open));
        let offset = segment.filled();
        if offset + size > self.size() {
            return None;
        }
        segment.set_filled(offset + size);
        let at = self.memory.at(((number as usize) << self.shift) + offset);
        Some(EntryWriter::new(at, HEADER, size))
    }

    /// Returns a writer of the LINKED item at `at`, from byte `from` of the entry on. Returns
    /// `None` if the entry does not have `size` bytes, or if its segment has holds.
    #[inline]
    pub(in crate::store) fn overwrite<'t>(
        &self,
        token: &'t mut ShardToken,
        at: Ref,
        size: usize,
        from: usize,
    ) -> Option<EntryWriter<'t>> {
        debug_assert!(self.is_owned_by(at, token));
        let is_free = self.taken_by(at) == size && self.of(at).holds() == 0;
        is_free.then(|| EntryWriter::new(at, from, size))
    }

    /// Links a piece of the CHUNKED item at `owner` after the one at `before`, or first if that is
    /// [`Ref::NONE`].
    ///
    /// # Panics
    /// If the item is not CHUNKED.
    pub(in crate::store) fn link_piece(&self, token: &mut ShardToken, owner: Ref, before: Ref, piece: Ref) {
        debug_assert!(self.is_owned_by(owner, token));
        if let Some(before) = before.some() {
            self.memory.header(before).set_links(owner, piece);
            return;
        }
        let header = self.memory.header(owner);
        assert!(header.has(bit::CHUNKED));
        // SAFETY: the word is the value of a CHUNKED item. Only an `Item` reads it, and `token` is
        // borrowed exclusively.
        unsafe { self.memory.write(owner, header.value_offset(), &piece.0.to_ne_bytes()) };
    }

    /// Holds the segment of an entry. It is not reused before [`Segments::end_hold`].
    pub(in crate::store) fn hold(&self, token: &mut ShardToken, at: Ref) -> Hold {
        debug_assert!(self.is_owned_by(at, token));
        let segment = self.of(at);
        segment.set_holds(segment.holds() + 1);
        Hold::new(at)
    }

    /// Ends a hold. Returns the number of the other holds of the segment.
    pub(in crate::store) fn end_hold(&self, token: &mut ShardToken, hold: Hold) -> usize {
        let at = hold.end();
        debug_assert!(self.is_owned_by(at, token));
        let segment = self.of(at);
        let others = segment.holds() - 1;
        segment.set_holds(others);
        others
    }

    /// Returns the entry at the cursor, and moves the cursor behind it. Returns `None` at the end
    /// of the written part.
    #[inline]
    pub(in crate::store) fn next_entry(&self, cursor: &mut Cursor) -> Option<Ref> {
        if cursor.offset >= self.get(cursor.number).filled() {
            return None;
        }
        let at = self.memory.at(((cursor.number as usize) << self.shift) + cursor.offset);
        cursor.offset += self.taken_by(at);
        Some(at)
    }

    /// Returns whether live items may be evicted.
    pub(in crate::store) fn evicts(&self) -> bool {
        self.evicts
    }

    /// Returns whether the pool cannot provide a segment.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load(Relaxed)
    }

    /// Takes a segment out of the pool.
    pub(in crate::store) fn take(&self) -> Option<u32> {
        let mut pool = self.pool.lock();
        let number = self.take_from(&mut pool);
        if number.is_none() {
            self.exhausted.store(true, Relaxed);
        }
        number
    }

    /// Makes a free segment one of the shard of `token`.
    ///
    /// # Panics
    /// If the segment is in use.
    pub(in crate::store) fn assign(&self, number: u32, token: &ShardToken) {
        let segment = self.get(number);
        assert_eq!(segment.state(), State::Free, "a segment in use changes its shard");
        // A thread that sees later writes to this segment also sees that its former shard has
        // changed (`seqlock.rs`). Reservations are written by the thread that took their memory, or
        // by a thread that received them from it.
        fence(Release);
        segment.owner.store(token.number(), Relaxed);
    }

    fn take_from(&self, pool: &mut Pool) -> Option<u32> {
        // The bytes charged besides segments may have grown.
        self.shrink(pool);
        if self.excess(pool) > 0 {
            return None;
        }
        if let Some(number) = pool.free.pop() {
            return Some(number);
        }
        if !self.may_grow(pool) {
            return None;
        }
        let number = match pool.released.pop() {
            Some(number) => number,
            None if (pool.untouched as usize) < self.table.len() => {
                let number = pool.untouched;
                self.open((number as usize) << self.shift).ok()?;
                pool.untouched += 1;
                if self.large_pages {
                    pool.wake();
                }
                number
            }
            None => return None,
        };
        pool.malloced += self.size();
        Some(number)
    }

    /// Opens the memory of the segment at `offset`, and more after it, so that a cache without a
    /// limit rarely calls the system.
    fn open(&self, offset: usize) -> io::Result<()> {
        let (end, open) = (offset + self.size(), self.memory.opened());
        if end <= open {
            return Ok(());
        }
        let ample = open + (open / 2).max(OPENED_AHEAD);
        self.memory.open(ample.min(self.memory.reserved()).max(end)).or_else(|_| self.memory.open(end))
    }

    /// Puts a segment into the pool, or gives it back to the system if the limit was lowered.
    pub(in crate::store) fn give(&self, number: u32) {
        self.get(number).set_state(State::Free);
        let mut pool = self.pool.lock();
        pool.free.push(number);
        self.trim(&mut pool);
    }

    fn trim(&self, pool: &mut Pool) {
        self.shrink(pool);
        self.exhausted.store(pool.free.is_empty() && !self.may_grow(pool), Relaxed);
    }

    /// Gives free segments back to the system, as the limit requires.
    fn shrink(&self, pool: &mut Pool) {
        while self.excess(pool) > 0
            && let Some(number) = pool.free.pop()
        {
            // SAFETY: a segment in the pool has no entries, and `pool` is locked.
            unsafe { self.memory.release((number as usize) << self.shift, self.size()) };
            pool.released.push(number);
            pool.malloced -= self.size();
        }
    }

    /// Changes the memory limit. Returns `false` if it exceeds the reserved addresses, or if the
    /// system refuses the memory.
    pub fn set_limit(&self, limit: usize) -> bool {
        let mut pool = self.pool.lock();
        if self.memory.open(limit).is_err() {
            return false;
        }
        pool.limit = limit;
        self.trim(&mut pool);
        pool.wake();
        true
    }

    /// Has `waker` woken once, when memory is used first that can be touched ahead, or
    /// the limit changes.
    pub(in crate::store) fn wake_on_growth(&self, waker: Waker) {
        self.pool.lock().on_growth = Some(waker);
    }

    /// Whether [`Segments::wake_on_growth`] was called and did not wake yet.
    pub(in crate::store) fn wakes_on_growth(&self) -> bool {
        self.pool.lock().on_growth.is_some()
    }

    /// Returns whether more is in use than the limit allows: it was lowered, or the bytes charged
    /// besides segments have grown.
    pub fn shrinks(&self) -> bool {
        self.excess(&self.pool.lock()) > 0
    }

    /// Charges `after` bytes in place of `before` against the limit.
    pub fn charge(&self, before: usize, after: usize) {
        self.charged.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Returns the bytes of segments that may be in use. A large index must leave some memory for
    /// items.
    fn allowed(&self, pool: &Pool) -> usize {
        let least = LEAST_PER_SHARD * self.size() * self.shards;
        match pool.limit {
            0 => usize::MAX,
            limit => limit.saturating_sub(self.charged.load(Relaxed)).max(least),
        }
    }

    /// Returns the number of segments that are one shard's share of the limit.
    pub(in crate::store) fn share(&self) -> usize {
        self.allowed(&self.pool.lock()) / self.size() / self.shards
    }

    /// Returns the bytes above the limit.
    fn excess(&self, pool: &Pool) -> usize {
        pool.malloced.saturating_sub(self.allowed(pool))
    }

    fn may_grow(&self, pool: &Pool) -> bool {
        pool.malloced.saturating_add(self.size()) <= self.allowed(pool)
    }

    /// Returns whether the system is asked for large pages.
    pub(in crate::store) fn has_large_pages(&self) -> bool {
        self.large_pages
    }

    /// Returns the range of bytes that were never part of a used segment, up to the limit.
    pub(in crate::store) fn unused(&self) -> Range<usize> {
        let pool = self.pool.lock();
        let start = (pool.untouched as usize) << self.shift;
        let room = self.allowed(&pool).saturating_sub(pool.malloced);
        start..start.saturating_add(room).min(self.memory.opened())
    }

    /// Gives these bytes back to the system, except those that have become part of a segment.
    pub(in crate::store) fn release_unused(&self, bytes: Range<usize>) {
        // Under the lock, so that no thread takes a segment of them.
        let pool = self.pool.lock();
        let start = bytes.start.max((pool.untouched as usize) << self.shift);
        if start < bytes.end {
            // SAFETY: no segment there was ever taken, and none can be, because `pool` is locked.
            unsafe { self.memory.release(start, bytes.end - start) };
        }
    }

    /// Returns the limit in bytes.
    pub fn limit(&self) -> usize {
        self.pool.lock().limit
    }

    /// Returns the memory that counts against the limit.
    pub fn usage(&self) -> Usage {
        let pool = self.pool.lock();
        Usage {
            limit: pool.limit,
            malloced: pool.malloced,
            charged: self.charged.load(Relaxed),
            pool: pool.free.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(limit: usize, shards: usize) -> Segments {
        let config = CacheConfig { memory_limit: limit, ..CacheConfig::default() };
        Segments::new(&config, shards).unwrap_or_else(|e| unreachable!("{e}"))
    }

    #[test]
    fn the_limit_is_exact() {
        let segments = segments(3 * MIB, 1);
        let numbers: Vec<u32> = std::iter::from_fn(|| segments.take()).collect();
        assert_eq!(numbers.len() * segments.size(), 3 * MIB);
        assert!(segments.is_exhausted());
        assert!(segments.set_limit(4 * MIB));
        assert!(!segments.is_exhausted());
        assert!(segments.take().is_some());
    }

    #[test]
    fn a_lowered_limit_gives_memory_back() {
        let segments = segments(4 * MIB, 1);
        let numbers: Vec<u32> = std::iter::from_fn(|| segments.take()).collect();
        assert!(segments.set_limit(2 * MIB) && segments.shrinks());
        for &number in &numbers[..numbers.len() / 2] {
            segments.give(number);
        }
        assert!(!segments.shrinks());
        assert_eq!(segments.usage(), Usage { limit: 2 * MIB, malloced: 2 * MIB, charged: 0, pool: 0 });
        assert!(segments.take().is_none());
    }

    #[test]
    fn what_is_charged_leaves_less_for_segments() {
        let segments = segments(4 * MIB, 1);
        while segments.take().is_some() {}
        segments.charge(0, MIB);
        assert!(segments.shrinks());
        for number in 0..(MIB / segments.size()) as u32 {
            assert!(segments.shrinks());
            segments.give(number);
        }
        assert!(!segments.shrinks() && segments.is_exhausted());
        segments.charge(MIB, MIB / 2);
        assert!(segments.take().is_some());
    }

    #[test]
    #[cfg_attr(miri, ignore = "its memory is real")]
    fn segments_grow_with_the_cache() {
        assert_eq!(segments(64 * MIB, 8).size(), 32 * 1024);
        assert_eq!(segments(1024 * MIB, 16).size(), 256 * 1024);
        assert_eq!(segments(8192 * MIB, 16).size(), MIB);
        assert_eq!(segments(MIB, 1).size(), 16 * 1024);
    }
}

//! The store: the only access to items.
//!
//! ```text
//!   Store -- Common   memory, segments, hash, clock, flush    (shared by all)
//!        `-- Shard 0..n   index, logs, counters               (one lock each)
//! ```
//!
//! A key's hash selects its shard. A [`LockedEntry`] is a locked shard opened at one key. A command
//! makes all changes to an item through it, in one critical section. Values are copied out, or read
//! through a [`PinnedValue`]. Most reads need no lock (`optimistic.rs`).
//!
//! Items are appended to logs, which consist of segments. A segment is reused after compaction
//! (`compactor.rs`). See docs/architecture.md.
//!
//! Lock order: a shard, then the pool in `Segments`. A thread with the lock of one shard never
//! locks another. If the shard has no memory ([`locked_entry::Full`]), the thread frees memory
//! without any lock ([`Store::make_room`]).

mod access_batch;
mod attempts;
mod beside;
#[cfg(test)]
mod churn;
mod classes;
mod compactor;
mod counters;
mod entry_ref;
mod expiry;
mod index;
mod item;
mod locked_entry;
mod logs;
mod memory;
mod optimistic;
mod pinned;
mod policy;
mod prefault;
mod reservation;
mod segment;
mod seqlock;
mod shard;
mod shared;
pub mod stats;
mod table;
mod verify;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) use self::access_batch::AccessBatch;
pub(crate) use self::attempts::Attempts;
pub use self::beside::Beside;
use self::counters::ReadCounters;
pub use self::entry_ref::{EntryRef, INLINE_COPY_MAX, ReadConflict};
pub use self::expiry::TimeSnapshot;
pub use self::item::{HEADER, Header, Item, bit, item_size};
use self::item::{Kind, Ref};
pub use self::locked_entry::{Full, LockedEntry};
pub use self::optimistic::LookupHint;
pub use self::pinned::PinnedValue;
use self::policy::Rank;
pub use self::policy::Tuning;
pub use self::prefault::Prefault;
pub use self::reservation::Reservation;
use self::segment::Segments;
pub use self::segment::Usage;
use self::seqlock::SeqLock;
pub use self::shard::Lookup;
use self::shard::Shard;
pub use self::shared::Sizes;
use self::shared::StoreShared;
use self::stats::{ClassStats, ClassTotals, CommandStats, Totals};
use self::table::Table;
pub use self::verify::ItemCounts;
use crate::base::clock::Clock;
use crate::base::error::AllocError;
use crate::base::scheduler::Waker;
use crate::base::sync::Mutex;
use crate::base::watch::WatchHub;
use crate::config::{CacheConfig, KEY_MAX, LruMode, MIB};

/// A shard on cache lines of its own.
#[repr(align(128))]
struct PaddedShard(SeqLock<Shard>);

/// Least item memory per shard. With less, its segments would be few or very small.
const SHARD_LEAST: usize = 8 * MIB;

/// Attempts of a store to get memory before it gives up. Other threads may use the memory first.
const TRIES: usize = 8;

/// The items of a cache.
pub struct Store {
    common: StoreShared,
    shards: Box<[PaddedShard]>,
    /// The buckets of each shard, for optimistic reads.
    tables: Box<[Arc<Table>]>,
    read_counters: ReadCounters,
    tuning: Mutex<Tuning>,
}

opaque_debug!(Store);

impl Store {
    /// Returns an empty store.
    ///
    /// # Errors
    /// The system refuses address space for the items.
    pub fn new(config: &CacheConfig, clock: Arc<Clock>, watch: Arc<WatchHub>) -> io::Result<Self> {
        let count = shard_count(config);
        let segments = Segments::new(config, count)?;
        let slots = if config.hashpower_init == 0 { 0 } else { (1 << config.hashpower_init) / count };
        let tuning = Tuning {
            mode: config.lru_mode,
            temporary: config.temporary_ttl.is_some(),
            temporary_ttl: config.temporary_ttl.unwrap_or(61),
        };
        let common = StoreShared::new(config, segments, count, clock, watch)?;
        let classes = common.classes.list().len();
        let shards = (0..count as u32)
            .map(|number| Shard::new(number, classes, slots, tuning))
            .collect::<io::Result<Vec<_>>>()?;
        let tables = shards.iter().map(|shard| Arc::clone(shard.index.table())).collect();
        let shards = shards.into_iter().map(|shard| PaddedShard(SeqLock::new(shard))).collect();
        Ok(Self { common, shards, tables, read_counters: ReadCounters::new()?, tuning: Mutex::new(tuning) })
    }

    /// Returns the hash of a key, which every operation on the key takes.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.common.hash(key)
    }

    #[inline]
    fn shard(&self, hash: u64) -> &SeqLock<Shard> {
        let last = self.shards.len() - 1;
        &self.shards[self.common.shard_of(hash).min(last)].0
    }

    /// Returns the present time.
    #[inline]
    pub fn time(&self) -> TimeSnapshot {
        self.common.time()
    }

    /// Returns the next CAS value, or 0 if CAS is off.
    #[inline]
    pub fn next_cas(&self) -> u64 {
        self.common.next_cas()
    }

    /// Locks the shard of `key` and looks the key up.
    #[inline]
    pub fn entry<'a>(self: &'a Arc<Self>, key: &[u8], hash: u64) -> LockedEntry<'a> {
        self.visit_at(key, LookupHint::from(hash))
    }

    /// Like [`Store::entry`], with a hint about the place of the item.
    #[expect(
        clippy::inline_always,
        reason = "a locked entry has many words: moving it takes longer than making it"
    )]
    #[inline(always)]
    pub(crate) fn visit_at<'a>(self: &'a Arc<Self>, key: &[u8], hint: LookupHint) -> LockedEntry<'a> {
        LockedEntry::new(self, self.shard(hint.hash).lock(), key, hint)
    }

    /// Returns the class of an item with a value of `length` bytes.
    ///
    /// # Errors
    /// The item or its key is too large.
    #[inline]
    pub fn class_for(&self, key_len: usize, flags: u32, length: usize) -> Result<u8, AllocError> {
        if key_len > KEY_MAX {
            return Err(AllocError::TooLarge);
        }
        self.common.classes.class_for(key_len, flags, length).ok_or(AllocError::TooLarge)
    }

    /// Returns whether such an item's value is chunked.
    #[inline]
    pub fn is_chunked(&self, key_len: usize, flags: u32, length: usize) -> bool {
        item_size(key_len, flags, length) > self.common.segments.whole_max()
    }

    /// Returns whether memcached stores such an item in several chunks. `incr` then refuses it.
    pub fn is_chunked_in_memcached(&self, key_len: usize, flags: u32, length: usize) -> bool {
        self.common.classes.is_chunked(key_len, flags, length)
    }

    /// Returns the attempts of a command to store an item with this hash.
    pub(crate) fn attempts(&self, hash: u64) -> Attempts<'_> {
        Attempts::new(self, hash)
    }

    /// Frees memory for the shard of `hash`, in it or in others. The caller must not hold a
    /// [`LockedEntry`]. Loops call `Attempts::make_room`, which bounds them.
    ///
    /// # Errors
    /// There is no memory, and nothing to evict.
    pub fn make_room(&self, hash: u64, class: u8) -> Result<(), AllocError> {
        let common = &self.common;
        let home = self.shard(hash);
        // Not of the limit, because the index counts against it, too.
        let share = (common.segments.usage().malloced / common.segments.size() / self.shards.len()).max(1);
        for _ in 0..TRIES {
            let owned = {
                let mut own = home.lock();
                // A shard uses its own share if it has nearly all of it.
                if (own.logs.owned() * 8 >= share * 7 || self.shards.len() == 1)
                    && own.ensure_free_segment(common, common.time())
                {
                    return Ok(());
                }
                own.logs.owned()
            };
            let others = self.shards.iter().map(|cell| &cell.0).filter(|&cell| !std::ptr::eq(cell, home));
            let mut richer: Vec<_> = others
                .map(|cell| (cell.lock().logs.owned(), cell))
                .filter(|&(others, _)| others >= owned)
                .collect();
            richer.sort_unstable_by_key(|&(others, _)| Reverse(others));
            let given = richer.into_iter().any(|(_, cell)| {
                let mut other = cell.lock();
                other.ensure_free_segment(common, common.time()) && other.logs.give_spare(&common.segments)
            });
            let mut own = home.lock();
            if own.ensure_free_segment(common, common.time()) {
                return Ok(());
            }
            if !given && !own.sweep(common, common.time()) {
                break;
            }
        }
        home.lock().stats(class).outofmemory += 1;
        Err(AllocError::NoMemory)
    }

    /// Calls `look` with items of shard `shard`, from bucket `bucket` on: at least `most`, unless
    /// the shard ends. Returns the next bucket, if there is one.
    ///
    /// A scan of all shards sees an item that stays at least once, unless the index shrinks during
    /// the scan. The shard is locked while `look` runs.
    pub fn scan(
        &self,
        shard: usize,
        mut bucket: usize,
        most: usize,
        mut look: impl FnMut(Item<'_>, &TimeSnapshot),
    ) -> Option<usize> {
        let time = self.common.time();
        let shard = self.shards.get(shard)?.0.lock();
        let memory = self.common.memory();
        let mut seen = 0;
        while bucket < shard.index.buckets() && seen < most {
            shard.index.scan(bucket, |at| {
                seen += 1;
                if !time.is_dead(memory.header(at)) {
                    look(Item::new(memory, at), &time);
                }
            });
            bucket += 1;
        }
        (bucket < shard.index.buckets()).then_some(bucket)
    }

    /// Returns the number of shards, for [`Store::scan`] and [`Store::crawl`].
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Checks items of shard `shard` in descending buckets below `below`, which is `usize::MAX` at
    /// first: at least `most`, unless the shard ends. Frees the dead ones of the classes in
    /// `classes` (one bit each). Returns the next `below`, if there are more buckets.
    pub fn crawl(
        &self,
        shard: usize,
        below: usize,
        most: usize,
        classes: u64,
        freed: impl FnMut(u8),
    ) -> Option<usize> {
        let mut shard = self.shards.get(shard)?.0.lock();
        let time = self.common.time();
        shard.crawl(&self.common, time, classes, below, most, freed)
    }

    /// Calls `look` with at most `most` items of `class`, the newest of each log first. They are in
    /// one segment, the one that `listing` has reached. Returns the number of entries examined, or
    /// `None` at the end.
    ///
    /// The shard is locked while `look` runs. Items of logs that change between two calls may
    /// appear twice or not at all.
    pub fn list_class(
        &self,
        class: u8,
        listing: &mut Listing,
        most: usize,
        mut look: impl FnMut(Item<'_>),
    ) -> Option<usize> {
        let memory = self.common.memory();
        while let Some(cell) = self.shards.get(listing.shard) {
            let shard = cell.0.lock();
            while let Some(rank) = Rank::all().nth(listing.rank) {
                let mut log = shard.logs.newest_first(&self.common.segments, rank);
                let Some(number) = log.nth(listing.depth) else {
                    *listing = Listing { shard: listing.shard, rank: listing.rank + 1, ..Listing::default() };
                    continue;
                };
                // The last of those that did not appear.
                let (mut found, mut seen) = (VecDeque::new(), 0);
                Shard::first_entries(&self.common, number, listing.below.unwrap_or(usize::MAX), |at| {
                    let header = memory.header(at);
                    if header.kind() == Kind::Linked && header.class() == class {
                        if found.len() == most {
                            found.pop_front();
                        }
                        found.push_back((seen, at));
                    }
                    seen += 1;
                });
                found.iter().rev().for_each(|&(_, at)| look(Item::new(memory, at)));
                match found.front() {
                    Some(&(first, _)) if found.len() == most => listing.below = Some(first),
                    _ => {
                        listing.depth += 1;
                        listing.below = None;
                    }
                }
                return Some(seen);
            }
            *listing = Listing { shard: listing.shard + 1, ..Listing::default() };
        }
        None
    }

    /// Flushes all items at once.
    pub fn flush(&self) {
        self.common.flush.now(self.common.clock.now());
        self.note_dead();
    }

    /// Plans a flush of all items at second `at` of the clock. Replaces an earlier plan.
    pub fn flush_later(&self, at: u32) {
        self.common.flush.later(at);
        self.common.note_expiry(at);
    }

    /// Returns the second of the planned flush, or of the last one.
    pub fn oldest_live(&self) -> u32 {
        self.common.flush.oldest()
    }

    /// Frees items that an immediate flush has just killed and that were used at most a second
    /// before it, the newest of each class first. So small caches are empty at once, and large ones
    /// do not stall. Returns the number of freed items.
    pub fn sweep_recent(&self, most: usize) -> usize {
        let mut swept = 0;
        let memory = self.common.memory();
        let time = self.common.time();
        let mut dead = Vec::new();
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            // Collect first, then free. Freeing may empty other segments, which may then belong to
            // any shard.
            dead.clear();
            // Whether all items of a segment stay. A segment may have only pieces, and no items.
            let mut leaves_all = |number| {
                let (before, mut others) = (dead.len(), false);
                Shard::entries(&self.common, number, |at| {
                    let header = memory.header(at);
                    if header.kind() != Kind::Linked {
                        return;
                    }
                    let recent = time.is_flushed(header) && time.idle(header) <= 2;
                    if recent && swept + dead.len() < most {
                        dead.push(at);
                    } else {
                        others = true;
                    }
                });
                dead.len() == before && others
            };
            // The segment is not in a log.
            if let Some(compaction) = &shard.compaction {
                leaves_all(compaction.number);
            }
            for rank in Rank::all() {
                // After a segment of older items, there are no newer ones.
                let _ =
                    shard.logs.newest_first(&self.common.segments, rank).find(|&number| leaves_all(number));
            }
            for &at in &dead {
                shard.unlink(&self.common, at, self.common.hash_of(at));
            }
            swept += dead.len();
        }
        swept
    }

    /// Returns the settings of the policies.
    pub fn tuning(&self) -> Tuning {
        *self.tuning.lock()
    }

    /// Changes the settings of the policies.
    pub fn tune(&self, change: impl FnOnce(&mut Tuning)) {
        let mut tuning = self.tuning.lock();
        change(&mut tuning);
        self.common.flat.store(tuning.is_flat(), Relaxed);
        for cell in &self.shards {
            cell.0.lock().tuning = *tuning;
        }
    }

    /// Returns whether live items may be evicted.
    pub fn evicts(&self) -> bool {
        self.common.evicts()
    }

    /// Background work on one shard: enforces a lowered limit.
    pub fn shrink_to_limit(&self, shard: usize) {
        let Some(cell) = self.shards.get(shard) else { return };
        let mut shard = cell.0.lock();
        if self.common.segments.shrinks() && shard.ensure_free_segment(&self.common, self.common.time()) {
            shard.logs.give_spare(&self.common.segments);
        }
    }

    /// Background work on one shard: frees items that have expired at the old ends of its logs, as
    /// memcached's LRU maintainer does. Returns the number of freed items.
    pub fn reclaim_tails(&self, shard: usize) -> usize {
        let Some(cell) = self.shards.get(shard) else { return 0 };
        cell.0.lock().reclaim_tails(&self.common, self.common.time())
    }

    /// Background work on memory: a round of `prefault`, or the part of it that is done before
    /// `is_over` returns `true`. Returns `false` if the round is not complete.
    pub fn prefault(&self, prefault: &mut Prefault, is_over: impl Fn() -> bool) -> bool {
        prefault.round(&self.common.segments, is_over)
    }

    /// Registers `waker`, to be woken once when the cache uses memory that can be touched in
    /// advance, or its limit changes.
    pub(crate) fn wake_on_growth(&self, waker: Waker) {
        self.common.segments.wake_on_growth(waker);
    }

    /// Returns whether a waker is registered that was not woken yet.
    pub(crate) fn wakes_on_growth(&self) -> bool {
        self.common.segments.wakes_on_growth()
    }

    /// Returns a second of the clock before which no item dies, or `None` if no item will die.
    pub(crate) fn earliest_death(&self) -> Option<u32> {
        self.common.flush.earliest()
    }

    /// Resets [`Store::earliest_death`] and returns it, for a crawl of all items, which computes it
    /// anew.
    pub(crate) fn forget_earliest_death(&self) -> Option<u32> {
        self.common.flush.forget_earliest()
    }

    /// Records that items may die at second `at`.
    pub(crate) fn note_death(&self, at: u32) {
        self.common.note_expiry(at);
    }

    /// Records that items may be dead, even if the clock is moved back.
    pub(crate) fn note_dead(&self) {
        self.note_death(1);
    }

    /// Returns the memory that counts against the limit.
    pub fn usage(&self) -> Usage {
        self.common.segments.usage()
    }

    /// Changes the memory limit. Returns `false` if it exceeds the reserved addresses, or if the
    /// system refuses the memory.
    pub fn set_limit(&self, bytes: usize) -> bool {
        self.common.segments.set_limit(bytes)
    }

    /// Returns the memory limit in bytes.
    pub fn limit(&self) -> usize {
        self.common.segments.limit()
    }

    /// Returns whether the limit was lowered and is still exceeded.
    pub fn shrinks(&self) -> bool {
        self.common.segments.shrinks()
    }

    /// Returns whether all memory is in use.
    pub fn is_full(&self) -> bool {
        self.common.segments.is_exhausted()
    }

    /// Returns the number of the largest class.
    pub fn largest_class(&self) -> u8 {
        self.common.classes.largest()
    }

    /// Returns the chunk size and the chunks per page of each class, by number. 0 is not a class.
    pub fn class_sizes(&self) -> Vec<(usize, usize)> {
        self.common.classes.list().iter().map(|class| (class.size, class.per_page)).collect()
    }

    /// Returns the count of memory outside the item memory that clients cause.
    pub fn beside(&self) -> &Beside {
        &self.common.beside
    }

    /// Returns the histogram of item sizes.
    pub fn sizes(&self) -> &Sizes {
        &self.common.sizes
    }

    /// Returns the sums of all counters.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            classes: self
                .common
                .classes
                .list()
                .iter()
                .map(|class| ClassTotals {
                    chunk_size: class.size,
                    per_page: class.per_page,
                    ..ClassTotals::default()
                })
                .collect(),
            usage: self.common.segments.usage(),
            segment_size: self.common.segments.size(),
            ..Totals::default()
        };
        for cell in &self.shards {
            let shard = cell.0.lock();
            totals.curr_items += shard.index.len() as u64;
            totals.curr_bytes += shard.bytes;
            totals.live_bytes += shard.logs.live();
            totals.index_bytes += shard.index.bytes();
            totals.index_slots += shard.index.buckets() * 8;
            totals.compacted += shard.compacted;
            totals.moved += shard.moved;
            totals.commands.add(&shard.commands);
            for (sum, own) in totals.classes.iter_mut().zip(&shard.classes) {
                sum.bytes += own.bytes;
                sum.seen |= own.seen;
                sum.evicted_time = sum.evicted_time.max(own.evicted_time);
                sum.counts.add(&own.stats);
                for (sum, &items) in sum.items.iter_mut().zip(&own.items) {
                    *sum += u64::from(items);
                }
            }
        }
        self.read_counters
            .add_to(&mut totals.commands, totals.classes.iter_mut().map(|class| &mut class.counts));
        totals
    }

    /// Returns the highest idle seconds of items in the oldest segments of the logs, by class
    /// number and queue: hot, warm, cold, temporary.
    pub fn ages(&self) -> Vec<[u32; 4]> {
        /// Items examined of a segment, which may have thousands.
        const SAMPLE_ENTRIES: usize = 512;
        let memory = self.common.memory();
        let time = self.common.time();
        let mut ages = vec![[0; 4]; self.common.classes.list().len()];
        for cell in &self.shards {
            let shard = cell.0.lock();
            for rank in Rank::all() {
                let Some(number) = shard.logs.newest_first(&self.common.segments, rank).last() else {
                    continue;
                };
                Shard::first_entries(&self.common, number, SAMPLE_ENTRIES, |at| {
                    let header = memory.header(at);
                    if header.kind() == Kind::Linked
                        && let Some(ages) = ages.get_mut(usize::from(header.class()))
                    {
                        let age = &mut ages[header.queue() as usize];
                        *age = (*age).max(time.idle(header));
                    }
                });
            }
        }
        ages
    }

    /// Resets the counters of `stats reset` to 0.
    pub fn reset_stats(&self) {
        self.read_counters.reset();
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            shard.commands = CommandStats::default();
            shard.compacted = 0;
            shard.moved = 0;
            for class in &mut shard.classes {
                class.stats = ClassStats::default();
                class.evicted_time = 0;
            }
        }
    }
}

/// The position of [`Store::list_class`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    shard: usize,
    /// A log of the shard.
    rank: usize,
    /// Segments of the log that were listed.
    depth: usize,
    /// Entries of the next segment that were not listed.
    below: Option<usize>,
}

/// Chooses the number of shards: enough that threads rarely contend, few enough that each has
/// sufficient memory. A flat cache promises strict order, so it has one.
fn shard_count(config: &CacheConfig) -> usize {
    let (wanted, least) = match config.shards {
        Some(count) => (count.max(1), SHARD_LEAST / 16),
        None if config.lru_mode == LruMode::Flat => (1, SHARD_LEAST),
        None => ((config.concurrency.clamp(1, 64) * 4).next_power_of_two(), SHARD_LEAST),
    };
    if config.memory_limit == 0 {
        return wanted;
    }
    let most = (config.memory_limit / least).max(1);
    wanted.min(1 << most.ilog2())
}

/// The fields of a new item, except its value.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// Second of expiry, or 0 for never.
    pub expiry: u32,
    /// Class, from [`Store::class_for`].
    pub class: u8,
    /// State bits to set, such as [`bit::KEY_BINARY`].
    pub bits: u16,
}

/// Writes header, key and flags of an entry that is not in the index.
fn write_head(common: &StoreShared, at: Ref, new: &NewItem<'_>, length: usize, bits: u16) {
    common.memory().write(at, HEADER, new.key);
    write_header(common, at, new, length, bits);
}

/// Writes header and flags of an entry that has this key.
#[inline]
fn write_header(common: &StoreShared, at: Ref, new: &NewItem<'_>, length: usize, bits: u16) {
    let memory = common.memory();
    let flagged = if new.flags == 0 { 0 } else { bit::HAS_FLAGS };
    memory.header(at).start(
        new.class,
        new.key.len() as u8,
        length as u32,
        new.expiry,
        new.bits | bits | flagged,
    );
    if new.flags != 0 {
        memory.write(at, HEADER + new.key.len(), &new.flags.to_ne_bytes());
    }
}

//! The items of a cache, in shards. Other files add the operations on them.

use std::io;
use std::sync::Arc;

use super::beside::Beside;
use super::expiry::{CrawlBegin, Flush, TimeSnapshot};
use super::index::Table;
use super::log::Prefault;
use super::mem::{Segments, Usage, item_size};
use super::policy::Tuning;
use super::read::{ReadCounters, SeqLock};
use super::shard::Shard;
use super::shared::{Sizes, StoreShared};
use crate::base::clock::Clock;
use crate::base::error::AllocError;
use crate::base::scheduler::Waker;
use crate::base::sync::Mutex;
use crate::base::watch::WatchHub;
use crate::config::{CacheConfig, KEY_MAX, MIB};

/// A shard on cache lines of its own.
#[repr(align(128))]
pub(super) struct PaddedShard(pub(super) SeqLock<Shard>);

/// Least item memory per shard. With less, its segments would be few or very small.
const SHARD_LEAST: usize = 8 * MIB;

/// About the bytes of a small item, with its part of the index.
const ITEM_LEAST: usize = 100;

/// Most items for which [`Store::expect`] prepares a store without a limit.
const EXPECTED_MOST: usize = 1 << 26;

/// The items of a cache.
pub struct Store {
    pub(super) common: StoreShared,
    pub(super) shards: Box<[PaddedShard]>,
    /// The buckets of each shard, for optimistic reads.
    pub(super) tables: Box<[Arc<Table>]>,
    pub(super) read_counters: ReadCounters,
    tuning: Mutex<Tuning>,
}

opaque_debug!(Store);

/// A load of a snapshot that is under way. A flush since its begin also kills the items that it has
/// not stored yet.
pub(crate) struct Loading<'a> {
    flush: &'a Flush,
    began: TimeSnapshot,
}

impl Loading<'_> {
    /// Returns the time at which the load began, for its items.
    pub(crate) fn began(&self) -> TimeSnapshot {
        self.began
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.flush.end_load();
    }
}

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
            policy: config.eviction_policy,
            goal: config.eviction_goal,
            temporary: config.temporary_ttl.is_some(),
            temporary_ttl: config.temporary_ttl.unwrap_or(61),
        };
        let common = StoreShared::new(config, segments, count, clock, watch)?;
        let classes = common.classes.list().len();
        let shards = (0..count)
            .map(|_| Shard::new(common.segments.token(), classes, slots, tuning))
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
    pub(super) fn shard(&self, hash: u64) -> &SeqLock<Shard> {
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

    /// Returns the highest CAS that an item has received.
    pub(crate) fn latest_cas(&self) -> u64 {
        self.common.latest_cas()
    }

    /// Makes every later CAS greater than `cas`.
    pub(crate) fn raise_cas(&self, cas: u64) {
        self.common.raise_cas(cas);
    }

    /// Returns a number that each flush of all items changes, also a planned one that was carried
    /// out.
    pub(crate) fn flushes(&self) -> u64 {
        // This carries out a planned flush that is due.
        self.common.time();
        self.common.flush.version()
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

    /// Returns the number of shards, for [`Store::scan`] and [`Store::crawl`].
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Flushes all items at once.
    pub fn flush(&self) {
        self.common.flush.now(self.common.clock.now());
        self.note_dead();
    }

    /// Flushes the items whose keys begin with `prefix`. Returns `false` if too many such flushes
    /// are under way.
    pub(crate) fn flush_prefix(&self, prefix: &[u8]) -> bool {
        let is_noted = self.common.flush.prefix(self.common.clock.now(), prefix);
        self.note_dead();
        is_noted
    }

    /// Returns the number of prefixes that are being flushed.
    pub fn flushed_prefixes(&self) -> usize {
        self.common.flush.flushed_prefixes()
    }

    /// Begins a load of a snapshot.
    pub(crate) fn begin_load(&self) -> Loading<'_> {
        self.common.flush.begin_load();
        Loading { flush: &self.common.flush, began: self.common.time() }
    }

    /// Begins a crawl of all items.
    pub fn begin_crawl(&self) -> CrawlBegin {
        self.common.flush.begin_crawl()
    }

    /// Ends a crawl in which all dead items were freed. Returns whether the next one may wait: no
    /// flush of a prefix is under way.
    pub fn end_crawl(&self, begin: CrawlBegin) -> bool {
        self.common.flush.end_crawl(begin)
    }

    /// Plans a flush of all items at second `at` of the clock. Replaces an earlier plan.
    pub fn flush_later(&self, at: u32) {
        self.common.flush.later(at);
        if at != 0 {
            // Even if an earlier death is known: a crawl may be about to forget that one.
            self.common.lower_earliest(at);
        }
    }

    /// Returns the second of the planned flush, or of the last one.
    pub fn oldest_live(&self) -> u32 {
        self.common.flush.oldest()
    }

    /// Returns the settings of the policies.
    pub fn tuning(&self) -> Tuning {
        *self.tuning.lock()
    }

    /// Changes the settings of the policies.
    pub fn tune(&self, change: impl FnOnce(&mut Tuning)) {
        let mut tuning = self.tuning.lock();
        change(&mut tuning);
        self.common.policy.set(tuning.policy);
        self.common.weights.set_goal(tuning.goal);
        for cell in &self.shards {
            cell.0.lock().tuning = *tuning;
        }
    }

    /// Returns whether live items may be evicted.
    pub fn evicts(&self) -> bool {
        self.common.evicts()
    }

    /// Prepares an empty store for about this number of items. They may be more, or fewer.
    pub(crate) fn expect(&self, items: u64) {
        // The number may come from a file that is wrong. Pages of the index that are not used take
        // no memory, but count against the limit.
        let most = match self.limit() {
            0 => EXPECTED_MOST,
            limit => limit / ITEM_LEAST,
        };
        let share = usize::try_from(items).map_or(most, |items| items.min(most)) / self.shards.len();
        for cell in &self.shards {
            cell.0.lock().expect(&self.common, share);
        }
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
}

/// Chooses the number of shards: enough that threads rarely contend, few enough that each has
/// sufficient memory. Some policies promise one order over all items.
fn shard_count(config: &CacheConfig) -> usize {
    let (wanted, least) = match config.shards {
        Some(count) => (count.max(1), SHARD_LEAST / 16),
        None if config.eviction_policy.has_one_shard() => (1, SHARD_LEAST),
        None => ((config.concurrency.clamp(1, 64) * 4).next_power_of_two(), SHARD_LEAST),
    };
    if config.memory_limit == 0 {
        return wanted;
    }
    let most = (config.memory_limit / least).max(1);
    wanted.min(1 << most.ilog2())
}

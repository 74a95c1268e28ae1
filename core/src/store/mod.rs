//! The store: the only door to items.
//!
//! ```text
//!   Store -- Common   memory, classes, hash, clock, flush     (shared, lock-free)
//!        |-- Shard 0..n   index, queues, free chunks, counters  (one lock each)
//!        `-- Mover        moves pages between classes           (one lock)
//! ```
//!
//! A key's hash names its shard. A [`Visit`] is a locked shard opened at one
//! key: everything a command does to an item happens through it, in one
//! critical section. Values leave by copying, or by a [`PinnedValue`].
//!
//! Lock order: mover, then shards in ascending order, then the pages in
//! `Slabs`. A thread that holds one shard never asks for another; what
//! it cannot get there ([`Visit::room`]) it asks for without any lock
//! ([`Store::room`]). See docs/architecture.md.

mod common;
mod draft;
mod expiry;
mod index;
mod item;
mod mover;
mod policy;
mod shard;
mod slab;
pub mod stats;

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use self::common::Common;
pub use self::common::Sizes;
pub use self::draft::Draft;
pub use self::item::{HEADER, Item, bit, item_size};
use self::item::{Kind, Ref};
pub use self::mover::MoveError;
use self::mover::Mover;
pub use self::policy::{Moment, Tuning};
pub use self::shard::Lookup;
use self::shard::Shard;
use self::slab::Slabs;
use self::stats::{ClassStats, ClassTotals, CommandStats, Totals};
use crate::clock::Clock;
use crate::config::{CacheConfig, KEY_MAX, LruMode, MIB};
use crate::error::AllocError;
use crate::watch::WatchHub;

/// A shard on cache lines of its own.
#[repr(align(128))]
struct Cell(Mutex<Shard>);

/// Items with at least this many others of their class in the same shard are
/// evicted within the shard; with fewer, the shard that has most gives one.
const LOCAL: u32 = 16;

/// Item memory per shard, at least: with less, a shard has too few items of a
/// class to choose a victim among.
const SHARD_LEAST: usize = 8 * MIB;

/// Index lines above which the items outgrow the processor's caches. Measured:
/// with 10,000 items prefetching costs 9% of a multiget, with 1,000,000 it saves
/// 12%.
const MANY_BUCKETS: usize = 8192;

/// Pages taken from other classes for one chunk, at most: other threads may be
/// faster to use them.
const STEALS: usize = 3;

/// Dead items at the tails of a class that one round of juggling frees.
const JUGGLED: usize = 256;

/// Items of a cache.
pub struct Store {
    common: Common,
    shards: Box<[Cell]>,
    mover: Mutex<Mover>,
    tuning: Mutex<Tuning>,
}

impl Store {
    /// An empty store.
    ///
    /// # Errors
    /// If address space for the items cannot be reserved.
    pub fn new(config: &CacheConfig, clock: Arc<Clock>, watch: Arc<WatchHub>) -> io::Result<Self> {
        let count = config.shards.unwrap_or_else(|| shard_count(config)).max(1);
        let slabs = Slabs::new(config)?;
        let classes = slabs.classes.len();
        let slots = if config.hashpower_init == 0 { 0 } else { (1 << config.hashpower_init) / count };
        let tuning = Tuning {
            mode: config.lru_mode,
            hot_pct: config.hot_lru_pct,
            warm_pct: config.warm_lru_pct,
            hot_factor: config.hot_max_factor,
            warm_factor: config.warm_max_factor,
            temporary: config.temporary_ttl.is_some(),
            temporary_ttl: config.temporary_ttl.unwrap_or(61),
        };
        let common = Common::new(config, slabs, count, clock, watch);
        let shards = (0..count as u32)
            .map(|number| {
                let mut shard = Shard::new(number, classes, slots, tuning);
                shard.index.publish(common.directory(number));
                Cell(Mutex::new(shard))
            })
            .collect();
        Ok(Self { common, shards, mover: Mutex::default(), tuning: Mutex::new(tuning) })
    }

    /// Hash of a key; every operation on the key takes it.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.common.hash(key)
    }

    /// Asks the processor for the index line of a hash.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.common.directory(self.common.shard_of(hash) as u32).prefetch(hash);
    }

    /// Whether there are so many items that most are not in the processor's
    /// caches: then [`Store::prefetch_item`] pays for its lock.
    #[inline]
    pub fn outgrows_caches(&self) -> bool {
        self.common.directory(0).buckets() * self.shards.len() > MANY_BUCKETS
    }

    /// Asks the processor for the item of a hash.
    #[inline]
    pub fn prefetch_item(&self, hash: u64) {
        let shard = self.shard(hash).lock();
        shard.index.prefetch_items(hash, |at| self.common.slabs.memory.prefetch(at));
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        let last = self.shards.len() - 1;
        &self.shards[self.common.shard_of(hash).min(last)].0
    }

    fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.shards.iter().map(|cell| cell.0.lock()).collect()
    }

    /// The present moment.
    #[inline]
    pub fn moment(&self) -> Moment {
        self.common.moment()
    }

    /// The next CAS value; 0 if CAS is off.
    #[inline]
    pub fn next_cas(&self) -> u64 {
        self.common.next_cas()
    }

    /// Locks the shard of `key` and looks the key up.
    #[inline]
    pub fn visit<'a>(self: &'a Arc<Self>, key: &[u8], hash: u64) -> Visit<'a> {
        let mut shard = self.shard(hash).lock();
        // Not before: a stamp from before a flush that another thread saw
        // would kill what that thread stored after it.
        let moment = self.common.moment();
        let (lookup, at) = shard.find(&self.common, &moment, key, hash);
        Visit { store: self, shard, hash, moment, lookup, at: at.unwrap_or(Ref::NONE) }
    }

    /// Like [`Store::visit`], for a store of an item of `class`: the flat policy
    /// frees a dead item first, as memcached's does.
    #[inline]
    pub fn visit_to_store<'a>(self: &'a Arc<Self>, key: &[u8], hash: u64, class: u8) -> Visit<'a> {
        let mut shard = self.shard(hash).lock();
        let moment = self.common.moment();
        if shard.tuning.mode == LruMode::Flat {
            shard.reclaim_tail(&self.common, moment, class);
        }
        let (lookup, at) = shard.find(&self.common, &moment, key, hash);
        Visit { store: self, shard, hash, moment, lookup, at: at.unwrap_or(Ref::NONE) }
    }

    /// Says whether pages may move by themselves. If not, a class without pages
    /// may go over the limit for its first one.
    pub fn let_pages_move(&self, on: bool) {
        self.common.slabs.exempts_first.store(!on, std::sync::atomic::Ordering::Relaxed);
    }

    /// Class of an item with a value of `length` bytes.
    ///
    /// # Errors
    /// If it is larger than items may be, or its key longer than keys may be.
    #[inline]
    pub fn class_for(&self, key_len: usize, flags: u32, length: usize) -> Result<u8, AllocError> {
        if key_len > KEY_MAX {
            return Err(AllocError::TooLarge);
        }
        self.common.slabs.class_for(item_size(key_len, flags, length)).ok_or(AllocError::TooLarge)
    }

    /// Whether such an item is stored in several chunks.
    #[inline]
    pub fn is_chunked(&self, key_len: usize, flags: u32, length: usize) -> bool {
        self.common.slabs.is_chunked(item_size(key_len, flags, length))
    }

    /// A chunk of `class` from wherever one can be had, the shard of `hash`
    /// first. Call without holding a [`Visit`].
    ///
    /// # Errors
    /// If there is no memory and nothing to evict.
    pub fn room(self: &Arc<Self>, class: u8, hash: u64) -> Result<Room, AllocError> {
        let home = self.common.shard_of(hash);
        let mut found = self.room_in_shards(class, home);
        let may_move = !self.common.slabs.exempts_first.load(std::sync::atomic::Ordering::Relaxed);
        if found.is_none() && may_move {
            // All memory belongs to other classes. With the mover's lock nobody
            // robs this class before it has used what it got, and whoever waited
            // for the lock finds what the one before it left.
            let mut mover = self.mover.lock();
            found = self.room_in_shards(class, home);
            for _ in 0..STEALS {
                if found.is_some() || !mover.steal(&self.common, class, || self.lock_all()) {
                    break;
                }
                found = self.room_in_shards(class, home);
            }
        }
        if let Some(at) = found {
            return Ok(Room { store: Arc::clone(self), at, class });
        }
        self.shard(hash).lock().stats(class).outofmemory += 1;
        Err(AllocError::NoMemory)
    }

    fn room_in_shards(&self, class: u8, home: usize) -> Option<Ref> {
        let common = &self.common;
        let moment = common.moment();
        let count = self.shards.len();
        let mut most = (0, home);
        for step in 0..count {
            let number = (home + step) % count;
            let mut shard = self.shards.get(number)?.0.lock();
            if let Some(at) = shard.take(common, moment, class) {
                return Some(at);
            }
            let items = shard.class(class).queues.count();
            if items > most.0 {
                most = (items, number);
            }
        }
        for step in 0..count {
            let mut shard = self.shards.get((most.1 + step) % count)?.0.lock();
            if let Some(at) = shard.take_or_evict(common, moment, class) {
                return Some(at);
            }
        }
        None
    }

    fn free_detached(&self, at: Ref, class: u8, hash: u64) {
        self.shard(hash).lock().free_chunk(&self.common, at, class);
    }

    /// Looks at items of shard `shard`, from bucket `bucket` on, at least
    /// `most` unless the shard ends. Returns the next bucket, if there is one.
    ///
    /// Items that stay from beginning to end of a walk over all shards are
    /// seen at least once; the shard is locked while `look` runs.
    pub fn walk(
        &self,
        shard: usize,
        mut bucket: usize,
        most: usize,
        mut look: impl FnMut(Item<'_>, &Moment),
    ) -> Option<usize> {
        let moment = self.common.moment();
        let shard = self.shards.get(shard)?.0.lock();
        let memory = &self.common.slabs.memory;
        let mut seen = 0;
        while bucket < shard.index.buckets() && seen < most {
            shard.index.walk(bucket, |at| {
                seen += 1;
                if !moment.is_dead(memory.header(at)) {
                    look(Item::new(memory, at), &moment);
                }
            });
            bucket += 1;
        }
        (bucket < shard.index.buckets()).then_some(bucket)
    }

    /// Number of shards, for [`Store::walk`] and [`Store::crawl`].
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Like [`Store::walk`], but frees dead items of the classes in `classes`
    /// (one bit each).
    pub fn crawl(
        &self,
        shard: usize,
        bucket: usize,
        most: usize,
        classes: u64,
        freed: impl FnMut(u8),
    ) -> Option<usize> {
        let moment = self.common.moment();
        let mut shard = self.shards.get(shard)?.0.lock();
        shard.crawl(&self.common, moment, classes, bucket, most, freed)
    }

    /// Items of `class`, newest of the cold queue first, at most `most` (0: all).
    pub fn list_class(&self, class: u8, most: usize, mut look: impl FnMut(Item<'_>)) {
        let memory = &self.common.slabs.memory;
        let mut left = if most == 0 { usize::MAX } else { most };
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            let queues = &shard.class(class).queues;
            for queue in [item::Queue::Cold, item::Queue::Hot, item::Queue::Warm, item::Queue::Temp] {
                let mut next = queues.list(queue).head.some();
                while let Some(at) = next
                    && left > 0
                {
                    look(Item::new(memory, at));
                    left -= 1;
                    next = memory.header(at).next().some();
                }
            }
        }
    }

    /// Flushes everything at once.
    pub fn flush(&self) {
        self.common.flush.now(self.common.clock.now());
    }

    /// Flushes everything at second `at` of the clock; replaces an earlier plan.
    pub fn flush_later(&self, at: u32) {
        self.common.flush.later(at);
    }

    /// Second of the flush to come or the last one.
    pub fn oldest_live(&self) -> u32 {
        self.common.flush.oldest()
    }

    /// Frees items that an immediate flush just killed and that were used at
    /// most a second before, of each class the newest first: so small caches
    /// are empty at once and large ones do not stall. Returns how many.
    pub fn sweep_recent(&self, most: usize) -> usize {
        let mut swept = 0;
        let memory = &self.common.slabs.memory;
        let moment = self.common.moment();
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            for class in 1..=self.common.slabs.largest() {
                for queue in item::QUEUES {
                    while swept < most
                        && let Some(at) = shard.class(class).queues.list(queue).head.some()
                        && let header = memory.header(at)
                        && moment.is_flushed(header)
                        && moment.idle(header) <= 2
                    {
                        let hash = self.common.hash(Item::new(memory, at).key());
                        shard.unlink(&self.common, at, hash);
                        swept += 1;
                    }
                }
            }
        }
        swept
    }

    /// Settings of the policies.
    pub fn tuning(&self) -> Tuning {
        *self.tuning.lock()
    }

    /// Changes the settings of the policies.
    pub fn tune(&self, change: impl FnOnce(&mut Tuning)) {
        let mut tuning = self.tuning.lock();
        change(&mut tuning);
        for cell in &self.shards {
            cell.0.lock().tuning = *tuning;
        }
    }

    /// Whether live items may be evicted.
    pub fn evicts(&self) -> bool {
        self.common.evicts()
    }

    /// Background work on the queues of one shard.
    pub fn juggle(&self, shard: usize) {
        let Some(cell) = self.shards.get(shard) else { return };
        let moment = self.common.moment();
        let mut shard = cell.0.lock();
        let policy = policy::of(shard.tuning.mode);
        for class in 1..=self.common.slabs.largest() {
            if shard.class(class).queues.count() > 0 {
                for _ in 0..JUGGLED {
                    if !shard.reclaim_tail(&self.common, moment, class) {
                        break;
                    }
                }
                shard.ordered(&self.common, moment, class, |class| policy.juggle(class));
            }
        }
    }

    /// Changes the memory limit. `false`: addresses for so much are not reserved.
    pub fn set_limit(&self, bytes: usize) -> bool {
        self.common.slabs.set_limit(bytes)
    }

    /// The memory limit in bytes.
    pub fn limit(&self) -> usize {
        self.common.slabs.limit()
    }

    /// Whether the limit was lowered and does not hold yet.
    pub fn shrinks(&self) -> bool {
        self.common.slabs.shrinks()
    }

    /// Whether all memory is taken by classes.
    pub fn is_full(&self) -> bool {
        self.common.slabs.is_full()
    }

    /// Number of the largest class.
    pub fn largest_class(&self) -> u8 {
        self.common.slabs.largest()
    }

    /// Chunk size and chunks a page of each class, by number; 0 is none.
    pub fn class_sizes(&self) -> Vec<(usize, usize)> {
        self.common.slabs.classes.iter().map(|class| (class.size, class.per_page)).collect()
    }

    /// Starts to move a page from class `from` (-1: the mover chooses) to class
    /// `to` (0: the pool).
    ///
    /// # Errors
    /// If there is nothing to move, or a move is under way.
    pub fn start_move(&self, from: i32, to: i32) -> Result<(), MoveError> {
        self.mover.lock().start(&self.common, from, to)
    }

    /// Does a little of the page move under way. `true`: call again soon.
    pub fn continue_move(&self) -> bool {
        let mut mover = self.mover.lock();
        mover.is_running() && {
            let mut shards = self.lock_all();
            mover.step(&self.common, &mut shards)
        }
    }

    /// Starts to move a page to the class that evicted last, if any did since
    /// the last call (`slab_automove=2`).
    pub fn feed_evicting_class(&self) {
        let class = self.common.evicted_last.swap(0, std::sync::atomic::Ordering::Relaxed);
        if class != 0 {
            // No page to spare, or a move under way: the next eviction asks again.
            let _ = self.start_move(-1, i32::from(class));
        }
    }

    /// Whether a page is being moved.
    pub fn is_moving(&self) -> bool {
        self.mover.lock().is_running()
    }

    /// The histogram of item sizes.
    pub fn sizes(&self) -> &Sizes {
        &self.common.sizes
    }

    /// Everything that is counted.
    pub fn totals(&self) -> Totals {
        let slabs = &self.common.slabs;
        let memory = &slabs.memory;
        let moment = self.common.moment();
        let mut totals = Totals {
            classes: slabs
                .classes
                .iter()
                .zip(slabs.usage())
                .map(|(class, usage)| ClassTotals {
                    chunk_size: class.size,
                    per_page: class.per_page,
                    pages: usage.pages,
                    free_chunks: usage.unused,
                    ..ClassTotals::default()
                })
                .collect(),
            malloced: slabs.malloced(),
            limit: slabs.limit(),
            pool: slabs.pool_size(),
            mover: self.mover.lock().stats,
            ..Totals::default()
        };
        for cell in &self.shards {
            let shard = cell.0.lock();
            totals.curr_items += shard.index.len() as u64;
            totals.curr_bytes += shard.bytes;
            totals.index_bytes += shard.index.bytes();
            totals.index_slots += shard.index.buckets() * 8;
            totals.commands.add(&shard.commands);
            for (sum, own) in totals.classes.iter_mut().zip(&shard.classes) {
                sum.free_chunks += own.free_count as usize;
                sum.bytes += own.queues.bytes();
                sum.evicted_time = sum.evicted_time.max(own.evicted_time);
                sum.counts.add(&own.stats);
                for (queue, items) in item::QUEUES.into_iter().zip(&mut sum.items) {
                    *items += u64::from(own.queues.list(queue).count);
                }
                for (queue, age) in item::QUEUES.into_iter().zip(&mut sum.ages) {
                    if let Some(at) = own.queues.list(queue).tail.some() {
                        *age = (*age).max(moment.idle(memory.header(at)));
                    }
                }
            }
        }
        totals
    }

    /// Sets all counters to 0 that `stats reset` resets.
    pub fn reset_stats(&self) {
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            shard.commands = CommandStats::default();
            for class in &mut shard.classes {
                class.stats = ClassStats::default();
                class.evicted_time = 0;
            }
        }
        let mut mover = self.mover.lock();
        mover.stats = stats::MoverStats { running: mover.stats.running, ..stats::MoverStats::default() };
    }
}

/// How many shards: enough that threads seldom meet, few enough that each has
/// items to choose from. A flat cache promises strict order, so it has one.
fn shard_count(config: &CacheConfig) -> usize {
    if config.lru_mode == LruMode::Flat {
        return 1;
    }
    let wanted = (config.concurrency.max(1) * 4).next_power_of_two().clamp(4, 256);
    if config.memory_limit == 0 {
        return wanted;
    }
    let most = (config.memory_limit / SHARD_LEAST).max(1);
    wanted.min(1 << most.ilog2())
}

/// A chunk that belongs to the holder. Goes back to the store when dropped.
pub struct Room {
    store: Arc<Store>,
    at: Ref,
    class: u8,
}

impl Room {
    /// Takes the chunk out.
    fn take(mut self) -> Ref {
        std::mem::replace(&mut self.at, Ref::NONE)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(at) = self.at.some() {
            self.store.free_detached(at, self.class, 0);
        }
    }
}

/// A shard, locked, opened at one key.
pub struct Visit<'a> {
    store: &'a Arc<Store>,
    shard: MutexGuard<'a, Shard>,
    hash: u64,
    moment: Moment,
    lookup: Lookup,
    at: Ref,
}

impl Visit<'_> {
    /// What the key led to.
    #[inline]
    pub fn lookup(&self) -> Lookup {
        self.lookup
    }

    /// The item, if there is one.
    #[inline]
    pub fn item(&self) -> Option<Item<'_>> {
        Some(Item::new(&self.store.common.slabs.memory, self.at.some()?))
    }

    /// The moment of this visit.
    #[inline]
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// Counters of commands.
    #[inline]
    pub fn commands(&mut self) -> &mut CommandStats {
        &mut self.shard.commands
    }

    /// Counters of a class.
    #[inline]
    pub fn stats(&mut self, class: u8) -> &mut ClassStats {
        self.shard.stats(class)
    }

    /// Notes a fetch of the item, for the policy and for `h` and `l` of meta.
    #[inline]
    pub fn hit(&mut self) {
        if let Some(at) = self.at.some() {
            let header = self.store.common.slabs.memory.header(at);
            policy::hit(self.shard.tuning.mode, header, &self.moment);
        }
    }

    /// Counts a hit of `get` on the item, by queue.
    #[inline]
    pub fn count_hit(&mut self) {
        let Some(at) = self.at.some() else { return };
        let header = self.store.common.slabs.memory.header(at);
        let queue = header.queue();
        let stats = self.shard.stats(header.class());
        match queue {
            item::Queue::Hot => stats.hits_to_hot += 1,
            item::Queue::Warm => stats.hits_to_warm += 1,
            item::Queue::Cold => stats.hits_to_cold += 1,
            item::Queue::Temp => stats.hits_to_temp += 1,
        }
    }

    /// Notes that a store met the item (`add`): it counts as used.
    pub fn renew(&mut self) {
        if let Some(item) = self.item() {
            item.header().set_stamp(self.moment.stamp);
        }
    }

    /// Holds the item's value beyond this visit.
    pub fn pin(&mut self) -> Option<PinnedValue> {
        let at = self.at.some()?;
        self.shard.pin(&self.store.common, at);
        Some(PinnedValue { store: Arc::clone(self.store), at, hash: self.hash })
    }

    /// Removes the item.
    pub fn remove(&mut self) {
        if let Some(at) = self.at.some() {
            self.shard.unlink(&self.store.common, at, self.hash);
            self.at = Ref::NONE;
        }
    }

    /// A chunk of `class`: `spare` if there is one, else one of this shard. If
    /// this shard has too few items to choose a victim among: `None`; end the
    /// visit, get one by [`Store::room`] and come back.
    pub fn room(&mut self, class: u8, spare: &mut Option<Room>) -> Option<Chunk> {
        if let Some(room) = spare.take_if(|room| room.class == class) {
            return Some(Chunk(room.take()));
        }
        let common = &self.store.common;
        if let Some(at) = self.shard.take(common, self.moment, class) {
            return Some(Chunk(at));
        }
        if self.shard.class(class).queues.count() < LOCAL {
            return None;
        }
        // The item of this visit must not be the victim.
        let own = self.at.some().map(|at| common.slabs.memory.header(at));
        let spared = own.filter(|header| !header.has(bit::PINNED));
        if let Some(header) = spared {
            header.mark(bit::PINNED);
        }
        let at = self.shard.take_or_evict(common, self.moment, class);
        if let Some(header) = spared {
            header.unmark(bit::PINNED);
        }
        Some(Chunk(at?))
    }

    /// Writes an item into `chunk` and makes it the key's, in place of what is
    /// there. `parts` are the value; together they fit the class.
    #[expect(clippy::needless_pass_by_value, reason = "the chunk is used up")]
    pub(crate) fn publish(&mut self, chunk: Chunk, new: &NewItem<'_>, parts: &[&[u8]], cas: u64) {
        let memory = &self.store.common.slabs.memory;
        let at = chunk.0;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        write_head(&self.store.common, at, new, length, 0);
        let mut offset = memory.header(at).value_offset();
        for part in parts {
            memory.write(at, offset, part);
            offset += part.len();
        }
        self.adopt(at, cas);
    }

    /// Like [`Visit::publish`], with the value of the item that is there before
    /// (`append`) or behind `parts`. There must be an item.
    #[expect(clippy::needless_pass_by_value, reason = "the chunk is used up")]
    pub(crate) fn publish_joined(
        &mut self,
        chunk: Chunk,
        new: &NewItem<'_>,
        append: bool,
        parts: &[&[u8]],
        cas: u64,
    ) {
        let memory = &self.store.common.slabs.memory;
        let old = Item::new(memory, self.at);
        let length = old.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        write_head(&self.store.common, chunk.0, new, length, 0);
        let mut offset = memory.header(chunk.0).value_offset();
        let mut put = |part: &[u8]| {
            memory.write(chunk.0, offset, part);
            offset += part.len();
        };
        if append {
            old.slices().for_each(&mut put);
        }
        parts.iter().for_each(|part| put(part));
        if !append {
            old.slices().for_each(&mut put);
        }
        self.adopt(chunk.0, cas);
    }

    /// Makes a filled draft the key's item.
    pub(crate) fn publish_draft(&mut self, draft: Draft, bits: u16, cas: u64) {
        let at = draft.finish();
        self.store.common.slabs.memory.header(at).mark(bits);
        self.adopt(at, cas);
    }

    fn adopt(&mut self, at: Ref, cas: u64) {
        let common = &self.store.common;
        common.slabs.memory.header(at).set_cas(common.given_cas(cas));
        match self.at.some() {
            Some(old) => self.shard.relink(common, self.moment, old, at, self.hash),
            None => self.shard.link(common, self.moment, at, self.hash),
        }
        self.at = at;
    }

    /// Replaces the item's value by `value` and spaces up to the same length,
    /// keeping all else: how `incr` changes a number in place without changing
    /// published bytes. `value` is at most as long as the old one.
    #[expect(clippy::needless_pass_by_value, reason = "the chunk is used up")]
    pub(crate) fn rewrite(&mut self, chunk: Chunk, value: &[u8], cas: u64) {
        const SPACES: [u8; 64] = [b' '; 64];
        let Some(old) = self.at.some() else {
            self.shard.free_chunk(&self.store.common, chunk.0, 1);
            return;
        };
        let common = &self.store.common;
        let memory = &common.slabs.memory;
        let size = common.slabs.class(memory.header(old).class()).size;
        let new = chunk.0;
        self.shard.move_item(common, old, new, size);
        let header = memory.header(new);
        header.unmark(bit::PINNED);
        header.set_cas(common.given_cas(cas));
        header.set_stamp(self.moment.stamp);
        let mut offset = header.value_offset();
        let mut left = header.length() as usize;
        memory.write(new, offset, value);
        offset += value.len();
        left = left.saturating_sub(value.len());
        while left > 0 {
            let part = left.min(SPACES.len());
            memory.write(new, offset, &SPACES[..part]);
            offset += part;
            left -= part;
        }
        memory.header(old).set_kind(Kind::Detached);
        self.shard.dispose(common, old);
        self.at = new;
    }
}

/// A chunk taken during a [`Visit`]; goes into an item or back.
#[must_use]
pub struct Chunk(Ref);

/// What a new item is made of, but for its value.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// Second of expiry, 0 never.
    pub expiry: u32,
    /// Class, from [`Store::class_for`].
    pub class: u8,
    /// State bits to set, such as [`bit::KEY_BINARY`].
    pub bits: u16,
}

/// Writes header, key and flags of a DETACHED item.
fn write_head(common: &Common, at: Ref, new: &NewItem<'_>, length: usize, bits: u16) {
    let memory = &common.slabs.memory;
    let flagged = if new.flags == 0 { 0 } else { bit::HAS_FLAGS };
    memory.header(at).start_item(
        new.class,
        new.key.len() as u8,
        length as u32,
        new.expiry,
        new.bits | bits | flagged,
    );
    memory.write(at, HEADER, new.key);
    if new.flags != 0 {
        memory.write(at, HEADER + new.key.len(), &new.flags.to_ne_bytes());
    }
}

/// A value that stays readable, whatever happens to its key, until dropped.
pub struct PinnedValue {
    store: Arc<Store>,
    at: Ref,
    hash: u64,
}

impl PinnedValue {
    fn item(&self) -> Item<'_> {
        Item::new(&self.store.common.slabs.memory, self.at)
    }

    /// Bytes of the value.
    pub fn len(&self) -> usize {
        self.item().len()
    }

    /// Whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value, piece by piece.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.item().slices()
    }
}

impl Drop for PinnedValue {
    fn drop(&mut self) {
        self.store.shard(self.hash).lock().unpin(&self.store.common, self.at);
    }
}

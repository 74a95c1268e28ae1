//! One shard: an index, and for each slab class its queues, its free chunks and
//! its counters, all under one lock.
//!
//! The methods take what all shards share as [`Common`]. None of them waits for
//! another shard; what cannot be had here (a chunk when others hold them all)
//! is `None`, and the store tries elsewhere without this lock.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use ahash::RandomState;

use super::common::Common;
use super::index::{Directory, Index};
use super::item::{HEADER, Item, Kind, Queue, Ref, bit, first_chunk};
use super::policy::{self, Moment, Ordered, Queues, Tuning};
use super::slab::{GIVEN_BACK, LIMBO};
use super::stats::{ClassStats, CommandStats};
use crate::config::LruMode;

/// Chunks taken from the pages at once, at most.
const BATCH: usize = 32;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    Missing,
    /// An item.
    Found,
    /// An item that was flushed; it is gone now.
    Flushed,
    /// An item that had expired; it is gone now.
    Expired,
}

/// The chunks, queues and counters of one class in one shard.
#[derive(Default)]
pub(super) struct ShardClass {
    pub(super) queues: Queues,
    free: Ref,
    pub(super) free_count: u32,
    pub(super) stats: ClassStats,
    pub(super) evicted_time: u32,
}

/// One shard.
pub struct Shard {
    pub(super) number: u32,
    pub(super) index: Index,
    pub(super) classes: Box<[ShardClass]>,
    pub(super) commands: CommandStats,
    pub(super) bytes: u64,
    /// This shard's copy of the policies' settings.
    pub(super) tuning: Tuning,
    /// How often each PINNED item is held.
    pins: HashMap<Ref, u32, RandomState>,
}

impl Shard {
    pub(super) fn new(number: u32, classes: usize, slots: usize, tuning: Tuning) -> Self {
        Self {
            number,
            index: Index::new(slots),
            classes: (0..classes).map(|_| ShardClass::default()).collect(),
            commands: CommandStats::default(),
            bytes: 0,
            tuning,
            pins: HashMap::default(),
        }
    }

    /// Counters of `class`.
    #[inline]
    pub(super) fn stats(&mut self, class: u8) -> &mut ClassStats {
        &mut self.class(class).stats
    }

    #[inline]
    pub(super) fn class(&mut self, class: u8) -> &mut ShardClass {
        let last = self.classes.len() - 1;
        let class = usize::from(class);
        debug_assert!(class <= last);
        &mut self.classes[class.min(last)]
    }

    /// Runs `work` on the queues of `class`.
    pub(super) fn ordered<R>(
        &mut self,
        common: &Common,
        moment: Moment,
        class: u8,
        work: impl FnOnce(&mut Ordered<'_>) -> R,
    ) -> R {
        let tuning = self.tuning;
        let own = self.class(class);
        work(&mut Ordered {
            memory: &common.slabs.memory,
            queues: &mut own.queues,
            stats: &mut own.stats,
            tuning: &tuning,
            moment,
        })
    }

    /// The live item with this key. A dead one is removed on the way.
    #[inline]
    pub(super) fn find(
        &mut self,
        common: &Common,
        moment: &Moment,
        key: &[u8],
        hash: u64,
    ) -> (Lookup, Option<Ref>) {
        let memory = &common.slabs.memory;
        let Some(at) = self.index.find(hash, |at| same_key(Item::new(memory, at).key(), key)) else {
            return (Lookup::Missing, None);
        };
        let header = memory.header(at);
        if !moment.is_dead(header) {
            return (Lookup::Found, Some(at));
        }
        let why = if moment.is_flushed(header) {
            self.commands.get_flushed += 1;
            Lookup::Flushed
        } else {
            self.commands.get_expired += 1;
            Lookup::Expired
        };
        self.unlink(common, at, hash);
        (why, None)
    }

    /// Makes the DETACHED item at `at` findable.
    pub(super) fn link(&mut self, common: &Common, moment: Moment, at: Ref, hash: u64) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        header.set_kind(Kind::Linked);
        header.set_stamp(moment.stamp);
        let directory = common.directory(self.number);
        self.index.insert(hash, at, directory, |at| common.hash(Item::new(memory, at).key()));
        self.enqueue(common, moment, at);
    }

    /// Puts the item at `new` in place of the one at `old`, of the same key.
    pub(super) fn relink(&mut self, common: &Common, moment: Moment, old: Ref, new: Ref, hash: u64) {
        let memory = &common.slabs.memory;
        let header = memory.header(new);
        header.set_kind(Kind::Linked);
        header.set_stamp(moment.stamp);
        self.index.replace(hash, old, new);
        self.dequeue(common, old);
        self.enqueue(common, moment, new);
        self.dispose(common, old);
    }

    fn enqueue(&mut self, common: &Common, moment: Moment, at: Ref) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        let tuning = self.tuning;
        let policy = policy::of(tuning.mode);
        let temporary = tuning.temporary
            && header.expiry() != 0
            && header.expiry().saturating_sub(moment.now) <= tuning.temporary_ttl;
        let queue = if temporary { Queue::Temp } else { policy.admit() };
        self.commands.total_items += 1;
        self.bytes += header.total() as u64;
        common.sizes.add(header.total());
        let class = header.class();
        self.class(class).queues.push(memory, at, queue);
        self.ordered(common, moment, class, |class| policy.settle(class));
    }

    fn dequeue(&mut self, common: &Common, at: Ref) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        self.bytes = self.bytes.saturating_sub(header.total() as u64);
        common.sizes.remove(header.total());
        self.class(header.class()).queues.unlink(memory, at);
        header.set_kind(Kind::Detached);
    }

    /// Makes the LINKED item at `at` unfindable and frees it, now or when its
    /// last pin goes.
    pub(super) fn unlink(&mut self, common: &Common, at: Ref, hash: u64) {
        let removed = self.index.remove(hash, at);
        debug_assert!(removed);
        self.dequeue(common, at);
        self.dispose(common, at);
    }

    /// Frees the DETACHED item at `at` unless it is pinned.
    pub(super) fn dispose(&mut self, common: &Common, at: Ref) {
        if !common.slabs.memory.header(at).has(bit::PINNED) {
            self.free_item(common, at);
        }
    }

    /// Pins the item at `at`: its value stays until [`Shard::unpin`].
    pub(super) fn pin(&mut self, common: &Common, at: Ref) {
        common.slabs.memory.header(at).mark(bit::PINNED);
        *self.pins.entry(at).or_insert(0) += 1;
    }

    /// Takes one pin away.
    pub(super) fn unpin(&mut self, common: &Common, at: Ref) {
        let Some(count) = self.pins.get_mut(&at) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.pins.remove(&at);
        let header = common.slabs.memory.header(at);
        header.unmark(bit::PINNED);
        if header.kind() == Kind::Detached {
            self.free_item(common, at);
        }
    }

    /// Frees the DETACHED item at `at` with all its chunks.
    pub(super) fn free_item(&mut self, common: &Common, at: Ref) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        debug_assert_eq!(header.kind(), Kind::Detached);
        let mut chunk = if header.has(bit::CHUNKED) { first_chunk(memory, at).some() } else { None };
        self.free_chunk(common, at, common.chunk_class(at));
        while let Some(at) = chunk {
            let header = memory.header(at);
            chunk = header.next().some();
            self.free_chunk(common, at, header.class());
        }
    }

    /// Puts the chunk at `at` on the list of free chunks.
    pub(super) fn free_chunk(&mut self, common: &Common, at: Ref, class: u8) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        header.set_state(Kind::Free as u16);
        header.set_class(class);
        if common.slabs.is_draining(at) {
            header.set_expiry(LIMBO);
            return;
        }
        let keeps = batch(common, class);
        let own = self.class(class);
        if own.free_count >= 2 * keeps as u32 - 2 {
            common.slabs.give_back(at, class);
            return;
        }
        header.set_expiry(self.number);
        let own = self.class(class);
        header.set_prev(Ref::NONE);
        header.set_next(own.free);
        if let Some(old) = own.free.some() {
            memory.header(old).set_prev(at);
        }
        own.free = at;
        own.free_count += 1;
    }

    /// Takes the FREE chunk at `at` off this shard's list.
    pub(super) fn unlink_free(&mut self, common: &Common, at: Ref, class: u8) {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        debug_assert!(header.expiry() != GIVEN_BACK);
        let own = self.class(class);
        match header.prev().some() {
            Some(prev) => memory.header(prev).set_next(header.next()),
            None => own.free = header.next(),
        }
        if let Some(next) = header.next().some() {
            memory.header(next).set_prev(header.prev());
        }
        own.free_count -= 1;
        header.set_expiry(LIMBO);
    }

    /// A free chunk of `class` from this shard's list.
    #[inline]
    pub(super) fn take_free(&mut self, common: &Common, class: u8) -> Option<Ref> {
        let memory = &common.slabs.memory;
        let own = self.class(class);
        loop {
            let at = own.free.some()?;
            let header = memory.header(at);
            own.free = header.next();
            own.free_count -= 1;
            if let Some(next) = own.free.some() {
                memory.header(next).set_prev(Ref::NONE);
            }
            if !common.slabs.is_draining(at) {
                header.set_kind(Kind::Detached);
                return Some(at);
            }
            header.set_expiry(LIMBO);
        }
    }

    /// A chunk of `class` that belongs to no shard, and some more for the list.
    fn take_fresh(&mut self, common: &Common, class: u8) -> Option<Ref> {
        let batch = batch(common, class);
        let mut first = None;
        let mut rest = [Ref::NONE; BATCH];
        let mut count = 0;
        common.slabs.carve(class, batch, true, |at| {
            if first.is_none() {
                first = Some(at);
            } else {
                rest[count] = at;
                count += 1;
            }
        });
        for &at in &rest[..count] {
            self.free_chunk(common, at, class);
        }
        if let Some(at) = first {
            common.slabs.memory.header(at).set_kind(Kind::Detached);
        }
        first
    }

    /// A chunk of `class` without evicting anything live.
    #[inline]
    pub(super) fn take(&mut self, common: &Common, moment: Moment, class: u8) -> Option<Ref> {
        if self.tuning.mode == LruMode::Flat {
            self.reclaim_tail(common, moment, class);
        }
        self.take_free(common, class).or_else(|| self.take_fresh(common, class))
    }

    /// A chunk of `class`, evicting one of this shard's items if need be.
    pub(super) fn take_or_evict(&mut self, common: &Common, moment: Moment, class: u8) -> Option<Ref> {
        if let Some(at) = self.take(common, moment, class) {
            return Some(at);
        }
        // An eviction may free a chunk of another class or of a page that is
        // being emptied, hence more than one try.
        for _ in 0..16 {
            if !self.evict(common, moment, class) {
                return None;
            }
            if let Some(at) = self.take_free(common, class).or_else(|| self.take_fresh(common, class)) {
                return Some(at);
            }
        }
        None
    }

    /// Frees the item at the tail of one of the queues if it is dead.
    pub(super) fn reclaim_tail(&mut self, common: &Common, moment: Moment, class: u8) -> bool {
        let memory = &common.slabs.memory;
        let dead = self.class(class).queues.tails().find(|&at| {
            let header = memory.header(at);
            moment.is_dead(header) && !header.has(bit::PINNED)
        });
        let Some(at) = dead else { return false };
        let fetched = memory.header(at).has(bit::FETCHED);
        let stats = self.stats(class);
        stats.reclaimed += 1;
        stats.expired_unfetched += u64::from(!fetched);
        let hash = common.hash(Item::new(memory, at).key());
        self.unlink(common, at, hash);
        true
    }

    /// Frees a dead item of `class`, or evicts the one the policy names.
    pub(super) fn evict(&mut self, common: &Common, moment: Moment, class: u8) -> bool {
        self.stats(class).direct_reclaims += 1;
        if self.reclaim_tail(common, moment, class) {
            return true;
        }
        if !common.evicts() {
            return false;
        }
        let memory = &common.slabs.memory;
        let policy = policy::of(self.tuning.mode);
        for _ in 0..5 {
            let Some(at) = self.ordered(common, moment, class, |class| policy.victim(class)) else {
                return false;
            };
            let header = memory.header(at);
            if header.has(bit::PINNED) {
                // Its memory would not come free: try the next one.
                self.stats(class).lrutail_reflocked += 1;
                let queue = header.queue();
                self.class(class).queues.shift(memory, at, queue);
                continue;
            }
            let idle = moment.idle(header);
            let (fetched, active) = (header.has(bit::FETCHED), header.has(bit::ACTIVE));
            let own = self.class(class);
            own.evicted_time = idle;
            own.stats.evicted += 1;
            own.stats.evicted_nonzero += u64::from(header.expiry() != 0);
            own.stats.evicted_unfetched += u64::from(!fetched);
            own.stats.evicted_active += u64::from(active);
            let item = Item::new(memory, at);
            common.log_eviction(item, moment);
            let hash = common.hash(item.key());
            self.unlink(common, at, hash);
            common.evicted_last.store(class, Relaxed);
            return true;
        }
        false
    }

    /// Looks at up to `most` items of the buckets from `bucket` on and frees
    /// the dead ones of the classes in `classes` (bits). Returns the next bucket.
    pub(super) fn crawl(
        &mut self,
        common: &Common,
        moment: Moment,
        classes: u64,
        bucket: usize,
        most: usize,
        mut freed: impl FnMut(u8),
    ) -> Option<usize> {
        let memory = &common.slabs.memory;
        let mut looked = 0;
        let mut dead = Vec::new();
        let mut bucket = bucket;
        while bucket < self.index.buckets() && looked < most {
            // Empty buckets and other classes take time too.
            looked += 1;
            let (index, own) = (&self.index, &mut self.classes);
            index.walk(bucket, |at| {
                looked += 1;
                let header = memory.header(at);
                let class = header.class();
                if classes & 1 << (class & 63) == 0 {
                    return;
                }
                if let Some(own) = own.get_mut(usize::from(class)) {
                    own.stats.crawler_items_checked += 1;
                }
                if moment.is_dead(header) {
                    dead.push(at);
                }
            });
            bucket += 1;
        }
        for at in dead {
            let header = memory.header(at);
            let class = header.class();
            let unfetched = !header.has(bit::FETCHED) && !moment.is_flushed(header);
            let stats = self.stats(class);
            stats.crawler_reclaimed += 1;
            stats.expired_unfetched += u64::from(unfetched);
            freed(class);
            let hash = common.hash(Item::new(memory, at).key());
            self.unlink(common, at, hash);
        }
        (bucket < self.index.buckets()).then_some(bucket)
    }

    /// Moves the LINKED item at `old` to the free chunk `new` of the same size.
    pub(super) fn move_item(&mut self, common: &Common, old: Ref, new: Ref, size: usize) {
        let memory = &common.slabs.memory;
        let hash = common.hash(Item::new(memory, old).key());
        memory.copy_chunk(old, new, size);
        let header = memory.header(new);
        self.index.replace(hash, old, new);
        self.class(header.class()).queues.replace(memory, old, new);
        if header.has(bit::CHUNKED) {
            let mut chunk = first_chunk(memory, new).some();
            while let Some(at) = chunk {
                memory.header(at).set_cas(u64::from(new.0));
                chunk = memory.header(at).next().some();
            }
        }
    }
}

/// Whether two keys are equal. Most keys are short: two overlapping words say
/// it without a call.
#[inline]
fn same_key(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(a), Some(b), Some(c), Some(d)) if one.len() <= 16 => a == b && c == d,
        (Some(a), Some(b), ..) if a != b => false,
        _ => one == other,
    }
}

/// Chunks of `class` that a shard takes at once; it keeps up to about twice as
/// many free ones. Large chunks are few: no shard keeps any.
#[inline]
fn batch(common: &Common, class: u8) -> usize {
    (common.slabs.class(class).per_page / 64).clamp(1, BATCH)
}

/// Moves the chunk at `old` of a large value to the free chunk `new`.
pub(super) fn move_chunk(common: &Common, old: Ref, new: Ref, size: usize) {
    let memory = &common.slabs.memory;
    memory.copy_chunk(old, new, size);
    let header = memory.header(new);
    if let Some(next) = header.next().some() {
        memory.header(next).set_prev(new);
    }
    match header.prev().some() {
        Some(prev) => memory.header(prev).set_next(new),
        None => {
            let owner = Ref(header.cas() as u32);
            let offset = memory.header(owner).value_offset();
            memory.write(owner, offset, &new.0.to_ne_bytes());
        }
    }
}

/// The directory of a shard is kept beside its lock.
pub(super) type SharedDirectory = Directory;

const _: () = assert!(HEADER == 32);

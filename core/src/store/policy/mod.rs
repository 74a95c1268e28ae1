//! Which items stay: queues of a class, and the policies that order them.
//!
//! A policy decides three things: the queue of a new item, what a hit leaves
//! behind in the header (readers do not touch the queues), and which item goes
//! next. Adding one touches its file and [`of`].

mod flat;
mod segmented;

use super::item::{Header, Queue, Ref};
use super::slab::Memory;
use super::stats::ClassStats;
use crate::config::LruMode;

/// What a policy is told of the world.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Second of the clock.
    pub now: u32,
    /// Stamp that a use at this moment leaves in an item.
    pub stamp: u32,
    /// Items with at most this stamp were flushed.
    pub flushed: u32,
}

impl Moment {
    /// Whether the item was flushed.
    #[inline]
    pub fn is_flushed(&self, header: &Header) -> bool {
        header.stamp() <= self.flushed
    }

    /// Whether the item has expired.
    #[inline]
    pub fn is_expired(&self, header: &Header) -> bool {
        let expiry = header.expiry();
        expiry != 0 && expiry <= self.now
    }

    /// Whether the item must not be returned.
    #[inline]
    pub fn is_dead(&self, header: &Header) -> bool {
        self.is_flushed(header) || self.is_expired(header)
    }

    /// Seconds since the item's last use.
    #[inline]
    pub fn idle(&self, header: &Header) -> u32 {
        self.stamp.saturating_sub(header.stamp())
    }
}

/// Settings of the policies; they may change at any time.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Which policy.
    pub mode: LruMode,
    /// Percent of a class for hot items.
    pub hot_pct: u32,
    /// Percent of a class for warm items.
    pub warm_pct: u32,
    /// Hot items idle longer than this share of the cold age go cold.
    pub hot_factor: f64,
    /// The same for warm items.
    pub warm_factor: f64,
    /// Whether there is a queue for temporary items.
    pub temporary: bool,
    /// Items with at most this TTL are temporary.
    pub temporary_ttl: u32,
}

/// An eviction policy. Queues, header bits and nothing else.
pub(super) trait Policy {
    /// The queue of a new item.
    fn admit(&self) -> Queue;

    /// Notes a fetch. Called under the lock for every hit: one conditional bit.
    fn hit(&self, header: &Header, moment: &Moment);

    /// Called after an item was added: keeps the queues' shares.
    fn settle(&self, class: &mut Ordered<'_>);

    /// Background work of a second or so.
    fn juggle(&self, class: &mut Ordered<'_>);

    /// The item to evict next, still on its queue.
    fn victim(&self, class: &mut Ordered<'_>) -> Option<Ref>;
}

/// What a policy works on: the queues of one class of one shard.
pub(super) struct Ordered<'a> {
    pub(super) memory: &'a Memory,
    pub(super) queues: &'a mut Queues,
    pub(super) stats: &'a mut ClassStats,
    pub(super) tuning: &'a Tuning,
    pub(super) moment: Moment,
}

/// The policy of a mode.
#[inline]
pub(super) fn of(mode: LruMode) -> &'static dyn Policy {
    match mode {
        LruMode::Flat => &flat::Flat,
        LruMode::Segmented => &segmented::Segmented,
    }
}

/// Notes a fetch under the policy of a mode, without an indirect call.
#[inline]
pub(super) fn hit(mode: LruMode, header: &Header, moment: &Moment) {
    match mode {
        LruMode::Flat => flat::Flat.hit(header, moment),
        LruMode::Segmented => segmented::Segmented.hit(header, moment),
    }
}

/// A doubly linked list of items, newest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: Ref,
    pub(super) tail: Ref,
    pub(super) count: u32,
    pub(super) bytes: u64,
}

/// The queues of one class of one shard.
#[derive(Clone, Debug)]
pub(super) struct Queues([List; 4]);

impl Default for Queues {
    fn default() -> Self {
        Self([List { head: Ref::NONE, tail: Ref::NONE, count: 0, bytes: 0 }; 4])
    }
}

impl Queues {
    /// The list of `queue`.
    #[inline]
    pub(super) fn list(&self, queue: Queue) -> &List {
        &self.0[queue as usize]
    }

    #[inline]
    fn list_mut(&mut self, queue: Queue) -> &mut List {
        &mut self.0[queue as usize]
    }

    /// Items on all queues.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|list| list.count).sum()
    }

    /// Bytes of the items on all queues.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|list| list.bytes).sum()
    }

    /// Puts the item at `at`, which is on no queue, at the head of `queue`.
    #[inline]
    pub(super) fn push(&mut self, memory: &Memory, at: Ref, queue: Queue) {
        let header = memory.header(at);
        header.set_queue(queue);
        let list = self.list_mut(queue);
        header.set_prev(Ref::NONE);
        header.set_next(list.head);
        match list.head.some() {
            Some(old) => memory.header(old).set_prev(at),
            None => list.tail = at,
        }
        list.head = at;
        list.count += 1;
        list.bytes += header.total() as u64;
    }

    /// Takes the item at `at` off its queue.
    #[inline]
    pub(super) fn unlink(&mut self, memory: &Memory, at: Ref) {
        let header = memory.header(at);
        let list = self.list_mut(header.queue());
        let (next, prev) = (header.next(), header.prev());
        match next.some() {
            Some(next) => memory.header(next).set_prev(prev),
            None => list.tail = prev,
        }
        match prev.some() {
            Some(prev) => memory.header(prev).set_next(next),
            None => list.head = next,
        }
        list.count -= 1;
        list.bytes = list.bytes.saturating_sub(header.total() as u64);
    }

    /// Moves the item at `at` to the head of `queue`.
    pub(super) fn shift(&mut self, memory: &Memory, at: Ref, queue: Queue) {
        self.unlink(memory, at);
        self.push(memory, at, queue);
    }

    /// Puts the item at `new`, a copy of the one at `old`, in its place.
    pub(super) fn replace(&mut self, memory: &Memory, old: Ref, new: Ref) {
        let header = memory.header(new);
        let list = self.list_mut(header.queue());
        match header.next().some() {
            Some(next) => memory.header(next).set_prev(new),
            None => list.tail = new,
        }
        match header.prev().some() {
            Some(prev) => memory.header(prev).set_next(new),
            None => list.head = new,
        }
        debug_assert!(list.head != old && list.tail != old);
    }

    /// The tails of the queues, cold first, then as they would be drained.
    pub(super) fn tails(&self) -> impl Iterator<Item = Ref> + '_ {
        [Queue::Cold, Queue::Hot, Queue::Warm, Queue::Temp]
            .into_iter()
            .filter_map(|q| self.list(q).tail.some())
    }

    /// Moves everything to the queue that the flat policy knows.
    pub(super) fn flatten(&mut self, memory: &Memory) {
        for queue in [Queue::Hot, Queue::Warm] {
            while let Some(at) = self.list(queue).tail.some() {
                self.shift(memory, at, Queue::Cold);
            }
        }
    }
}

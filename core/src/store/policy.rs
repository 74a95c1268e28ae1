//! The eviction policy: which items stay.
//!
//! ```text
//!   weight = (uses + 1) / size, in octaves: a log for each
//!
//!   new, small ----> rank 20  | H 9 | H 8 | H 7 |--.
//!   new, large ----> rank 17  | H 6 | H 3 |--------+--> the segment with the lowest H is judged;
//!                    ...                           |    L rises to its H
//!   used: a new <---------- used since it was put there, its weight grown --+
//!   rank                                           `--> not used: evicted
//! ```
//!
//! The default is GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998), which weighs uses against
//! size, on logs. There, an item has the priority H: its weight, uses by size, plus L. L is the
//! *inflation* at the item's last use: the priority of the item that was evicted last. The item of
//! the lowest priority is evicted. H and L are the letters of GreedyDual-Size (Cao and Irani,
//! 1997). The GDSF paper writes Pr and Clock.
//!
//! Here items of about the same weight share a log, and a segment has one priority: the inflation
//! when it was opened plus the least weight of its log. So the oldest segment of a log has its
//! lowest priority, and the next segment to judge is one of a few.
//!
//! A fetch moves no item. It counts up to seven uses in the header, and sets a bit. Items are
//! judged when their segment is compacted. An item used since it was put there moves to the log
//! of its weight, as if it had been used at this time. The others are evicted.
//! docs/performance.md has the evidence.

use super::expiry::TimeSnapshot;
use super::item::{Header, Queue, bit};
use crate::config::LruMode;

/// Seconds within which further uses of an item change nothing in flat mode
/// (memcached's `ITEM_UPDATE_INTERVAL`).
const UPDATE_INTERVAL: u32 = 60;

/// Weight of an item of one byte that was not used again.
const WEIGHT: u32 = 1 << 28;

/// Bytes that an item takes besides its own: its part of the index, and rounding.
const BESIDE: usize = 16;

/// The number of a log of a shard. A weighted rank is the binary logarithm of the least weight of
/// its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank(u8);

impl Rank {
    /// Number of ranks.
    pub(super) const COUNT: usize = 32;
    /// The log of flat mode, in the order of arrival.
    pub(super) const FLAT: Self = Self(30);
    /// The log of items that are never evicted.
    pub(super) const TEMPORARY: Self = Self(31);

    /// Iterates over all ranks.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Returns the rank of an item, where `span` octaves of weight share a log.
    #[inline]
    pub(super) fn of(queue: Queue, uses: u16, size: usize, span: Span) -> Self {
        match queue {
            Queue::Temp => Self::TEMPORARY,
            Queue::Cold => Self::FLAT,
            Queue::Hot | Queue::Warm => {
                let size = u32::try_from(size + BESIDE).unwrap_or(u32::MAX);
                let weight = WEIGHT * (u32::from(uses) + 1) / size;
                Self(weight.max(1).ilog2() as u8 & span.0)
            }
        }
    }

    /// Returns the index among all ranks.
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Returns the rank with this index.
    pub(super) fn at(index: usize) -> Self {
        debug_assert!(index < Self::COUNT);
        Self(index as u8)
    }

    /// Returns whether the log is one of those by weight.
    pub(super) fn is_weighted(self) -> bool {
        self.0 < Self::FLAT.0
    }

    /// Returns the priority of a segment that is opened at `inflation`.
    pub(super) fn priority(self, inflation: u64) -> u64 {
        if self.is_weighted() { inflation + (1 << self.0) } else { 0 }
    }
}

/// The number of octaves of weight that share a log, as a mask of ranks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(u8);

impl Span {
    /// Returns the span for shards with this number of `segments`. Open segments are then a small
    /// part of them. Without evictions, one log suffices.
    pub(super) fn new(segments: usize, evicts: bool) -> Self {
        let octaves = (SEGMENTS_FOR_OCTAVES / segments.max(1)).next_power_of_two();
        Self(if evicts && octaves < Rank::COUNT { !(octaves as u8 - 1) } else { 0 })
    }
}

/// Number of segments of a shard from which each octave of weight has a log.
const SEGMENTS_FOR_OCTAVES: usize = 128;

/// The settings of the policy. They may change at any time.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The policy.
    pub mode: LruMode,
    /// Whether there is a log for temporary items.
    pub temporary: bool,
    /// Items with at most this TTL are temporary.
    pub temporary_ttl: u32,
}

impl Tuning {
    /// Returns whether all items are in one log, in order of use.
    pub(super) fn is_flat(self) -> bool {
        self.mode == LruMode::Flat
    }
}

/// Returns the state and stamp of an item after a fetch.
#[inline]
fn fetched(flat: bool, (state, stamp): (u16, u32), time: &TimeSnapshot) -> (u16, u32) {
    if flat {
        let is_due = time.stamp.saturating_sub(stamp) > UPDATE_INTERVAL;
        return if is_due {
            (state | bit::FETCHED | bit::ACTIVE, time.stamp)
        } else {
            (state | bit::FETCHED, stamp)
        };
    }
    let used = Header::used(state) | bit::FETCHED;
    // The first fetch makes an item FETCHED. As in memcached, only a further one makes it ACTIVE
    // and counts as its last use.
    if state & bit::FETCHED == 0 { (used, stamp) } else { (used | bit::ACTIVE, time.stamp) }
}

/// Records a fetch in the header of an item, under the lock, or in a copy of it.
#[inline]
pub(super) fn record_access(flat: bool, header: &Header, time: &TimeSnapshot) {
    let before = (header.state(), header.stamp());
    let after = fetched(flat, before, time);
    if after.0 != before.0 {
        header.set_state(after.0);
    }
    if after.1 != before.1 {
        header.set_stamp(after.1);
    }
}

/// Returns whether a fetch would change nothing in the header. Needs no lock.
#[inline]
pub(super) fn is_noted(flat: bool, header: &Header, time: &TimeSnapshot) -> bool {
    let now = (header.state(), header.stamp());
    fetched(flat, now, time) == now
}

/// Returns whether a fetch changes only the record of use: the item is alive, and neither won nor
/// stale. Needs no lock.
#[inline]
pub(super) fn is_plain(header: &Header, time: &TimeSnapshot) -> bool {
    header.state() & (bit::WIN | bit::STALE) == 0 && !time.is_dead(header)
}

/// Returns the queue of a new item. `was` is the queue of the item that it replaces.
pub(super) fn admit(tuning: Tuning, time: &TimeSnapshot, expiry: u32, was: Option<Queue>) -> Queue {
    if tuning.temporary && expiry != 0 && expiry.saturating_sub(time.now) <= tuning.temporary_ttl {
        return Queue::Temp;
    }
    match tuning.mode {
        LruMode::Flat => Queue::Cold,
        LruMode::Segmented if was == Some(Queue::Warm) => Queue::Warm,
        LruMode::Segmented => Queue::Hot,
    }
}

/// Judges an item whose segment is compacted. Returns its new queue, or `None` to evict it. `idle`
/// means that the segment was chosen because it is not in use.
pub(super) fn judge(mode: LruMode, header: &Header, idle: bool) -> Option<Queue> {
    let (used, queue) = match (header.queue(), mode) {
        (Queue::Temp, _) => return Some(Queue::Temp),
        (_, LruMode::Flat) => (bit::ACTIVE, Queue::Cold),
        (_, LruMode::Segmented) if idle => (bit::RECENT, Queue::Warm),
        (_, LruMode::Segmented) => (bit::USED, Queue::Warm),
    };
    let stays = header.has(used);
    header.unmark(used | bit::USED | bit::RECENT);
    stays.then_some(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_uses_weigh_as_half_the_size() {
        let rank = |uses, size: usize| Rank::of(Queue::Hot, uses, size - BESIDE, Span::new(256, true));
        assert_eq!(rank(0, 128), Rank(21));
        assert_eq!(rank(0, 256), Rank(20));
        assert_eq!(rank(1, 256), rank(0, 128));
        assert_eq!(rank(7, 1024), rank(0, 128));
        // The smallest and the largest weight.
        assert_eq!(rank(7, 40), Rank(25));
        assert_eq!(rank(0, 1 << 30), Rank(0));
        assert_eq!(Rank::of(Queue::Temp, 0, 1, Span::new(256, true)), Rank::TEMPORARY);
    }

    #[test]
    fn shards_of_few_segments_have_few_logs() {
        let logs = |segments, evicts| {
            let mut ranks: Vec<_> = (5..24)
                .map(|size| Rank::of(Queue::Hot, 0, 1 << size, Span::new(segments, evicts)).index())
                .collect();
            ranks.dedup();
            ranks.len()
        };
        assert_eq!(logs(1000, true), 19);
        assert_eq!(logs(128, true), 19);
        assert_eq!(logs(64, true), 10);
        assert_eq!(logs(16, true), 3);
        assert_eq!(logs(1, true), 1);
        assert_eq!(logs(1000, false), 1);
    }

    #[test]
    fn heavier_items_have_a_higher_priority() {
        assert_eq!(Rank(20).priority(5), 5 + (1 << 20));
        assert!(Rank(20).priority(0) < Rank(21).priority(0));
        assert!(Rank(20).priority(2 << 20) > Rank(21).priority(0));
        assert_eq!(Rank::FLAT.priority(1000), 0);
    }
}

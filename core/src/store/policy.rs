//! Which items stay.
//!
//! ```text
//!   credit = uses / size, in octaves: a log for each
//!
//!   new, small ----> rank 20  | due 9 | due 8 | due 7 |--.
//!   new, large ----> rank 17  | due 6 | due 3 |----------+--> the segment due first is judged;
//!                    ...                                 |    the level rises to its due
//!   used: a new <------------ used since it was put there, its credit grown --+
//!   rank                                                 `--> not used: evicted
//! ```
//!
//! The default is GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998), which
//! weighs uses against size, on logs. There an item's priority is its credit,
//! uses by size, plus the *level* at its last use, which is the priority of what
//! was evicted last; the item of the lowest priority goes. Here items of about
//! the same credit share a log. A segment is due when the level reaches what it
//! was at its opening plus the least credit of its log. So the oldest segment of
//! a log is the first that is due, and the next of all is one of a few.
//!
//! A fetch never moves anything: it counts up to seven uses in the header, and
//! that there was one. Items are judged when their segment is cleaned: who was
//! used since it was put there is put into the log of its credit, as if it had
//! been used just now, and the others go. docs/performance.md has the evidence.

use super::item::{Header, Queue, bit};
use crate::config::LruMode;

/// Seconds within which further uses of an item change nothing in flat mode
/// (memcached's `ITEM_UPDATE_INTERVAL`).
const UPDATE_INTERVAL: u32 = 60;

/// Credit of an item of one byte that was not used again.
const CREDIT: u32 = 1 << 28;

/// Bytes that an item takes beside its own: its part of the index, and rounding.
const BESIDE: usize = 16;

/// A log of a shard: its items' credit is at least 2 to the power of its rank,
/// or has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank(u8);

impl Rank {
    /// Ranks that there are.
    pub(super) const COUNT: usize = 32;
    /// Of flat mode, in the order of arrival.
    pub(super) const FLAT: Self = Self(30);
    /// Of items that are never evicted.
    pub(super) const TEMPORARY: Self = Self(31);

    /// All ranks.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// The rank of an item, `span` octaves of credit being one log.
    #[inline]
    pub(super) fn of(queue: Queue, uses: u16, size: usize, span: Span) -> Self {
        match queue {
            Queue::Temp => Self::TEMPORARY,
            Queue::Cold => Self::FLAT,
            Queue::Hot | Queue::Warm => {
                let size = u32::try_from(size + BESIDE).unwrap_or(u32::MAX);
                let credit = CREDIT * (u32::from(uses) + 1) / size;
                Self(credit.max(1).ilog2() as u8 & span.0)
            }
        }
    }

    /// Index among all ranks.
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The rank with this index.
    pub(super) fn at(index: usize) -> Self {
        debug_assert!(index < Self::COUNT);
        Self(index as u8)
    }

    /// Whether items are here by their credit.
    pub(super) fn is_by_credit(self) -> bool {
        self.0 < Self::FLAT.0
    }

    /// The level at which a segment is due that is opened at `level`.
    pub(super) fn due(self, level: u64) -> u64 {
        if self.is_by_credit() { level + (1 << self.0) } else { 0 }
    }
}

/// How many octaves of credit are one log, as a mask of ranks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(u8);

impl Span {
    /// For shards of so many `segments`, so that those being filled are a small
    /// part of them. Where nothing is ever evicted one log will do.
    pub(super) fn new(segments: usize, evicts: bool) -> Self {
        let octaves = (SEGMENTS_FOR_OCTAVES / segments.max(1)).next_power_of_two();
        Self(if evicts && octaves < Rank::COUNT { !(octaves as u8 - 1) } else { 0 })
    }
}

/// Segments of a shard from which on each octave of credit has a log.
const SEGMENTS_FOR_OCTAVES: usize = 128;

/// What a policy is told of the world.
#[derive(Clone, Copy, Debug)]
pub struct TimeSnapshot {
    /// Second of the clock.
    pub now: u32,
    /// Stamp that a use at this moment leaves in an item.
    pub stamp: u32,
    /// Items with at most this stamp were flushed.
    pub flushed: u32,
}

impl TimeSnapshot {
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

/// Settings of the policy; they may change at any time.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Which policy.
    pub mode: LruMode,
    /// Reported: memcached's share of a class for hot items.
    pub hot_pct: u32,
    /// Reported: memcached's share of a class for warm items.
    pub warm_pct: u32,
    /// Reported: memcached's age limit of hot items.
    pub hot_factor: f64,
    /// Reported: memcached's age limit of warm items.
    pub warm_factor: f64,
    /// Whether there is a log for temporary items.
    pub temporary: bool,
    /// Items with at most this TTL are temporary.
    pub temporary_ttl: u32,
}

impl Tuning {
    /// Whether all items are in one log, in order of use.
    pub(super) fn is_flat(&self) -> bool {
        self.mode == LruMode::Flat
    }
}

/// State and stamp of an item after a fetch.
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
    // The first fetch makes an item FETCHED; a further one makes it ACTIVE and
    // counts as its last use. As in memcached, the first does not.
    if state & bit::FETCHED == 0 { (used, stamp) } else { (used | bit::ACTIVE, time.stamp) }
}

/// Notes a fetch: in an item, under the lock, or in a copy of its header.
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

/// Whether a fetch has nothing to note of the item's use. Asked without the lock.
#[inline]
pub(super) fn is_noted(flat: bool, header: &Header, time: &TimeSnapshot) -> bool {
    let now = (header.state(), header.stamp());
    fetched(flat, now, time) == now
}

/// Whether a fetch may show the item and be done but for the note of its use: it
/// is alive, and nobody is to be told that it won. Asked without the lock.
#[inline]
pub(super) fn is_plain(header: &Header, time: &TimeSnapshot) -> bool {
    header.state() & (bit::WIN | bit::STALE) == 0 && !time.is_dead(header)
}

/// What becomes of a new item; `was`: the one in whose place it comes.
pub(super) fn admit(tuning: &Tuning, time: &TimeSnapshot, expiry: u32, was: Option<Queue>) -> Queue {
    if tuning.temporary && expiry != 0 && expiry.saturating_sub(time.now) <= tuning.temporary_ttl {
        return Queue::Temp;
    }
    match tuning.mode {
        LruMode::Flat => Queue::Cold,
        LruMode::Segmented if was == Some(Queue::Warm) => Queue::Warm,
        LruMode::Segmented => Queue::Hot,
    }
}

/// Judges an item whose segment is being cleaned: what becomes of it, or `None`
/// if it has to go. `idle`: its segment is not due, but not in use either.
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
    fn twice_the_uses_are_worth_twice_the_size() {
        let rank = |uses, size: usize| Rank::of(Queue::Hot, uses, size - BESIDE, Span::new(256, true));
        assert_eq!(rank(0, 128), Rank(21));
        assert_eq!(rank(0, 256), Rank(20));
        assert_eq!(rank(1, 256), rank(0, 128));
        assert_eq!(rank(7, 1024), rank(0, 128));
        // The least and the most there is.
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
    fn what_has_more_credit_is_due_later() {
        assert_eq!(Rank(20).due(5), 5 + (1 << 20));
        assert!(Rank(20).due(0) < Rank(21).due(0));
        assert!(Rank(20).due(2 << 20) > Rank(21).due(0));
        assert_eq!(Rank::FLAT.due(1000), 0);
    }
}

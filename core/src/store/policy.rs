//! Which items stay.
//!
//! ```text
//!                   +------------ used ------------+
//!                   v                              |
//!   new ------> HOT log -- used enough ---> WARM log -- not used --> evicted
//!    |             |                           ^
//!    |             +---- not used --> evicted, and remembered as a ghost
//!    +-- a ghost's key comes back -------------+
//! ```
//!
//! The default is S3-FIFO (Yang et al., SOSP 2023) on two logs: new items pass
//! through a small one, and only those that are used there reach the large one,
//! so a scan of keys nobody asks for again leaves it alone. Beyond S3-FIFO an
//! item must earn its place by size, as in GreedyDual-Size-Frequency: one of
//! three times the mean size needs three uses to stay for another round.
//!
//! A fetch never moves anything: it counts up to seven uses in the header, after
//! that it writes nothing but the second of the last use. Items are judged when
//! their segment is cleaned. docs/performance.md has the evidence.

use super::item::{Header, Queue, USES_MAX, bit};
use crate::config::LruMode;

/// Seconds within which further uses of an item change nothing in flat mode
/// (memcached's `ITEM_UPDATE_INTERVAL`).
const UPDATE_INTERVAL: u32 = 60;

/// One in so many segments of a shard is for new items.
const HOT_SHARE: usize = 10;

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

/// Notes a fetch. Called under the lock for every hit.
#[inline]
pub(super) fn hit(mode: LruMode, header: &Header, moment: &Moment) {
    let state = header.state();
    if mode == LruMode::Flat {
        if moment.idle(header) > UPDATE_INTERVAL {
            header.set_state(state | bit::FETCHED | bit::ACTIVE);
            header.set_stamp(moment.stamp);
        } else if state & bit::FETCHED == 0 {
            header.set_state(state | bit::FETCHED);
        }
        return;
    }
    used(header);
    // The first fetch makes an item FETCHED; a further one makes it ACTIVE and
    // counts as its last use. As in memcached, the first does not.
    if state & bit::FETCHED == 0 {
        header.mark(bit::FETCHED);
        return;
    }
    if state & bit::ACTIVE == 0 {
        header.mark(bit::ACTIVE);
    }
    if header.stamp() != moment.stamp {
        header.set_stamp(moment.stamp);
    }
}

/// Counts a use.
#[inline]
pub(super) fn used(header: &Header) {
    let uses = header.uses();
    if uses < USES_MAX {
        header.set_uses(uses + 1);
    }
}

/// The log of a new item; `known`: its key was evicted lately.
pub(super) fn admit(tuning: &Tuning, moment: &Moment, expiry: u32, known: bool) -> Queue {
    if tuning.temporary && expiry != 0 && expiry.saturating_sub(moment.now) <= tuning.temporary_ttl {
        return Queue::Temp;
    }
    match tuning.mode {
        LruMode::Flat => Queue::Cold,
        LruMode::Segmented if known => Queue::Warm,
        LruMode::Segmented => Queue::Hot,
    }
}

/// The log whose oldest segment goes next, given how many segments each has.
pub(super) fn next_log(mode: LruMode, segments: [usize; 4]) -> Option<Queue> {
    let [hot, warm, cold, _] = segments;
    let order = match mode {
        LruMode::Flat => [Queue::Cold, Queue::Hot, Queue::Warm],
        LruMode::Segmented if hot * HOT_SHARE > hot + warm + cold => [Queue::Hot, Queue::Cold, Queue::Warm],
        LruMode::Segmented => [Queue::Cold, Queue::Warm, Queue::Hot],
    };
    order.into_iter().find(|&queue| segments[queue as usize] > 0)
}

/// Judges an item whose segment is being cleaned: the log in which it stays, its
/// uses spent, or `None` if it has to go. `mean` is the mean size of items.
pub(super) fn judge(mode: LruMode, header: &Header, mean: usize) -> Option<Queue> {
    match header.queue() {
        Queue::Temp => Some(Queue::Temp),
        Queue::Cold | Queue::Hot | Queue::Warm if mode == LruMode::Flat => {
            let active = header.has(bit::ACTIVE);
            header.unmark(bit::ACTIVE);
            active.then_some(Queue::Cold)
        }
        queue => {
            let uses = header.uses();
            if uses < needed(header.total(), mean) {
                return None;
            }
            header.set_uses(if queue == Queue::Hot { 0 } else { uses - 1 });
            Some(Queue::Warm)
        }
    }
}

/// Uses that an item needs to stay: its size as a multiple of the mean.
fn needed(size: usize, mean: usize) -> u16 {
    let mean = mean.max(1);
    ((size + mean / 2) / mean).clamp(1, usize::from(USES_MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_items_need_more_uses() {
        assert_eq!(needed(10, 100), 1);
        assert_eq!(needed(149, 100), 1);
        assert_eq!(needed(150, 100), 2);
        assert_eq!(needed(1 << 20, 100), USES_MAX);
        assert_eq!(needed(5, 0), 5);
    }

    #[test]
    fn the_hot_log_keeps_a_tenth() {
        let next = |segments| next_log(LruMode::Segmented, segments);
        assert_eq!(next([1, 9, 0, 3]), Some(Queue::Warm));
        assert_eq!(next([2, 8, 0, 0]), Some(Queue::Hot));
        assert_eq!(next([1, 0, 0, 0]), Some(Queue::Hot));
        assert_eq!(next([0, 0, 0, 5]), None);
        assert_eq!(next_log(LruMode::Flat, [1, 1, 1, 0]), Some(Queue::Cold));
    }
}

//! The log of an item: by its weight, if its queue is HOT or WARM.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::config::EvictionGoal;
use crate::store::mem::{Queue, Rank};

/// Weight of an item of one byte that was not used again.
const WEIGHT: u32 = 1 << 28;

/// Bytes that an item takes besides its own: its part of the index, and rounding.
const BESIDE: usize = 16;

/// The size that counts for each item if sizes do not matter. Its octave is one at which logs of
/// any width begin, so that as many logs as possible tell uses apart.
const ANY_SIZE: u32 = 1 << 12;

/// Number of segments of a shard from which each octave of weight has a log.
const SEGMENTS_FOR_OCTAVES: usize = 128;

/// How items are weighed: uses against size for the fewest misses (GDSF with equal costs). For the
/// fewest missed bytes, uses alone, because the cost of a miss is the size (GDSF with that cost).
pub(in crate::store) struct Weights {
    /// The number of octaves of weight that share a log, as a mask of ranks.
    span: u8,
    /// The size that counts for each item, or 0 for its own.
    size: AtomicU32,
}

impl Weights {
    /// Returns the weights for shards with this number of `segments`. Octaves share logs in small
    /// shards, so that open segments are a small part of them. Without evictions, one log suffices.
    pub(in crate::store) fn new(segments: usize, evicts: bool, goal: EvictionGoal) -> Self {
        let octaves = (SEGMENTS_FOR_OCTAVES / segments.max(1)).next_power_of_two();
        let span = if evicts && octaves < Rank::COUNT { !(octaves as u8 - 1) } else { 0 };
        let weights = Self { span, size: AtomicU32::new(0) };
        weights.set_goal(goal);
        weights
    }

    /// Changes the goal, for items that are placed from now on.
    pub(in crate::store) fn set_goal(&self, goal: EvictionGoal) {
        let size = match goal {
            EvictionGoal::FewestMisses => 0,
            EvictionGoal::FewestMissedBytes => ANY_SIZE,
        };
        self.size.store(size, Relaxed);
    }

    /// Returns the log of an item of `size` bytes.
    #[inline]
    pub(in crate::store) fn rank_of(&self, queue: Queue, uses: u16, size: usize) -> Rank {
        match queue {
            Queue::Temp => Rank::TEMPORARY,
            Queue::Cold => Rank::ORDERED,
            Queue::Hot | Queue::Warm => {
                let size = match self.size.load(Relaxed) {
                    0 => u32::try_from(size + BESIDE).unwrap_or(u32::MAX),
                    any => any,
                };
                let weight = WEIGHT * (u32::from(uses) + 1) / size;
                Rank::weighted(weight.max(1).ilog2() as u8 & self.span)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(segments: usize, evicts: bool) -> Weights {
        Weights::new(segments, evicts, EvictionGoal::FewestMisses)
    }

    #[test]
    fn for_the_fewest_missed_bytes_only_uses_count() {
        let weights = Weights::new(256, true, EvictionGoal::FewestMissedBytes);
        let rank = |uses, size| weights.rank_of(Queue::Hot, uses, size);
        assert_eq!(rank(0, 1), rank(0, 1 << 30));
        assert_eq!([0, 1, 3, 7].map(|uses| rank(uses, 100).index()), [16, 17, 18, 19]);
        weights.set_goal(EvictionGoal::FewestMisses);
        assert_ne!(weights.rank_of(Queue::Hot, 0, 1), weights.rank_of(Queue::Hot, 0, 1 << 30));
    }

    #[test]
    fn twice_the_uses_weigh_as_half_the_size() {
        let rank = |uses, size: usize| weights(256, true).rank_of(Queue::Hot, uses, size - BESIDE);
        assert_eq!(rank(0, 128), Rank::at(21));
        assert_eq!(rank(0, 256), Rank::at(20));
        assert_eq!(rank(1, 256), rank(0, 128));
        assert_eq!(rank(7, 1024), rank(0, 128));
        // The smallest and the largest weight.
        assert_eq!(rank(7, 40), Rank::at(25));
        assert_eq!(rank(0, 1 << 30), Rank::at(0));
        assert_eq!(weights(256, true).rank_of(Queue::Temp, 0, 1), Rank::TEMPORARY);
    }

    #[test]
    fn shards_of_few_segments_have_few_logs() {
        let logs = |segments, evicts| {
            let mut ranks: Vec<_> = (5..24)
                .map(|size| weights(segments, evicts).rank_of(Queue::Hot, 0, 1 << size).index())
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
        assert_eq!(Rank::at(20).priority(5), 5 + (1 << 20));
        assert!(Rank::at(20).priority(0) < Rank::at(21).priority(0));
        assert!(Rank::at(20).priority(2 << 20) > Rank::at(21).priority(0));
        assert_eq!(Rank::ORDERED.priority(1000), 0);
    }
}

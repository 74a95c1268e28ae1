//! The log of an item: by its weight, if its queue is HOT or WARM.

use crate::store::mem::{Queue, Rank};

/// Weight of an item of one byte that was not used again.
const WEIGHT: u32 = 1 << 28;

/// Bytes that an item takes besides its own: its part of the index, and rounding.
const BESIDE: usize = 16;

/// Returns the rank of an item, where `span` octaves of weight share a log.
#[inline]
pub(in crate::store) fn rank_of(queue: Queue, uses: u16, size: usize, span: Span) -> Rank {
    match queue {
        Queue::Temp => Rank::TEMPORARY,
        Queue::Cold => Rank::ORDERED,
        Queue::Hot | Queue::Warm => {
            let size = u32::try_from(size + BESIDE).unwrap_or(u32::MAX);
            let weight = WEIGHT * (u32::from(uses) + 1) / size;
            Rank::weighted(weight.max(1).ilog2() as u8 & span.0)
        }
    }
}

/// The number of octaves of weight that share a log, as a mask of ranks.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Span(u8);

impl Span {
    /// Returns the span for shards with this number of `segments`. Open segments are then a small
    /// part of them. Without evictions, one log suffices.
    pub(in crate::store) fn new(segments: usize, evicts: bool) -> Self {
        let octaves = (SEGMENTS_FOR_OCTAVES / segments.max(1)).next_power_of_two();
        Self(if evicts && octaves < Rank::COUNT { !(octaves as u8 - 1) } else { 0 })
    }
}

/// Number of segments of a shard from which each octave of weight has a log.
const SEGMENTS_FOR_OCTAVES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_uses_weigh_as_half_the_size() {
        let rank = |uses, size: usize| rank_of(Queue::Hot, uses, size - BESIDE, Span::new(256, true));
        assert_eq!(rank(0, 128), Rank::at(21));
        assert_eq!(rank(0, 256), Rank::at(20));
        assert_eq!(rank(1, 256), rank(0, 128));
        assert_eq!(rank(7, 1024), rank(0, 128));
        // The smallest and the largest weight.
        assert_eq!(rank(7, 40), Rank::at(25));
        assert_eq!(rank(0, 1 << 30), Rank::at(0));
        assert_eq!(rank_of(Queue::Temp, 0, 1, Span::new(256, true)), Rank::TEMPORARY);
    }

    #[test]
    fn shards_of_few_segments_have_few_logs() {
        let logs = |segments, evicts| {
            let mut ranks: Vec<_> = (5..24)
                .map(|size| rank_of(Queue::Hot, 0, 1 << size, Span::new(segments, evicts)).index())
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

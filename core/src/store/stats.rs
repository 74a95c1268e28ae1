//! Counters of the store. They are in the shards, under the shards' locks, so counting costs an
//! addition. Optimistic reads count in `counters.rs`. The counters of most requests are first, so
//! that they share a cache line (see `Shard` and `ShardClass`).

use super::mem::{Queue, Usage};
use crate::base::histogram::Histogram;

/// Defines a structure of counters that can be summed. `field => "memcache_rs_field"` makes `stats`
/// print a counter that memcached does not have.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident $(=> $shown:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// Adds the counts of another.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Returns the counters that memcached does not have, with their names.
            pub fn own(&self) -> Vec<(&'static str, u64)> {
                vec![$($(($shown, self.$field),)?)*]
            }
        }
    };
}

counters! {
    /// Counters of one slab class.
    ClassStats {
        /// Hits on items that were hot.
        hits_to_hot,
        /// Hits on items that were warm.
        hits_to_warm,
        /// Hits on items that were cold.
        hits_to_cold,
        /// Hits on items that were temporary.
        hits_to_temp,
        /// Items allocated for storing.
        set_cmds,
        /// Touches that hit.
        touch_hits,
        /// Deletes that hit.
        delete_hits,
        /// CAS stores that matched.
        cas_hits,
        /// CAS stores that did not match.
        cas_badval,
        /// Increments that hit.
        incr_hits,
        /// Decrements that hit.
        decr_hits,
        /// Items evicted.
        evicted,
        /// Of these, items with a TTL.
        evicted_nonzero,
        /// Of these, items that were never fetched.
        evicted_unfetched,
        /// Of these, items that were fetched since they became cold.
        evicted_active,
        /// Allocations that failed.
        outofmemory,
        /// Dead items whose memory an allocation took.
        reclaimed,
        /// Dead items that were never fetched.
        expired_unfetched,
        /// Dead items that the crawler freed.
        crawler_reclaimed,
        /// Items that the crawler examined.
        crawler_items_checked,
        /// Moves to the warm log.
        moves_to_warm,
        /// Moves to the end of a log.
        moves_within_lru,
    }
}

impl ClassStats {
    /// Returns the counter of hits on items of a queue.
    #[inline]
    pub(super) fn hits_to(&mut self, queue: Queue) -> &mut u64 {
        match queue {
            Queue::Hot => &mut self.hits_to_hot,
            Queue::Warm => &mut self.hits_to_warm,
            Queue::Cold => &mut self.hits_to_cold,
            Queue::Temp => &mut self.hits_to_temp,
        }
    }
}

counters! {
    /// Counters of commands, for all classes together.
    CommandStats {
        /// Keys requested.
        get_cmds,
        /// Of these, misses.
        get_misses,
        /// Items linked.
        total_items,
        /// Of these, expired.
        get_expired,
        /// Of these, flushed.
        get_flushed,
        /// Touches.
        touch_cmds,
        /// Touches that missed.
        touch_misses,
        /// Deletes that missed.
        delete_misses,
        /// Increments that missed.
        incr_misses,
        /// Decrements that missed.
        decr_misses,
        /// CAS stores that missed.
        cas_misses,
        /// `me` commands.
        meta_cmds,
        /// Stores refused because of their size.
        store_too_large,
        /// Stores refused for want of memory.
        store_no_memory,
    }
}

/// Bounds of the ages of evicted items in seconds: the powers of two up to 97 days.
const AGE_BOUNDS: [u64; 24] = {
    let mut bounds = [1; 24];
    let mut number = 1;
    while number < bounds.len() {
        bounds[number] = 2 * bounds[number - 1];
        number += 1;
    }
    bounds
};

/// Seconds for which evicted items had not been used.
#[derive(Clone, Debug, Default)]
pub struct EvictedAges {
    /// By bound, then those above all bounds.
    counts: [u64; AGE_BOUNDS.len() + 1],
    sum: u64,
}

impl EvictedAges {
    /// Counts an item.
    pub(super) fn record(&mut self, seconds: u32) {
        // The lowest power of two that is not below the number.
        let bound = (u32::BITS - seconds.saturating_sub(1).leading_zeros()) as usize;
        self.counts[bound.min(AGE_BOUNDS.len())] += 1;
        self.sum += u64::from(seconds);
    }

    /// Adds the counts of another.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }

    /// Returns the counts.
    pub fn histogram(&self) -> Histogram {
        Histogram::new(&AGE_BOUNDS, self.counts.to_vec(), self.sum)
    }
}

/// One class, summed over the shards.
#[derive(Clone, Debug, Default)]
pub struct ClassTotals {
    /// Bytes of a chunk.
    pub chunk_size: usize,
    /// Chunks of a page.
    pub per_page: usize,
    /// Items by queue: hot, warm, cold, temporary.
    pub items: [u64; 4],
    /// Bytes of the items.
    pub bytes: u64,
    /// Idle seconds of the item evicted last.
    pub evicted_time: u32,
    /// Counters.
    pub counts: ClassStats,
    /// Whether this class ever had an item.
    pub seen: bool,
}

/// The whole store, summed over the shards.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By class number. 0 is unused.
    pub classes: Vec<ClassTotals>,
    /// Counters of commands.
    pub commands: CommandStats,
    /// Items in the index.
    pub curr_items: u64,
    /// Bytes of these items.
    pub curr_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: usize,
    /// Slots of the index.
    pub index_slots: usize,
    /// The most slots that the index had.
    pub index_peak: usize,
    /// Bytes of entries that are not dead.
    pub live_bytes: usize,
    /// Seconds for which evicted items had not been used.
    pub evicted_ages: EvictedAges,
    /// Segments compacted.
    pub compacted: u64,
    /// Items moved out of these segments.
    pub moved: u64,
    /// Bytes of a segment.
    pub segment_size: usize,
    /// The limit, and the memory that counts against it.
    pub usage: Usage,
}

impl ClassTotals {
    /// Returns the number of items of the class.
    pub fn count(&self) -> u64 {
        self.items.iter().sum()
    }

    /// Returns the least number of pages that memcached would need for these items. As in
    /// memcached, a class keeps its last page.
    pub fn pages(&self) -> u64 {
        if self.per_page == 0 { 0 } else { self.count().div_ceil(self.per_page as u64).max(self.seen.into()) }
    }
}

impl Totals {
    /// Returns the sum of the counters of all classes.
    pub fn class_sum(&self) -> ClassStats {
        let mut sum = ClassStats::default();
        for class in &self.classes {
            sum.add(&class.counts);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::EvictedAges;

    #[test]
    fn ages_are_counted_up_to_their_bounds() {
        let mut ages = EvictedAges::default();
        for seconds in [0, 1, 2, 3, 4, 5, u32::MAX] {
            ages.record(seconds);
        }
        let mut sum = EvictedAges::default();
        sum.add(&ages);
        sum.add(&ages);
        let histogram = sum.histogram();
        assert_eq!((histogram.count(), histogram.sum()), (14, 2 * (15 + u64::from(u32::MAX))));
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[..4], [(1, 4), (2, 6), (4, 10), (8, 12)]);
        assert_eq!(buckets.last(), Some(&(1 << 23, 12)));
    }

    counters! {
        /// Counters of this test.
        Some {
            /// One that memcached has.
            known,
            /// One of our own.
            other => "memcache_rs_other",
        }
    }

    #[test]
    fn counters_of_our_own_have_names() {
        let mut sum = Some { known: 1, other: 2 };
        sum.add(&Some { known: 3, other: 4 });
        assert_eq!((sum.known, sum.own()), (4, vec![("memcache_rs_other", 6)]));
    }
}

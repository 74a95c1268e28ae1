//! Sums over the shards of a store.

use super::index::SLOTS;
use super::mem::{Kind, Rank};
use super::shard::Shard;
use super::stats::{ClassStats, ClassTotals, CommandStats, EvictedAges, Totals};
use super::store::Store;

impl Store {
    /// Returns the sums of all counters.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            classes: self
                .common
                .classes
                .list()
                .iter()
                .map(|class| ClassTotals {
                    chunk_size: class.size,
                    per_page: class.per_page,
                    ..ClassTotals::default()
                })
                .collect(),
            usage: self.common.segments.usage(),
            segment_size: self.common.segments.size(),
            ..Totals::default()
        };
        for cell in &self.shards {
            let shard = cell.0.lock();
            totals.curr_items += shard.index.len() as u64;
            totals.curr_bytes += shard.bytes;
            totals.live_bytes += shard.logs.live();
            totals.index_bytes += shard.index.bytes();
            totals.index_slots += shard.index.buckets() * SLOTS;
            totals.index_peak += shard.index.peak() * SLOTS;
            totals.compacted += shard.compacted;
            totals.moved += shard.moved;
            totals.evicted_ages.add(&shard.evicted_ages);
            totals.commands.add(&shard.commands);
            for (sum, own) in totals.classes.iter_mut().zip(&shard.classes) {
                sum.bytes += own.bytes;
                sum.seen |= own.seen;
                sum.evicted_time = sum.evicted_time.max(own.evicted_time);
                sum.counts.add(&own.stats);
                for (sum, &items) in sum.items.iter_mut().zip(&own.items) {
                    *sum += u64::from(items);
                }
            }
        }
        self.read_counters
            .add_to(&mut totals.commands, totals.classes.iter_mut().map(|class| &mut class.counts));
        totals
    }

    /// Returns the highest idle seconds of items in the oldest segments of the logs, by class
    /// number and queue: hot, warm, cold, temporary.
    pub fn ages(&self) -> Vec<[u32; 4]> {
        /// Items examined of a segment, which may have thousands.
        const SAMPLE_ENTRIES: usize = 512;
        let memory = self.common.memory();
        let time = self.common.time();
        let mut ages = vec![[0; 4]; self.common.classes.list().len()];
        for cell in &self.shards {
            let shard = cell.0.lock();
            for rank in Rank::all() {
                let Some(number) = shard.logs.newest_first(&self.common.segments, rank).last() else {
                    continue;
                };
                Shard::first_entries(&self.common, number, SAMPLE_ENTRIES, |at| {
                    let header = memory.header(at);
                    if header.kind() == Kind::Linked
                        && let Some(ages) = ages.get_mut(usize::from(header.class()))
                    {
                        let age = &mut ages[header.queue() as usize];
                        *age = (*age).max(time.idle(header));
                    }
                });
            }
        }
        ages
    }

    /// Resets the counters of `stats reset` to 0.
    pub fn reset_stats(&self) {
        self.read_counters.reset();
        self.reset_quotas();
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            shard.commands = CommandStats::default();
            shard.compacted = 0;
            shard.moved = 0;
            shard.evicted_ages = EvictedAges::default();
            for class in &mut shard.classes {
                class.stats = ClassStats::default();
                class.evicted_time = 0;
            }
        }
    }
}

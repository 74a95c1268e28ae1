//! Scans over the items of a store, shard by shard.

use std::collections::VecDeque;

use super::expiry::TimeSnapshot;
use super::mem::{Item, Kind, Rank};
use super::shard::Shard;
use super::store::Store;

/// Buckets after the present one whose items are prefetched. Items of neighbouring buckets lie
/// anywhere in memory.
const AHEAD: usize = 2;

/// The position of [`Store::scan`] in a shard. The default is the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    number: usize,
    /// The buckets of the index at the start of the scan, or 0 before it.
    count: usize,
}

impl Store {
    /// Calls `look` with items of shard `shard`, from `bucket` on: at least `most`, unless the
    /// shard ends. Returns the next position, if there is one.
    ///
    /// A scan of a whole shard sees an item that stays exactly once. The shard is locked while
    /// `look` runs.
    pub fn scan(
        &self,
        shard: usize,
        bucket: Bucket,
        most: usize,
        mut look: impl FnMut(Item<'_>, &TimeSnapshot),
    ) -> Option<Bucket> {
        let time = self.common.time();
        let shard = self.shards.get(shard)?.0.lock();
        let memory = self.common.memory();
        let mut seen = 0;
        let Bucket { mut number, mut count } = bucket;
        if count == 0 {
            count = shard.index.buckets();
        }
        let rehash = |at| self.common.hash_of(&shard.logs.token, at);
        while number < count && seen < most {
            shard.index.scan(number + AHEAD, |at| memory.prefetch(at));
            shard.index.scan_as(number, count, rehash, |at| {
                seen += 1;
                if !self.common.is_dead_at(&time, &shard.logs.token, at) {
                    look(shard.item(&self.common, at), &time);
                }
            });
            number += 1;
        }
        (number < count).then_some(Bucket { number, count })
    }

    /// Checks items of shard `shard` in descending buckets below `below`, which is `usize::MAX` at
    /// first: at least `most`, unless the shard ends. Frees the dead ones of the classes in
    /// `classes` (one bit each). Returns the next `below`, if there are more buckets.
    pub fn crawl(
        &self,
        shard: usize,
        below: usize,
        most: usize,
        classes: u64,
        freed: impl FnMut(u8),
    ) -> Option<usize> {
        let mut shard = self.shards.get(shard)?.0.lock();
        let time = self.common.time();
        shard.crawl(&self.common, time, classes, below, most, freed)
    }

    /// Calls `look` with at most `most` items of `class`, the newest of each log first. They are in
    /// one segment, the one that `listing` has reached. Returns the number of entries examined, or
    /// `None` at the end.
    ///
    /// The shard is locked while `look` runs. Items of logs that change between two calls may
    /// appear twice or not at all.
    pub fn list_class(
        &self,
        class: u8,
        listing: &mut Listing,
        most: usize,
        mut look: impl FnMut(Item<'_>),
    ) -> Option<usize> {
        let memory = self.common.memory();
        while let Some(cell) = self.shards.get(listing.shard) {
            let shard = cell.0.lock();
            while let Some(rank) = Rank::all().nth(listing.rank) {
                let mut log = shard.logs.newest_first(&self.common.segments, rank);
                let Some(number) = log.nth(listing.depth) else {
                    *listing = Listing { shard: listing.shard, rank: listing.rank + 1, ..Listing::default() };
                    continue;
                };
                // The last of those that did not appear.
                let (mut found, mut seen) = (VecDeque::new(), 0);
                Shard::first_entries(&self.common, number, listing.below.unwrap_or(usize::MAX), |at| {
                    let header = memory.header(at);
                    if header.kind() == Kind::Linked && header.class() == class {
                        if found.len() == most {
                            found.pop_front();
                        }
                        found.push_back((seen, at));
                    }
                    seen += 1;
                });
                found.iter().rev().for_each(|&(_, at)| look(shard.item(&self.common, at)));
                match found.front() {
                    Some(&(first, _)) if found.len() == most => listing.below = Some(first),
                    _ => {
                        listing.depth += 1;
                        listing.below = None;
                    }
                }
                return Some(seen);
            }
            *listing = Listing { shard: listing.shard + 1, ..Listing::default() };
        }
        None
    }

    /// Frees items that an immediate flush has just killed and that were used at most a second
    /// before it, the newest of each class first. So small caches are empty at once, and large ones
    /// do not stall. Returns the number of freed items.
    pub fn sweep_recent(&self, most: usize) -> usize {
        let mut swept = 0;
        let memory = self.common.memory();
        let time = self.common.time();
        let mut dead = Vec::new();
        for cell in &self.shards {
            let mut shard = cell.0.lock();
            // Collect first, then free. Freeing may empty other segments, which may then belong to
            // any shard.
            dead.clear();
            // Whether all items of a segment stay. A segment may have only pieces, and no items.
            let mut leaves_all = |number| {
                let (before, mut others) = (dead.len(), false);
                Shard::entries(&self.common, number, |at| {
                    let header = memory.header(at);
                    if header.kind() != Kind::Linked {
                        return;
                    }
                    let recent = time.is_flushed(header) && time.idle(header) <= 2;
                    if recent && swept + dead.len() < most {
                        dead.push(at);
                    } else {
                        others = true;
                    }
                });
                dead.len() == before && others
            };
            // The segment is not in a log.
            if let Some(compaction) = &shard.compaction {
                leaves_all(compaction.next.number());
            }
            for rank in Rank::all() {
                // After a segment of older items, there are no newer ones.
                let _ =
                    shard.logs.newest_first(&self.common.segments, rank).find(|&number| leaves_all(number));
            }
            for &at in &dead {
                let hash = self.common.hash_of(&shard.logs.token, at);
                shard.unlink(&self.common, at, hash);
            }
            swept += dead.len();
        }
        swept
    }
}

/// The position of [`Store::list_class`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    shard: usize,
    /// A log of the shard.
    rank: usize,
    /// Segments of the log that were listed.
    depth: usize,
    /// Entries of the next segment that were not listed.
    below: Option<usize>,
}

//! The index of a shard: hash to item.
//!
//! A miss reads one line. A hit reads two: the bucket and the item. The table grows by linear
//! hashing (Litwin, 1980). If there are more than [`LOAD`] items for each bucket, one bucket is
//! split, so an insertion waits for one split at most. With less than [`SPARSE`], two are merged. A
//! full bucket has overflow buckets behind it.

mod table;

use std::sync::Arc;
use std::{io, ptr};

pub(super) use self::table::Table;
use self::table::{Bucket, FIRST, MOST, choose, tag};
use crate::store::mem::{AtomicRef, Ref};

/// Items per bucket above which the table grows.
const LOAD: usize = 5;

/// Slots that `hash_power_level` counts for a bucket. It has ten, but the level is a power of two.
pub const SLOTS: usize = 8;

/// Items per bucket below which the table shrinks.
const SPARSE: usize = 2;

/// The index of one shard. Keys are compared by the caller.
pub struct Index {
    table: Arc<Table>,
    /// Overflow buckets that were ever used, and those of them that are free.
    behind: usize,
    free_behind: Vec<u32>,
    items: usize,
    /// Tags and items of a bucket that is being split or merged.
    moving: Vec<(u16, Ref)>,
    /// Buckets of the new table, and its minimum.
    least: usize,
    /// The most buckets that the table had.
    peak: usize,
}

impl Index {
    /// Returns an index with this number of slots, eight a bucket.
    ///
    /// # Errors
    /// The system refuses the addresses.
    pub fn new(slots: usize) -> io::Result<Self> {
        let least = (slots / SLOTS).next_power_of_two().clamp(1 << FIRST, 1 << 30);
        Ok(Self {
            table: Arc::new(Table::new(least)?),
            behind: 0,
            free_behind: Vec::new(),
            items: 0,
            moving: Vec::new(),
            least,
            peak: least,
        })
    }

    /// Returns the buckets, for optimistic reads.
    pub(in crate::store) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Returns the bytes of memory in use. The rest of the table's addresses is untouched.
    #[inline]
    pub fn bytes(&self) -> usize {
        (self.table.count() + self.behind) * size_of::<Bucket>()
    }

    /// Returns the number of buckets in use, without overflow buckets.
    #[inline]
    pub fn buckets(&self) -> usize {
        self.table.count()
    }

    /// Returns the most buckets that were ever in use.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Iterates over the buckets in which an item with this hash may be.
    #[inline]
    fn chain_of(&self, hash: u64) -> impl Iterator<Item = &Bucket> {
        self.table.chain(choose(hash, self.table.count()))
    }

    /// Returns the item with this hash for which `is_it` returns `true`.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(Ref) -> bool) -> Option<Ref> {
        let tag = tag(hash);
        for bucket in self.chain_of(hash) {
            for slot in bucket.matches(tag) {
                let at = bucket.at(slot);
                if !at.is_none() && is_it(at) {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Replaces `old`, which must be in the index, by `new` of the same hash.
    pub fn replace(&mut self, hash: u64, old: Ref, new: Ref) {
        if let Some(slot) = self.slot(hash, old) {
            slot.store(new);
        } else {
            debug_assert!(false, "replaced item is not in the index");
        }
    }

    fn slot(&self, hash: u64, at: Ref) -> Option<&AtomicRef> {
        let tag = tag(hash);
        self.chain_of(hash).find_map(|bucket| bucket.slot_of(tag, at))
    }

    /// Adds `at`, which must not be in the index. `rehash` computes the hash of an item.
    pub fn insert(&mut self, hash: u64, at: Ref, rehash: impl Fn(Ref) -> u64) {
        self.put(choose(hash, self.table.count()), tag(hash), at);
        self.items += 1;
        if self.items > self.table.count() * LOAD {
            self.split(rehash);
        }
    }

    /// Grows an empty table to the size for this number of items. Otherwise each insertion would
    /// split a bucket, and read the keys of its items. A table that has items, or for which there
    /// is no memory, stays as it is.
    pub fn expect(&mut self, items: usize) {
        let wanted = (items / LOAD).min(MOST);
        if self.items == 0 && wanted > self.table.count() && self.table.grow(wanted).is_ok() {
            self.peak = self.peak.max(wanted);
        }
    }

    fn put(&mut self, number: usize, tag: u16, at: Ref) {
        if !self.table.chain(number).any(|bucket| bucket.fill(tag, at)) {
            self.put_behind(number, tag, at);
        }
    }

    /// Puts an item into a new overflow bucket, first behind bucket `number`.
    #[cold]
    fn put_behind(&mut self, number: usize, tag: u16, at: Ref) {
        let link = self.free_behind.pop().unwrap_or_else(|| {
            self.behind += 1;
            self.table.make_behind(self.behind - 1)
        });
        if let (Some(first), Some(fresh)) = (self.table.get(number), self.table.behind(link)) {
            fresh.fill(tag, at);
            fresh.set_link(first.link());
            first.set_link(link);
        }
    }

    /// Removes `at`, if it is in the index. Returns whether it was.
    pub fn remove(&mut self, hash: u64, at: Ref) -> bool {
        let (tag, number) = (tag(hash), choose(hash, self.table.count()));
        let had = self.table.chain(number).find_map(|bucket| Some((bucket, bucket.slot_of(tag, at)?)));
        let Some((bucket, slot)) = had else { return false };
        slot.store(Ref::NONE);
        self.items -= 1;
        if let Some(first) = self.table.get(number)
            && let Some(behind) = self.table.behind(first.link())
        {
            // Only the first overflow bucket may have free slots. If gaps stayed, every bucket
            // would have an overflow bucket in time.
            if !ptr::eq(bucket, behind)
                && let Some((tag, at)) = behind.take_first()
            {
                bucket.fill(tag, at);
            }
            if behind.is_empty() {
                self.free_behind.push(first.link());
                first.set_link(behind.link());
                behind.set_link(0);
            }
        }
        if self.items < self.table.count() * SPARSE && self.table.count() > self.least {
            self.merge();
        }
        true
    }

    /// Merges the last bucket with the bucket it was split from.
    fn merge(&mut self) {
        let last = self.table.count() - 1;
        let moving = self.drained(last);
        self.table.shrink();
        self.spread(moving, |_| last - (1 << last.ilog2()));
        if self.free_behind.len() == self.behind {
            self.behind = 0;
            self.free_behind.clear();
        }
    }

    /// Empties bucket `number` and those behind it.
    fn drained(&mut self, number: usize) -> Vec<(u16, Ref)> {
        let mut moving = std::mem::take(&mut self.moving);
        let mut next = self.table.get(number);
        while let Some(bucket) = next {
            let link = bucket.link();
            bucket.empty(&mut moving);
            if link != 0 {
                self.free_behind.push(link);
            }
            next = self.table.behind(link);
        }
        moving
    }

    /// Puts drained items into the buckets that `to` returns.
    fn spread(&mut self, mut moving: Vec<(u16, Ref)>, to: impl Fn(Ref) -> usize) {
        for (tag, at) in moving.drain(..) {
            self.put(to(at), tag, at);
        }
        self.moving = moving;
    }

    /// Splits the next bucket in two.
    fn split(&mut self, rehash: impl Fn(Ref) -> u64) {
        let new = self.table.count();
        if new >= MOST || self.table.grow(new + 1).is_err() {
            // Without memory, chains grow longer until the next attempt.
            return;
        }
        self.peak = self.peak.max(new + 1);
        let old = new - (1 << new.ilog2());
        let moving = self.drained(old);
        self.spread(moving, |at| {
            let to = choose(rehash(at), new + 1);
            debug_assert!(to == old || to == new);
            to
        });
    }

    /// Calls `entry` with the items that are in bucket `number` when the table has `count` buckets.
    /// The table may have more now, or fewer. So a scan of all numbers below `count` sees an item
    /// that stays exactly once, although the table grows and shrinks in between.
    pub fn scan_as(
        &self,
        number: usize,
        count: usize,
        rehash: impl Fn(Ref) -> u64,
        mut entry: impl FnMut(Ref),
    ) {
        let now = self.table.count();
        if now >= count {
            return self.scan_splits(number, count, &mut entry);
        }
        // It was merged into a lower bucket, perhaps more than once, or others into it.
        let mut merged = number;
        while merged >= now {
            merged -= 1 << merged.ilog2();
        }
        self.scan(merged, |at| {
            if choose(rehash(at), count) == number {
                entry(at);
            }
        });
    }

    /// Calls `entry` with the items of bucket `number`, and of those that were split from it when
    /// the table had `count` buckets or more.
    fn scan_splits(&self, number: usize, count: usize, entry: &mut impl FnMut(Ref)) {
        self.scan(number, &mut *entry);
        let mut distance = (number + 1).next_power_of_two();
        while number + distance < self.table.count() {
            if number + distance >= count {
                self.scan_splits(number + distance, count, entry);
            }
            distance *= 2;
        }
    }

    /// Calls `entry` with the items of bucket `number`, if there is one.
    pub fn scan(&self, number: usize, mut entry: impl FnMut(Ref)) {
        if number < self.table.count() {
            self.table.chain(number).flat_map(Bucket::items).for_each(&mut entry);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Returns the hash of the item at `at` in these tests, mixed by splitmix64.
    fn hash(at: Ref) -> u64 {
        let mut z = u64::from(at.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn keeps_what_is_put_while_growing() {
        const ITEMS: u32 = if cfg!(miri) { 500 } else { 50_000 };
        let mut index = Index::new(0).unwrap();
        for n in 1..=ITEMS {
            index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash);
        }
        for n in 1..=ITEMS {
            assert_eq!(
                index.find(hash(Ref::of_number(n)), |at| at == Ref::of_number(n)),
                Some(Ref::of_number(n))
            );
        }
        for n in (1..=ITEMS).step_by(2) {
            assert!(index.remove(hash(Ref::of_number(n)), Ref::of_number(n)));
            assert!(!index.remove(hash(Ref::of_number(n)), Ref::of_number(n)));
        }
        assert_eq!(index.len(), ITEMS as usize / 2);
        let mut seen = 0;
        for number in 0..index.buckets() {
            index.scan(number, |at| {
                assert!(at.number().is_multiple_of(2));
                seen += 1;
            });
        }
        assert_eq!(seen, ITEMS / 2);
        assert!(cfg!(miri) || index.bytes() < ITEMS as usize * 16, "{} bytes", index.bytes());
    }

    #[test]
    fn a_scan_sees_each_item_once_while_the_table_changes() {
        const STAY: u32 = if cfg!(miri) { 100 } else { 3_000 };
        // Items that come and go beside those that stay: the table grows, shrinks, or both.
        for (before, during) in [(0, 4), (4, 0), (1, 3), (3, 1), (2, 2)] {
            let mut index = Index::new(0).unwrap();
            let others = |times: u32| STAY + 1..=STAY * (times + 1);
            for n in (1..=STAY).chain(others(before)) {
                index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash);
            }
            let count = index.buckets();
            let mut seen = vec![0; STAY as usize + 1];
            for number in 0..count {
                index.scan_as(number, count, hash, |at| {
                    if let Some(seen) = seen.get_mut(at.number() as usize) {
                        *seen += 1;
                    }
                });
                if number == count / 3 {
                    for n in others(before) {
                        index.remove(hash(Ref::of_number(n)), Ref::of_number(n));
                    }
                }
                if number == count / 2 {
                    for n in others(during) {
                        index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash);
                    }
                }
            }
            assert!(seen.iter().skip(1).all(|&seen| seen == 1), "{before}, {during}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "it needs many items")]
    fn a_look_finds_what_is_behind() {
        let mut index = Index::new(0).unwrap();
        for n in 1..=50_000 {
            index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash);
        }
        let looks = |n| index.table().look(hash(Ref::of_number(n)));
        let unsure = (1..=50_000)
            .filter(|&n| looks(n) != Some(Ref::of_number(n)))
            .inspect(|&n| assert_eq!(looks(n), None));
        assert!(unsure.count() < 50);
        assert!((50_001..60_000).filter(|&n| looks(n) == Some(Ref::NONE)).count() > 9_900);
        assert!(behind(&index) > 100, "{} overflow buckets", behind(&index));
    }

    /// Returns the number of overflow buckets in use, none of which is empty.
    fn behind(index: &Index) -> usize {
        let numbers = 0..index.buckets();
        let linked = numbers.flat_map(|number| index.table.chain(number).skip(1));
        let used = linked.inspect(|bucket| assert!(!bucket.is_empty())).count();
        assert_eq!(used, index.behind - index.free_behind.len());
        used
    }

    #[test]
    fn shrinks_and_grows_again() {
        const ITEMS: u32 = if cfg!(miri) { 600 } else { 30_000 };
        let mut index = Index::new(0).unwrap();
        for round in 0..if cfg!(miri) { 2 } else { 3 } {
            for n in 1..=ITEMS {
                index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash);
            }
            let large = index.bytes();
            for n in 1..=ITEMS - 100 {
                assert!(index.remove(hash(Ref::of_number(n)), Ref::of_number(n)));
            }
            assert!(
                index.bytes() < large / if cfg!(miri) { 1 } else { 50 },
                "round {round}: {large} to {}",
                index.bytes()
            );
            for n in ITEMS - 99..=ITEMS {
                assert_eq!(
                    index.find(hash(Ref::of_number(n)), |at| at == Ref::of_number(n)),
                    Some(Ref::of_number(n))
                );
                assert!(index.remove(hash(Ref::of_number(n)), Ref::of_number(n)));
            }
            assert_eq!((index.len(), index.buckets()), (0, 1 << FIRST));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "it needs many items")]
    fn overflow_is_given_back() {
        let mut index = Index::new(0).unwrap();
        let mut numbers = 1..;
        let mut held: Vec<u32> = numbers.by_ref().take(10_000).collect();
        held.iter().for_each(|&n| index.insert(hash(Ref::of_number(n)), Ref::of_number(n), hash));
        let at_first = behind(&index);
        // Other items take their places, many times.
        for round in 0..200_000_u32 {
            let slot = hash(Ref::of_number(round)) as usize % held.len();
            let new = numbers.next().unwrap_or_default();
            let old = std::mem::replace(&mut held[slot], new);
            assert!(index.remove(hash(Ref::of_number(old)), Ref::of_number(old)));
            index.insert(hash(Ref::of_number(new)), Ref::of_number(new), hash);
        }
        assert!(behind(&index) < 2 * at_first, "{} of {at_first}", behind(&index));
        for &n in &held {
            assert_eq!(
                index.find(hash(Ref::of_number(n)), |at| at == Ref::of_number(n)),
                Some(Ref::of_number(n))
            );
            assert!(index.remove(hash(Ref::of_number(n)), Ref::of_number(n)));
        }
        assert_eq!((behind(&index), index.len()), (0, 0));
    }

    #[test]
    fn many_items_of_one_hash_chain() {
        let mut index = Index::new(0).unwrap();
        for n in 1..=100 {
            index.insert(7, Ref::of_number(n), |_| 7);
        }
        for n in 1..=100 {
            assert_eq!(index.find(7, |at| at == Ref::of_number(n)), Some(Ref::of_number(n)));
            index.replace(7, Ref::of_number(n), Ref::of_number(n + 1000));
            assert!(index.remove(7, Ref::of_number(n + 1000)));
        }
        assert_eq!(index.len(), 0);
    }
}

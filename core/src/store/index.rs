//! The index of a shard: hash to item, in buckets of one cache line.
//!
//! ```text
//!   bucket   | 10 tags of 16 bits | 10 refs of 32 bits | link |      64 bytes
//!              tag: 16 bits of the hash that do not choose the bucket
//!              ref: the item, 0 if the slot is free
//!              link: an overflow bucket, number + 1, or 0
//! ```
//!
//! A miss reads one line; a hit reads two, the bucket and the item. The table
//! grows by linear hashing (Litwin, 1980): each time there are more than
//! [`LOAD`] items a bucket, one bucket is split, so no insertion ever waits for
//! more than one; with less than [`SPARSE`], two are merged. Buckets live in
//! segments, each as large as all before it, so growing copies nothing, and
//! addresses stay put (see [`Directory`]).

//!
//! Buckets change under the shard's lock, by atomic stores: a [`Directory`] lets
//! others look at them without the lock, for what they might find there soon.

#![expect(unsafe_code, reason = "bucket numbers are checked where they are made")]

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicPtr, AtomicU16, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::item::Ref;
use super::memory::{advise_large, discard_pages, prefetch};

/// Slots of a bucket.
const SLOTS: usize = 10;

/// Items a bucket above which the table grows.
const LOAD: usize = 6;

/// Items a bucket below which the table shrinks.
const SPARSE: usize = 2;

/// log2 of the buckets of a new table's first segment.
const FIRST: u32 = 5;

/// Most segments: 2^31 buckets in all.
const SEGMENTS: usize = 27;

#[derive(Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: [AtomicU16; SLOTS],
    refs: [AtomicU32; SLOTS],
    link: AtomicU32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// Bits of the slots whose tag is `tag`; free slots may be among them. For
    /// the holder of the lock.
    #[inline]
    fn matches(&self, tag: u16) -> u32 {
        // SAFETY: the tags are as large as plain numbers, and whoever might
        // write them holds the lock that the caller holds.
        let tags = unsafe { self.tags.as_ptr().cast::<[u16; SLOTS]>().read() };
        let mut mask = 0;
        for (slot, &other) in tags.iter().enumerate() {
            mask |= u32::from(other == tag) << slot;
        }
        mask
    }

    /// The same for anybody: out of date at worst.
    #[inline]
    fn may_match(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (slot, other) in self.tags.iter().enumerate() {
            mask |= u32::from(other.load(Relaxed) == tag) << slot;
        }
        mask
    }

    /// What is in slot `slot`.
    #[inline]
    fn at(&self, slot: usize) -> Ref {
        Ref(self.refs[slot].load(Relaxed))
    }

    /// The items in it.
    fn items(&self) -> impl Iterator<Item = Ref> {
        self.refs.iter().filter_map(|at| Ref(at.load(Relaxed)).some())
    }

    fn position(&self, tag: u16, at: Ref) -> Option<usize> {
        (0..SLOTS).find(|&slot| self.at(slot) == at && self.tags[slot].load(Relaxed) == tag)
    }

    /// Puts an item into a free slot. `false`: there is none.
    fn fill(&self, tag: u16, at: Ref) -> bool {
        let Some(slot) = (0..SLOTS).find(|&slot| self.at(slot).is_none()) else { return false };
        self.tags[slot].store(tag, Relaxed);
        self.refs[slot].store(at.0, Relaxed);
        true
    }

    /// Moves what is in it to `to`, with tags; nothing is behind it any more.
    fn empty(&self, to: &mut Vec<(u16, Ref)>) {
        let all = self.tags.iter().zip(&self.refs);
        to.extend(all.filter_map(|(tag, at)| Some((tag.load(Relaxed), Ref(at.load(Relaxed)).some()?))));
        self.refs.iter().for_each(|at| at.store(0, Relaxed));
        self.set_link(0);
    }

    /// Number of the overflow bucket behind it, plus one; 0: none.
    #[inline]
    fn link(&self) -> u32 {
        self.link.load(Relaxed)
    }

    fn set_link(&self, link: u32) {
        self.link.store(link, Relaxed);
    }
}

/// Buckets at an address that does not change. Shared from the beginning: the
/// directory knows the address.
struct Buckets(NonNull<[Bucket]>);

// SAFETY: buckets are atomics, and owned like a box of them.
unsafe impl Send for Buckets {}
// SAFETY: as above.
unsafe impl Sync for Buckets {}

impl Buckets {
    /// Empty buckets, zeroed by the system as they are touched: growing does not
    /// stall.
    fn new(count: usize) -> Self {
        let buckets = Box::<[Bucket]>::new_zeroed_slice(count);
        // SAFETY: a bucket is atomic integers only; all zeros is empty.
        let buckets = NonNull::from(Box::leak(unsafe { buckets.assume_init() }));
        advise_large((buckets.cast().as_ptr(), count * size_of::<Bucket>()));
        Self(buckets)
    }
}

impl Buckets {
    /// Gives the memory of buckets that are empty back to the system. Whoever
    /// still looks at them sees empty ones.
    fn release(&self) {
        // SAFETY: the buckets are all empty, so zeros are what they hold.
        unsafe { discard_pages(self.0.cast().as_ptr(), size_of_val::<[Bucket]>(self)) };
    }
}

impl Deref for Buckets {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        // SAFETY: leaked from a box in `new`, and never borrowed exclusively.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        // SAFETY: leaked from a box in `new`; whoever drops the index has the
        // shard for itself, and its directory is not asked any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The part of a hash that tags a slot.
#[inline]
fn tag(hash: u64) -> u16 {
    (hash >> 32) as u16
}

/// Where the buckets are, for looking ahead without the shard's lock. Stale
/// answers are harmless: they are only prefetched.
#[derive(Default)]
pub struct Directory {
    segments: [AtomicPtr<Bucket>; SEGMENTS],
    buckets: AtomicU64,
}

impl Directory {
    /// Buckets in use.
    #[inline]
    pub fn buckets(&self) -> usize {
        self.buckets.load(Relaxed) as usize
    }

    /// The address of the bucket of `hash`; null if its segment is not known yet.
    #[inline]
    fn place(&self, hash: u64) -> *const Bucket {
        let (segment, offset) = place(choose(hash, self.buckets()));
        match self.segments.get(segment).map(|base| base.load(Acquire)) {
            Some(base) if !base.is_null() => base.wrapping_add(offset),
            _ => std::ptr::null(),
        }
    }

    /// Asks the processor to fetch the bucket of `hash`.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(self.place(hash).cast());
    }

    /// Calls `fetch` for what the bucket of `hash` says its items are. They may
    /// have gone meanwhile.
    #[inline]
    pub fn guess(&self, hash: u64, mut fetch: impl FnMut(Ref)) {
        // SAFETY: null, or a bucket: a segment is published when all its buckets
        // are there, `place` maps each number into its segment, and segments are
        // not freed while the store is in use.
        let Some(bucket) = (unsafe { self.place(hash).as_ref() }) else { return };
        let mut mask = bucket.may_match(tag(hash));
        while mask != 0 {
            fetch(bucket.at(mask.trailing_zeros() as usize));
            mask &= mask - 1;
        }
    }
}

/// The bucket of `hash` in a table of `count` buckets.
#[inline]
fn choose(hash: u64, count: usize) -> usize {
    let mask = count.next_power_of_two() - 1;
    let wide = hash as usize & mask;
    if wide < count { wide } else { hash as usize & (mask >> 1) }
}

/// Segment and offset of bucket `number`.
#[inline]
fn place(number: usize) -> (usize, usize) {
    let level = (number | ((1 << FIRST) - 1)).ilog2() + 1 - FIRST;
    if level == 0 { (0, number) } else { (level as usize, number - (1 << (level + FIRST - 1))) }
}

/// The index of one shard. Keys are compared by the caller.
pub struct Index {
    segments: Vec<Buckets>,
    /// Buckets in use: `segments` may have room for more.
    count: usize,
    overflow: Vec<Bucket>,
    free_overflow: Vec<u32>,
    items: usize,
    grows: bool,
    /// Tags and items of a bucket that is being split or merged.
    moving: Vec<(u16, Ref)>,
    /// Buckets that the table begins with, and never falls below.
    least: usize,
}

impl Index {
    /// An index with room for about `slots` items before it grows.
    pub fn new(slots: usize) -> Self {
        let mut index = Self {
            segments: Vec::new(),
            count: 0,
            overflow: Vec::new(),
            free_overflow: Vec::new(),
            items: 0,
            grows: true,
            moving: Vec::new(),
            least: 0,
        };
        let wanted = (slots / LOAD).next_power_of_two().clamp(1 << FIRST, 1 << 30);
        while index.count < wanted {
            index.add_segment();
            index.count = index.segments.iter().map(|s| s.len()).sum();
        }
        index.least = index.count;
        index
    }

    /// Puts the addresses of the buckets into `directory`.
    pub fn publish(&self, directory: &Directory) {
        for (segment, slot) in self.segments.iter().zip(&directory.segments) {
            slot.store(segment.as_ptr().cast_mut(), Release);
        }
        directory.buckets.store(self.count as u64, Relaxed);
    }

    /// Items held.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Bytes of memory in use; the rest of the newest segment, and of what the
    /// overflow has reserved, is untouched.
    #[inline]
    pub fn bytes(&self) -> usize {
        (self.count + self.overflow.len()) * size_of::<Bucket>()
    }

    /// Buckets in use, overflow buckets not counted.
    pub fn buckets(&self) -> usize {
        self.count
    }

    fn add_segment(&mut self) {
        let size = match self.segments.len() {
            0 => 1 << FIRST,
            n => 1 << (FIRST as usize + n - 1),
        };
        self.segments.push(Buckets::new(size));
    }

    #[inline]
    fn bucket(&self, number: usize) -> &Bucket {
        let (segment, offset) = place(number);
        debug_assert!(number < self.count && offset < self.segments[segment].len());
        // SAFETY: `number < count`, and `place` maps each number below `count`
        // into a segment that exists (add_segment precedes count's growth).
        unsafe { self.segments.get_unchecked(segment).get_unchecked(offset) }
    }

    /// The item with this hash for which `is_it` says yes.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(Ref) -> bool) -> Option<Ref> {
        let tag = tag(hash);
        let mut bucket = self.bucket(choose(hash, self.count));
        loop {
            let mut mask = bucket.matches(tag);
            while mask != 0 {
                let at = bucket.at(mask.trailing_zeros() as usize);
                mask &= mask - 1;
                if !at.is_none() && is_it(at) {
                    return Some(at);
                }
            }
            let link = bucket.link();
            if link == 0 {
                return None;
            }
            bucket = self.overflow.get(link as usize - 1)?;
        }
    }

    /// Replaces `old`, which is there, by `new` of the same hash.
    pub fn replace(&mut self, hash: u64, old: Ref, new: Ref) {
        if let Some(slot) = self.slot(hash, old) {
            slot.store(new.0, Relaxed);
        } else {
            debug_assert!(false, "replaced item is not in the index");
        }
    }

    fn slot(&self, hash: u64, at: Ref) -> Option<&AtomicU32> {
        let tag = tag(hash);
        let mut bucket = self.bucket(choose(hash, self.count));
        loop {
            if let Some(slot) = bucket.position(tag, at) {
                return bucket.refs.get(slot);
            }
            let link = bucket.link();
            if link == 0 {
                return None;
            }
            bucket = self.overflow.get(link as usize - 1)?;
        }
    }

    /// Adds `at`, which is not there. `rehash` computes the hash of an item.
    /// `directory` learns of buckets that this makes.
    pub fn insert(&mut self, hash: u64, at: Ref, directory: &Directory, rehash: impl Fn(Ref) -> u64) {
        self.put(choose(hash, self.count), tag(hash), at);
        self.items += 1;
        if self.items > self.count * LOAD && self.grows {
            self.split(rehash);
            self.publish(directory);
        }
    }

    fn put(&mut self, number: usize, tag: u16, at: Ref) {
        let mut bucket = self.bucket(number);
        while !bucket.fill(tag, at) {
            let link = bucket.link();
            if link == 0 {
                return self.put_behind(number, tag, at);
            }
            let Some(next) = self.overflow.get(link as usize - 1) else { return };
            bucket = next;
        }
    }

    /// Puts an item into a new overflow bucket, first behind bucket `number`.
    #[cold]
    fn put_behind(&mut self, number: usize, tag: u16, at: Ref) {
        let free = self.free_overflow.pop().unwrap_or_else(|| {
            self.overflow.push(Bucket::default());
            self.overflow.len() as u32
        });
        let first = self.bucket(number);
        if let Some(fresh) = self.overflow.get(free as usize - 1) {
            fresh.fill(tag, at);
            fresh.set_link(first.link());
            first.set_link(free);
        }
    }

    /// Removes `at`, if it is there. `directory` learns of buckets that go.
    pub fn remove(&mut self, hash: u64, at: Ref, directory: &Directory) -> bool {
        let Some(slot) = self.slot(hash, at) else { return false };
        slot.store(0, Relaxed);
        self.items -= 1;
        let number = choose(hash, self.count);
        if self.bucket(number).link() != 0 {
            self.close_gap(number);
        }
        if self.items < self.count * SPARSE && self.count > self.least {
            self.merge();
            directory.buckets.store(self.count as u64, Relaxed);
        }
        true
    }

    /// Fills the gap that a removal left in bucket `number` or behind it from the
    /// first overflow bucket, the only one that is not full, and gives that back
    /// if it is empty. Otherwise every bucket would have one in the course of
    /// time.
    #[cold]
    fn close_gap(&mut self, number: usize) {
        let link = self.bucket(number).link();
        let Some(fresh) = self.overflow.get(link as usize - 1) else { return };
        if let Some(slot) = (0..SLOTS).find(|&slot| !fresh.at(slot).is_none()) {
            let (tag, at) = (fresh.tags[slot].load(Relaxed), fresh.at(slot));
            fresh.refs[slot].store(0, Relaxed);
            self.put(number, tag, at);
        }
        let Some(fresh) = self.overflow.get(link as usize - 1) else { return };
        if fresh.items().next().is_none() {
            self.bucket(number).set_link(fresh.link());
            fresh.set_link(0);
            self.free_overflow.push(link);
        }
    }

    /// Merges the last bucket with the one that it was split from.
    fn merge(&mut self) {
        let last = self.count - 1;
        let moving = self.drained(last);
        self.count = last;
        let (segment, offset) = place(last);
        if offset == 0 {
            self.segments[segment].release();
        }
        self.spread(moving, |_| last - (1 << last.ilog2()));
        if self.free_overflow.len() == self.overflow.len() {
            self.overflow.clear();
            self.free_overflow.clear();
        }
    }

    /// Empties bucket `number` and those behind it.
    fn drained(&mut self, number: usize) -> Vec<(u16, Ref)> {
        let mut moving = std::mem::take(&mut self.moving);
        let first = self.bucket(number);
        let mut link = first.link();
        first.empty(&mut moving);
        while link != 0 {
            let Some(bucket) = self.overflow.get(link as usize - 1) else { break };
            let next = bucket.link();
            bucket.empty(&mut moving);
            self.free_overflow.push(link);
            link = next;
        }
        moving
    }

    /// Puts what was drained where `to` says.
    fn spread(&mut self, mut moving: Vec<(u16, Ref)>, to: impl Fn(Ref) -> usize) {
        for (tag, at) in moving.drain(..) {
            self.put(to(at), tag, at);
        }
        self.moving = moving;
    }

    /// Splits the next bucket in two.
    fn split(&mut self, rehash: impl Fn(Ref) -> u64) {
        let new = self.count;
        if new >= (1 << 31) {
            self.grows = false;
            return;
        }
        if place(new).0 >= self.segments.len() {
            self.add_segment();
        }
        let old = new - (1 << new.ilog2());
        let moving = self.drained(old);
        self.count += 1;
        let count = self.count;
        self.spread(moving, |at| {
            let to = choose(rehash(at), count);
            debug_assert!(to == old || to == new);
            to
        });
    }

    /// Calls `visit` for the items of bucket `number`, if there is one.
    ///
    /// Walking the numbers upwards until [`Index::buckets`] sees every item
    /// that stays, even while the table grows: a split only moves items to a
    /// higher number. An item may then be seen twice. While the table shrinks,
    /// items may be missed.
    pub fn walk(&self, number: usize, mut visit: impl FnMut(Ref)) {
        if number >= self.count {
            return;
        }
        let mut bucket = self.bucket(number);
        loop {
            bucket.items().for_each(&mut visit);
            let link = bucket.link();
            if link == 0 {
                return;
            }
            let Some(next) = self.overflow.get(link as usize - 1) else { return };
            bucket = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash of the item at `at` in these tests: well mixed.
    fn hash(at: Ref) -> u64 {
        u64::from(at.0)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xff51_afd7_ed55_8ccd)
    }

    #[test]
    fn places_are_distinct_and_dense() {
        let mut expected = (0, 0);
        for number in 0..1 << 12 {
            assert_eq!(place(number), expected);
            expected.1 += 1;
            let size = if expected.0 == 0 { 1 << FIRST } else { 1 << (FIRST as usize + expected.0 - 1) };
            if expected.1 == size {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn keeps_what_is_put_while_growing() {
        let (mut index, directory) = (Index::new(0), Directory::default());
        for n in 1..=50_000 {
            index.insert(hash(Ref(n)), Ref(n), &directory, hash);
        }
        for n in 1..=50_000 {
            assert_eq!(index.find(hash(Ref(n)), |at| at == Ref(n)), Some(Ref(n)));
        }
        for n in (1..=50_000).step_by(2) {
            assert!(index.remove(hash(Ref(n)), Ref(n), &directory));
            assert!(!index.remove(hash(Ref(n)), Ref(n), &directory));
        }
        assert_eq!(index.len(), 25_000);
        let mut seen = 0;
        for number in 0..index.buckets() {
            index.walk(number, |at| {
                assert!(at.0.is_multiple_of(2));
                seen += 1;
            });
        }
        assert_eq!(seen, 25_000);
        assert!(index.bytes() < 50_000 * 16, "{} bytes", index.bytes());
    }

    #[test]
    fn shrinks_and_grows_again() {
        let (mut index, directory) = (Index::new(0), Directory::default());
        for round in 0..3 {
            for n in 1..=30_000 {
                index.insert(hash(Ref(n)), Ref(n), &directory, hash);
            }
            let large = index.bytes();
            for n in 1..=29_900 {
                assert!(index.remove(hash(Ref(n)), Ref(n), &directory));
            }
            assert!(index.bytes() < large / 50, "round {round}: {large} to {}", index.bytes());
            assert_eq!(directory.buckets(), index.buckets());
            for n in 29_901..=30_000 {
                assert_eq!(index.find(hash(Ref(n)), |at| at == Ref(n)), Some(Ref(n)));
                assert!(index.remove(hash(Ref(n)), Ref(n), &directory));
            }
            assert_eq!((index.len(), index.buckets()), (0, 1 << FIRST));
        }
    }

    #[test]
    fn overflow_is_given_back() {
        let (mut index, directory) = (Index::new(0), Directory::default());
        let mut numbers = 1..;
        let mut held: Vec<u32> = numbers.by_ref().take(10_000).collect();
        held.iter().for_each(|&n| index.insert(hash(Ref(n)), Ref(n), &directory, hash));
        let overflow = |index: &Index| index.overflow.len() - index.free_overflow.len();
        let at_first = overflow(&index);
        // Others take their places, many times over.
        for round in 0..200_000 {
            let slot = round * 7919 % held.len();
            let new = numbers.next().unwrap_or_default();
            let old = std::mem::replace(&mut held[slot], new);
            assert!(index.remove(hash(Ref(old)), Ref(old), &directory));
            index.insert(hash(Ref(new)), Ref(new), &directory, hash);
        }
        assert!(overflow(&index) < 2 * at_first, "{} of {at_first}", overflow(&index));
        for &n in &held {
            assert_eq!(index.find(hash(Ref(n)), |at| at == Ref(n)), Some(Ref(n)));
            assert!(index.remove(hash(Ref(n)), Ref(n), &directory));
        }
        assert_eq!((overflow(&index), index.len()), (0, 0));
    }

    #[test]
    fn many_items_of_one_hash_chain() {
        let (mut index, directory) = (Index::new(0), Directory::default());
        for n in 1..=100 {
            index.insert(7, Ref(n), &directory, |_| 7);
        }
        for n in 1..=100 {
            assert_eq!(index.find(7, |at| at == Ref(n)), Some(Ref(n)));
            index.replace(7, Ref(n), Ref(n + 1000));
            assert!(index.remove(7, Ref(n + 1000), &directory));
        }
        assert_eq!(index.len(), 0);
    }
}

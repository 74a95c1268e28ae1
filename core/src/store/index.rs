//! The index of a shard: hash to item, in buckets of one cache line.
//!
//! ```text
//!   bucket   | 10 tags of 16 bits | link | 10 refs of 32 bits |      64 bytes
//!              tag: 16 bits of the hash that do not choose the bucket
//!              link: an overflow bucket, number + 1, or 0
//!              ref: the item, 0 if the slot is free
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
//! others look at them without the lock.

#![expect(unsafe_code, reason = "bucket numbers are checked where they are made")]

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
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

/// Tags in a word.
const LANES: usize = 4;

/// The lowest and the highest bit of each lane of a word.
const LOW: u64 = 0x0001_0001_0001_0001;
const HIGH: u64 = LOW << 15;

/// The lanes of a bucket's last word that are tags, not its link.
const LAST: u64 = 0xffff_ffff;

#[derive(Default)]
#[repr(C, align(64))]
struct Bucket {
    /// Tags, four a word; the upper half of the last word is the link. Words, so
    /// that whoever looks for a tag compares four at a time.
    words: [AtomicU64; 3],
    refs: [AtomicU32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// Slots of a bucket. Slot `LANES * w + l` is bit `16 * l + 15 - w`.
struct Slots(u64);

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        (self.0 != 0).then(|| {
            self.0 &= self.0 - 1;
            (15 - bit % 16) * LANES + bit / 16
        })
    }
}

impl Bucket {
    /// The slots whose tag is `tag`; free ones may be among them, and rarely one
    /// with another tag. Without the lock: out of date at worst.
    #[inline]
    fn matches(&self, tag: u16) -> Slots {
        let wanted = LOW * u64::from(tag);
        // The highest bit of each lane that is zero. A lane of 1 above one that is
        // zero passes for zero, too.
        let zero = |lanes: u64| lanes.wrapping_sub(LOW) & !lanes & HIGH;
        let [one, two, last] = [0, 1, 2].map(|word| self.words[word].load(Relaxed) ^ wanted);
        Slots(zero(one) | zero(two) >> 1 | (zero(last) & LAST) >> 2)
    }

    /// The tag of slot `slot`.
    fn tag(&self, slot: usize) -> u16 {
        (self.words[slot / LANES].load(Relaxed) >> (slot % LANES * 16)) as u16
    }

    fn set_tag(&self, slot: usize, tag: u16) {
        let (word, shift) = (&self.words[slot / LANES], slot % LANES * 16);
        let others = word.load(Relaxed) & !(0xffff << shift);
        word.store(others | u64::from(tag) << shift, Relaxed);
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
        (0..SLOTS).find(|&slot| self.at(slot) == at && self.tag(slot) == tag)
    }

    /// Puts an item into a free slot. `false`: there is none.
    fn fill(&self, tag: u16, at: Ref) -> bool {
        let Some(slot) = (0..SLOTS).find(|&slot| self.at(slot).is_none()) else { return false };
        self.set_tag(slot, tag);
        self.refs[slot].store(at.0, Relaxed);
        true
    }

    /// Moves what is in it to `to`, with tags; nothing is behind it any more.
    fn empty(&self, to: &mut Vec<(u16, Ref)>) {
        to.extend((0..SLOTS).filter_map(|slot| Some((self.tag(slot), self.at(slot).some()?))));
        self.refs.iter().for_each(|at| at.store(0, Relaxed));
        self.set_link(0);
    }

    /// Number of the overflow bucket behind it, plus one; 0: none.
    #[inline]
    fn link(&self) -> u32 {
        (self.words[2].load(Relaxed) >> 32) as u32
    }

    fn set_link(&self, link: u32) {
        let tags = self.words[2].load(Relaxed) & LAST;
        self.words[2].store(tags | u64::from(link) << 32, Relaxed);
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

/// Where the buckets are, for looks without the shard's lock. Answers may be out
/// of date: those who need to know ask the lock's version (`peek.rs`).
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

    #[inline]
    fn bucket(&self, hash: u64) -> Option<&Bucket> {
        // SAFETY: null, or a bucket: a segment is published when all its buckets
        // are there, `place` maps each number into its segment, and segments are
        // not freed while the store is in use.
        unsafe { self.place(hash).as_ref() }
    }

    /// The item that has the tag of `hash`, as the index says at this moment, or
    /// [`Ref::NONE`]. `None`: there may be several, or some elsewhere.
    #[inline]
    pub fn look(&self, hash: u64) -> Option<Ref> {
        let bucket = self.bucket(hash)?;
        let mut found = bucket.matches(tag(hash)).map(|slot| bucket.at(slot)).filter(|at| !at.is_none());
        match (found.next(), found.next()) {
            (Some(at), None) => Some(at),
            (None, None) if bucket.link() == 0 => Some(Ref::NONE),
            _ => None,
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
            for slot in bucket.matches(tag) {
                let at = bucket.at(slot);
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
            let (tag, at) = (fresh.tag(slot), fresh.at(slot));
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
    fn a_tag_is_found_in_each_slot() {
        for tag in [0, 1, 7, 0x8000, 0xffff_u16] {
            for slot in 0..SLOTS {
                let bucket = Bucket::default();
                bucket.set_link(u32::MAX);
                (0..SLOTS).for_each(|other| bucket.set_tag(other, !tag ^ 0x100));
                bucket.set_tag(slot, tag);
                assert_eq!(bucket.matches(tag).collect::<Vec<_>>(), [slot], "{tag}");
                assert_eq!((bucket.tag(slot), bucket.link()), (tag, u32::MAX));
                bucket.set_tag((slot + 5) % SLOTS, tag);
                let mut both: Vec<_> = bucket.matches(tag).collect();
                both.sort_unstable();
                let mut expected = [slot, (slot + 5) % SLOTS];
                expected.sort_unstable();
                assert_eq!(both, expected);
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

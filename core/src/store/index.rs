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
//! more than one. Buckets live in segments, each as large as all before it, so
//! growing copies nothing, and addresses stay put (see [`Directory`]).

#![expect(unsafe_code, reason = "bucket numbers are checked where they are made")]

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use super::item::Ref;
use super::memory::prefetch;

/// Slots of a bucket.
const SLOTS: usize = 10;

/// Items a bucket above which the table grows.
const LOAD: usize = 6;

/// log2 of the buckets of a new table's first segment.
const FIRST: u32 = 5;

/// Most segments: 2^31 buckets in all.
const SEGMENTS: usize = 27;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u16; SLOTS],
    refs: [u32; SLOTS],
    link: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

const EMPTY: Bucket = Bucket { tags: [0; SLOTS], refs: [0; SLOTS], link: 0 };

impl Bucket {
    /// Bits of the slots whose tag is `tag`; free slots may be among them.
    #[inline]
    fn matches(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (slot, &other) in self.tags.iter().enumerate() {
            mask |= u32::from(other == tag) << slot;
        }
        mask
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
    segments: [AtomicPtr<u8>; SEGMENTS],
    buckets: AtomicU64,
}

impl Directory {
    /// Buckets in use.
    #[inline]
    pub fn buckets(&self) -> usize {
        self.buckets.load(Relaxed) as usize
    }

    /// Asks the processor to fetch the bucket of `hash`.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        let (segment, offset) = place(choose(hash, self.buckets.load(Relaxed) as usize));
        if let Some(base) = self.segments.get(segment) {
            prefetch(base.load(Relaxed).wrapping_add(offset * size_of::<Bucket>()));
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
    segments: Vec<Box<[Bucket]>>,
    /// Buckets in use: `segments` may have room for more.
    count: usize,
    overflow: Vec<Bucket>,
    free_overflow: Vec<u32>,
    items: usize,
    grows: bool,
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
        };
        let wanted = (slots / LOAD).next_power_of_two().clamp(1 << FIRST, 1 << 30);
        while index.count < wanted {
            index.add_segment();
            index.count = index.segments.iter().map(|s| s.len()).sum();
        }
        index
    }

    /// Puts the addresses of the buckets into `directory`.
    pub fn publish(&mut self, directory: &Directory) {
        for (segment, slot) in self.segments.iter_mut().zip(&directory.segments) {
            slot.store(segment.as_mut_ptr().cast(), Relaxed);
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
        // Zeroed by the system as it is touched: growing does not stall.
        let segment = Box::new_zeroed_slice(size);
        // SAFETY: a bucket is integers only; all zeros is EMPTY.
        self.segments.push(unsafe { segment.assume_init() });
    }

    #[inline]
    fn bucket(&self, number: usize) -> &Bucket {
        let (segment, offset) = place(number);
        debug_assert!(number < self.count && offset < self.segments[segment].len());
        // SAFETY: `number < count`, and `place` maps each number below `count`
        // into a segment that exists (add_segment precedes count's growth).
        unsafe { self.segments.get_unchecked(segment).get_unchecked(offset) }
    }

    #[inline]
    fn bucket_mut(&mut self, number: usize) -> &mut Bucket {
        let (segment, offset) = place(number);
        debug_assert!(number < self.count && offset < self.segments[segment].len());
        // SAFETY: as for `bucket`.
        unsafe { self.segments.get_unchecked_mut(segment).get_unchecked_mut(offset) }
    }

    /// The item with this hash for which `is_it` says yes.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(Ref) -> bool) -> Option<Ref> {
        let tag = tag(hash);
        let mut bucket = self.bucket(choose(hash, self.count));
        loop {
            let mut mask = bucket.matches(tag);
            while mask != 0 {
                let at = bucket.refs[mask.trailing_zeros() as usize];
                mask &= mask - 1;
                if at != 0 && is_it(Ref(at)) {
                    return Some(Ref(at));
                }
            }
            if bucket.link == 0 {
                return None;
            }
            bucket = self.overflow.get(bucket.link as usize - 1)?;
        }
    }

    /// Asks the processor to fetch the items that `hash` may belong to.
    #[inline]
    pub fn prefetch_items(&self, hash: u64, mut fetch: impl FnMut(Ref)) {
        let bucket = self.bucket(choose(hash, self.count));
        let mut mask = bucket.matches(tag(hash));
        while mask != 0 {
            fetch(Ref(bucket.refs[mask.trailing_zeros() as usize]));
            mask &= mask - 1;
        }
    }

    /// Replaces `old`, which is there, by `new` of the same hash.
    pub fn replace(&mut self, hash: u64, old: Ref, new: Ref) {
        if let Some(slot) = self.slot(hash, old) {
            *slot = new.0;
        } else {
            debug_assert!(false, "replaced item is not in the index");
        }
    }

    fn slot(&mut self, hash: u64, at: Ref) -> Option<&mut u32> {
        let tag = tag(hash);
        let number = choose(hash, self.count);
        let mut link = self.bucket(number).link;
        if let Some(slot) = position(self.bucket(number), tag, at) {
            return self.bucket_mut(number).refs.get_mut(slot);
        }
        while link != 0 {
            let bucket = self.overflow.get(link as usize - 1)?;
            if let Some(slot) = position(bucket, tag, at) {
                return self.overflow.get_mut(link as usize - 1)?.refs.get_mut(slot);
            }
            link = bucket.link;
        }
        None
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
        let bucket = self.bucket_mut(number);
        let mut link = bucket.link;
        if fill(bucket, tag, at) {
            return;
        }
        let mut last = None;
        while link != 0 {
            let Some(bucket) = self.overflow.get_mut(link as usize - 1) else { return };
            if fill(bucket, tag, at) {
                return;
            }
            last = Some(link);
            link = bucket.link;
        }
        let mut fresh = EMPTY;
        fill(&mut fresh, tag, at);
        let new = if let Some(free) = self.free_overflow.pop() {
            if let Some(bucket) = self.overflow.get_mut(free as usize - 1) {
                *bucket = fresh;
            }
            free
        } else {
            self.overflow.push(fresh);
            self.overflow.len() as u32
        };
        match last.and_then(|link| self.overflow.get_mut(link as usize - 1)) {
            Some(bucket) => bucket.link = new,
            None => self.bucket_mut(number).link = new,
        }
    }

    /// Removes `at`, if it is there.
    pub fn remove(&mut self, hash: u64, at: Ref) -> bool {
        let Some(slot) = self.slot(hash, at) else { return false };
        *slot = 0;
        self.items -= 1;
        true
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
        self.count += 1;
        let mut moving = self.bucket(old).link;
        let taken = std::mem::replace(self.bucket_mut(old), EMPTY);
        let mut chain = vec![taken];
        while moving != 0 {
            let Some(bucket) = self.overflow.get(moving as usize - 1) else { break };
            self.free_overflow.push(moving);
            moving = bucket.link;
            chain.push(*bucket);
        }
        for bucket in &chain {
            for &at in bucket.refs.iter().filter(|&&at| at != 0) {
                let hash = rehash(Ref(at));
                let to = choose(hash, self.count);
                debug_assert!(to == old || to == new);
                self.put(to, tag(hash), Ref(at));
            }
        }
    }

    /// Calls `visit` for the items of bucket `number`, if there is one.
    ///
    /// Walking the numbers upwards until [`Index::buckets`] sees every item
    /// that stays, even while the table grows: a split only moves items to a
    /// higher number. An item may then be seen twice.
    pub fn walk(&self, number: usize, mut visit: impl FnMut(Ref)) {
        if number >= self.count {
            return;
        }
        let mut bucket = self.bucket(number);
        loop {
            for &at in bucket.refs.iter().filter(|&&at| at != 0) {
                visit(Ref(at));
            }
            if bucket.link == 0 {
                return;
            }
            let Some(next) = self.overflow.get(bucket.link as usize - 1) else { return };
            bucket = next;
        }
    }
}

fn position(bucket: &Bucket, tag: u16, at: Ref) -> Option<usize> {
    (0..SLOTS).find(|&slot| bucket.refs[slot] == at.0 && bucket.tags[slot] == tag)
}

fn fill(bucket: &mut Bucket, tag: u16, at: Ref) -> bool {
    let Some(slot) = bucket.refs.iter().position(|&other| other == 0) else { return false };
    bucket.refs[slot] = at.0;
    bucket.tags[slot] = tag;
    true
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
            assert!(index.remove(hash(Ref(n)), Ref(n)));
            assert!(!index.remove(hash(Ref(n)), Ref(n)));
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
    fn many_items_of_one_hash_chain() {
        let (mut index, directory) = (Index::new(0), Directory::default());
        for n in 1..=100 {
            index.insert(7, Ref(n), &directory, |_| 7);
        }
        for n in 1..=100 {
            assert_eq!(index.find(7, |at| at == Ref(n)), Some(Ref(n)));
            index.replace(7, Ref(n), Ref(n + 1000));
            assert!(index.remove(7, Ref(n + 1000)));
        }
        assert_eq!(index.len(), 0);
    }
}

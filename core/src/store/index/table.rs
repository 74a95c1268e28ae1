//! The buckets of a shard's index, each one cache line, at addresses that do not
//! change.
//!
//! ```text
//!   bucket   | 10 tags of 16 bits | link | 10 refs of 32 bits |      64 bytes
//!              tag: 16 bits of the hash that do not choose the bucket
//!              link: an overflow bucket, number + 1, or 0
//!              ref: the item, 0 if the slot is free
//! ```
//!
//! The holder of the shard's lock changes them, through an [`Index`], by atomic stores. Any thread
//! may read them at any time.
//!
//! [`Index`]: super::index::Index

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::store::mem::{AtomicRef, Mapped, Ref, atomics, prefetch};

/// Slots of a bucket.
const SLOTS: usize = 10;

/// log2 of the number of buckets of the first part, which fill a page.
pub(in crate::store) const FIRST: u32 = 6;

/// Most parts.
const PARTS: usize = 26;

/// Most buckets.
pub(in crate::store) const MOST: usize = 1 << (FIRST as usize + PARTS - 1);

/// Most buckets of a chain that an optimistic read visits.
const HOPS: usize = 4;

/// Tags in a word.
const LANES: usize = 4;

/// The lowest and the highest bit of each lane of a word.
const LOW: u64 = 0x0001_0001_0001_0001;
const HIGH: u64 = LOW << 15;

/// The lanes of a bucket's last word that are tags, not its link.
const LAST: u64 = 0xffff_ffff;

#[derive(Default)]
#[repr(C, align(64))]
pub(in crate::store) struct Bucket {
    /// Tags, four in each word. The upper half of the last word is the link. With words, a search
    /// for a tag compares four at a time.
    words: [AtomicU64; 3],
    refs: [AtomicRef; SLOTS],
}

atomics!(Bucket { words, refs });

const _: () = assert!(size_of::<Bucket>() == 64);

/// A set of slots of a bucket. Slot `LANES * w + l` is bit `16 * l + 15 - w`.
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
    /// Iterates over the slots whose tag is `tag`. The result may include free slots, and rarely a
    /// slot with another tag. Without the lock, it may be out of date.
    #[inline]
    pub(in crate::store) fn matches(&self, tag: u16) -> impl Iterator<Item = usize> + use<> {
        let wanted = LOW * u64::from(tag);
        // The highest bit of each lane that is zero. A lane of 1 above a zero lane is a false
        // match.
        let zero = |lanes: u64| lanes.wrapping_sub(LOW) & !lanes & HIGH;
        let [one, two, last] = [0, 1, 2].map(|word| self.words[word].load(Relaxed) ^ wanted);
        Slots(zero(one) | zero(two) >> 1 | (zero(last) & LAST) >> 2)
    }

    /// Returns the only item with this tag, or [`Ref::NONE`]. Returns `None` if there are several.
    #[inline]
    fn only(&self, tag: u16) -> Option<Ref> {
        let mut found = self.matches(tag).map(|slot| self.at(slot)).filter(|at| !at.is_none());
        let first = found.next().unwrap_or(Ref::NONE);
        found.next().is_none().then_some(first)
    }

    /// Returns the tag of slot `slot`.
    fn tag(&self, slot: usize) -> u16 {
        (self.words[slot / LANES].load(Relaxed) >> (slot % LANES * 16)) as u16
    }

    fn set_tag(&self, slot: usize, tag: u16) {
        let (word, shift) = (&self.words[slot / LANES], slot % LANES * 16);
        let others = word.load(Relaxed) & !(0xffff << shift);
        word.store(others | u64::from(tag) << shift, Relaxed);
    }

    /// Returns the item in slot `slot`, or [`Ref::NONE`].
    #[inline]
    pub(in crate::store) fn at(&self, slot: usize) -> Ref {
        self.refs[slot].load()
    }

    /// Iterates over the items in the bucket.
    pub(in crate::store) fn items(&self) -> impl Iterator<Item = Ref> {
        self.refs.iter().filter_map(|at| at.load().some())
    }

    /// Returns whether the bucket has no items.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.items().next().is_none()
    }

    /// Returns the slot of the item at `at`, whose tag is `tag`.
    pub(in crate::store) fn slot_of(&self, tag: u16, at: Ref) -> Option<&AtomicRef> {
        let slot = (0..SLOTS).find(|&slot| self.at(slot) == at && self.tag(slot) == tag)?;
        self.refs.get(slot)
    }

    /// Takes the first item out, with its tag.
    pub(in crate::store) fn take_first(&self) -> Option<(u16, Ref)> {
        let slot = (0..SLOTS).find(|&slot| !self.at(slot).is_none())?;
        let first = (self.tag(slot), self.at(slot));
        self.refs[slot].store(Ref::NONE);
        Some(first)
    }

    /// Puts an item into a free slot. Returns `false` if there is none.
    pub(in crate::store) fn fill(&self, tag: u16, at: Ref) -> bool {
        let Some(slot) = (0..SLOTS).find(|&slot| self.at(slot).is_none()) else { return false };
        self.set_tag(slot, tag);
        self.refs[slot].store(at);
        true
    }

    /// Moves the items to `to`, with their tags, and clears the link.
    pub(in crate::store) fn empty(&self, to: &mut Vec<(u16, Ref)>) {
        to.extend((0..SLOTS).filter_map(|slot| Some((self.tag(slot), self.at(slot).some()?))));
        self.refs.iter().for_each(|at| at.store(Ref::NONE));
        self.set_link(0);
    }

    /// Returns the number of the overflow bucket behind it plus one, or 0 for none.
    #[inline]
    pub(in crate::store) fn link(&self) -> u32 {
        (self.words[2].load(Relaxed) >> 32) as u32
    }

    pub(in crate::store) fn set_link(&self, link: u32) {
        let tags = self.words[2].load(Relaxed) & LAST;
        self.words[2].store(tags | u64::from(link) << 32, Relaxed);
    }
}

/// Buckets with numbers from 0 on, in parts, each as large as all parts before it. So buckets grow
/// without a copy, keep their addresses, and take memory when they are first used.
#[derive(Default)]
struct Buckets {
    parts: [OnceLock<Mapped<Bucket>>; PARTS],
}

impl Buckets {
    /// Returns bucket `number`, if its part exists.
    #[inline]
    fn get(&self, number: usize) -> Option<&Bucket> {
        let (part, offset) = place(number);
        self.parts.get(part)?.get()?.get(offset)
    }

    /// Creates the buckets with these numbers. The first ones may exist already. Only one thread at
    /// a time may call this.
    fn make(&self, numbers: Range<usize>) -> io::Result<()> {
        for part in place(numbers.start).0..=place(numbers.end - 1).0 {
            if self.parts[part].get().is_none() {
                let made = Mapped::zeroed(size(part))?;
                self.parts[part].get_or_init(|| made);
            }
        }
        Ok(())
    }

    /// Gives the memory of the part that begins with bucket `number` back to the system, if there
    /// is such a part. All its buckets must be empty. Racing readers still see empty ones.
    fn release(&self, number: usize) {
        if let (part, 0) = place(number)
            && let Some(part) = self.parts[part].get()
        {
            part.discard();
        }
    }
}

/// Returns the part and the offset of bucket `number`.
#[inline]
fn place(number: usize) -> (usize, usize) {
    let level = (number | ((1 << FIRST) - 1)).ilog2() + 1 - FIRST;
    if level == 0 { (0, number) } else { (level as usize, number - (1 << (level + FIRST - 1))) }
}

/// Returns the number of buckets of part `part`.
fn size(part: usize) -> usize {
    1 << (FIRST as usize + part.saturating_sub(1))
}

/// Returns the bits of a hash that tag a slot.
#[inline]
pub(in crate::store) fn tag(hash: u64) -> u16 {
    (hash >> 32) as u16
}

/// Returns the bucket of `hash` in a table of `count` buckets.
#[inline]
pub(in crate::store) fn choose(hash: u64, count: usize) -> usize {
    let mask = count.next_power_of_two() - 1;
    let wide = hash as usize & mask;
    if wide < count { wide } else { hash as usize & (mask >> 1) }
}

/// The buckets of one shard. A read without the shard's lock may be out of date. An optimistic read
/// checks the lock's version afterwards (`optimistic.rs`).
#[derive(Default)]
pub(in crate::store) struct Table {
    buckets: Buckets,
    /// Overflow buckets.
    behind: Buckets,
    count: AtomicU64,
}

impl Table {
    /// Returns a table of `count` buckets.
    ///
    /// # Errors
    /// The system refuses the addresses.
    pub(in crate::store) fn new(count: usize) -> io::Result<Self> {
        let table = Self::default();
        table.grow(count)?;
        Ok(table)
    }

    /// Returns the number of buckets in use, without overflow buckets.
    #[inline]
    pub(in crate::store) fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Grows the table to `count` buckets.
    ///
    /// # Errors
    /// The system refuses the addresses. Then nothing was changed.
    pub(in crate::store) fn grow(&self, count: usize) -> io::Result<()> {
        self.buckets.make(self.count()..count)?;
        self.count.store(count as u64, Relaxed);
        Ok(())
    }

    /// Removes the last bucket, which must be empty.
    pub(in crate::store) fn shrink(&self) {
        let last = self.count() - 1;
        self.count.store(last as u64, Relaxed);
        self.buckets.release(last);
    }

    /// Creates overflow bucket `number`. Returns the link to it. Aborts if there is no memory, as
    /// an allocation does.
    pub(in crate::store) fn make_behind(&self, number: usize) -> u32 {
        if self.behind.make(number..number + 1).is_err() {
            handle_alloc_error(Layout::new::<Bucket>());
        }
        number as u32 + 1
    }

    /// Bucket `number`.
    #[inline]
    pub(in crate::store) fn get(&self, number: usize) -> Option<&Bucket> {
        self.buckets.get(number)
    }

    /// Iterates over bucket `number` and those behind it. The caller must have the lock: without
    /// it, the iteration may not end.
    #[inline]
    pub(in crate::store) fn chain(&self, number: usize) -> impl Iterator<Item = &Bucket> {
        std::iter::successors(self.get(number), |bucket| self.behind(bucket.link()))
    }

    /// Returns the overflow bucket of `link`, if there is one.
    #[inline]
    pub(in crate::store) fn behind(&self, link: u32) -> Option<&Bucket> {
        self.behind.get((link as usize).checked_sub(1)?)
    }

    /// Prefetches the bucket of `hash`.
    #[inline]
    pub(in crate::store) fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.get(choose(hash, self.count())) {
            prefetch(std::ptr::from_ref(bucket).cast());
        }
    }

    /// Returns the only item with the tag of `hash` at this time, or [`Ref::NONE`]. Returns `None`
    /// if there may be several, or one further down the chain.
    #[inline]
    pub(in crate::store) fn look(&self, hash: u64) -> Option<Ref> {
        let bucket = self.get(choose(hash, self.count()))?;
        match bucket.only(tag(hash))? {
            Ref::NONE if bucket.link() != 0 => self.look_behind(hash, bucket),
            found => Some(found),
        }
    }

    /// The rest of [`Table::look`], if the item is not in the first bucket of the chain.
    #[cold]
    fn look_behind<'a>(&'a self, hash: u64, mut bucket: &'a Bucket) -> Option<Ref> {
        for _ in 1..HOPS {
            bucket = self.behind(bucket.link())?;
            let found = bucket.only(tag(hash))?;
            if !found.is_none() || bucket.link() == 0 {
                return Some(found);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! A sketch of the most frequent keys of a stream, with a fixed number of entries: Space-Saving, of
//! Metwally, Agrawal and El Abbadi (2005).
//!
//! A key without an entry takes the entry with the lowest count. It may have been counted there
//! before and have lost its entry, at most as often as that count says. So the count is kept as the
//! *error* of the new entry:
//!
//! ```text
//!   reads + writes  <=  true number of requests  <=  reads + writes + error
//!                                     error      <=  all requests / ENTRIES
//! ```
//!
//! A key with more than `all requests / ENTRIES` requests always has an entry.

/// Number of entries.
pub(super) const ENTRIES: usize = 256;

/// Entries whose tags are compared together, with the processor's vector instructions.
const GROUP: usize = 16;

/// Bytes that each entry has for its key from the start. A longer key takes more, which stays.
const ROOM: usize = 32;

/// A key of the sketch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// At most 250 bytes.
    pub(super) key: Vec<u8>,
    /// Reads since the key has its entry.
    pub(super) reads: u32,
    /// Writes since the key has its entry.
    pub(super) writes: u32,
    /// The most requests that may have come before.
    pub(super) error: u32,
}

/// The sketch.
#[derive(Clone, Debug)]
pub(super) struct SpaceSaving {
    /// 32 bits of the hash of each entry's key. 0 in unused entries.
    tags: [u32; ENTRIES],
    /// The sum of each entry's counts and error.
    sums: [u32; ENTRIES],
    /// As many as tags. Those behind the first `used` wait for keys.
    entries: Vec<Entry>,
    used: usize,
    /// The lowest sum, while all entries are used, and the place where the search for it goes on.
    lowest: u32,
    cursor: usize,
    /// All requests.
    total: u32,
}

impl SpaceSaving {
    /// Returns an empty sketch.
    pub(super) fn new() -> Self {
        let entry = || Entry { key: Vec::with_capacity(ROOM), ..Entry::default() };
        Self {
            tags: [0; ENTRIES],
            sums: [0; ENTRIES],
            entries: std::iter::repeat_with(entry).take(ENTRIES).collect(),
            used: 0,
            lowest: 0,
            cursor: 0,
            total: 0,
        }
    }

    /// Counts a request for `key`, whose hash is `tag`.
    pub(super) fn note(&mut self, key: &[u8], tag: u32, is_write: bool) {
        let place = self.find(key, tag).unwrap_or_else(|| self.take(key, tag));
        self.total = self.total.saturating_add(1);
        self.sums[place] = self.sums[place].saturating_add(1);
        if let Some(entry) = self.entries.get_mut(place) {
            let count = if is_write { &mut entry.writes } else { &mut entry.reads };
            *count = count.saturating_add(1);
        }
    }

    /// Returns the entries.
    pub(super) fn entries(&self) -> &[Entry] {
        self.entries.get(..self.used).unwrap_or_default()
    }

    /// Returns the number of all requests.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Returns the most requests that a key without an entry may have had.
    pub(super) fn unseen(&self) -> u32 {
        if self.used < ENTRIES { 0 } else { self.sums.iter().copied().min().unwrap_or(0) }
    }

    /// Empties the sketch. Keeps the memory of its keys.
    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.sums = [0; ENTRIES];
        self.tags = [0; ENTRIES];
        (self.used, self.lowest, self.cursor) = (0, 0, 0);
    }

    /// Returns the place of the entry of `key`.
    fn find(&self, key: &[u8], tag: u32) -> Option<usize> {
        for (number, group) in self.tags.chunks_exact(GROUP).enumerate() {
            // Without an early end the compiler uses vector instructions.
            if group.iter().filter(|&&other| other == tag).count() == 0 {
                continue;
            }
            let start = number * GROUP;
            let entries = self.entries().iter().enumerate().skip(start).take(GROUP);
            let same = |&(place, entry): &(usize, &Entry)| self.tags[place] == tag && entry.key == key;
            if let Some((place, _)) = entries.into_iter().find(same) {
                return Some(place);
            }
        }
        None
    }

    /// Gives `key` an unused entry, or the one with the lowest sum. Returns its place.
    fn take(&mut self, key: &[u8], tag: u32) -> usize {
        let (place, error) = if self.used < ENTRIES {
            self.used += 1;
            (self.used - 1, 0)
        } else {
            let place = self.lowest_place();
            (place, self.lowest)
        };
        if let Some(entry) = self.entries.get_mut(place) {
            entry.key.clear();
            entry.key.extend_from_slice(key);
            (entry.reads, entry.writes, entry.error) = (0, 0, error);
        }
        self.tags[place] = tag;
        place
    }

    /// Returns a place with the lowest sum. Sums only grow, so a search goes on where the last one
    /// ended, until no entry has that sum.
    fn lowest_place(&mut self) -> usize {
        loop {
            while let Some(&sum) = self.sums.get(self.cursor) {
                if sum == self.lowest {
                    return self.cursor;
                }
                self.cursor += 1;
            }
            self.cursor = 0;
            self.lowest = self.sums.iter().copied().min().unwrap_or(0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn tag(key: u32) -> u32 {
        key.wrapping_mul(0x9e37_79b9)
    }

    /// Counts a stream of keys in a sketch with tags by `tag`, and exactly.
    fn count(keys: &[u32], tag: fn(u32) -> u32) -> (SpaceSaving, HashMap<Vec<u8>, (u32, u32)>) {
        let (mut sketch, mut exact) = (SpaceSaving::new(), HashMap::<_, (u32, u32)>::new());
        for (n, &key) in keys.iter().enumerate() {
            let bytes = key.to_string().into_bytes();
            let is_write = n % 3 == 0;
            sketch.note(&bytes, tag(key), is_write);
            let (reads, writes) = exact.entry(bytes).or_default();
            *(if is_write { writes } else { reads }) += 1;
        }
        (sketch, exact)
    }

    /// Checks what the module says about the counts.
    fn check(sketch: &SpaceSaving, exact: &HashMap<Vec<u8>, (u32, u32)>) {
        let total: u32 = exact.values().map(|&(reads, writes)| reads + writes).sum();
        assert_eq!(sketch.total(), total);
        assert!(sketch.unseen() <= total / ENTRIES as u32);
        for entry in sketch.entries() {
            let &(reads, writes) = exact.get(&entry.key).unwrap();
            assert!(entry.reads <= reads && entry.writes <= writes, "{entry:?}");
            assert!(reads + writes <= entry.reads + entry.writes + entry.error, "{entry:?}");
            assert!(entry.error <= total / ENTRIES as u32, "{entry:?}");
        }
        for (key, (reads, writes)) in exact {
            let entries = sketch.entries().iter().filter(|entry| entry.key == *key).count();
            assert!(entries <= 1 && (entries == 1 || reads + writes <= sketch.unseen()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// Streams with more keys than entries, in which few keys are frequent.
        #[test]
        fn counts_are_within_their_bounds(
            keys in prop::collection::vec(prop_oneof![0..8_u32, 0..300_u32, any::<u32>()], 1..6000),
        ) {
            let (sketch, exact) = count(&keys, tag);
            check(&sketch, &exact);
        }

        /// Keys with equal tags are kept apart.
        #[test]
        fn equal_tags_mix_no_keys(keys in prop::collection::vec(0..600_u32, 1..3000)) {
            let (sketch, exact) = count(&keys, |key| key % 3);
            check(&sketch, &exact);
        }
    }

    #[test]
    fn an_emptied_sketch_counts_from_zero() {
        let (mut sketch, _) = count(&[1; 1000], tag);
        sketch.clear();
        assert_eq!((sketch.total(), sketch.unseen(), sketch.entries().len()), (0, 0, 0));
        sketch.note(b"1", tag(1), true);
        assert_eq!(sketch.entries(), [Entry { key: b"1".to_vec(), writes: 1, ..Entry::default() }]);
    }
}

//! Keys that were evicted without having been fetched. One that is stored again
//! soon has been judged too early, and is let into the main log at once.
//!
//! A table of tags, one place for each hash: a new tag overwrites an old one, so
//! about as many keys are remembered as the table has places, and it costs two
//! bytes each. One stranger in 65,536 is taken for a key that was there.

/// Places of a new table.
const LEAST: usize = 256;

/// The table of one shard.
#[derive(Default)]
pub(super) struct Ghosts {
    tags: Box<[u16]>,
}

impl Ghosts {
    /// Remembers a hash. The table grows with the shard's number of `items`.
    pub(super) fn add(&mut self, hash: u64, items: usize) {
        if self.tags.len() < LEAST || self.tags.len() < items / 2 {
            let places = (items + 1).next_power_of_two() / 2;
            self.tags = vec![0; places.max(LEAST)].into_boxed_slice();
        }
        let (place, tag) = self.place(hash);
        self.tags[place] = tag;
    }

    /// Whether a hash is remembered; it is forgotten.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        if self.tags.is_empty() {
            return false;
        }
        let (place, tag) = self.place(hash);
        let found = self.tags[place] == tag;
        if found {
            self.tags[place] = 0;
        }
        found
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.tags)
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u16) {
        (hash as usize & (self.tags.len() - 1), (hash >> 40) as u16 | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_about_half_as_many_as_there_are_items() {
        let mut ghosts = Ghosts::default();
        let hash = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 50);
        assert!(!ghosts.take(hash(1)));
        for n in 0..10_000 {
            ghosts.add(hash(n), 8000);
        }
        assert_eq!(ghosts.bytes(), 2 * 4096);
        assert!(ghosts.take(hash(9999)));
        assert!(!ghosts.take(hash(9999)));
        let recent = (8000..10_000).filter(|&n| ghosts.take(hash(n))).count();
        let old = (0..2000).filter(|&n| ghosts.take(hash(n))).count();
        assert!(recent > 1000 && old < 500, "{recent} {old}");
    }
}

//! Prefixes that were flushed, until all items that the flush killed are freed.
//!
//! A flush of a prefix *marks* it with the newest stamp so far. An item with at most this stamp
//! whose key begins so is dead. Only items with an old stamp are looked up here (`expiry.rs`). A
//! use gives an item a new stamp. A crawl over all items that began after the flush removes the
//! mark.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ahash::RandomState;

use crate::config::KEY_MAX;

/// Most marks. The crawler removes them in seconds.
const MOST: usize = 4096;

/// The mark of a prefix.
#[derive(Clone, Copy)]
struct Mark {
    /// Items with at most this stamp are dead.
    stamp: u32,
    /// The number of the flush.
    number: u64,
}

/// The marks of all prefixes.
#[derive(Default)]
pub(super) struct Marks(RwLock<Table>);

#[derive(Default)]
struct Table {
    by_prefix: HashMap<Box<[u8]>, Mark, RandomState>,
    /// How many marked prefixes have each length.
    lengths: Vec<usize>,
    /// The number of the last flush.
    last: u64,
}

impl Marks {
    fn read<R>(&self, read: impl FnOnce(&Table) -> R) -> R {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Marks a prefix of 1 to 250 bytes. Returns `false` if there are too many marks.
    pub(super) fn add(&self, prefix: &[u8], stamp: u32) -> bool {
        self.change(|table| {
            table.last += 1;
            let mark = Mark { stamp, number: table.last };
            if let Some(known) = table.by_prefix.get_mut(prefix) {
                *known = mark;
                return true;
            }
            if table.by_prefix.len() >= MOST {
                return false;
            }
            table.lengths.resize(KEY_MAX + 1, 0);
            if let Some(count) = table.lengths.get_mut(prefix.len()) {
                *count += 1;
            }
            table.by_prefix.insert(prefix.into(), mark);
            true
        })
    }

    /// Returns whether an item with this key and stamp is dead.
    pub(super) fn covers(&self, key: &[u8], stamp: u32) -> bool {
        self.read(|table| {
            let lengths = table.lengths.iter().enumerate().take(key.len() + 1);
            let prefixes =
                lengths.filter(|&(_, &count)| count > 0).filter_map(|(length, _)| key.get(..length));
            let mut marks = prefixes.filter_map(|prefix| table.by_prefix.get(prefix));
            marks.any(|mark| stamp <= mark.stamp)
        })
    }

    /// Returns the number of the last flush.
    pub(super) fn last(&self) -> u64 {
        self.read(|table| table.last)
    }

    /// Returns the number of marks.
    pub(super) fn len(&self) -> usize {
        self.read(|table| table.by_prefix.len())
    }

    /// Removes the marks of the flushes up to number `last`. Returns the highest stamp of the
    /// others, or 0 if there are none.
    pub(super) fn remove(&self, last: u64) -> u32 {
        self.change(|table| {
            let Table { by_prefix, lengths, .. } = table;
            by_prefix.retain(|prefix, mark| {
                let stays = mark.number > last;
                if !stays && let Some(count) = lengths.get_mut(prefix.len()) {
                    *count -= 1;
                }
                stays
            });
            if by_prefix.is_empty() {
                (*by_prefix, *lengths) = Default::default();
            }
            by_prefix.values().map(|mark| mark.stamp).max().unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_covers_what_is_older() {
        let marks = Marks::default();
        assert!(!marks.covers(b"a:1", 1));
        assert!(marks.add(b"a:", 5) && marks.add(b"a:1", 7) && marks.add(b"bcd", 9));
        assert!(marks.covers(b"a:2", 5) && !marks.covers(b"a:2", 6));
        assert!(marks.covers(b"a:1x", 7) && !marks.covers(b"a:1x", 8));
        assert!(marks.covers(b"bcd", 9) && !marks.covers(b"bc", 9) && !marks.covers(b"", 0));
        let last = marks.last();
        assert!(marks.add(b"a:", 11));
        assert_eq!((marks.remove(last), marks.len()), (11, 1));
        assert!(marks.covers(b"a:1", 11) && !marks.covers(b"bcd", 9));
        assert_eq!((marks.remove(marks.last()), marks.len()), (0, 0));
        assert!(!marks.covers(b"a:1", 11));
    }

    #[test]
    fn marks_are_bounded() {
        let marks = Marks::default();
        assert!((0..MOST).all(|n| marks.add(n.to_string().as_bytes(), 1)));
        assert!(!marks.add(b"more", 1) && marks.add(b"7", 2));
        marks.remove(marks.last());
        assert!(marks.add(b"more", 1));
    }
}

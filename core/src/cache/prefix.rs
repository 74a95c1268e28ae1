//! Counts by key prefix, for `stats detail`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ahash::RandomState;

use crate::base::sync::Mutex;

/// Most prefixes that are counted (memcached's limit). Further ones are ignored.
const LIMIT: usize = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// The counts of a key prefix. See [`Cache::prefix_counts`](crate::Cache::prefix_counts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixCounts {
    /// The part of the keys before the delimiter.
    pub prefix: Vec<u8>,
    /// Gets.
    pub gets: u64,
    /// Of these, hits.
    pub hits: u64,
    /// Sets.
    pub sets: u64,
    /// Deletes.
    pub deletes: u64,
}

/// The counts of all prefixes.
pub struct Prefixes {
    delimiter: u8,
    enabled: AtomicBool,
    table: Mutex<Table>,
}

opaque_debug!(Prefixes);

/// Counts in the order in which their prefixes appeared, so that they can be listed in parts.
#[derive(Default)]
struct Table {
    /// Index of a prefix in `counts`.
    places: HashMap<Arc<[u8]>, u32, RandomState>,
    counts: Vec<(Arc<[u8]>, Counts)>,
}

impl Prefixes {
    /// Returns empty counts. A prefix ends before the first `delimiter`.
    pub fn new(delimiter: u8, enabled: bool) -> Self {
        Self { delimiter, enabled: AtomicBool::new(enabled), table: Mutex::default() }
    }

    /// Returns whether counting is on.
    #[inline]
    pub fn enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Turns counting on or off. Counts stay.
    pub fn enable(&self, on: bool) {
        self.enabled.store(on, Relaxed);
    }

    /// The delimiter.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    fn count(&self, key: &[u8], change: impl FnOnce(&mut Counts)) {
        let end = key.iter().position(|&byte| byte == self.delimiter || byte == 0);
        let Some(prefix) = end.filter(|&end| key[end] == self.delimiter).and_then(|end| key.get(..end))
        else {
            return;
        };
        let mut table = self.table.lock();
        let Table { places, counts } = &mut *table;
        if let Some((_, counts)) = places.get(prefix).and_then(|&place| counts.get_mut(place as usize)) {
            change(counts);
        } else if counts.len() < LIMIT && places.try_reserve(1).is_ok() && counts.try_reserve(1).is_ok() {
            // As in memcached a prefix is not counted if there is no memory for it. A prefix
            // itself is no longer than a key.
            let prefix: Arc<[u8]> = prefix.into();
            let mut first = Counts::default();
            change(&mut first);
            places.insert(Arc::clone(&prefix), counts.len() as u32);
            counts.push((prefix, first));
        }
    }

    /// Counts a get.
    pub fn record_get(&self, key: &[u8], hit: bool) {
        self.count(key, |counts| {
            counts.gets += 1;
            counts.hits += u64::from(hit);
        });
    }

    /// Counts a set.
    pub fn record_set(&self, key: &[u8]) {
        self.count(key, |counts| counts.sets += 1);
    }

    /// Counts a delete.
    pub fn record_delete(&self, key: &[u8]) {
        self.count(key, |counts| counts.deletes += 1);
    }

    /// Removes all counts.
    pub fn clear(&self) {
        *self.table.lock() = Table::default();
    }

    /// Calls `show` with at most `most` prefixes from number `from` on, each with its gets, hits,
    /// sets and deletes. Returns the next number, or `None` at the end.
    pub fn each(&self, from: usize, most: usize, mut show: impl FnMut(&[u8], [u64; 4])) -> Option<usize> {
        let table = self.table.lock();
        let end = from.saturating_add(most).min(table.counts.len());
        for (prefix, counts) in table.counts.get(from..end).unwrap_or_default() {
            show(prefix, [counts.gets, counts.hits, counts.sets, counts.deletes]);
        }
        (end < table.counts.len()).then_some(end)
    }
}

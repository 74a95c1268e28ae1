//! Counts by key prefix, for `stats detail`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ahash::RandomState;

use crate::sync::Mutex;

/// Most prefixes counted; further ones are not (memcached's limit).
const LIMIT: usize = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// The counts of all prefixes.
pub struct Prefixes {
    delimiter: u8,
    enabled: AtomicBool,
    counts: Mutex<HashMap<Box<[u8]>, Counts, RandomState>>,
}

impl Prefixes {
    /// No counts yet; a prefix ends before the first `delimiter`.
    pub fn new(delimiter: u8, enabled: bool) -> Self {
        Self { delimiter, enabled: AtomicBool::new(enabled), counts: Mutex::default() }
    }

    /// Whether anything is counted.
    #[inline]
    pub fn enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Switches counting on or off; counts stay.
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
        let mut counts = self.counts.lock();
        if let Some(counts) = counts.get_mut(prefix) {
            change(counts);
        } else if counts.len() < LIMIT {
            change(counts.entry(prefix.into()).or_default());
        }
    }

    /// A key was asked for.
    pub fn record_get(&self, key: &[u8], hit: bool) {
        self.count(key, |counts| {
            counts.gets += 1;
            counts.hits += u64::from(hit);
        });
    }

    /// A key was stored.
    pub fn record_set(&self, key: &[u8]) {
        self.count(key, |counts| counts.sets += 1);
    }

    /// A key was deleted.
    pub fn record_delete(&self, key: &[u8]) {
        self.count(key, |counts| counts.deletes += 1);
    }

    /// Forgets all counts.
    pub fn clear(&self) {
        self.counts.lock().clear();
    }

    /// Calls `show` with each prefix and its gets, hits, sets and deletes.
    pub fn each(&self, mut show: impl FnMut(&[u8], [u64; 4])) {
        for (prefix, counts) in self.counts.lock().iter() {
            show(prefix, [counts.gets, counts.hits, counts.sets, counts.deletes]);
        }
    }
}

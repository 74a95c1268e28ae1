//! The versions that each key may hold while threads change it.
//!
//! One thread owns a key and changes it. Each change has a version, twice its number; that of a
//! deletion is odd. Other threads know two bounds of the version that the key has now:
//!
//! - `done`: no older version may be found. A change raises it when it has returned.
//! - `begun`: no newer version exists. A change raises it before it begins.
//!
//! A reader that takes `done` before it reads, and `begun` after it has read, must find a version
//! between them, or nothing.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::value::Stamp;
use crate::Outcome;

/// The bounds of one key.
#[derive(Debug, Default)]
struct Bounds {
    begun: AtomicU64,
    done: AtomicU64,
}

/// The bounds of all keys.
#[derive(Debug)]
pub struct Model(Vec<Bounds>);

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Values with a TTL.
    Expiring,
    /// Counters.
    Counter,
    /// Values without an expiry, which clients may touch.
    Plain,
}

impl Class {
    /// Returns the class of a key.
    pub fn of(key: u64) -> Self {
        match key % 4 {
            0 => Self::Expiring,
            1 => Self::Counter,
            _ => Self::Plain,
        }
    }

    /// Reads a value that was found under `key`.
    ///
    /// # Errors
    /// The value is torn, or it was written under another key.
    pub fn read(key: u64, value: &[u8]) -> Outcome<Stamp> {
        if Self::of(key) == Self::Counter { Stamp::read_counter(key, value) } else { Stamp::read(key, value) }
    }
}

impl Model {
    /// Returns a model of `keys` keys that hold nothing.
    pub fn new(keys: u64) -> Self {
        Self((0..keys).map(|_| Bounds::default()).collect())
    }

    /// Returns the keys.
    pub fn keys(&self) -> std::ops::Range<u64> {
        0..self.0.len() as u64
    }

    fn of(&self, key: u64) -> &Bounds {
        &self.0[key as usize]
    }

    /// Begins a change, and returns its version. Only the owner of the key may call this.
    pub fn begin(&self, key: u64, deletes: bool) -> u64 {
        let version = (self.begun(key) / 2 + 1) * 2 + u64::from(deletes);
        self.of(key).begun.store(version, SeqCst);
        version
    }

    /// Ends a change that has succeeded.
    pub fn end(&self, key: u64, version: u64) {
        self.of(key).done.fetch_max(version, SeqCst);
    }

    /// Returns the newest version that may exist.
    pub fn begun(&self, key: u64) -> u64 {
        self.of(key).begun.load(SeqCst)
    }

    /// Returns the oldest version that may be found.
    pub fn done(&self, key: u64) -> u64 {
        self.of(key).done.load(SeqCst)
    }

    /// Returns [`Model::done`] of all keys.
    pub fn all_done(&self) -> Vec<u64> {
        self.keys().map(|key| self.done(key)).collect()
    }

    /// Returns [`Model::begun`] of all keys.
    pub fn all_begun(&self) -> Vec<u64> {
        self.keys().map(|key| self.begun(key)).collect()
    }

    /// Returns whether the last change of the key has returned, and has stored a value. Only the
    /// owner of the key may rely on it.
    pub fn is_settled(&self, key: u64) -> bool {
        let begun = self.begun(key);
        begun == self.done(key) && begun.is_multiple_of(2) && begun > 0
    }

    /// Records a flush. `before` is [`Model::all_done`] from before the flush began.
    pub fn flushed(&self, before: &[u64]) {
        before.iter().enumerate().for_each(|(key, done)| {
            self.of(key as u64).done.fetch_max(done | 1, SeqCst);
        });
    }

    /// Records what a key holds: a version, or nothing. No thread may change it now.
    pub fn observe(&self, key: u64, found: Option<u64>) {
        let bounds = self.of(key);
        bounds.done.store(found.unwrap_or(bounds.begun.load(SeqCst) | 1), SeqCst);
    }

    /// Allows older versions again, down to `done`. No thread may change the key now.
    pub fn allow_since(&self, key: u64, done: u64) {
        self.of(key).done.store(done, SeqCst);
    }
}

/// Checks a version that was found under `key`.
///
/// # Errors
/// It is older than `low`, newer than `high`, or of a deletion.
pub fn check(key: u64, found: u64, low: u64, high: u64) -> Outcome<()> {
    let wrong = match found {
        _ if found % 2 == 1 => "was never written",
        _ if found < low => "is stale, deleted or flushed",
        _ if found > high => "was never written",
        _ => return Ok(()),
    };
    Err(format!("key {key}: version {found} {wrong}; {low} to {high} are allowed"))
}

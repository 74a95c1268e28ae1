//! The keys that most requests are for, from samples of the requests.
//!
//! Samples are counted in *windows* of two seconds of the clock. The answer covers the window under
//! way and the one before it, so 2 to 4 seconds. A new hot key is in the answer with its first
//! sample, and a former one leaves it after 4 seconds.

use std::collections::HashMap;
use std::fmt;

use ahash::RandomState;

use super::space_saving::{Entry, SpaceSaving};
use crate::base::sync::Mutex;

/// Seconds of a window.
const WINDOW: u32 = 2;

/// A key that many requests are for. The numbers are estimates: sampled requests, multiplied by the
/// number of requests of which one is sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// The key.
    pub key: Vec<u8>,
    /// Gets, including those that missed.
    pub reads: u64,
    /// Other requests: stores, deletes, touches, increments.
    pub writes: u64,
    /// Requests for this key that may be missing in `reads` and `writes`, at most. They came before
    /// the key had an entry in the fixed table. The error of sampling is not in this number.
    pub error: u64,
    /// The part of all requests that are for this key, from 0 to 1.
    pub share: f64,
}

/// The hot keys of the last seconds. See [`Cache::hot_keys`](crate::Cache::hot_keys).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HotKeys {
    /// The keys, the one with the most requests first.
    pub keys: Vec<HotKey>,
    /// Seconds that the numbers cover, at least 1.
    pub window_seconds: u32,
    /// One of this many requests is sampled; 0 means none.
    pub sample_rate: u32,
    /// Requests for all keys, an estimate.
    pub requests: u64,
}

/// The effect of a request on its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The request reads the item.
    Read,
    /// The request changes the item.
    Write,
}

/// The samples of a cache. Most requests do not use it, so one lock is enough.
#[derive(Default)]
pub(super) struct KeySamples(Mutex<Option<Box<Windows>>>);

impl KeySamples {
    /// Counts a sampled request for `key`, whose hash is `tag`.
    pub(super) fn note(&self, second: u32, key: &[u8], tag: u32, access: Access) {
        let mut samples = self.0.lock();
        let windows = samples.get_or_insert_with(|| Box::new(Windows::new(second)));
        windows.roll(second);
        windows.now.note(key, tag, access == Access::Write);
    }

    /// Returns the `most` keys with the most requests. One of `rate` requests is sampled.
    pub(super) fn top(&self, second: u32, most: usize, rate: u32) -> HotKeys {
        let mut hot = HotKeys { window_seconds: 1, sample_rate: rate, ..HotKeys::default() };
        // A copy, so that the lock is held for a short time.
        let windows = self.0.lock().as_mut().map(|windows| {
            windows.roll(second);
            windows.clone()
        });
        if let Some(windows) = windows {
            hot.requests = u64::from(windows.total()) * u64::from(rate);
            hot.window_seconds = second.saturating_sub(windows.began_before).max(1);
            hot.keys = windows.top(most, rate);
        }
        hot
    }

    /// Removes all samples.
    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }
}

impl fmt::Debug for KeySamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySamples").finish_non_exhaustive()
    }
}

/// The windows. They take memory from the first sample on.
#[derive(Clone)]
struct Windows {
    /// The seconds at which the windows began.
    began: u32,
    began_before: u32,
    now: SpaceSaving,
    before: SpaceSaving,
}

impl Windows {
    fn new(second: u32) -> Self {
        Self { began: second, began_before: second, now: SpaceSaving::new(), before: SpaceSaving::new() }
    }

    /// Begins a new window if the one under way is over.
    fn roll(&mut self, second: u32) {
        // A clock that was moved back also ends the window.
        let age = second.checked_sub(self.began).unwrap_or(2 * WINDOW);
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        self.began_before = self.began;
        self.began = second;
        if age >= 2 * WINDOW {
            self.before.clear();
            self.began_before = second;
        }
    }

    /// Returns the number of samples.
    fn total(&self) -> u32 {
        self.now.total().saturating_add(self.before.total())
    }

    /// Returns the `most` keys with the most requests.
    fn top(&self, most: usize, rate: u32) -> Vec<HotKey> {
        let mut before: HashMap<&[u8], &Entry, RandomState> =
            self.before.entries().iter().map(|entry| (&entry.key[..], entry)).collect();
        let scaled = |count: u32| u64::from(count) * u64::from(rate);
        let key = |key: &[u8], reads, writes, error| HotKey {
            key: key.to_vec(),
            reads: scaled(reads),
            writes: scaled(writes),
            error: scaled(error),
            share: 0.0,
        };
        let mut keys: Vec<HotKey> = Vec::new();
        for entry in self.now.entries() {
            keys.push(match before.remove(&entry.key[..]) {
                Some(other) => key(
                    &entry.key,
                    entry.reads.saturating_add(other.reads),
                    entry.writes.saturating_add(other.writes),
                    entry.error.saturating_add(other.error),
                ),
                None => {
                    let error = entry.error.saturating_add(self.before.unseen());
                    key(&entry.key, entry.reads, entry.writes, error)
                }
            });
        }
        for entry in before.into_values() {
            let error = entry.error.saturating_add(self.now.unseen());
            keys.push(key(&entry.key, entry.reads, entry.writes, error));
        }
        keys.sort_by(|a, b| (b.reads + b.writes).cmp(&(a.reads + a.writes)).then_with(|| a.key.cmp(&b.key)));
        keys.truncate(most);
        let all = scaled(self.total());
        keys.iter_mut().for_each(|key| key.share = (key.reads + key.writes) as f64 / all.max(1) as f64);
        keys
    }
}

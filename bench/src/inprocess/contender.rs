//! The contenders: the cache, and the stores that a program without a cache would use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memcache_core::{Cache, CacheConfig, Ttl};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::items::Items;

/// Length of a key, in bytes.
pub const KEY: usize = 16;

/// The key of an item.
pub type Key = [u8; KEY];

/// Returns the key of item `id`.
pub fn key(items: &Items, id: u64) -> Key {
    let mut text = Vec::with_capacity(KEY);
    items.put_key(id, &mut text);
    let mut key = [0; KEY];
    key.copy_from_slice(&text);
    key
}

/// A store that finds values by key, for several threads.
pub trait Reader: Sync {
    /// The name in the results.
    const NAME: &'static str;

    /// Appends a value to `to`. Returns whether the key was found.
    fn get(&self, key: &Key, to: &mut Vec<u8>) -> bool;

    /// Looks at the values of `keys`. Returns the number of their bytes.
    fn get_many(&self, keys: &[Key]) -> usize;
}

/// A store that can also be written.
pub trait Contender: Reader {
    /// Stores a value.
    fn set(&self, key: &Key, value: &[u8]);
}

/// Makes a cache with room for `items` items of `value` bytes.
pub fn cache(items: usize, value: usize) -> Result<Arc<Cache>> {
    let memory_limit = (items * (value + KEY + 100)).max(64 << 20);
    let config = CacheConfig { memory_limit, ..CacheConfig::default() };
    Cache::new(config).map_err(|error| Error::Usage(error.to_string()))
}

impl Reader for Arc<Cache> {
    const NAME: &'static str = "cache";

    #[inline]
    fn get(&self, key: &Key, to: &mut Vec<u8>) -> bool {
        self.get_into(key, to)
    }

    #[inline]
    fn get_many(&self, keys: &[Key]) -> usize {
        let mut bytes = 0;
        Cache::get_many(self, keys, |_, value| bytes += value.last().map_or(0, |_| value.len()));
        bytes
    }
}

impl Contender for Arc<Cache> {
    #[inline]
    fn set(&self, key: &Key, value: &[u8]) {
        // An item that does not fit is missed later, which the measurement detects.
        let _ = Cache::set(self, key, value, Ttl::Never);
    }
}

/// A hash map that does not change. Reading it is the limit of the machine with two threads.
pub type Frozen = HashMap<Key, Box<[u8]>>;

impl Reader for Frozen {
    const NAME: &'static str = "frozen-hashmap";

    #[inline]
    fn get(&self, key: &Key, to: &mut Vec<u8>) -> bool {
        let Some(value) = HashMap::get(self, key) else { return false };
        to.extend_from_slice(value);
        true
    }

    #[inline]
    fn get_many(&self, keys: &[Key]) -> usize {
        keys.iter()
            .filter_map(|key| HashMap::get(self, key))
            .map(|value| value.last().map_or(0, |_| value.len()))
            .sum()
    }
}

/// Memory for as many values, written without a lock, an index or a length. Writing it is the limit
/// of the machine with two threads that write to the same places.
pub struct Words(Box<[[AtomicU64; WORDS]]>);

/// Number of words in a value.
const WORDS: usize = 13;

impl Words {
    /// The name in the results.
    pub const NAME: &'static str = "bare-words";

    /// Allocates memory for `count` values.
    pub fn new(count: u64) -> Self {
        Self((0..count).map(|_| [const { AtomicU64::new(0) }; WORDS]).collect())
    }

    /// Writes a value to the place that belongs to `key`.
    #[inline]
    pub fn set(&self, key: &Key, value: &[u8]) {
        let mixed = u128::from_le_bytes(*key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let place = &self.0[(mixed >> 64) as usize % self.0.len()];
        let (words, _) = value.as_chunks::<8>();
        for (to, word) in place.iter().zip(words) {
            to.store(u64::from_le_bytes(*word), Relaxed);
        }
    }
}

/// A hash map behind a mutex.
pub type Map = Mutex<HashMap<Key, Box<[u8]>>>;

impl Reader for Map {
    const NAME: &'static str = "mutex-hashmap";

    #[inline]
    fn get(&self, key: &Key, to: &mut Vec<u8>) -> bool {
        Reader::get(&*self.lock(), key, to)
    }

    #[inline]
    fn get_many(&self, keys: &[Key]) -> usize {
        Reader::get_many(&*self.lock(), keys)
    }
}

impl Contender for Map {
    #[inline]
    fn set(&self, key: &Key, value: &[u8]) {
        let mut map = self.lock();
        match map.get_mut(key) {
            Some(old) if old.len() == value.len() => old.copy_from_slice(value),
            Some(old) => *old = value.into(),
            None => {
                map.insert(*key, value.into());
            }
        }
    }
}

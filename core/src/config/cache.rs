//! Settings of a cache.

use super::policy::{EvictionGoal, EvictionPolicy};
use super::{MIB, PAGE_SIZE};
use crate::base::error::ConfigError;

/// Smallest and largest value of [`CacheConfig::item_size_max`].
pub const ITEM_SIZE_MAX_RANGE: std::ops::RangeInclusive<usize> = 1024..=1024 * MIB;

/// Smallest [`CacheConfig::slab_chunk_max`]: a chunk must hold the header of a
/// large item with the longest key, and more than its own header.
const CHUNK_MAX_LEAST: usize = 512;

/// Smallest chunk in [`CacheConfig::slab_sizes`]: room for an item's header and a short key.
const SLAB_SIZE_LEAST: usize = 40;

/// Largest [`CacheConfig::hashpower_init`].
const HASHPOWER_MOST: u32 = 32;

/// Settings of a cache, with or without a server in front of it.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Memory in bytes for items and their index (`-m`), at least a few hundred KiB. 0 means no
    /// limit but the reserved address space, about 32 GiB.
    pub memory_limit: usize,
    /// Whether items are evicted when memory is full (the default). If not, stores are refused
    /// (`-M`).
    pub evictions: bool,
    /// Growth factor between the chunk sizes of classes (`-f`), above 1. Classes
    /// only name sizes, in `stats` and crawls; items take what they need.
    pub growth_factor: f64,
    /// Smallest space for key, value and flags in bytes (`-n`), for classes.
    pub chunk_size: usize,
    /// Largest item in bytes, as memcached counts them (`-I`).
    pub item_size_max: usize,
    /// Size of the largest class, and of the largest item that `incr` takes
    /// (`-o slab_chunk_max`).
    pub slab_chunk_max: usize,
    /// Chunk sizes given one by one (`-o slab_sizes`), ascending.
    pub slab_sizes: Option<Vec<usize>>,
    /// Whether items have a CAS. Without (`-C`), every CAS reads as 0.
    pub use_cas: bool,
    /// The eviction policy at start. The command `lru mode` changes it.
    pub eviction_policy: EvictionPolicy,
    /// The goal of the default policy: the fewest misses, or the fewest missed bytes. The command
    /// `lru goal` changes it.
    pub eviction_goal: EvictionGoal,
    /// Whether the background maintainer works at all (`no_lru_maintainer`).
    pub lru_maintainer: bool,
    /// Whether the crawler frees expired items by itself (`no_lru_crawler`).
    pub lru_crawler: bool,
    /// Microseconds the crawler sleeps between batches (`lru_crawler_sleep`).
    pub lru_crawler_sleep: u32,
    /// Most items that a crawl examines; 0 means all (`lru_crawler_tocrawl`).
    pub lru_crawler_tocrawl: u32,
    /// Reported only: `hot_lru_pct`.
    pub hot_lru_pct: u32,
    /// Reported only: `warm_lru_pct`.
    pub warm_lru_pct: u32,
    /// Reported only: `hot_max_factor`.
    pub hot_max_factor: f64,
    /// Reported only: `warm_max_factor`.
    pub warm_max_factor: f64,
    /// Items with at most this TTL in seconds are never evicted (`temporary_ttl`). `None` turns
    /// that off.
    pub temporary_ttl: Option<u32>,
    /// Whether the command `slabs reassign` is accepted (`slab_reassign`). It moves nothing.
    pub slab_reassign: bool,
    /// Reported only: `slab_automove`.
    pub slab_automove: u32,
    /// Reported only: `slab_automove_ratio`.
    pub slab_automove_ratio: f64,
    /// Reported only: `slab_automove_window`.
    pub slab_automove_window: u32,
    /// Track the histogram that `stats sizes` prints from the start.
    pub track_sizes: bool,
    /// Reported only: `tail_repair_time`.
    pub tail_repair_time: u32,
    /// log2 of the initial number of index slots; with 0 the store decides.
    pub hashpower_init: u32,
    /// Number of independently locked shards, a power of two; fewer if the memory
    /// limit is small. `None`: the store decides from the limit and the thread
    /// count.
    pub shards: Option<usize>,
    /// Threads expected to use the cache at once; a hint for `shards`.
    pub concurrency: usize,
    /// Bytes counted as allocated before the first segment (test suites use it).
    pub initial_malloced: usize,
    /// Separates a key's prefix for `stats detail` (`-D`).
    pub prefix_delimiter: u8,
    /// Whether `stats detail` collects from the start (`-D` turns it on).
    pub detail_enabled: bool,
    /// Asks the system for large pages for item memory (`-L`). From 64 MiB on, that is done in any
    /// case.
    pub large_pages: bool,
    /// Whether the clock stands still from the start, until it is resumed.
    pub clock_frozen: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_limit: 64 * MIB,
            evictions: true,
            growth_factor: 1.25,
            chunk_size: 48,
            item_size_max: MIB,
            slab_chunk_max: PAGE_SIZE / 2,
            slab_sizes: None,
            use_cas: true,
            eviction_policy: EvictionPolicy::Segmented,
            eviction_goal: EvictionGoal::FewestMisses,
            lru_maintainer: true,
            lru_crawler: true,
            lru_crawler_sleep: 100,
            lru_crawler_tocrawl: 0,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temporary_ttl: None,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            track_sizes: false,
            tail_repair_time: 0,
            hashpower_init: 0,
            shards: None,
            concurrency: 4,
            initial_malloced: 0,
            prefix_delimiter: b':',
            detail_enabled: false,
            large_pages: false,
            clock_frozen: false,
        }
    }
}

impl CacheConfig {
    /// Checks the settings, each alone and against each other.
    ///
    /// # Errors
    /// The first rule that is broken. The text is memcached's if memcached has the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError::Invalid(text));
        if !self.growth_factor.is_finite() || self.growth_factor <= 1.0 {
            return fail("Factor must be greater than 1".into());
        }
        if self.chunk_size == 0 {
            return fail("Chunk size must be greater than 0".into());
        }
        if self.item_size_max < *ITEM_SIZE_MAX_RANGE.start() {
            return fail("Item max size cannot be less than 1024 bytes.".into());
        }
        if self.memory_limit != 0 && self.item_size_max > self.memory_limit / 2 {
            return fail("Cannot set item size limit higher than 1/2 of memory max.".into());
        }
        if self.item_size_max > *ITEM_SIZE_MAX_RANGE.end() {
            return fail("Cannot set item size limit higher than a gigabyte.".into());
        }
        let chunk_max = self.slab_chunk_max;
        if chunk_max < CHUNK_MAX_LEAST {
            return fail(format!("slab_chunk_max cannot be less than {CHUNK_MAX_LEAST} bytes"));
        }
        if let Some(sizes) = &self.slab_sizes {
            let ascends = sizes.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascends || sizes.iter().any(|&size| size < SLAB_SIZE_LEAST || size > chunk_max) {
                return fail(format!(
                    "slab_sizes must ascend from at least {SLAB_SIZE_LEAST} to at most slab_chunk_max (bytes: {chunk_max})"
                ));
            }
        }
        if self.hashpower_init > HASHPOWER_MOST {
            return fail(format!("Initial hashtable multiplier of {} is too high", self.hashpower_init));
        }
        if chunk_max > self.item_size_max {
            return fail(format!(
                "slab_chunk_max (bytes: {chunk_max}) cannot be larger than -I (item_size_max {})",
                self.item_size_max
            ));
        }
        if !self.item_size_max.is_multiple_of(chunk_max) {
            return fail(format!(
                "-I (item_size_max: {}) must be evenly divisible by slab_chunk_max (bytes: {chunk_max})",
                self.item_size_max
            ));
        }
        if !PAGE_SIZE.is_multiple_of(chunk_max) {
            return fail(format!(
                "slab_chunk_max (bytes: {chunk_max}) must divide evenly into {PAGE_SIZE} (slab_page_size)"
            ));
        }
        if self.hot_lru_pct + self.warm_lru_pct > 80 {
            return fail("hot_lru_pct + warm_lru_pct cannot be more than 80% combined".into());
        }
        if self.temporary_ttl.is_some() && !self.lru_maintainer {
            return fail("temporary_ttl requires lru_maintainer to be enabled".into());
        }
        if self.slab_automove > 2 {
            return fail("slab_automove must be between 0 and 2".into());
        }
        if self.shards.is_some_and(|n| !n.is_power_of_two() || n > 1024) {
            return fail("shards must be a power of two of at most 1024".into());
        }
        Ok(())
    }
}

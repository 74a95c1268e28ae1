//! Settings of a cache.

use super::policy::{EvictionGoal, EvictionPolicy};
use super::quota::{QuotaConfig, check_quota};
use super::setting::{self, Kind, Row, Scope, U32_MOST, Value, WORD_MOST, settings};
use super::size::{MIB, PAGE_SIZE};
use crate::base::error::{ConfigError, ConfigRule};

/// Returns whether a number is a [`CacheConfig::slab_chunk_max`]. A chunk must hold the header of a
/// large item with the longest key, and more than its own header.
fn divides_page(size: i128) -> bool {
    size == 0 || size >= 512 && PAGE_SIZE as i128 % size == 0
}

/// Smallest chunk in [`CacheConfig::slab_sizes`]: room for an item's header and a short key.
const SLAB_SIZE_LEAST: i128 = 40;

/// Most sizes in [`CacheConfig::slab_sizes`].
const SLAB_SIZES_MOST: usize = 62;

settings! {
    /// Settings of a cache, with or without a server in front of it.
    pub struct CacheConfig (Scope::Cache, "") {
        /// Memory in bytes for items and their index (`-m`), at least a few hundred KiB. 0 means no
        /// limit but the reserved address space, about 32 GiB.
        memory_limit: usize = 64 * MIB,
            Row::bytes(0, WORD_MOST).option("-m").stat("maxbytes");
        /// Whether items are evicted when memory is full (the default). If not, stores are refused
        /// (`-M`).
        evictions: bool = true,
            Row::on_off().option("-M").stat("evictions");
        /// Growth factor between the chunk sizes of classes (`-f`), above 1. Classes only name
        /// sizes, in `stats` and crawls; items take what they need.
        growth_factor: f64 = 1.25,
            Row::real(1.0, f64::MAX)
                .out("Factor must be greater than 1")
                .option("-f")
                .stat("growth_factor");
        /// Smallest space for key, value and flags in bytes (`-n`), for classes.
        chunk_size: usize = 48,
            Row::bytes(1, WORD_MOST)
                .low("Chunk size must be greater than 0")
                .option("-n")
                .stat("chunk_size");
        /// Largest item in bytes, as memcached counts them (`-I`).
        item_size_max: usize = MIB,
            Row::bytes(1024, 1 << 30)
                .low("Item max size cannot be less than 1024 bytes.")
                .high("Cannot set item size limit higher than a gigabyte.")
                .option("-I")
                .stat("item_size_max");
        /// Size of the largest class, and of the largest item that `incr` takes (`-o
        /// slab_chunk_max`). 0 means 512 KiB, or the largest power of two that fits in a smaller
        /// [`CacheConfig::item_size_max`].
        slab_chunk_max: usize = 0,
            Row::bytes(0, MIB as i128)
                .rule("0 or at least 512 bytes, and divide 1 MiB", divides_page)
                .option("slab_chunk_max")
                .stat("slab_chunk_max")
                .help("maximum chunk size in kilobytes (default: 512)");
        /// Chunk sizes given one by one (`-o slab_sizes`), ascending.
        slab_sizes: Option<Vec<usize>> = None,
            Row::new(Kind::Sizes { least: SLAB_SIZE_LEAST, count: SLAB_SIZES_MOST })
                .or_none()
                .option("slab_sizes")
                .help("chunk sizes one by one, i.e. 100-200-300");
        /// Whether items have a CAS. Without (`-C`), every CAS reads as 0.
        use_cas: bool = true,
            Row::on_off().option("-C").stat("cas_enabled");
        /// The eviction policy at start. The command `lru mode` changes it.
        eviction_policy: EvictionPolicy = EvictionPolicy::Segmented,
            Row::new(Kind::Word(EvictionPolicy::NAMES))
                .option("eviction_policy")
                .stat("eviction_policy")
                .help("which items to evict: flat, segmented or lru (default: {})");
        /// The goal of the default policy: the fewest misses, or the fewest missed bytes. The
        /// command `lru goal` changes it.
        eviction_goal: EvictionGoal = EvictionGoal::FewestMisses,
            Row::new(Kind::Word(EvictionGoal::NAMES))
                .option("eviction_goal")
                .stat("eviction_goal")
                .help("what to miss least of: misses or bytes (default: {})");
        /// Whether the background maintainer works at all (`no_lru_maintainer`).
        lru_maintainer: bool = true,
            Row::on_off()
                .option("lru_maintainer")
                .stat("lru_maintainer_thread")
                .help("disable the segmented LRU and its background thread");
        /// Whether the crawler frees expired items by itself (`no_lru_crawler`).
        lru_crawler: bool = true,
            Row::on_off()
                .option("lru_crawler")
                .stat("lru_crawler")
                .help("disable LRU crawler background thread");
        /// Microseconds the crawler sleeps between batches (`lru_crawler_sleep`).
        lru_crawler_sleep: u32 = 100,
            Row::whole(0, 1_000_000)
                .out("LRU crawler sleep must be between 0 and 1 second")
                .option("lru_crawler_sleep")
                .missing("Missing lru_crawler_sleep value")
                .stat("lru_crawler_sleep")
                .help("microseconds to sleep between items (default: {})");
        /// Most items that a crawl examines; 0 means all (`lru_crawler_tocrawl`).
        lru_crawler_tocrawl: u32 = 0,
            Row::whole(0, U32_MOST)
                .out("lru_crawler_tocrawl takes a numeric 32bit value")
                .option("lru_crawler_tocrawl")
                .missing("Missing lru_crawler_tocrawl value")
                .stat("lru_crawler_tocrawl")
                .help("max items to crawl per slab per run (default: {}, unlimited)");
        /// Items with at most this TTL in seconds are never evicted (`temporary_ttl`). `None` turns
        /// that off.
        temporary_ttl: Option<u32> = None,
            Row::whole(0, U32_MOST)
                .out("temporary_ttl takes a number of seconds")
                .or_none()
                .option("temporary_ttl")
                .stat("temporary_ttl")
                .help("TTLs below get a separate LRU, can't be evicted");
        /// Whether the command `slabs reassign` is accepted (`slab_reassign`). It moves nothing.
        slab_reassign: bool = true,
            Row::on_off()
                .option("slab_reassign")
                .idle("memory is not assigned to slab classes")
                .stat("slab_reassign");
        /// Track the histogram that `stats sizes` prints from the start.
        track_sizes: bool = false,
            Row::on_off()
                .option("track_sizes")
                .stat("track_sizes")
                .help("enable dynamic reports for 'stats sizes' command");
        /// log2 of the initial number of index slots; with 0 the store decides.
        hashpower_init: u32 = 0,
            Row::whole(0, 32)
                .high("Initial hashtable multiplier of {} is too high: Choose a value based on \"STAT hash_power_level\" from a running instance")
                .option("hashpower")
                .missing("Missing numeric argument for hashpower")
                .stat("hashpower_init")
                .help("an integer multiplier for how large the hash table should be;\nnormally grows at runtime");
        /// Number of independently locked shards, a power of two; fewer if the memory limit is
        /// small. `None`: the store decides from the limit and the thread count.
        shards: Option<usize> = None,
            Row::whole(1, 1024)
                .rule("a power of two of at most 1024", |count| count > 0 && count & (count - 1) == 0 && count <= 1024)
                .or_none();
        /// Threads expected to use the cache at once; a hint for `shards`.
        concurrency: usize = 4,
            Row::whole(1, WORD_MOST);
        /// Bytes counted as allocated before the first segment (test suites use it).
        initial_malloced: usize = 0,
            Row::bytes(0, WORD_MOST);
        /// Separates a key's prefix for `stats detail` (`-D`).
        prefix_delimiter: u8 = b':',
            Row::new(Kind::Byte).option("-D").stat("stat_key_prefix");
        /// Whether `stats detail` collects from the start (`-D` turns it on).
        detail_enabled: bool = false,
            Row::on_off().stat("detail_enabled");
        /// One of this many requests is looked at closely, for `stats hotkeys` and `stats latency`.
        /// 0 means none. A lower number makes these more exact and costs more time.
        sample_rate: u32 = 128,
            Row::whole(0, 1_000_000)
                .out("sample_rate must be between 0 and 1000000")
                .option("sample_rate")
                .stat("memcache_rs_sample_rate")
                .help("look closely at one of this many requests, for stats hotkeys\nand stats latency (default: {}, 0 is none)");
        /// Asks the system for large pages for item memory (`-L`). From 64 MiB on, that is done in
        /// any case.
        large_pages: bool = false,
            Row::on_off().option("-L");
        /// Whether the clock stands still from the start, until it is resumed.
        clock_frozen: bool = false,
            Row::on_off();
    }
    others {
        /// Quotas from the start (`-o quota`), of prefixes that do not overlap.
        quotas: Vec<QuotaConfig> = Vec::new();
    }
}

impl CacheConfig {
    /// Sets the setting `name`, which is the name of its field.
    ///
    /// A text is read as the type of the setting: `"64m"` is a number of bytes, `"on"` is `true`.
    /// Rules between settings are checked at [`CacheConfig::validate`].
    ///
    /// # Errors
    /// There is no such setting, or it does not take that value. The setting keeps its value.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut config = memcache_rs::CacheConfig::default();
    /// config.set("memory_limit", "16m")?;
    /// config.set("evictions", false)?;
    /// assert_eq!((config.memory_limit, config.evictions), (16 << 20, false));
    /// assert!(config.set("growth_factor", 0.5).is_err());
    /// # Ok::<(), memcache_rs::ConfigError>(())
    /// ```
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), ConfigError> {
        setting::set(Self::SETTINGS, self, name, &value.into()).unwrap_or_else(|| Err(setting::unknown(name)))
    }

    /// Returns the value of the setting `name`, or `None` if there is no such setting.
    pub fn get(&self, name: &str) -> Option<Value> {
        setting::get(Self::SETTINGS, self, name)
    }

    /// Adds a quota, in place of one with the same prefix.
    pub fn add_quota(&mut self, quota: QuotaConfig) {
        self.quotas.retain(|other| other.prefix != quota.prefix);
        self.quotas.push(quota);
    }

    /// Returns the size of the largest class: `slab_chunk_max`, or the size that it stands for.
    pub(crate) fn chunk_max(&self) -> usize {
        match self.slab_chunk_max {
            0 => (PAGE_SIZE / 2).min(1 << self.item_size_max.ilog2()),
            size => size,
        }
    }

    /// Checks the settings, each alone and against each other.
    ///
    /// # Errors
    /// The first rule that is broken. The text is memcached's if memcached has the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let conflict =
            |setting: &'static str, text: String| Err(ConfigError::new(setting, ConfigRule::Conflict, text));
        let (item_max, chunk_max) = (self.item_size_max, self.slab_chunk_max);
        // memcached has this rule between the two of the range.
        if self.memory_limit != 0 && item_max > self.memory_limit / 2 {
            let text = "Cannot set item size limit higher than 1/2 of memory max.";
            return conflict("item_size_max", text.into());
        }
        // A size that is out of range is an error of the range.
        if item_max >= 1024 && chunk_max > item_max {
            let text = format!(
                "slab_chunk_max (bytes: {chunk_max}) cannot be larger than -I (item_size_max {item_max})"
            );
            return conflict("slab_chunk_max", text);
        }
        if item_max >= 1024 && chunk_max > 0 && !item_max.is_multiple_of(chunk_max) {
            let text = format!(
                "-I (item_size_max: {item_max}) must be evenly divisible by slab_chunk_max (bytes: {chunk_max})"
            );
            return conflict("item_size_max", text);
        }
        if item_max >= 1024 && chunk_max > 0 && !PAGE_SIZE.is_multiple_of(chunk_max) {
            let text = format!(
                "slab_chunk_max (bytes: {chunk_max}) must divide evenly into {PAGE_SIZE} (slab_page_size)"
            );
            return conflict("slab_chunk_max", text);
        }
        setting::check(Self::SETTINGS, self)?;
        let chunk_max = self.chunk_max();
        if self.slab_sizes.iter().flatten().any(|&size| size > chunk_max) {
            let text = format!("slab_sizes must be at most slab_chunk_max (bytes: {chunk_max})");
            return conflict("slab_sizes", text);
        }
        if self.temporary_ttl.is_some() && !self.lru_maintainer {
            let text = "temporary_ttl requires lru_maintainer to be enabled";
            return conflict("temporary_ttl", text.into());
        }
        let prefixes: Vec<&[u8]> = self.quotas.iter().map(|quota| &*quota.prefix).collect();
        prefixes
            .iter()
            .enumerate()
            .try_for_each(|(count, prefix)| check_quota(prefix, prefixes.iter().take(count).copied()))
    }
}

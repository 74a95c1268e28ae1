//! Settings of caches: memory, sizes, eviction, statistics.

use memcache_core::{EvictionGoal, EvictionPolicy};

use super::mcrs_config;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// Names an eviction policy: one of the MCRS_LRU_ numbers.
pub type mcrs_lru_mode = u32;

/// Evicts in the order of last use, from one log. A use within a minute of the last one does not
/// count. memcached calls it flat.
pub const MCRS_LRU_FLAT: mcrs_lru_mode = 0;

/// Evicts by use and size, with new and used items apart. The default.
pub const MCRS_LRU_SEGMENTED: mcrs_lru_mode = 1;

/// Evicts in the order of last use, in each shard. Every use counts.
pub const MCRS_LRU_PLAIN: mcrs_lru_mode = 2;

const _: () = assert!(
    MCRS_LRU_FLAT == EvictionPolicy::Flat as u32
        && MCRS_LRU_SEGMENTED == EvictionPolicy::Segmented as u32
        && MCRS_LRU_PLAIN == EvictionPolicy::Lru as u32
);

/// Sets the eviction policy.
///
/// @param config  Settings to change.
/// @param mode  One of the MCRS_LRU_ numbers. The default is MCRS_LRU_SEGMENTED.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another mode; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_mode(
    config: *mut mcrs_config,
    mode: mcrs_lru_mode,
) -> mcrs_status {
    entry!(mut config, {}, {
        let policy = EvictionPolicy::from_number(mode).ok_or_else(|| {
            invalid(format!(
                "mode must be one of the {} MCRS_LRU_ numbers, got {mode}",
                EvictionPolicy::ALL.len()
            ))
        })?;
        Ok(config.settings.set("eviction_policy", policy.name())?)
    })
}

/// Names a goal of the default eviction policy: one of the MCRS_GOAL_ numbers.
pub type mcrs_eviction_goal = u32;

/// The fewest misses. Among items of equal use, large ones go first. The default.
pub const MCRS_GOAL_MISSES: mcrs_eviction_goal = 0;

/// The fewest bytes of missed items. The size of an item does not count.
pub const MCRS_GOAL_BYTES: mcrs_eviction_goal = 1;

const _: () = assert!(
    MCRS_GOAL_MISSES == EvictionGoal::FewestMisses as u32
        && MCRS_GOAL_BYTES == EvictionGoal::FewestMissedBytes as u32
);

/// Sets the goal of the eviction policy MCRS_LRU_SEGMENTED. Other policies do not weigh items.
///
/// @param config  Settings to change.
/// @param goal  MCRS_GOAL_MISSES, the default, or MCRS_GOAL_BYTES.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another goal; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_eviction_goal(
    config: *mut mcrs_config,
    goal: mcrs_eviction_goal,
) -> mcrs_status {
    entry!(mut config, {}, {
        let goal = EvictionGoal::from_number(goal).ok_or_else(|| {
            invalid(format!("goal must be MCRS_GOAL_MISSES or MCRS_GOAL_BYTES, got {goal}"))
        })?;
        Ok(config.settings.set("eviction_goal", goal.name())?)
    })
}

/// Sets the sizes of the slab classes that statistics name.
///
/// Sizes must ascend, from at least 40 to at most the slab_chunk_max setting. mcrs_config_check()
/// compares them with that setting.
///
/// @param config  Settings to change.
/// @param sizes  Sizes in bytes; may be NULL if `count` is 0.
/// @param count  Number of sizes, at most 62. 0, the default, derives the sizes from growth factor
///     and chunk size.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if sizes do not ascend or are too many; or a common
///     status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_sizes(
    config: *mut mcrs_config,
    sizes: *const usize,
    count: usize,
) -> mcrs_status {
    entry!(mut config, { sizes: list(sizes, count) }, {
        Ok(config.settings.set("slab_sizes", (count > 0).then_some(sizes))?)
    })
}

/// Sets the memory limit for items and their index.
///
/// The memory is reserved when a cache is made. A limit that the system cannot reserve makes
/// mcrs_cache_new() and mcrs_server_start() return MCRS_SYSTEM_ERROR.
///
/// ```c
/// assert(mcrs_config_set_memory_limit(config, 256u << 20) == MCRS_OK);    // 256 MiB
/// assert(mcrs_config_set_item_size_max(config, 4u << 20) == MCRS_OK);
/// assert(mcrs_config_set_evictions(config, false) == MCRS_OK);    // refuse, do not evict
/// assert(mcrs_config_check(config) == MCRS_OK);
/// ```
///
/// @param config  Settings to change.
/// @param bytes  Limit in bytes; default 64 MiB. 0 sets no limit but the reserved address space,
///     about 32 GiB.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_memory_limit(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("memory_limit", bytes)?) })
}

/// Sets whether a full cache evicts items to make room.
///
/// @param config  Settings to change.
/// @param on  true, the default, evicts items. false refuses the store with MCRS_NO_MEMORY.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_evictions(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("evictions", on)?) })
}

/// Sets the size of the largest item, as memcached counts it.
///
/// @param config  Settings to change.
/// @param bytes  Size in bytes, 1024 to 1 GiB; default 1 MiB. mcrs_config_check() checks that it is
///     at most half of the memory limit, and a multiple of slab_chunk_max if that is set.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_item_size_max(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("item_size_max", bytes)?) })
}

/// Sets the growth factor between slab classes.
///
/// Slab classes only name sizes in statistics. They do not affect where items are stored.
///
/// @param config  Settings to change.
/// @param factor  Finite and above 1; default 1.25.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_growth_factor(config: *mut mcrs_config, factor: f64) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("growth_factor", factor)?) })
}

/// Sets the smallest space for key, value and flags in slab classes.
///
/// @param config  Settings to change.
/// @param bytes  Size in bytes, above 0; default 48.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is 0; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_chunk_size(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("chunk_size", bytes)?) })
}

/// Sets the size of the largest slab class.
///
/// It also bounds the items that mcrs_cache_incr() takes.
///
/// @param config  Settings to change.
/// @param bytes  Size in bytes, 512 to 1 MiB. It must divide 1 MiB and the item_size_max setting;
///     mcrs_config_check() checks the latter. 0, the default, takes 512 KiB, or the largest power
///     of two that fits in a smaller item_size_max.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range or does not divide 1 MiB; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_chunk_max(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("slab_chunk_max", bytes)?) })
}

/// Sets whether the cache keeps CAS values.
///
/// @param config  Settings to change.
/// @param on  true, the default, keeps them. false makes every CAS read as 0.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_cas(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("use_cas", on)?) })
}

/// Sets whether the background thread frees expired items by itself.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_maintainer(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("lru_maintainer", on)?) })
}

/// Sets whether the crawler frees expired items that clients do not request.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("lru_crawler", on)?) })
}

/// Sets how long the crawler sleeps between steps.
///
/// @param config  Settings to change.
/// @param microseconds  0 to 1000000; default 100.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `microseconds` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler_sleep(
    config: *mut mcrs_config,
    microseconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("lru_crawler_sleep", microseconds)?) })
}

/// Sets how many items the crawler visits in a run.
///
/// @param config  Settings to change.
/// @param items  Most items of a run. 0, the default, visits all.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler_tocrawl(
    config: *mut mcrs_config,
    items: u32,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("lru_crawler_tocrawl", items)?) })
}

/// Sets the share of the HOT queue, which only statistics report.
///
/// @param config  Settings to change.
/// @param percent  1 to 79; default 20. Together with warm_lru_pct at most 80, which
///     mcrs_config_check() checks.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `percent` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hot_lru_pct(config: *mut mcrs_config, percent: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("hot_lru_pct", percent)?) })
}

/// Sets the share of the WARM queue, which only statistics report.
///
/// @param config  Settings to change.
/// @param percent  1 to 79; default 40. Together with hot_lru_pct at most 80, which
///     mcrs_config_check() checks.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `percent` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_warm_lru_pct(config: *mut mcrs_config, percent: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("warm_lru_pct", percent)?) })
}

/// Sets the age factor of the HOT queue, which only statistics report.
///
/// @param config  Settings to change.
/// @param factor  Above 0; default 0.2.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hot_max_factor(
    config: *mut mcrs_config,
    factor: f64,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("hot_max_factor", factor)?) })
}

/// Sets the age factor of the WARM queue, which only statistics report.
///
/// @param config  Settings to change.
/// @param factor  Above 0; default 2.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `factor` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_warm_max_factor(
    config: *mut mcrs_config,
    factor: f64,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("warm_max_factor", factor)?) })
}

/// Sets the longest TTL of items that are never evicted.
///
/// Items with at most this TTL live in a log of their own. By default there is no such log. It
/// needs the background thread, see mcrs_config_set_lru_maintainer(), which mcrs_config_check()
/// checks.
///
/// @param config  Settings to change.
/// @param seconds  TTL in seconds.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_temporary_ttl(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("temporary_ttl", seconds)?) })
}

/// Sets whether the command `slabs reassign` answers.
///
/// The command has no effect, because items belong to no slab class.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_reassign(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("slab_reassign", on)?) })
}

/// Sets the automove mode, which only statistics report.
///
/// @param config  Settings to change.
/// @param mode  0 to 2; default 1.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `mode` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove(config: *mut mcrs_config, mode: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("slab_automove", mode)?) })
}

/// Sets the automove ratio, which only statistics report.
///
/// @param config  Settings to change.
/// @param ratio  Above 0 and at most 1; default 0.8.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `ratio` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove_ratio(
    config: *mut mcrs_config,
    ratio: f64,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("slab_automove_ratio", ratio)?) })
}

/// Sets the automove window, which only statistics report.
///
/// @param config  Settings to change.
/// @param seconds  3 to 1800; default 10.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `seconds` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove_window(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("slab_automove_window", seconds)?) })
}

/// Sets the tail repair time, which only statistics report.
///
/// @param config  Settings to change.
/// @param seconds  0, the default, or at least 10.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for 1 to 9; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tail_repair_time(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("tail_repair_time", seconds)?) })
}

/// Sets whether the cache keeps a histogram of item sizes.
///
/// Group "sizes" of mcrs_cache_stats() reports the histogram.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_track_sizes(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("track_sizes", on)?) })
}

/// Sets the initial size of the index, which grows later.
///
/// @param config  Settings to change.
/// @param power  Logarithm to base 2 of the number of slots, at most 32. 0, the default, lets the
///     cache decide.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `power` is above 32; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hashpower(config: *mut mcrs_config, power: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("hashpower_init", power)?) })
}

/// Sets the number of shards, which are locked separately.
///
/// @param config  Settings to change.
/// @param count  Power of two, at most 1024; a cache with little memory has fewer. 0, the default,
///     lets the cache decide.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_shards(config: *mut mcrs_config, count: usize) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("shards", (count > 0).then_some(count))?) })
}

/// Sets how many threads are expected to use the cache at once.
///
/// It is a hint for the number of shards.
///
/// @param config  Settings to change.
/// @param threads  At least 1; default 4.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `threads` is 0; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_concurrency(
    config: *mut mcrs_config,
    threads: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("concurrency", threads)?) })
}

/// Sets the byte that ends the prefix of a key in `stats detail`.
///
/// @param config  Settings to change.
/// @param delimiter  Any byte; default ':'.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_prefix_delimiter(
    config: *mut mcrs_config,
    delimiter: u8,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("prefix_delimiter", delimiter)?) })
}

/// Sets whether `stats detail` counts from the start.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_detail(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("detail_enabled", on)?) })
}

/// Sets whether the cache asks the system for large pages.
///
/// A cache of at least 64 MiB asks for them anyway.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_large_pages(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("large_pages", on)?) })
}

/// Sets whether the cache's clock starts stopped.
///
/// mcrs_clock_resume() starts it.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_clock_frozen(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("clock_frozen", on)?) })
}

//! Settings of the cache: memory, sizes, eviction, what is counted.

use memcache_core::LruMode;
use memcache_core::internal::config::{ITEM_SIZE_MAX_RANGE, MIB};

use super::mcrs_config;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// How the cache decides which items stay: one of the MCRS_LRU_ numbers.
pub type mcrs_lru_mode = u32;

/// One log in order of use.
pub const MCRS_LRU_FLAT: mcrs_lru_mode = 0;

/// New and used items apart, judged by use and size. The default.
pub const MCRS_LRU_SEGMENTED: mcrs_lru_mode = 1;

/// Policy of eviction; default: MCRS_LRU_SEGMENTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_mode(
    config: *mut mcrs_config,
    mode: mcrs_lru_mode,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.lru_mode = match mode {
            MCRS_LRU_FLAT => LruMode::Flat,
            MCRS_LRU_SEGMENTED => LruMode::Segmented,
            other => return Err(invalid(format!("there is no LRU mode {other}"))),
        };
        Ok(())
    })
}

/// Sizes of the slab classes that statistics name, one by one: ascending, from
/// 40 bytes on. `count` 0: growth factor and chunk size say them, the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_sizes(
    config: *mut mcrs_config,
    sizes: *const usize,
    count: usize,
) -> mcrs_status {
    entry!(mut config, { sizes: list(sizes, count) }, {
        if count > 62 || !sizes.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(invalid("slab sizes ascend, and there are at most 62"));
        }
        config.settings.cache.slab_sizes = (count > 0).then(|| sizes.to_vec());
        Ok(())
    })
}

/// Memory for items and for finding them, in bytes; default 64 MiB. 0: no limit but
/// the addresses that are reserved, about 32 GiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_memory_limit(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.memory_limit = bytes;
        Ok(())
    })
}

/// Whether items are evicted to make room (the default), or stores refused when
/// memory is full.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_evictions(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.evictions = on;
        Ok(())
    })
}

/// Largest item in bytes, as memcached counts them: 1024 to 1 GiB, and at most half
/// of the memory; default 1 MiB. A multiple of the largest chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_item_size_max(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        if !ITEM_SIZE_MAX_RANGE.contains(&bytes) {
            return Err(invalid("an item may have 1024 bytes to a gigabyte"));
        }
        config.settings.cache.item_size_max = bytes;
        Ok(())
    })
}

/// Growth factor between slab classes, which only name sizes in statistics: above
/// 1; default 1.25.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_growth_factor(config: *mut mcrs_config, factor: f64) -> mcrs_status {
    entry!(mut config, {}, {
        if !factor.is_finite() || factor <= 1.0 {
            return Err(invalid("Factor must be greater than 1"));
        }
        config.settings.cache.growth_factor = factor;
        Ok(())
    })
}

/// Smallest space for key, value and flags in bytes, for slab classes; default 48.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_chunk_size(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, {
        if bytes == 0 {
            return Err(invalid("Chunk size must be greater than 0"));
        }
        config.settings.cache.chunk_size = bytes;
        Ok(())
    })
}

/// Size of the largest slab class, and of the largest item that counts, in bytes:
/// it divides 1 MiB and the largest item; default 512 KiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_chunk_max(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        if !(512..=MIB).contains(&bytes) || !MIB.is_multiple_of(bytes) {
            return Err(invalid("slab_chunk_max is 512 bytes to 1 MiB and divides 1 MiB"));
        }
        config.settings.cache.slab_chunk_max = bytes;
        Ok(())
    })
}

/// Whether CAS values are kept (the default); else all read as 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_cas(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.use_cas = on;
        Ok(())
    })
}

/// Whether the background thread frees what has expired by itself; default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_maintainer(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.lru_maintainer = on;
        Ok(())
    })
}

/// Whether the crawler, which frees expired items that nobody asks for, is on;
/// default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.lru_crawler = on;
        Ok(())
    })
}

/// Microseconds that the crawler sleeps between steps, up to 1000000; default 100.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler_sleep(
    config: *mut mcrs_config,
    microseconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        if microseconds > 1_000_000 {
            return Err(invalid("LRU crawler sleep must be between 0 and 1 second"));
        }
        config.settings.cache.lru_crawler_sleep = microseconds;
        Ok(())
    })
}

/// Most items that the crawler looks at in a run; 0, the default: all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_lru_crawler_tocrawl(
    config: *mut mcrs_config,
    items: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.lru_crawler_tocrawl = items;
        Ok(())
    })
}

/// Reported by statistics only, 1 to 79; default 20.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hot_lru_pct(config: *mut mcrs_config, percent: u32) -> mcrs_status {
    entry!(mut config, {}, {
        if !(1..=79).contains(&percent) {
            return Err(invalid("hot_lru_pct must be > 1 and < 80"));
        }
        config.settings.cache.hot_lru_pct = percent;
        Ok(())
    })
}

/// Reported by statistics only, 1 to 79; default 40.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_warm_lru_pct(config: *mut mcrs_config, percent: u32) -> mcrs_status {
    entry!(mut config, {}, {
        if !(1..=79).contains(&percent) {
            return Err(invalid("warm_lru_pct must be > 1 and < 80"));
        }
        config.settings.cache.warm_lru_pct = percent;
        Ok(())
    })
}

/// Reported by statistics only, above 0; default 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hot_max_factor(
    config: *mut mcrs_config,
    factor: f64,
) -> mcrs_status {
    entry!(mut config, {}, {
        if factor.is_nan() || factor <= 0.0 {
            return Err(invalid("hot_max_factor must be > 0"));
        }
        config.settings.cache.hot_max_factor = factor;
        Ok(())
    })
}

/// Reported by statistics only, above 0; default 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_warm_max_factor(
    config: *mut mcrs_config,
    factor: f64,
) -> mcrs_status {
    entry!(mut config, {}, {
        if factor.is_nan() || factor <= 0.0 {
            return Err(invalid("warm_max_factor must be > 0"));
        }
        config.settings.cache.warm_max_factor = factor;
        Ok(())
    })
}

/// Items with at most this TTL live in a log of their own and are never evicted.
/// Default: there is no such log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_temporary_ttl(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.temporary_ttl = Some(seconds);
        Ok(())
    })
}

/// Whether the command `slabs reassign` answers; there is nothing to move.
/// Default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_reassign(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.slab_reassign = on;
        Ok(())
    })
}

/// Reported by statistics only, 0 to 2; default 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove(config: *mut mcrs_config, mode: u32) -> mcrs_status {
    entry!(mut config, {}, {
        if mode > 2 {
            return Err(invalid("slab_automove must be between 0 and 2"));
        }
        config.settings.cache.slab_automove = mode;
        Ok(())
    })
}

/// Reported by statistics only, above 0 and up to 1; default 0.8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove_ratio(
    config: *mut mcrs_config,
    ratio: f64,
) -> mcrs_status {
    entry!(mut config, {}, {
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(invalid("slab_automove_ratio must be > 0 and < 1"));
        }
        config.settings.cache.slab_automove_ratio = ratio;
        Ok(())
    })
}

/// Reported by statistics only, 3 to 1800; default 10.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_slab_automove_window(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        if !(3..=1800).contains(&seconds) {
            return Err(invalid("slab_automove_window must be > 2 and < 1800"));
        }
        config.settings.cache.slab_automove_window = seconds;
        Ok(())
    })
}

/// Reported by statistics only: 0, the default, or at least 10.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tail_repair_time(
    config: *mut mcrs_config,
    seconds: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        if (1..10).contains(&seconds) {
            return Err(invalid("Cannot set tail_repair_time to less than 10 seconds"));
        }
        config.settings.cache.tail_repair_time = seconds;
        Ok(())
    })
}

/// Whether the histogram of item sizes is kept (group "sizes" of the statistics);
/// default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_track_sizes(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.track_sizes = on;
        Ok(())
    })
}

/// Slots of the index at start, as a power of 2, up to 32; 0, the default: the
/// cache decides. It grows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_hashpower(config: *mut mcrs_config, power: u32) -> mcrs_status {
    entry!(mut config, {}, {
        if power > 32 {
            return Err(invalid("the index has at most 2^32 slots at start"));
        }
        config.settings.cache.hashpower_init = power;
        Ok(())
    })
}

/// Parts of the cache that are locked one by one: a power of 2 up to 1024, fewer if
/// there is little memory; 0, the default: the cache decides.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_shards(config: *mut mcrs_config, count: usize) -> mcrs_status {
    entry!(mut config, {}, {
        if count != 0 && !(count.is_power_of_two() && count <= 1024) {
            return Err(invalid("shards must be a power of two of at most 1024"));
        }
        config.settings.cache.shards = (count != 0).then_some(count);
        Ok(())
    })
}

/// How many threads are expected to use the cache at once, a hint for the number of
/// shards; default 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_concurrency(
    config: *mut mcrs_config,
    threads: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        if threads == 0 {
            return Err(invalid("at least one thread uses a cache"));
        }
        config.settings.cache.concurrency = threads;
        Ok(())
    })
}

/// Byte that ends the prefix of a key, by which `stats detail` counts; default ':'.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_prefix_delimiter(
    config: *mut mcrs_config,
    delimiter: u8,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.prefix_delimiter = delimiter;
        Ok(())
    })
}

/// Whether `stats detail` counts from the start; default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_detail(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.detail_enabled = on;
        Ok(())
    })
}

/// Whether large pages are asked for, which is done anyway from 64 MiB on;
/// default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_large_pages(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.large_pages = on;
        Ok(())
    })
}

/// Whether the clock stands still from the start, until mcrs_clock_resume();
/// default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_clock_frozen(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.cache.clock_frozen = on;
        Ok(())
    })
}

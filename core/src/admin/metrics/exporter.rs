//! The metrics of `prometheus/memcached_exporter` 0.16, by its names, from the statistics that it
//! reads.
//!
//! Those that it has for extstore are missing: `stats` has no such rows here.

use super::rows::{Row, rows};

/// From `stats`.
pub(super) const GENERAL: &[Row] = rows! {
    COUNTER "memcached_uptime_seconds", "Seconds since the server started.": "uptime";
    GAUGE "memcached_time_seconds", "Unix time of the server.": "time";
    COUNTER "memcached_process_user_cpu_seconds_total", "CPU time of the process in user mode.":
        "rusage_user";
    COUNTER "memcached_process_system_cpu_seconds_total", "CPU time of the process in the system.":
        "rusage_system";
    COUNTER "memcached_read_bytes_total", "Bytes read from clients.": "bytes_read";
    COUNTER "memcached_written_bytes_total", "Bytes written to clients.": "bytes_written";
    GAUGE "memcached_current_connections", "Open connections.": "curr_connections";
    COUNTER "memcached_connections_total", "Connections accepted.": "total_connections";
    COUNTER "memcached_connections_rejected_total", "Connections refused for -c, with maxconns_fast.":
        "rejected_connections";
    COUNTER "memcached_connections_yielded_total", "Times that a connection reached the limit of -R.":
        "conn_yields";
    COUNTER "memcached_connections_listener_disabled_total", "Times that accepting paused for -c.":
        "listen_disabled_num";
    GAUGE "memcached_accepting_connections", "1 if connections are accepted, else 0.": "accepting_conns";
    GAUGE "memcached_current_bytes", "Bytes of the stored items.": "bytes";
    GAUGE "memcached_limit_bytes", "Limit of item memory.": "limit_maxbytes";
    GAUGE "memcached_malloced_bytes", "Bytes of the memory that holds items.": "total_malloced";
    COUNTER "memcached_commands_total", "Requests by command and outcome.": {
        command = "get" status = "hit": "get_hits",
        command = "get" status = "miss": "get_misses",
        command = "delete" status = "hit": "delete_hits",
        command = "delete" status = "miss": "delete_misses",
        command = "incr" status = "hit": "incr_hits",
        command = "incr" status = "miss": "incr_misses",
        command = "decr" status = "hit": "decr_hits",
        command = "decr" status = "miss": "decr_misses",
        command = "cas" status = "hit": "cas_hits",
        command = "cas" status = "miss": "cas_misses",
        command = "cas" status = "badval": "cas_badval",
        command = "touch" status = "hit": "touch_hits",
        command = "touch" status = "miss": "touch_misses",
        command = "flush" status = "hit": "cmd_flush",
        command = "set" status = "hit": "cmd_set" - "cas_misses" - "cas_hits" - "cas_badval",
    };
    GAUGE "memcached_current_items", "Items in the cache.": "curr_items";
    COUNTER "memcached_items_total", "Items stored.": "total_items";
    COUNTER "memcached_items_evicted_total", "Items evicted while they were valid.": "evictions";
    COUNTER "memcached_items_reclaimed_total", "Expired items whose memory a new item took.": "reclaimed";
    COUNTER "memcached_item_too_large_total", "Stores refused because of the size of the item.":
        "store_too_large";
    COUNTER "memcached_item_no_memory_total", "Stores refused for want of memory.": "store_no_memory";
    COUNTER "memcached_direct_reclaims_total", "Always 0: workers reclaim nothing directly.":
        "direct_reclaims";
    COUNTER "memcached_lru_crawler_starts_total", "Runs of the crawler.": "lru_crawler_starts";
    COUNTER "memcached_lru_crawler_items_checked_total", "Items that the crawler examined.":
        "crawler_items_checked";
    COUNTER "memcached_lru_crawler_reclaimed_total", "Items that the crawler freed.": "crawler_reclaimed";
    COUNTER "memcached_lru_crawler_moves_to_cold_total", "Always 0: items do not move to COLD.":
        "moves_to_cold";
    COUNTER "memcached_lru_crawler_moves_to_warm_total", "Items moved to WARM.": "moves_to_warm";
    COUNTER "memcached_lru_crawler_moves_within_lru_total", "Items moved to the end of their log.":
        "moves_within_lru";
    COUNTER "memcached_round_robin_fallback_total", "Always 0: NAPI ids have no effect.":
        "round_robin_fallback";
    COUNTER "memcached_unexpected_napi_ids_total", "Always 0: NAPI ids have no effect.":
        "unexpected_napi_ids";
};

/// From `stats` of a proxy.
pub(super) const PROXY: &[Row] = rows! {
    COUNTER "memcached_proxy_conn_requests_total", "Requests of clients, each key of a get counts.":
        "proxy_conn_requests";
    COUNTER "memcached_proxy_conn_errors_total", "Requests that are malformed or too long.":
        "proxy_conn_errors";
    COUNTER "memcached_proxy_conn_oom_total", "Requests refused for want of memory.": "proxy_conn_oom";
    GAUGE "memcached_proxy_req_active", "Requests without an answer.": "proxy_req_active";
    COUNTER "memcached_proxy_config_reloads_total", "Configurations loaded, that of the start included.":
        "proxy_config_reloads";
    COUNTER "memcached_proxy_config_reload_fails_total", "Configurations that could not be loaded.":
        "proxy_config_reload_fails";
    COUNTER "memcached_proxy_config_cron_runs_total", "Runs of timed functions of a Lua program.":
        "proxy_config_cron_runs";
    COUNTER "memcached_proxy_config_cron_fails_total", "Runs of timed functions that failed.":
        "proxy_config_cron_fails";
    GAUGE "memcached_proxy_backend_total", "Backends, each counted in each worker.": "proxy_backend_total";
    COUNTER "memcached_proxy_backend_marked_bad_total", "Connections that became bad.":
        "proxy_backend_marked_bad";
    GAUGE "memcached_proxy_backend_failed", "Connections that ended and were opened again at once.":
        "proxy_backend_failed";
    COUNTER "memcached_proxy_request_failed_depth_total", "Requests refused for depth_limit.":
        "proxy_request_failed_depth";
};

/// From `stats settings`.
pub(super) const SETTINGS: &[Row] = rows! {
    GAUGE "memcached_max_connections", "Most connections at once, -c.": "maxconns";
};

/// From `stats settings` while the crawler is on.
pub(super) const CRAWLER: &[Row] = rows! {
    GAUGE "memcached_lru_crawler_enabled", "1 if the crawler is on.": "lru_crawler";
    GAUGE "memcached_lru_crawler_sleep", "Microseconds between steps of the crawler.": "lru_crawler_sleep";
    GAUGE "memcached_lru_crawler_to_crawl", "Most items that a run examines in a class, 0 for all.":
        "lru_crawler_tocrawl";
    GAUGE "memcached_lru_crawler_maintainer_thread", "1 if memory is maintained in the background.":
        "lru_maintainer_thread";
    GAUGE "memcached_lru_crawler_hot_percent", "Setting hot_lru_pct, which has no effect.": "hot_lru_pct";
    GAUGE "memcached_lru_crawler_warm_percent", "Setting warm_lru_pct, which has no effect.":
        "warm_lru_pct";
    GAUGE "memcached_lru_crawler_hot_max_factor", "Setting hot_max_factor, which has no effect.":
        "hot_max_factor";
    GAUGE "memcached_lru_crawler_warm_max_factor", "Setting warm_max_factor, which has no effect.":
        "warm_max_factor";
};

/// From `stats items`, for each slab class.
pub(super) const ITEMS: &[Row] = rows! {
    GAUGE "memcached_slab_current_items", "Items of the class.": "number";
    GAUGE "memcached_slab_items_age_seconds", "Idle seconds of the oldest item.": "age";
    COUNTER "memcached_slab_lru_hits_total", "Hits on items of the class, by queue.": {
        lru = "hot": "hits_to_hot",
        lru = "warm": "hits_to_warm",
        lru = "cold": "hits_to_cold",
        lru = "temporary": "hits_to_temp",
    };
    COUNTER "memcached_slab_items_crawler_reclaimed_total", "Items that the crawler freed.":
        "crawler_reclaimed";
    COUNTER "memcached_slab_items_evicted_total", "Items evicted while they were valid.": "evicted";
    COUNTER "memcached_slab_items_evicted_nonzero_total", "Of these, items with a TTL.": "evicted_nonzero";
    COUNTER "memcached_slab_items_evicted_time_seconds", "Idle seconds of the item evicted last.":
        "evicted_time";
    COUNTER "memcached_slab_items_evicted_unfetched_total", "Items evicted that were never fetched.":
        "evicted_unfetched";
    COUNTER "memcached_slab_items_expired_unfetched_total", "Items expired that were never fetched.":
        "expired_unfetched";
    COUNTER "memcached_slab_items_outofmemory_total", "Allocations that failed.": "outofmemory";
    COUNTER "memcached_slab_items_reclaimed_total", "Expired items whose memory a new item took.":
        "reclaimed";
    COUNTER "memcached_slab_items_tailrepairs_total", "Always 0: no item blocks the end of a log.":
        "tailrepairs";
    COUNTER "memcached_slab_mem_requested_bytes", "Bytes of the items of the class.": "mem_requested";
    COUNTER "memcached_slab_items_moves_to_cold", "Always 0: items do not move to COLD.": "moves_to_cold";
    COUNTER "memcached_slab_items_moves_to_warm", "Items moved to WARM.": "moves_to_warm";
    COUNTER "memcached_slab_items_moves_within_lru", "Items moved to the end of their log.":
        "moves_within_lru";
    GAUGE "memcached_slab_hot_items", "Items in HOT.": "number_hot";
    GAUGE "memcached_slab_warm_items", "Items in WARM.": "number_warm";
    GAUGE "memcached_slab_cold_items", "Items in COLD.": "number_cold";
    GAUGE "memcached_slab_temporary_items", "Items with a TTL of at most temporary_ttl.": "number_temp";
    GAUGE "memcached_slab_hot_age_seconds", "Idle seconds of the oldest item in HOT.": "age_hot";
    GAUGE "memcached_slab_warm_age_seconds", "Idle seconds of the oldest item in WARM.": "age_warm";
};

/// From `stats slabs`, for each slab class.
pub(super) const SLABS: &[Row] = rows! {
    COUNTER "memcached_slab_commands_total", "Requests by slab class, command and outcome.": {
        command = "get" status = "hit": "get_hits",
        command = "delete" status = "hit": "delete_hits",
        command = "incr" status = "hit": "incr_hits",
        command = "decr" status = "hit": "decr_hits",
        command = "cas" status = "hit": "cas_hits",
        command = "cas" status = "badval": "cas_badval",
        command = "touch" status = "hit": "touch_hits",
        command = "set" status = "hit": "cmd_set" - "cas_hits" - "cas_badval",
    };
    GAUGE "memcached_slab_chunk_size_bytes", "Bytes of a chunk.": "chunk_size";
    GAUGE "memcached_slab_chunks_per_page", "Chunks of a page.": "chunks_per_page";
    GAUGE "memcached_slab_current_pages", "Pages that memcached would need for the items.": "total_pages";
    GAUGE "memcached_slab_current_chunks", "Chunks of these pages.": "total_chunks";
    GAUGE "memcached_slab_chunks_used", "Chunks with an item.": "used_chunks";
    GAUGE "memcached_slab_chunks_free", "Chunks without an item.": "free_chunks";
    GAUGE "memcached_slab_chunks_free_end", "Always 0: no page is partly used.": "free_chunks_end";
};

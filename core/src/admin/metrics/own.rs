//! Statistics that the public exporter leaves out. Their names begin with `memcache_rs_`.

use super::rows::{Row, rows};

/// From `stats`: requests and items.
pub(super) const REQUESTS: &[Row] = rows! {
    COUNTER "memcache_rs_misses_total", "Misses of gets, by reason.": {
        reason = "absent": "get_misses" - "get_expired" - "get_flushed",
        reason = "expired": "get_expired",
        reason = "flushed": "get_flushed",
    };
    COUNTER "memcache_rs_meta_commands_total", "Meta commands.": "cmd_meta";
    COUNTER "memcache_rs_unfetched_items_total", "Items that left the cache and were never fetched.": {
        reason = "evicted": "evicted_unfetched",
        reason = "expired": "expired_unfetched",
    };
    COUNTER "memcache_rs_evicted_active_items_total", "Items evicted that were fetched since they became cold.":
        "evicted_active";
    GAUGE "memcache_rs_crawler_running", "1 while the crawler runs.": "lru_crawler_running";
};

/// From `stats`: connections, limits and logins.
pub(super) const CONNECTIONS: &[Row] = rows! {
    GAUGE "memcache_rs_threads", "Worker threads.": "threads";
    COUNTER "memcache_rs_listener_paused_seconds_total", "Time during which accepting was paused for -c.":
        "time_in_listen_disabled_us" * 1e-6;
    GAUGE "memcache_rs_buffer_bytes", "Memory of requests and replies, beside item memory.": "read_buf_bytes";
    COUNTER "memcache_rs_buffer_closes_total", "Connections closed at the limit of this memory.": {
        buffer = "request": "read_buf_oom",
        buffer = "reply": "response_obj_oom",
    };
    COUNTER "memcache_rs_idle_closes_total", "Connections closed because they were idle.": "idle_kicks";
    COUNTER "memcache_rs_logins_total", "Attempts to log in.": {
        result = "ok": "auth_cmds" - "auth_errors",
        result = "failed": "auth_errors",
    };
    GAUGE "memcache_rs_watchers", "Connections that watch.": "log_watchers";
    COUNTER "memcache_rs_watcher_events_total", "Events for watchers.": {
        result = "sent": "log_watcher_sent",
        result = "skipped": "log_watcher_skipped",
    };
};

/// From `stats` of a server with TLS.
pub(super) const TLS: &[Row] = rows! {
    COUNTER "memcache_rs_tls_sessions_total", "Complete handshakes that resumed no session.":
        "ssl_new_sessions";
    COUNTER "memcache_rs_tls_errors_total", "Connections that TLS ended.": {
        phase = "handshake": "ssl_handshake_errors",
        phase = "connection": "ssl_proto_errors",
    };
    GAUGE "memcache_rs_tls_certificate_age_seconds", "Time since the certificates were read.":
        "time_since_server_cert_refresh";
};

/// From `stats` of a server that keeps a snapshot.
pub(super) const SNAPSHOTS: &[Row] = rows! {
    COUNTER "memcache_rs_snapshot_saves_total", "Snapshots written, by result.": {
        result = "ok": "persist_saves",
        result = "failed": "persist_save_fails",
    };
    GAUGE "memcache_rs_snapshot_last_save_timestamp_seconds", "Unix time of the end of the last save.":
        "persist_last_save";
    GAUGE "memcache_rs_snapshot_last_save_items", "Items of the last save.": "persist_last_save_items";
    GAUGE "memcache_rs_snapshot_last_save_bytes", "Bytes of the file of the last save.":
        "persist_last_save_bytes";
    GAUGE "memcache_rs_snapshot_last_save_duration_seconds", "Duration of the last save.":
        "persist_last_save_seconds";
    GAUGE "memcache_rs_snapshot_loaded_items", "Items loaded at the start.": "persist_loaded_items";
    GAUGE "memcache_rs_snapshot_loaded_bytes", "Bytes loaded at the start.": "persist_loaded_bytes";
    GAUGE "memcache_rs_snapshot_load_duration_seconds", "Duration of the load at the start.":
        "persist_loaded_seconds";
    GAUGE "memcache_rs_snapshot_load_dropped_items", "Items of the snapshot that were not loaded.": {
        reason = "expired": "persist_load_expired",
        reason = "skipped": "persist_load_skipped",
        reason = "damaged": "persist_load_damaged",
    };
};

/// From `stats settings`.
pub(super) const SETTINGS: &[Row] = rows! {
    GAUGE "memcache_rs_item_size_max_bytes", "Largest item.": "item_size_max";
    GAUGE "memcache_rs_evictions_enabled", "1 if items are evicted when memory is full.": "evictions";
};

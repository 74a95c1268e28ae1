//! Settings of servers: threads, limits, allowed commands, cluster nodes.

use std::ffi::{c_char, c_int};

use memcache_core::ClusterNode;

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// Adds a node to the list that `config get cluster` reports.
///
/// Clients with auto discovery read this list, as they do from a hosted cluster.
///
/// ```c
/// assert(mcrs_config_add_cluster_node(config, "cache-1.example", "10.0.0.1", 11211) == MCRS_OK);
/// assert(mcrs_config_add_cluster_node(config, "cache-2.example", NULL, 11211) == MCRS_OK);
/// ```
///
/// @param config  Settings to change.
/// @param host  Name of the node: a text without blanks and control characters.
/// @param ip  IPv4 or IPv6 address; NULL if unknown, then clients use the name.
/// @param port  Port of the node.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host` or `ip` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_add_cluster_node(
    config: *mut mcrs_config,
    host: *const c_char,
    ip: *const c_char,
    port: u16,
) -> mcrs_status {
    entry!(mut config, { host: text(host), ip: maybe_text(ip) }, {
        config.settings.cluster.push(node(host, ip, port)?);
        Ok(())
    })
}

/// Makes a node of a cluster from its parts.
pub(crate) fn node(host: &str, ip: Option<&str>, port: u16) -> Result<ClusterNode, Failure> {
    let ip = ip
        .map(|ip| {
            ip.parse().map_err(|_| invalid(format!("ip must be an IPv4 or IPv6 address, got \"{ip}\"")))
        })
        .transpose()?;
    Ok(ClusterNode::new(host, ip, port)?)
}

/// Sets the number of worker threads of a server.
///
/// ```c
/// assert(mcrs_config_set_threads(config, 2) == MCRS_OK);
/// assert(mcrs_config_set_max_connections(config, 100) == MCRS_OK);
/// assert(mcrs_config_set_idle_timeout(config, 300) == MCRS_OK);    // seconds
/// assert(mcrs_config_set_threads(config, 0) == MCRS_INVALID_ARGUMENT);
/// ```
///
/// @param config  Settings to change.
/// @param count  1 to 1024; default 4.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_threads(config: *mut mcrs_config, count: usize) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("threads", count)?) })
}

/// Sets how many connections a server has at once.
///
/// Listeners and UDP sockets count as well. mcrs_server_start() returns MCRS_SYSTEM_ERROR if the
/// system allows the process fewer open files.
///
/// @param config  Settings to change.
/// @param count  At least 1; default 1024.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is 0; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_max_connections(
    config: *mut mcrs_config,
    count: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("max_connections", count)?) })
}

/// Sets whether a server refuses connections above the limit at once.
///
/// @param config  Settings to change.
/// @param on  true, the default, refuses them with a text. false leaves them waiting.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_maxconns_fast(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("maxconns_fast", on)?) })
}

/// Sets the length of the queue of connections to accept.
///
/// @param config  Settings to change.
/// @param length  Default 1024. A negative length asks the system for the longest queue.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_backlog(config: *mut mcrs_config, length: c_int) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("backlog", length)?) })
}

/// Sets how many requests of a connection a worker handles at a turn.
///
/// @param config  Settings to change.
/// @param count  At least 1; default 256.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `count` is 0; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_requests_per_event(
    config: *mut mcrs_config,
    count: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("requests_per_event", count)?) })
}

/// Sets when a server closes idle TCP connections.
///
/// @param config  Settings to change.
/// @param seconds  Idle time in seconds. 0, the default, never closes them.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_idle_timeout(config: *mut mcrs_config, seconds: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("idle_timeout", seconds)?) })
}

/// Sets how many unread bytes of replies a connection may hold.
///
/// Above the limit its further requests wait.
///
/// @param config  Settings to change.
/// @param bytes  Limit in bytes; default 1 MiB.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_output_limit(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("output_limit", bytes)?) })
}

/// Sets the configuration that makes a server a proxy.
///
/// mcrs_server_start() reads it. Commands with keys then go to the backends of the configuration,
/// which docs/proxy.md describes. mcrs_error_message() names the line of a mistake.
///
/// ```c
/// const char *route = "route = 'main'\npools.main.backends = ['127.0.0.1:11211']\n";
/// mcrs_config *routed = NULL;
/// assert(mcrs_config_new(&routed) == MCRS_OK);
/// assert(mcrs_config_set_proxy(routed, route) == MCRS_OK);
/// mcrs_config_free(routed);
/// ```
///
/// @param config  Settings to change.
/// @param toml  Name of a file, which ends in `.toml`, or else a text in TOML; NULL, the default,
///     for a server that is not a proxy.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `toml` is empty; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_proxy(config: *mut mcrs_config, toml: *const c_char) -> mcrs_status {
    entry!(mut config, { toml: maybe_text(toml) }, { Ok(config.settings.set("proxy", toml)?) })
}

/// Sets whether clients may use `flush_all`.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_flush(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("flush_enabled", on)?) })
}

/// Sets whether clients may list keys.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_dump(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("dump_enabled", on)?) })
}

/// Sets whether clients may use `watch`.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_watch(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("watch_enabled", on)?) })
}

/// Sets whether clients may shut the server down.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_shutdown(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("shutdown_enabled", on)?) })
}

/// Sets whether calls on the server's cache wait for clients first.
///
/// A call then waits, for at most a second, until requests that clients have sent are carried out,
/// as mcrs_server_settle() does. This makes tests deterministic and costs each call some
/// microseconds.
///
/// @param config  Settings to change.
/// @param on  Default true.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_settles(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("settles", on)?) })
}

/// Sets how much a server logs.
///
/// @param config  Settings to change.
/// @param level  0 to 3; default 0.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `level` is above 3; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_verbosity(config: *mut mcrs_config, level: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("verbosity", level)?) })
}

/// Sets the size of the buffer of each watcher.
///
/// @param config  Settings to change.
/// @param bytes  Size in bytes; default 256 KiB.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_watcher_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("watcher_buffer", bytes)?) })
}

/// Sets the size of the workers' log buffers, which only statistics report.
///
/// @param config  Settings to change.
/// @param bytes  Size in bytes; default 64 KiB.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_worker_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("worker_buffer", bytes)?) })
}

/// Sets whether the commands of memcached's debug build answer.
///
/// @param config  Settings to change.
/// @param on  Default false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_debug_commands(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("debug_commands", on)?) })
}

/// Sets the mark of packets of internet sockets, for packet filters.
///
/// @param config  Settings to change.
/// @param mark  Mark as in SO_MARK, Linux only. 0, the default, sets none.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_socket_mark(config: *mut mcrs_config, mark: u32) -> mcrs_status {
    entry!(mut config, {}, { Ok(config.settings.set("socket_mark", mark)?) })
}

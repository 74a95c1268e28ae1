//! Settings of the server: threads, limits, which commands answer, the cluster.

use std::ffi::{c_char, c_int};

use memcache_core::ClusterNode;

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// One more node of the list that clients with auto discovery are told, as a node
/// of a hosted cluster does. `ip` NULL: unknown, clients take the name.
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

/// A node of a cluster's list.
pub(crate) fn node(host: &str, ip: Option<&str>, port: u16) -> Result<ClusterNode, Failure> {
    let ip =
        ip.map(|ip| ip.parse().map_err(|_| invalid(format!("\"{ip}\" is not an address")))).transpose()?;
    Ok(ClusterNode::new(host, ip, port)?)
}

/// Worker threads of the server, 1 to 1024; default 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_threads(config: *mut mcrs_config, count: usize) -> mcrs_status {
    entry!(mut config, {}, {
        if !(1..=1024).contains(&count) {
            return Err(invalid("Number of threads must be 1 to 1024"));
        }
        config.settings.threads = count;
        Ok(())
    })
}

/// Most connections at once, listeners and UDP sockets included, at least 1;
/// default 1024.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_max_connections(
    config: *mut mcrs_config,
    count: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        if count == 0 {
            return Err(invalid("Maximum connections must be greater than 0"));
        }
        config.settings.max_connections = count;
        Ok(())
    })
}

/// Whether a connection above the limit is refused with a text (the default) or
/// left waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_maxconns_fast(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.maxconns_fast = on;
        Ok(())
    })
}

/// Length of the queue of connections that are not accepted yet; default 1024.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_backlog(config: *mut mcrs_config, length: c_int) -> mcrs_status {
    entry!(mut config, {}, {
        if length < 0 {
            return Err(invalid("a queue has no negative length"));
        }
        config.settings.backlog = length;
        Ok(())
    })
}

/// Requests of a connection before others get their turn, at least 1; default 256.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_requests_per_event(
    config: *mut mcrs_config,
    count: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        if count == 0 {
            return Err(invalid("Number of requests per event must be greater than 0"));
        }
        config.settings.requests_per_event = count;
        Ok(())
    })
}

/// Seconds after which an idle TCP connection is closed; 0, the default: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_idle_timeout(config: *mut mcrs_config, seconds: u32) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.idle_timeout = seconds;
        Ok(())
    })
}

/// Bytes of replies that a client has not read above which its requests wait;
/// default 1 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_output_limit(config: *mut mcrs_config, bytes: usize) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.output_limit = bytes;
        Ok(())
    })
}

/// Whether clients may flush_all; default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_flush(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.flush_enabled = on;
        Ok(())
    })
}

/// Whether clients may list keys; default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_dump(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.dump_enabled = on;
        Ok(())
    })
}

/// Whether clients may watch; default: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_watch(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.watch_enabled = on;
        Ok(())
    })
}

/// Whether clients may shut the server down; default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_shutdown(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.shutdown_enabled = on;
        Ok(())
    })
}

/// Whether handles of the server's own cache first wait until what clients have sent
/// is carried out, as mcrs_server_settle() does; default: yes. Tests want that. It
/// costs each call some microseconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_settles(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.settles = on;
        Ok(())
    })
}

/// What is logged, 0 to 3; default 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_verbosity(config: *mut mcrs_config, level: u32) -> mcrs_status {
    entry!(mut config, {}, {
        if level > 3 {
            return Err(invalid("a verbosity is 0 to 3"));
        }
        config.settings.verbosity = level as u8;
        Ok(())
    })
}

/// Bytes buffered for each watcher; default 256 KiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_watcher_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.watcher_buffer = bytes;
        Ok(())
    })
}

/// Reported by statistics only; default 64 KiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_worker_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.worker_buffer = bytes;
        Ok(())
    })
}

/// Whether the commands of memcached's debug build answer; default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_debug_commands(config: *mut mcrs_config, on: bool) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.debug_commands = on;
        Ok(())
    })
}

/// Mark of the packets of internet sockets, for filters, on Linux; 0, the default:
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_socket_mark(config: *mut mcrs_config, mark: u32) -> mcrs_status {
    entry!(mut config, {}, {
        config.settings.socket_mark = mark;
        Ok(())
    })
}

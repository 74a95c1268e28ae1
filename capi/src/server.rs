//! Servers in this process: start, addresses, stop.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use memcache_core::internal::base::fork::ForkMark;
use memcache_core::{BoundAddress, Listen, ProxyConfig, ReloadError, Server, ServerConfig, Stop};

use crate::arguments::{maybe_text, text};
use crate::cache::mcrs_cache;
use crate::config::mcrs_config;
use crate::config::server::node;
use crate::guard::{self, Failure, Handle, LOCKED, Outcome, SERVER, not_inside};
use crate::status::mcrs_status;

/// Waits without a timeout, as the `timeout_ms` of mcrs_server_wait().
pub const MCRS_FOREVER: u32 = u32::MAX;

/// Names a kind of address: one of the MCRS_ADDRESS_ numbers.
pub type mcrs_address_kind = u32;

/// Is a TCP address.
pub const MCRS_ADDRESS_TCP: mcrs_address_kind = 1;

/// Is the path of a Unix socket.
pub const MCRS_ADDRESS_UNIX: mcrs_address_kind = 2;

/// Is a UDP address.
pub const MCRS_ADDRESS_UDP: mcrs_address_kind = 3;

/// Holds an address at which a server listens.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_address {
    /// Kind of the address: one of the MCRS_ADDRESS_ numbers.
    pub kind: mcrs_address_kind,
    /// Port that the server took; 0 for a Unix socket.
    pub port: u16,
    /// IP address without port, or the path; valid until the server is freed.
    pub host: *const c_char,
}

/// Describes a node of a cluster.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_node {
    /// Name of the node: a text without blanks and control characters.
    pub host: *const c_char,
    /// IPv4 or IPv6 address; NULL if unknown.
    pub ip: *const c_char,
    /// Port of the node.
    pub port: u16,
}

/// Runs listeners and worker threads that serve a cache.
///
/// Any thread may use a handle at any time.
pub struct mcrs_server {
    pub(crate) server: Server,
    addresses: Vec<(mcrs_address_kind, u16, CString)>,
    mark: ForkMark,
}

impl Handle for mcrs_server {
    fn check(&self) -> Outcome {
        guard::not_forked(self.mark)?;
        not_inside(LOCKED)
    }
}

fn start(config: &mcrs_config, cache: Option<&mcrs_cache>) -> Result<mcrs_server, Failure> {
    not_inside(SERVER)?;
    let mut settings: ServerConfig = config.settings.clone();
    for listen in &settings.listen {
        match listen {
            Listen::Tcp { addr, .. } if settings.reported.tcp_port == 0 => {
                settings.reported.tcp_port = addr.port();
            }
            Listen::Udp { addr } if settings.reported.udp_port == 0 => {
                settings.reported.udp_port = addr.port();
            }
            _ => {}
        }
    }
    let server = match cache {
        None => Server::start(settings)?,
        Some(cache) => {
            // The program has its own handles, which it may use often.
            settings.settles = false;
            Server::with_cache(settings, Arc::clone(&cache.cache))?
        }
    };
    let text = |text: Vec<u8>| CString::new(text).unwrap_or_default();
    let addresses = server.addresses().iter().map(|address| match address {
        BoundAddress::Tcp(at) => (MCRS_ADDRESS_TCP, at.port(), text(at.ip().to_string().into())),
        BoundAddress::Udp(at) => (MCRS_ADDRESS_UDP, at.port(), text(at.ip().to_string().into())),
        BoundAddress::Unix(path) => (MCRS_ADDRESS_UNIX, 0, text(path.as_os_str().as_bytes().to_vec())),
    });
    let addresses = addresses.collect();
    Ok(mcrs_server { server, addresses, mark: ForkMark::of_this_process() })
}

/// Creates a cache and starts a server for it.
///
/// It returns when the server accepts connections. A call that fails leaves nothing behind.
///
/// ```c
/// mcrs_server *one = NULL;
/// mcrs_cache *served = NULL;
/// if (mcrs_server_start(config, &one) != MCRS_OK) {
///     fprintf(stderr, "%s\n", mcrs_error_message());
///     exit(1);
/// }
/// assert(mcrs_server_cache(one, &served) == MCRS_OK);
/// assert(mcrs_cache_set(served, "greeting", 8, "hello", 5, 60) == MCRS_OK);    // clients see it
/// mcrs_server_free(one);
/// mcrs_cache_free(served);    // it outlives its server
/// ```
///
/// @param config  Settings, which are copied.
/// @param server  Receives the handle. Free it with mcrs_server_free().
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if settings contradict each other; MCRS_LISTEN_FAILED if
///     the server cannot listen at an address; MCRS_BAD_FILE for a file of users, certificates or
///     keys; MCRS_SYSTEM_ERROR if the system refuses memory, threads or descriptors; or a common
///     status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_start(
    config: *const mcrs_config,
    server: *mut *mut mcrs_server,
) -> mcrs_status {
    entry!(config, { output: out_handle(server) }, {
        output.give(start(config, None)?);
        Ok(())
    })
}

/// Starts a server for a cache that exists.
///
/// The server keeps the cache alive. Settings of caches are only reported by statistics.
///
/// @param config  Settings, which are copied.
/// @param cache  Cache to serve.
/// @param server  Receives the handle. Free it with mcrs_server_free().
/// @return As mcrs_server_start(): MCRS_OK; MCRS_INVALID_ARGUMENT; MCRS_LISTEN_FAILED;
///     MCRS_BAD_FILE; MCRS_SYSTEM_ERROR; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_start_with_cache(
    config: *const mcrs_config,
    cache: *const mcrs_cache,
    server: *mut *mut mcrs_server,
) -> mcrs_status {
    entry!(config, { cache: handle(cache), output: out_handle(server) }, {
        output.give(start(config, Some(cache))?);
        Ok(())
    })
}

/// Stops a server at once, if it runs, and frees it.
///
/// Its cache lives on while there are handles of it. In a child of fork(), and in a callback that
/// may not call it, it does nothing.
///
/// @param server  Handle to free, which no other call uses; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_free(server: *mut mcrs_server) {
    if guard::run(|| not_inside(SERVER)) == mcrs_status::MCRS_OK {
        // SAFETY: the caller passes NULL or a handle that lives, which no other
        // call uses.
        unsafe { guard::free(server) }
    }
}

/// Returns a handle of a server's cache, which outlives the server.
///
/// @param server  Server to work on.
/// @param cache  Receives the handle. Free it with mcrs_cache_free().
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_cache(
    server: *const mcrs_server,
    cache: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!(server, { output: out_handle(cache) }, {
        output.give(mcrs_cache::new(Arc::clone(server.server.cache())));
        Ok(())
    })
}

/// Returns the number of addresses at which a server listens.
///
/// @param server  Server to work on.
/// @param count  Receives the number.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_address_count(
    server: *const mcrs_server,
    count: *mut usize,
) -> mcrs_status {
    entry!(server, { output: out(count) }, {
        output.set(server.addresses.len());
        Ok(())
    })
}

/// Returns an address at which a server listens.
///
/// Addresses have the order in which they were added to the settings.
///
/// ```c
/// size_t count = 0;
/// mcrs_address address;
/// assert(mcrs_server_address_count(server, &count) == MCRS_OK);
/// for (size_t n = 0; n < count; n++) {
///     assert(mcrs_server_address(server, n, &address) == MCRS_OK);
///     printf("%s %u\n", address.host, address.port);
/// }
/// ```
///
/// @param server  Server to work on.
/// @param index  0 to the number of addresses less 1.
/// @param address  Receives the address.
/// @return MCRS_OK; MCRS_NOT_FOUND if `index` is too large; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_address(
    server: *const mcrs_server,
    index: usize,
    address: *mut mcrs_address,
) -> mcrs_status {
    entry!(server, { output: out(address) }, {
        let Some((kind, port, host)) = server.addresses.get(index) else {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        };
        output.set(mcrs_address { kind: *kind, port: *port, host: host.as_ptr() });
        Ok(())
    })
}

/// Returns whether a thread of a server still runs.
///
/// @param server  Server to work on.
/// @param running  Receives true or false.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_is_running(
    server: *const mcrs_server,
    running: *mut bool,
) -> mcrs_status {
    entry!(server, { output: out(running) }, {
        output.set(server.server.is_running());
        Ok(())
    })
}

/// Stops a server, and returns when no thread, connection or listener is left.
///
/// Stopping it twice does no harm. After a timeout, a thread is left behind, for example in a
/// callback that does not return. The userdata of callbacks must then stay valid.
///
/// ```c
/// bool running = true;
/// assert(mcrs_server_stop(server, 2000) == MCRS_OK);    // clients have two seconds
/// assert(mcrs_server_is_running(server, &running) == MCRS_OK && !running);
/// ```
///
/// @param server  Server to work on.
/// @param deadline_ms  Milliseconds in which connections may finish the requests they have begun; 0
///     closes them at once.
/// @return MCRS_OK; MCRS_TIMED_OUT if a thread has not ended five seconds after the deadline; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_stop(server: *const mcrs_server, deadline_ms: u32) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        let how = if deadline_ms == 0 { Stop::Now } else { Stop::Graceful };
        Ok(server.server.stop(how, Duration::from_millis(u64::from(deadline_ms)))?)
    })
}

/// Tells a server to stop, and returns at once.
///
/// @param server  Server to work on.
/// @param graceful  true lets connections finish the requests they have begun, without a deadline.
///     false closes them at once.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_request_stop(server: *const mcrs_server, graceful: bool) -> mcrs_status {
    entry!(server, {}, {
        if graceful {
            server.server.begin_stop(Duration::MAX);
        } else {
            server.server.context().control.request_stop(Stop::Now);
        }
        Ok(())
    })
}

/// Waits until a server has stopped, by a call or by a client's `shutdown`.
///
/// ```c
/// assert(mcrs_server_wait(server, 10) == MCRS_TIMED_OUT);
/// assert(mcrs_server_request_stop(server, true) == MCRS_OK);
/// assert(mcrs_server_wait(server, MCRS_FOREVER) == MCRS_OK);
/// ```
///
/// @param server  Server to work on.
/// @param timeout_ms  Milliseconds to wait, or MCRS_FOREVER.
/// @return MCRS_OK; MCRS_TIMED_OUT if the server still runs, or has left a thread behind; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_wait(server: *const mcrs_server, timeout_ms: u32) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        if timeout_ms == MCRS_FOREVER {
            server.server.wait()?;
        } else if !server.server.wait_for(Duration::from_millis(u64::from(timeout_ms)))? {
            return Err(mcrs_status::MCRS_TIMED_OUT.into());
        }
        Ok(())
    })
}

/// Has a proxy try its backends again at once.
///
/// It forgets their failures, and later requests wait for their connections. A test calls it after
/// it has started a backend again. It does nothing for a server that is not a proxy.
///
/// @param server  Server to work on.
/// @return MCRS_OK; MCRS_TIMED_OUT if a worker takes more than a second; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_retry_backends(server: *const mcrs_server) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        if server.server.retry_backends() { Ok(()) } else { Err(mcrs_status::MCRS_TIMED_OUT.into()) }
    })
}

/// Reads the configuration of a proxy again, or another one in its place.
///
/// Requests that come after this call follow it. If the call fails, nothing has changed, and
/// mcrs_error_message() names the mistake and its line. Sources of backends are looked up first,
/// for at most five seconds.
///
/// ```c
/// assert(mcrs_server_reload_proxy(server, NULL) == MCRS_INVALID_ARGUMENT);    // it is no proxy
/// ```
///
/// @param server  Server to work on.
/// @param toml  Text, or name of a file, as for mcrs_config_set_proxy(). Later reloads read it,
///     too. NULL reads the one so far, such as a file that has changed.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if the text, or a file that it names, has a mistake, or
///     the server is not a proxy; MCRS_BAD_FILE if a configuration file, or one that it names, has
///     a mistake or cannot be read; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_reload_proxy(
    server: *const mcrs_server,
    toml: *const c_char,
) -> mcrs_status {
    entry!(server, { toml: maybe_text(toml) }, {
        not_inside(SERVER)?;
        let config = toml.map(ProxyConfig::from);
        let is_text = matches!(config, Some(ProxyConfig::Text(_)));
        let state = server.server.context();
        state.cache.settle();
        state.reload_proxy(config).map_err(|error| {
            let is_argument = is_text || error == ReloadError::NoProxy;
            let status =
                if is_argument { mcrs_status::MCRS_INVALID_ARGUMENT } else { mcrs_status::MCRS_BAD_FILE };
            Failure::Text(status, error.to_string())
        })
    })
}

/// Waits until the requests that local clients have sent are carried out.
///
/// It covers pipelines, requests without replies, datagrams, and connections that are not accepted
/// yet. It does not wait for a client that reads no replies or that meets a delay of a fault. Calls
/// on the cache of mcrs_server_start() do this by themselves, see mcrs_config_set_settles().
///
/// @param server  Server to work on.
/// @param timeout_ms  Milliseconds to wait.
/// @return MCRS_OK; MCRS_TIMED_OUT if requests are left; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_settle(server: *const mcrs_server, timeout_ms: u32) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        if !server.server.settle(Duration::from_millis(u64::from(timeout_ms))) {
            return Err(mcrs_status::MCRS_TIMED_OUT.into());
        }
        Ok(())
    })
}

/// Changes how much a server logs.
///
/// @param server  Server to work on.
/// @param level  0 to 3.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `level` is above 3; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_set_verbosity(server: *const mcrs_server, level: u32) -> mcrs_status {
    entry!(server, {}, {
        if level > 3 {
            return Err(guard::invalid(format!("verbosity must be 0 to 3, got {level}")));
        }
        server.server.context().verbosity.store(level as u8, Relaxed);
        Ok(())
    })
}

/// Reads the files of users and certificates again, and the configuration of a proxy.
///
/// If the call fails, the server goes on with what it had.
///
/// @param server  Server to work on.
/// @return MCRS_OK; MCRS_BAD_FILE if a file cannot be used; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_reload(server: *const mcrs_server) -> mcrs_status {
    entry!(server, {}, {
        let done = server.server.context().reload();
        done.map_err(|line| Failure::Text(mcrs_status::MCRS_BAD_FILE, line))
    })
}

/// Replaces the nodes that `config get cluster` reports.
///
/// ```c
/// const mcrs_node nodes[] = {
///     {"cache-1.example", "10.0.0.1", 11211},
///     {"cache-2.example", NULL, 11211},
/// };
/// assert(mcrs_server_set_cluster_nodes(server, nodes, 2) == MCRS_OK);
/// assert(mcrs_server_set_cluster_nodes(server, NULL, 0) == MCRS_OK);    // off
/// ```
///
/// @param server  Server to work on.
/// @param nodes  Nodes; may be NULL if `count` is 0.
/// @param count  Number of nodes. 0 turns the command off.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if a node is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_set_cluster_nodes(
    server: *const mcrs_server,
    nodes: *const mcrs_node,
    count: usize,
) -> mcrs_status {
    entry!(server, { nodes: list(nodes, count) }, {
        let read = |given: &mcrs_node| {
            // SAFETY: the caller keeps the conventions for the texts of each node.
            let (host, ip) = unsafe { (text(given.host), maybe_text(given.ip)) };
            let host = host.map_err(|failure| failure.named("host"))?;
            node(host, ip.map_err(|failure| failure.named("ip"))?, given.port)
        };
        let nodes = nodes.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        server.server.set_cluster_nodes(&nodes);
        Ok(())
    })
}

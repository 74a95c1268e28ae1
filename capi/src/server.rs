//! Servers in this process: start, addresses, stop.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use memcache_core::internal::fork::ForkMark;
use memcache_core::{BoundAddress, Listen, Server, ServerConfig, Stop, StopError};

use crate::arguments::{maybe_text, text};
use crate::cache::mcrs_cache;
use crate::config::{mcrs_config, node};
use crate::guard::{self, Failure, Handle, LOCKED, Outcome, SERVER, not_inside};
use crate::status::mcrs_status;

/// For mcrs_server_wait(): without end.
pub const MCRS_FOREVER: u32 = u32::MAX;

/// What kind of address it is: one of the MCRS_ADDRESS_ numbers.
pub type mcrs_address_kind = u32;

/// A TCP address.
pub const MCRS_ADDRESS_TCP: mcrs_address_kind = 1;

/// The path of a Unix socket.
pub const MCRS_ADDRESS_UNIX: mcrs_address_kind = 2;

/// A UDP address.
pub const MCRS_ADDRESS_UDP: mcrs_address_kind = 3;

/// Where a server can be reached.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_address {
    /// What kind it is.
    pub kind: mcrs_address_kind,
    /// The port that was really taken; 0 for a Unix socket.
    pub port: u16,
    /// Address without port, or the path; good until the server is freed.
    pub host: *const c_char,
}

/// One node of a cluster's list.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_node {
    /// Its name.
    pub host: *const c_char,
    /// Its address; NULL: unknown.
    pub ip: *const c_char,
    /// Its port.
    pub port: u16,
}

/// A server with its threads. Any thread may use a handle at any time.
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
            // The program has handles of its own, which it may use often.
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

/// Makes a cache and serves it. Returns when connections are accepted; `config`
/// is copied. Free the server with mcrs_server_free().
///
/// MCRS_INVALID_ARGUMENT: a setting; MCRS_LISTEN_FAILED: an address;
/// MCRS_BAD_FILE: passwords, a certificate, a key; MCRS_SYSTEM_ERROR: memory,
/// threads. Nothing is left of the attempt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_start(
    config: *const mcrs_config,
    server: *mut *mut mcrs_server,
) -> mcrs_status {
    entry!(config, { place: out_handle(server) }, {
        place.give(start(config, None)?);
        Ok(())
    })
}

/// As mcrs_server_start(), but serves a cache that exists; settings of caches are
/// only reported. The server keeps the cache alive by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_start_with_cache(
    config: *const mcrs_config,
    cache: *const mcrs_cache,
    server: *mut *mut mcrs_server,
) -> mcrs_status {
    entry!(config, { cache: handle(cache), place: out_handle(server) }, {
        place.give(start(config, Some(cache))?);
        Ok(())
    })
}

/// Frees a server and closes everything of it first, as mcrs_server_stop() with
/// 0; NULL does nothing. Its cache lives on if there are handles of it. In a child
/// of fork(), and in a callback that may not do this, it does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_free(server: *mut mcrs_server) {
    if guard::run(|| not_inside(SERVER)) == mcrs_status::MCRS_OK {
        // SAFETY: the caller passes NULL or a handle that lives and nobody else
        // uses.
        unsafe { guard::free(server) }
    }
}

/// A handle of the server's cache, to be freed by itself; it is good after the
/// server is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_cache(
    server: *const mcrs_server,
    cache: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!(server, { place: out_handle(cache) }, {
        place.give(mcrs_cache::new(Arc::clone(server.server.cache())));
        Ok(())
    })
}

/// How many addresses the server listens at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_address_count(
    server: *const mcrs_server,
    count: *mut usize,
) -> mcrs_status {
    entry!(server, { place: out(count) }, {
        place.set(server.addresses.len());
        Ok(())
    })
}

/// One of them, in the order in which they were configured, with the port that was
/// really taken. MCRS_NOT_FOUND: there are not so many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_address(
    server: *const mcrs_server,
    index: usize,
    address: *mut mcrs_address,
) -> mcrs_status {
    entry!(server, { place: out(address) }, {
        let Some((kind, port, host)) = server.addresses.get(index) else {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        };
        place.set(mcrs_address { kind: *kind, port: *port, host: host.as_ptr() });
        Ok(())
    })
}

/// Whether some thread of the server still runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_is_running(
    server: *const mcrs_server,
    running: *mut bool,
) -> mcrs_status {
    entry!(server, { place: out(running) }, {
        place.set(server.server.is_running());
        Ok(())
    })
}

/// Stops the server and returns when it has stopped: no thread runs, no
/// connection and no listener is left. Connections may finish what they have
/// begun for `deadline_ms` milliseconds; with 0 they are closed at once. Stopping
/// twice does no harm.
///
/// MCRS_TIMED_OUT: a thread has not ended within five seconds after that, as one that
/// is in a callback which does not return. It is left behind: `userdata` of callbacks
/// must live on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_stop(server: *const mcrs_server, deadline_ms: u32) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        let how = if deadline_ms == 0 { Stop::Now } else { Stop::Graceful };
        server.server.stop(how, Duration::from_millis(u64::from(deadline_ms))).map_err(|e| stuck(&e))
    })
}

fn stuck(error: &StopError) -> Failure {
    Failure::Text(mcrs_status::MCRS_TIMED_OUT, error.to_string())
}

/// Asks the server to stop and returns at once. `graceful`: connections may
/// finish what they have begun, for as long as that takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_request_stop(server: *const mcrs_server, graceful: bool) -> mcrs_status {
    entry!(server, {}, {
        if graceful {
            server.server.begin_stop(Duration::MAX);
        } else {
            server.server.context().request_stop(Stop::Now);
        }
        Ok(())
    })
}

/// Waits until the server has stopped, by a call or by a client's `shutdown`, but
/// for at most `timeout_ms` milliseconds, or MCRS_FOREVER. MCRS_TIMED_OUT: it
/// still runs, or a thread is left behind (see mcrs_server_stop()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_wait(server: *const mcrs_server, timeout_ms: u32) -> mcrs_status {
    entry!(server, {}, {
        not_inside(SERVER)?;
        if timeout_ms == MCRS_FOREVER {
            server.server.wait().map_err(|e| stuck(&e))?;
        } else if !server
            .server
            .wait_for(Duration::from_millis(u64::from(timeout_ms)))
            .map_err(|e| stuck(&e))?
        {
            return Err(mcrs_status::MCRS_TIMED_OUT.into());
        }
        Ok(())
    })
}

/// Waits, for at most `timeout_ms` milliseconds, until what clients of this machine
/// have sent before this call is carried out: commands in pipelines and without
/// replies, datagrams, and connections that are not accepted yet.
///
/// Handles of the server's cache do this by themselves, for at most a second, unless
/// mcrs_config_set_settles() says otherwise or the cache was there before the server.
/// A client that does not read its replies, or that meets an injected delay, is not
/// waited for. MCRS_TIMED_OUT: it takes longer.
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

/// Changes what is logged, 0 to 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_set_verbosity(server: *const mcrs_server, level: u32) -> mcrs_status {
    entry!(server, {}, {
        if level > 3 {
            return Err(guard::invalid("a verbosity is 0 to 3"));
        }
        server.server.context().verbosity.store(level as u8, Relaxed);
        Ok(())
    })
}

/// Reads files of passwords and certificates again. MCRS_BAD_FILE: what was there
/// before stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_reload(server: *const mcrs_server) -> mcrs_status {
    entry!(server, {}, {
        let done = server.server.context().reload();
        done.map_err(|line| Failure::Text(mcrs_status::MCRS_BAD_FILE, line))
    })
}

/// Replaces the nodes that clients with auto discovery are told; none: the
/// command is off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_set_cluster_nodes(
    server: *const mcrs_server,
    nodes: *const mcrs_node,
    count: usize,
) -> mcrs_status {
    entry!(server, { nodes: list(nodes, count) }, {
        let read = |given: &mcrs_node| {
            // SAFETY: the caller keeps the contract for the texts of each node.
            let (host, ip) = unsafe { (text(given.host)?, maybe_text(given.ip)?) };
            node(host, ip, given.port)
        };
        let nodes = nodes.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        server.server.set_cluster_nodes(&nodes);
        Ok(())
    })
}

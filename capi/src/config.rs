//! The settings of caches and servers: a builder, one function a setting.
//!
//! A function checks its own setting; what settings demand of each other is
//! checked by `mcrs_config_check` and by whoever starts.

use std::ffi::{CString, c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use memcache_core::auth::{AuthConfig, Method, Passwords};
use memcache_core::cluster::Node;
use memcache_core::config::{
    ITEM_SIZE_MAX_RANGE, KeyFormat, Listen, LruMode, MIB, Protocol, ServerConfig, TlsConfig, TlsMode,
    TlsVersion, VerifyMode,
};
use memcache_core::hooks::Log;

use crate::guard::{self, Failure, Handle, LOCKED, Outcome, SERVER, inside, invalid, not_inside};
use crate::status::mcrs_status;

/// How the cache decides which items stay: one of the MCRS_LRU_ numbers.
pub type mcrs_lru_mode = u32;

/// One log in order of use.
pub const MCRS_LRU_FLAT: mcrs_lru_mode = 0;

/// New and used items apart, judged by use and size. The default.
pub const MCRS_LRU_SEGMENTED: mcrs_lru_mode = 1;

/// What a listener speaks: one of the MCRS_PROTOCOL_ numbers.
pub type mcrs_protocol = u32;

/// Decided by the first byte of each connection.
pub const MCRS_PROTOCOL_AUTO: mcrs_protocol = 0;

/// Classic and meta text.
pub const MCRS_PROTOCOL_TEXT: mcrs_protocol = 1;

/// The binary protocol.
pub const MCRS_PROTOCOL_BINARY: mcrs_protocol = 2;

/// Whether a listener speaks TLS, and what it wants of clients: one of the
/// MCRS_TLS_ numbers.
pub type mcrs_tls_mode = u32;

/// No TLS.
pub const MCRS_TLS_OFF: mcrs_tls_mode = 0;

/// TLS, clients as mcrs_config_set_tls_verify() says.
pub const MCRS_TLS_ON: mcrs_tls_mode = 1;

/// TLS, clients need no certificate.
pub const MCRS_TLS_NO_PEER: mcrs_tls_mode = 2;

/// TLS, clients need a certificate.
pub const MCRS_TLS_PEER: mcrs_tls_mode = 3;

/// What is wanted of a client's certificate: one of the MCRS_VERIFY_ numbers.
pub type mcrs_verify = u32;

/// None is asked for. The default.
pub const MCRS_VERIFY_NONE: mcrs_verify = 0;

/// One is asked for; if the client has one, it must be good.
pub const MCRS_VERIFY_REQUEST: mcrs_verify = 1;

/// A good one is needed.
pub const MCRS_VERIFY_REQUIRE: mcrs_verify = 2;

/// How clients prove who they are: one of the MCRS_AUTH_ numbers.
pub type mcrs_auth = u32;

/// SASL PLAIN, in the binary protocol; the text protocols are refused.
pub const MCRS_AUTH_SASL: mcrs_auth = 1;

/// A set whose value is name and password, in the text protocols; the binary
/// protocol is refused.
pub const MCRS_AUTH_TEXT: mcrs_auth = 2;

/// Settings. They are copied when something is started with them, so they can be
/// changed or freed at any time after. One thread at a time may use such a
/// handle; a child of fork() may go on using it.
pub struct mcrs_config {
    pub(crate) settings: ServerConfig,
}

impl Handle for mcrs_config {
    fn check(&self) -> Outcome {
        not_inside(LOCKED)
    }
}

/// Takes a line of a server's log, without a line end. `level` is 0 for what is
/// always logged, else the verbosity that it takes. `line` is good until the
/// function returns.
///
/// It runs on any thread of the server, on several at once, and on the thread
/// that starts the server. It may call this library, but for
/// mcrs_server_start(), mcrs_server_stop(), mcrs_server_wait() and
/// mcrs_server_free(): these return MCRS_IN_CALLBACK (the last one does nothing).
/// To stop the server, use mcrs_server_request_stop().
pub type mcrs_log_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, level: c_int, line: *const c_char)>;

/// Learns that a server has stopped: called once, on the server's last thread,
/// when it holds no connection and no listener any more, before
/// mcrs_server_wait() and mcrs_server_stop() return. Not called for a server that
/// did not start. What it may call is what mcrs_log_fn may.
pub type mcrs_stopped_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// A number of the caller's, handed back to it.
#[derive(Clone, Copy)]
struct Userdata(*mut c_void);

// SAFETY: it is never followed here; that the caller's functions use it from
// other threads is what the caller agreed to.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Userdata {
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// New settings, all at their defaults: those of memcached, but that nothing is
/// listened at. Free them with mcrs_config_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_new(config: *mut *mut mcrs_config) -> mcrs_status {
    entry!({ place: out_handle(config) }, {
        place.give(mcrs_config { settings: ServerConfig::default() });
        Ok(())
    })
}

/// A copy of settings, to be freed by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_copy(
    config: *const mcrs_config,
    copy: *mut *mut mcrs_config,
) -> mcrs_status {
    entry!(config, { place: out_handle(copy) }, {
        place.give(mcrs_config { settings: config.settings.clone() });
        Ok(())
    })
}

/// Frees settings; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_free(config: *mut mcrs_config) {
    // SAFETY: the caller passes NULL or a handle that lives and nobody else uses.
    unsafe { guard::free(config) }
}

/// Checks all settings, also against each other, as starting does. What is wrong
/// says mcrs_error_message(). Files are not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_check(config: *const mcrs_config) -> mcrs_status {
    entry!(config, {}, { Ok(config.settings.validate()?) })
}

fn address(host: Option<&str>, port: u16) -> Result<SocketAddr, Failure> {
    let ip = match host {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => host
            .parse()
            .map_err(|_| invalid(format!("\"{host}\" is not an address (names are not looked up)")))?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn protocol(number: mcrs_protocol) -> Result<Protocol, Failure> {
    match number {
        MCRS_PROTOCOL_AUTO => Ok(Protocol::Negotiating),
        MCRS_PROTOCOL_TEXT => Ok(Protocol::Ascii),
        MCRS_PROTOCOL_BINARY => Ok(Protocol::Binary),
        other => Err(invalid(format!("there is no protocol {other}"))),
    }
}

/// Listens at a TCP address too. `host` is an IPv4 or IPv6 address, not a name;
/// NULL is 127.0.0.1. Port 0 takes a free port, which mcrs_server_address() tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_tcp(
    config: *mut mcrs_config,
    host: *const c_char,
    port: u16,
    protocol: mcrs_protocol,
    tls: mcrs_tls_mode,
) -> mcrs_status {
    entry!(mut config, { host: maybe_text(host) }, {
        let tls = match tls {
            MCRS_TLS_OFF => TlsMode::Off,
            MCRS_TLS_ON => TlsMode::Default,
            MCRS_TLS_NO_PEER => TlsMode::NoPeer,
            MCRS_TLS_PEER => TlsMode::Peer,
            other => return Err(invalid(format!("there is no TLS mode {other}"))),
        };
        let listen = Listen::Tcp { addr: address(host, port)?, protocol: self::protocol(protocol)?, tls };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Listens at a Unix socket too. A stale socket file at `path` is replaced; the
/// server removes its own when it stops. `mask` is the permission bits of the
/// file, 0700 in memcached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_unix(
    config: *mut mcrs_config,
    path: *const c_char,
    mask: u32,
    protocol: mcrs_protocol,
) -> mcrs_status {
    entry!(mut config, { path: path(path) }, {
        if mask & !0o777 != 0 {
            return Err(invalid(format!("0{mask:o} is more than permission bits")));
        }
        let listen = Listen::Unix { path: path.to_owned(), mask, protocol: self::protocol(protocol)? };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Listens at a UDP address too; `host` and `port` as with TCP. The first byte of
/// a datagram decides its protocol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_udp(
    config: *mut mcrs_config,
    host: *const c_char,
    port: u16,
) -> mcrs_status {
    entry!(mut config, { host: maybe_text(host) }, {
        config.settings.listen.push(Listen::Udp { addr: address(host, port)? });
        Ok(())
    })
}

fn method(number: mcrs_auth) -> Result<Method, Failure> {
    match number {
        MCRS_AUTH_SASL => Ok(Method::Sasl),
        MCRS_AUTH_TEXT => Ok(Method::Text),
        other => Err(invalid(format!("there is no authentication {other}"))),
    }
}

/// Clients have to prove who they are, by a file of lines `user:password`, which
/// is read at start and by mcrs_server_reload(). It takes the place of users that
/// were given before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_auth_file(
    config: *mut mcrs_config,
    auth: mcrs_auth,
    path: *const c_char,
) -> mcrs_status {
    entry!(mut config, { path: path(path) }, {
        let passwords = Passwords::File(path.to_owned());
        config.settings.auth = Some(AuthConfig { method: method(auth)?, passwords });
        Ok(())
    })
}

/// Clients have to prove who they are: one more user, of the same kind of
/// authentication as those before. The first takes the place of a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_add_user(
    config: *mut mcrs_config,
    auth: mcrs_auth,
    user: *const c_char,
    password: *const c_char,
) -> mcrs_status {
    entry!(mut config, { user: text(user), password: text(password) }, {
        let method = method(auth)?;
        if user.is_empty() || user.contains(':') {
            return Err(invalid("a user's name is not empty and has no colon"));
        }
        let pair = (user.as_bytes().to_vec(), password.as_bytes().to_vec());
        match &mut config.settings.auth {
            Some(AuthConfig { method: before, passwords: Passwords::List(list) }) => {
                if *before != method {
                    return Err(invalid("users before have another kind of authentication"));
                }
                list.push(pair);
            }
            other => *other = Some(AuthConfig { method, passwords: Passwords::List(vec![pair]) }),
        }
        Ok(())
    })
}

fn tls(config: &mut mcrs_config) -> &mut TlsConfig {
    config.settings.tls.get_or_insert_default()
}

/// The server's certificate and those above it, and its private key, both PEM;
/// `key` NULL: it is in `chain`. Listeners with TLS need this. The files are read
/// at start and by mcrs_server_reload().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_certificate(
    config: *mut mcrs_config,
    chain: *const c_char,
    key: *const c_char,
) -> mcrs_status {
    entry!(mut config, { chain: path(chain), key: maybe_path(key) }, {
        let tls = tls(config);
        chain.clone_into(&mut tls.chain_cert);
        tls.key = key.map(ToOwned::to_owned);
        Ok(())
    })
}

/// Whether the private key is ASN.1 (DER) and not PEM, the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_key_der(config: *mut mcrs_config, der: bool) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).key_format = if der { KeyFormat::Der } else { KeyFormat::Pem };
        Ok(())
    })
}

/// Who signs certificates of clients: a file, PEM; NULL: no certificate of a
/// client is good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_ca(
    config: *mut mcrs_config,
    path: *const c_char,
) -> mcrs_status {
    entry!(mut config, { path: maybe_path(path) }, {
        tls(config).ca_cert = path.map(ToOwned::to_owned);
        Ok(())
    })
}

/// What clients have to show at listeners of MCRS_TLS_ON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_verify(
    config: *mut mcrs_config,
    verify: mcrs_verify,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).verify_mode = match verify {
            MCRS_VERIFY_NONE => VerifyMode::None,
            MCRS_VERIFY_REQUEST => VerifyMode::Request,
            MCRS_VERIFY_REQUIRE => VerifyMode::Require,
            other => return Err(invalid(format!("there is no verify mode {other}"))),
        };
        Ok(())
    })
}

/// Cipher suites, as OpenSSL writes a list of them; NULL: the default. What is in
/// it is looked at when a server starts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_ciphers(
    config: *mut mcrs_config,
    list: *const c_char,
) -> mcrs_status {
    entry!(mut config, { list: maybe_text(list) }, {
        tls(config).ciphers = list.map(str::to_owned);
        Ok(())
    })
}

/// Bytes that are encrypted before they are sent; less than 64 KiB is taken for
/// 64 KiB, more than 1 MiB for 1 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_write_buffer(
    config: *mut mcrs_config,
    bytes: usize,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).wbuf_size = bytes;
        Ok(())
    })
}

/// Whether TLS sessions can be resumed; default: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_session_cache(
    config: *mut mcrs_config,
    on: bool,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).session_cache = on;
        Ok(())
    })
}

/// The oldest version of TLS that is spoken: 12 (the default) or 13.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_tls_min_version(
    config: *mut mcrs_config,
    version: u32,
) -> mcrs_status {
    entry!(mut config, {}, {
        tls(config).min_version = match version {
            12 => TlsVersion::V1_2,
            13 => TlsVersion::V1_3,
            other => return Err(invalid(format!("TLS {other} is not spoken: 12 or 13"))),
        };
        Ok(())
    })
}

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
pub(crate) fn node(host: &str, ip: Option<&str>, port: u16) -> Result<Node, Failure> {
    let ip =
        ip.map(|ip| ip.parse().map_err(|_| invalid(format!("\"{ip}\" is not an address")))).transpose()?;
    Ok(Node::new(host, ip, port)?)
}

/// Takes the log in place of standard error; NULL: standard error again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_log(
    config: *mut mcrs_config,
    log: mcrs_log_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(mut config, {}, {
        let userdata = Userdata(userdata);
        config.settings.hooks.log = log.map(|log| -> Arc<Log> {
            Arc::new(move |level, line| {
                let line = CString::new(line.replace('\0', " ")).unwrap_or_default();
                // SAFETY: the caller's function gets what it is declared to take.
                inside(SERVER, || unsafe { log(userdata.get(), c_int::from(level), line.as_ptr()) });
            })
        });
        Ok(())
    })
}

/// Learns that the server has stopped; NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_stopped(
    config: *mut mcrs_config,
    stopped: mcrs_stopped_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(mut config, {}, {
        let userdata = Userdata(userdata);
        config.settings.hooks.stopped = stopped.map(|stopped| {
            let hook: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
                // SAFETY: the caller's function gets what it is declared to take.
                inside(SERVER, || unsafe { stopped(userdata.get()) });
            });
            hook
        });
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

//! Settings of a server.

use super::{CacheConfig, Listen, MIB, Protocol, TlsConfig, TlsMode};
use crate::base::error::ConfigError;
use crate::config::ClusterNode;
use crate::config::Hooks;
use crate::config::{AuthConfig, AuthMethod};

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Settings of the cache that is served.
    pub cache: CacheConfig,
    /// Addresses to listen on. If empty, only this process uses the cache.
    pub listen: Vec<Listen>,
    /// Authentication; `None` allows every client. With SASL all listeners use the binary protocol,
    /// with text authentication the text protocols. A listener that negotiates is narrowed to that.
    /// A listener with the other protocol is an error.
    pub auth: Option<AuthConfig>,
    /// Certificate, key and rules of listeners with TLS.
    pub tls: Option<TlsConfig>,
    /// Whether a handle of the server (its cache, clock, faults, statistics) first waits until the
    /// server has carried out the commands that clients sent. Tests need that. A program that reads
    /// its cache often creates the cache first, then serves it with
    /// [`crate::server::Server::with_cache`].
    pub settles: bool,
    /// Number of worker threads (`-t`), 1 to 1024.
    pub threads: usize,
    /// Most connections at once (`-c`). Descriptors of listeners and UDP sockets count.
    pub max_connections: usize,
    /// Whether a connection above the limit is refused with a text. If not, it waits in the backlog
    /// (`-o no_maxconns_fast`).
    pub maxconns_fast: bool,
    /// Length of the accept queue (`-b`).
    pub backlog: i32,
    /// Requests of one connection that are served before others get their turn (`-R`).
    pub requests_per_event: usize,
    /// Seconds after which an idle TCP connection is closed; 0 means never.
    pub idle_timeout: u32,
    /// Unread output above which a connection's requests wait, in bytes.
    pub output_limit: usize,
    /// Bytes that all connections together may hold beside the memory of items: partial requests,
    /// unread replies and unfinished values. 0 means a quarter of the memory limit, at least 32
    /// MiB.
    pub read_buf_mem_limit: usize,
    /// Whether `flush_all` is allowed (`-F`).
    pub flush_enabled: bool,
    /// Whether cachedump, detail and metadump are allowed (`-X`).
    pub dump_enabled: bool,
    /// Whether `watch` is allowed (`-W`).
    pub watch_enabled: bool,
    /// Whether `shutdown` is allowed (`-A`).
    pub shutdown_enabled: bool,
    /// Level of the log, 0 to 3 (`-v`).
    pub verbosity: u8,
    /// Bytes buffered for each watcher (`watcher_logbuf_size`).
    pub watcher_buffer: usize,
    /// Reported only: `worker_logbuf_size`.
    pub worker_buffer: usize,
    /// Whether the commands of memcached's debug build are accepted (`-o debug_commands`).
    pub debug_commands: bool,
    /// Nodes that `config get cluster` reports, as a node of a hosted cluster does. If empty, the
    /// command does not exist, as in memcached.
    pub cluster: Vec<ClusterNode>,
    /// Mark of the packets of internet sockets, for packet filters (`-o sock_cookie_id`). 0 means
    /// no mark.
    pub socket_mark: u32,
    /// Callbacks of the program that embeds the server.
    pub hooks: Hooks,
    /// Values that `stats settings` reports and the server does not use.
    pub reported: Reported,
}

/// Values that are only reported, as the daemon parsed them.
#[derive(Clone, Debug)]
pub struct Reported {
    /// `tcpport`.
    pub tcp_port: u16,
    /// `udpport`.
    pub udp_port: u16,
    /// `inter`: the text of `-l`.
    pub inter: Option<String>,
    /// `hash_algorithm`.
    pub hash_algorithm: String,
    /// `num_napi_ids`.
    pub napi_ids: u32,
}

impl Default for Reported {
    fn default() -> Self {
        Self { tcp_port: 0, udp_port: 0, inter: None, hash_algorithm: "murmur3".into(), napi_ids: 0 }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            cache: CacheConfig::default(),
            listen: Vec::new(),
            auth: None,
            tls: None,
            settles: true,
            threads: 4,
            max_connections: 1024,
            maxconns_fast: true,
            backlog: 1024,
            requests_per_event: 256,
            idle_timeout: 0,
            output_limit: MIB,
            read_buf_mem_limit: 0,
            flush_enabled: true,
            dump_enabled: true,
            watch_enabled: true,
            shutdown_enabled: false,
            verbosity: 0,
            watcher_buffer: 256 * 1024,
            worker_buffer: 64 * 1024,
            debug_commands: false,
            cluster: Vec::new(),
            socket_mark: 0,
            hooks: Hooks::default(),
            reported: Reported::default(),
        }
    }
}

impl ServerConfig {
    /// Checks the settings against each other, the cache's included.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |text: &str| Err(ConfigError::Invalid(text.into()));
        self.cache.validate()?;
        if self.threads == 0 {
            return fail("Number of threads must be greater than 0");
        }
        if self.threads > 1024 {
            return fail("Number of threads must be at most 1024");
        }
        if self.max_connections == 0 {
            return fail("Maximum connections must be greater than 0");
        }
        if self.requests_per_event == 0 {
            return fail("Number of requests per event must be greater than 0");
        }
        let speaks_tls = |listen: &Listen| matches!(listen, Listen::Tcp { tls, .. } if *tls != TlsMode::Off);
        match &self.tls {
            None if self.listen.iter().any(speaks_tls) => {
                return fail("A listener with TLS needs a certificate");
            }
            Some(tls) if tls.in_memory.is_none() && tls.chain_cert.as_os_str().is_empty() => {
                return fail("Error loading the certificate chain: (null) : ssl_chain_cert is not given");
            }
            _ => {}
        }
        let speaks = |protocol| self.listen.iter().any(|listen| listen.protocol() == Some(protocol));
        let datagrams = self.listen.iter().any(|listen| matches!(listen, Listen::Udp { .. }));
        match self.auth.as_ref().map(|auth| auth.method) {
            // The sender of a datagram cannot be authenticated.
            Some(AuthMethod::Sasl) if datagrams => {
                fail("ERROR: Cannot enable UDP while using binary SASL authentication.")
            }
            Some(AuthMethod::Text) if datagrams => {
                fail("Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
            }
            Some(AuthMethod::Sasl) if speaks(Protocol::Ascii) => {
                fail("ERROR: You cannot allow the ASCII protocol while using SASL.")
            }
            Some(AuthMethod::Text) if speaks(Protocol::Binary) => {
                fail("ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.")
            }
            _ => Ok(()),
        }
    }
}

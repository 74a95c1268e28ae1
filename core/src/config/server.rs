//! Settings of a server.

use super::cache::{ADDRESS_MOST, INT_MOST, U32_MOST};
use super::setting::{self, Row, Scope, Value, settings};
use super::{CacheConfig, Listen, MIB, Protocol, TlsConfig, TlsMode};
use crate::base::error::{ConfigError, ConfigRule};
use crate::config::ClusterNode;
use crate::config::Hooks;
use crate::config::{AuthConfig, AuthMethod};

settings! {
    /// Settings of a server.
    pub struct ServerConfig (Scope::Server) {
        /// Whether a handle of the server (its cache, clock, faults, statistics) first waits until the
        /// server has carried out the commands that clients sent. Tests need that. A program that reads
        /// its cache often creates the cache first, then serves it with
        /// [`crate::server::Server::with_cache`].
        settles: bool = true,
            Row::on_off();
        /// Number of worker threads (`-t`), 1 to 1024.
        threads: usize = 4,
            Row::whole(1, 1024).low("Number of threads must be greater than 0").high("Number of threads must be at most 1024").option("-t").stat("num_threads");
        /// Most connections at once (`-c`). Descriptors of listeners and UDP sockets count.
        max_connections: usize = 1024,
            Row::whole(1, INT_MOST).low("Maximum connections must be greater than 0").option("-c").stat("maxconns");
        /// Whether a connection above the limit is refused with a text. If not, it waits in the backlog
        /// (`-o no_maxconns_fast`).
        maxconns_fast: bool = true,
            Row::on_off().option("maxconns_fast").stat("maxconns_fast");
        /// Length of the accept queue (`-b`).
        backlog: i32 = 1024,
            Row::whole(0, INT_MOST).option("-b").stat("tcp_backlog");
        /// Requests of one connection that are served before others get their turn (`-R`).
        requests_per_event: usize = 256,
            Row::whole(1, INT_MOST).low("Number of requests per event must be greater than 0").option("-R").stat("reqs_per_event");
        /// Seconds after which an idle TCP connection is closed; 0 means never.
        idle_timeout: u32 = 0,
            Row::whole(0, U32_MOST).out("idle_timeout takes a number of seconds").option("idle_timeout").stat("idle_timeout");
        /// Unread output above which a connection's requests wait, in bytes.
        output_limit: usize = MIB,
            Row::bytes(0, ADDRESS_MOST);
        /// Bytes that all connections together may hold beside the memory of items: partial requests,
        /// unread replies and unfinished values. 0 means a quarter of the memory limit, at least 32
        /// MiB.
        read_buf_mem_limit: usize = 0,
            Row::bytes(0, ADDRESS_MOST).option("read_buf_mem_limit").stat("read_buf_mem_limit");
        /// Whether `flush_all` is allowed (`-F`).
        flush_enabled: bool = true,
            Row::on_off().option("-F").stat("flush_enabled");
        /// Whether cachedump, detail and metadump are allowed (`-X`).
        dump_enabled: bool = true,
            Row::on_off().option("-X").stat("dump_enabled");
        /// Whether `watch` is allowed (`-W`).
        watch_enabled: bool = true,
            Row::on_off().option("-W");
        /// Whether `shutdown` is allowed (`-A`).
        shutdown_enabled: bool = false,
            Row::on_off().option("-A").stat("shutdown_command");
        /// Level of the log, 0 to 3 (`-v`).
        verbosity: u8 = 0,
            Row::whole(0, 3).option("-v").stat("verbosity");
        /// Bytes buffered for each watcher (`watcher_logbuf_size`).
        watcher_buffer: usize = 256 * 1024,
            Row::bytes(0, ADDRESS_MOST).option("watcher_logbuf_size").stat("watcher_logbuf_size");
        /// Reported only: `worker_logbuf_size`.
        worker_buffer: usize = 64 * 1024,
            Row::bytes(0, ADDRESS_MOST).option("worker_logbuf_size").stat("worker_logbuf_size");
        /// Whether the commands of memcached's debug build are accepted (`-o debug_commands`).
        debug_commands: bool = false,
            Row::on_off().option("debug_commands");
        /// Mark of the packets of internet sockets, for packet filters (`-o sock_cookie_id`). 0 means
        /// no mark.
        socket_mark: u32 = 0,
            Row::whole(0, U32_MOST).option("sock_cookie_id");
    }
    others {
        /// Settings of the cache that is served.
        cache: CacheConfig = CacheConfig::default();
        /// Addresses to listen on. If empty, only this process uses the cache.
        listen: Vec<Listen> = Vec::new();
        /// Authentication; `None` allows every client. With SASL all listeners use the binary protocol,
        /// with text authentication the text protocols. A listener that negotiates is narrowed to that.
        /// A listener with the other protocol is an error.
        auth: Option<AuthConfig> = None;
        /// Certificate, key and rules of listeners with TLS.
        tls: Option<TlsConfig> = None;
        /// Nodes that `config get cluster` reports, as a node of a hosted cluster does. If empty, the
        /// command does not exist, as in memcached.
        cluster: Vec<ClusterNode> = Vec::new();
        /// Callbacks of the program that embeds the server.
        hooks: Hooks = Hooks::default();
        /// Values that `stats settings` reports and the server does not use.
        reported: Reported = Reported::default();
    }
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

impl ServerConfig {
    /// Sets the setting `name` of the server or of its cache, which is the name of its field.
    ///
    /// A text is read as the type of the setting: `"64m"` is a number of bytes, `"on"` is `true`.
    /// Rules between settings are checked at [`ServerConfig::validate`].
    ///
    /// # Errors
    /// There is no such setting, or it does not take that value. The setting keeps its value.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut config = memcache_rs::ServerConfig::default();
    /// config.set("threads", 2)?;
    /// config.set("memory_limit", "16m")?;
    /// assert_eq!((config.threads, config.cache.memory_limit), (2, 16 << 20));
    /// assert!(config.set("threads", "many").is_err());
    /// # Ok::<(), memcache_rs::ConfigError>(())
    /// ```
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), ConfigError> {
        let value = value.into();
        match setting::set(Self::SETTINGS, self, name, &value) {
            Some(done) => done,
            None => self.cache.set(name, value),
        }
    }

    /// Returns the rows of all settings: those of a server, then those of its cache.
    pub fn rows() -> impl Iterator<Item = &'static Row> {
        let cache = CacheConfig::SETTINGS.iter().map(|setting| &setting.row);
        Self::SETTINGS.iter().map(|setting| &setting.row).chain(cache)
    }

    /// Checks the settings against each other, the cache's included.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail =
            |setting: &'static str, text: &str| Err(ConfigError::new(setting, ConfigRule::Conflict, text));
        self.cache.validate()?;
        setting::check(Self::SETTINGS, self)?;
        let speaks_tls = |listen: &Listen| matches!(listen, Listen::Tcp { tls, .. } if *tls != TlsMode::Off);
        match &self.tls {
            None if self.listen.iter().any(speaks_tls) => {
                return fail("tls", "A listener with TLS needs a certificate");
            }
            Some(tls) if tls.in_memory.is_none() && tls.chain_cert.as_os_str().is_empty() => {
                return fail(
                    "tls",
                    "Error loading the certificate chain: (null) : ssl_chain_cert is not given",
                );
            }
            _ => {}
        }
        let speaks = |protocol| self.listen.iter().any(|listen| listen.protocol() == Some(protocol));
        let datagrams = self.listen.iter().any(|listen| matches!(listen, Listen::Udp { .. }));
        match self.auth.as_ref().map(|auth| auth.method) {
            // The sender of a datagram cannot be authenticated.
            Some(AuthMethod::Sasl) if datagrams => {
                fail("auth", "ERROR: Cannot enable UDP while using binary SASL authentication.")
            }
            Some(AuthMethod::Text) if datagrams => {
                fail("auth", "Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
            }
            Some(AuthMethod::Sasl) if speaks(Protocol::Ascii) => {
                fail("auth", "ERROR: You cannot allow the ASCII protocol while using SASL.")
            }
            Some(AuthMethod::Text) if speaks(Protocol::Binary) => fail(
                "auth",
                "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
            ),
            _ => Ok(()),
        }
    }
}

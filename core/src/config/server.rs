//! Settings of a server.

use std::path::PathBuf;

use super::auth::{AuthConfig, AuthMethod};
use super::cache::CacheConfig;
use super::cluster::ClusterNode;
use super::codec::Codec;
use super::hash::HashAlgorithm;
use super::hooks::Hooks;
use super::listen::{Listen, Protocol, TlsMode};
use super::proxy::ProxyConfig;
use super::rights::read_rights;
use super::setting::{self, Kind, Row, Scope, U32_MOST, Value, WORD_MOST, settings};
use super::size::{MIB, THREADS_MOST};
use super::tls::{TlsConfig, TlsUser, VerifyMode};
use crate::base::error::{ConfigError, ConfigRule};

settings! {
    /// Settings of a server.
    pub struct ServerConfig (Scope::Server, "") {
        /// Whether a handle of the server (its cache, clock, faults, statistics) first waits until
        /// the server has carried out the commands that clients sent. Tests need that. A program
        /// that reads its cache often creates the cache first, then serves it with
        /// [`crate::server::Server::with_cache`].
        settles: bool = true,
            Row::on_off();
        /// Number of worker threads (`-t`), 1 to 1024.
        threads: usize = 4,
            Row::whole(1, 1024)
                .low("Number of threads must be greater than 0")
                .high("Number of threads must be at most 1024")
                .option("-t")
                .stat("num_threads");
        /// Most connections at once (`-c`). Descriptors of listeners and UDP sockets count.
        max_connections: usize = 1024,
            Row::whole(1, WORD_MOST)
                .low("Maximum connections must be greater than 0")
                .option("-c")
                .stat("maxconns");
        /// Whether a connection above the limit is refused with a text. If not, it waits in the
        /// backlog (`-o no_maxconns_fast`).
        maxconns_fast: bool = true,
            Row::on_off()
                .option("maxconns_fast")
                .stat("maxconns_fast")
                .help("immediately close new connections after limit (default: enabled)");
        /// Most connections at once of one client address; 0 means any number. The next one is
        /// refused with a text. IPv6 addresses of one /64 network count together. Unix sockets do
        /// not count.
        conns_per_ip: usize = 0,
            Row::whole(0, WORD_MOST)
                .option("conns_per_ip")
                .stat("memcache_rs_conns_per_ip")
                .help("most connections of one address, or of an IPv6 /64 network\n(default: {}, any number)");
        /// Length of the accept queue (`-b`). A negative one asks the system for the longest.
        backlog: i32 = 1024,
            Row::whole(i32::MIN as i128, i32::MAX as i128).option("-b").stat("tcp_backlog");
        /// Requests of one connection that are served before others get their turn (`-R`).
        requests_per_event: usize = 256,
            Row::whole(1, WORD_MOST)
                .low("Number of requests per event must be greater than 0")
                .option("-R")
                .stat("reqs_per_event");
        /// Seconds after which an idle TCP connection is closed; 0 means never.
        idle_timeout: u32 = 0,
            Row::whole(0, U32_MOST)
                .out("idle_timeout takes a number of seconds")
                .option("idle_timeout")
                .missing("Missing numeric argument for idle_timeout")
                .stat("idle_timeout")
                .help("timeout for idle connections (default: {}, no timeout)");
        /// Unread output above which a connection's requests wait, in bytes.
        output_limit: usize = MIB,
            Row::bytes(0, WORD_MOST);
        /// Bytes that all connections together may hold beside the memory of items: partial
        /// requests, unread replies and unfinished values. 0 means a quarter of the memory limit,
        /// at least 32 MiB.
        read_buf_mem_limit: usize = 0,
            Row::bytes(0, WORD_MOST)
                .option("read_buf_mem_limit")
                .unit(1 << 20)
                .stat("read_buf_mem_limit")
                .help("limit in megabytes for partial requests, unread replies and\nunfinished values of all connections\n(default: a quarter of -m, at least 32)");
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
        /// File of the rights of users, a line `USER RIGHTS` each. Users that it does not name may
        /// only ask for the version. `None` gives every user all rights. A reload reads it again.
        rights_file: Option<PathBuf> = None,
            Row::file()
                .option("rights_file")
                .stat("memcache_rs_rights_file")
                .help("file of lines USER RIGHTS: all, or noadmin, ro and\nprefix=TEXT with commas (default: all rights for every user)");
        /// The same list as a text, for programs: `"ann all; shop ro,prefix=site1/"`.
        rights: Option<String> = None,
            Row::new(Kind::Text).or_none();
        /// Level of the log, 0 to 3 (`-v`).
        verbosity: u8 = 0,
            Row::whole(0, 3).option("-v").stat("verbosity");
        /// Bytes buffered for each watcher (`watcher_logbuf_size`).
        watcher_buffer: usize = 256 * 1024,
            Row::bytes(0, WORD_MOST)
                .option("watcher_logbuf_size")
                .unit(1024)
                .stat("watcher_logbuf_size")
                .help("size in kilobytes of per-watcher write buffer (default: {})");
        /// Whether the commands of memcached's debug build are accepted (`-o debug_commands`).
        debug_commands: bool = false,
            Row::on_off().option("debug_commands");
        /// Mark of the packets of internet sockets, for packet filters (`-o sock_cookie_id`). 0
        /// means no mark.
        socket_mark: u32 = 0,
            Row::whole(0, U32_MOST)
                .out("could not parse argument to sock_cookie_id")
                .option("sock_cookie_id")
                .help("mark of sockets for packet filters (Linux, as a privileged user)");
        /// memcached's file for a restart (`-e`). Like `persist`, with the lines that memcached
        /// logs, and a second file `FILE.meta`. Only a server that was stopped leaves it.
        memory_file: Option<PathBuf> = None,
            Row::file().option("-e").stat("memory_file");
        /// File that keeps the items over a restart (`--persist`). The server loads it before it
        /// listens, and saves it when it stops.
        persist: Option<PathBuf> = None,
            Row::file()
                .option("--persist")
                .help("load this file at start, save all items to it at the end\n(SIGTERM, SIGINT, SIGUSR1, shutdown) and at SIGUSR2");
        /// Seconds between two saves while the server runs; 0 means that it saves at the end only.
        persist_interval: u32 = 0,
            Row::whole(0, U32_MOST)
                .option("--persist-interval")
                .help("seconds between saves in the background (default: 0, none)");
        /// Number of threads that save and load, or 0: half of the cores save, all cores load.
        persist_threads: usize = 0,
            Row::whole(0, THREADS_MOST as i128)
                .option("--persist-threads")
                .help("threads that save or load (default: as many as the cores allow)");
        /// Most bytes that a save in the background writes in a second; 0 means no limit.
        persist_rate: usize = 0,
            Row::bytes(0, WORD_MOST)
                .option("--persist-rate")
                .help("most bytes a second of a save in the background, such as 200m\n(default: 0, no limit)");
        /// Number of older files to keep, as `FILE.1`, `FILE.2` and so on.
        persist_keep: u32 = 0,
            Row::whole(0, 1000)
                .option("--persist-keep")
                .help("number of older files to keep, as FILE.1 (default: 0)");
        /// How the items are stored in the file.
        persist_codec: Codec = Codec::Lz4,
            Row::new(Kind::Word(Codec::NAMES))
                .option("--persist-codec")
                .help("none or lz4 (default: lz4)");
        /// Whether the server refuses to start if the file is damaged. By default it loads the
        /// rest, and keeps the damaged file as `FILE.damaged`.
        persist_strict: bool = false,
            Row::on_off()
                .option("--persist-strict")
                .help("do not start if FILE is damaged");
        /// Whether the server listens before it has loaded the file. Items that clients store are
        /// newer and stay.
        persist_lazy: bool = false,
            Row::on_off()
                .option("--persist-lazy")
                .help("load while clients are served");
        /// Configuration that makes the server a proxy: commands with keys go to its backends. It
        /// is a text in TOML, or the name of a file that ends in `.toml` (`-o proxy_config`).
        proxy: Option<ProxyConfig> = None,
            Row::new(Kind::Toml).or_none();
    }
    others {
        /// Settings of the cache that is served.
        cache: CacheConfig = CacheConfig::default();
        /// Addresses to listen on. If empty, only this process uses the cache.
        listen: Vec<Listen> = Vec::new();
        /// Authentication; `None` allows every client. With SASL all listeners use the binary
        /// protocol, with text authentication the text protocols. A listener that negotiates is
        /// narrowed to that. A listener with the other protocol is an error.
        auth: Option<AuthConfig> = None;
        /// Certificate, key and rules of listeners with TLS.
        tls: Option<TlsConfig> = None;
        /// Nodes that `config get cluster` reports, as a node of a hosted cluster does. If empty,
        /// the command does not exist, as in memcached.
        cluster: Vec<ClusterNode> = Vec::new();
        /// Callbacks of the program that embeds the server.
        hooks: Hooks = Hooks::default();
        /// Values that `stats settings` reports and the server does not use.
        reported: Reported = Reported::default();
    }
}

settings! {
    /// Values that `stats settings` reports and that have no other effect.
    pub struct Reported (Scope::Reported, "") {
        /// memcached's share of a class for hot items, in percent.
        hot_lru_pct: u32 = 20,
            Row::whole(1, 79)
                .out("hot_lru_pct must be > 1 and < 80")
                .option("hot_lru_pct")
                .idle(EVICTION)
                .stat("hot_lru_pct");
        /// memcached's share of a class for warm items, in percent.
        warm_lru_pct: u32 = 40,
            Row::whole(1, 79)
                .out("warm_lru_pct must be > 1 and < 80")
                .option("warm_lru_pct")
                .idle(EVICTION)
                .stat("warm_lru_pct");
        /// memcached's age limit of hot items.
        hot_max_factor: f64 = 0.2,
            Row::real(0.0, f64::MAX)
                .out("hot_max_factor must be > 0")
                .option("hot_max_factor")
                .idle(EVICTION)
                .stat("hot_max_factor");
        /// memcached's age limit of warm items.
        warm_max_factor: f64 = 2.0,
            Row::real(0.0, f64::MAX)
                .out("warm_max_factor must be > 0")
                .option("warm_max_factor")
                .idle(EVICTION)
                .stat("warm_max_factor");
        /// How memcached moves pages between classes: 0, 1 or 2.
        slab_automove: u32 = 1,
            Row::whole(0, 2)
                .out("slab_automove must be between 0 and 2")
                .option("slab_automove")
                .idle(CLASSES)
                .stat("slab_automove");
        /// memcached's ratio of ages from which it moves a page.
        slab_automove_ratio: f64 = 0.8,
            Row::real(0.0, 1.0)
                .out("slab_automove_ratio must be > 0 and < 1")
                .option("slab_automove_ratio")
                .idle(CLASSES)
                .stat("slab_automove_ratio");
        /// memcached's window of the decision to move a page, in seconds.
        slab_automove_window: u32 = 10,
            Row::whole(3, 1800)
                .out("slab_automove_window must be > 2 and < 1800")
                .option("slab_automove_window")
                .idle(CLASSES)
                .stat("slab_automove_window");
        /// Seconds after which memcached frees a pinned item; 0 means never.
        tail_repair_time: u32 = 0,
            Row::whole(0, U32_MOST)
                .rule("0 or at least 10", |seconds| seconds == 0 || seconds >= 10)
                .out("Cannot set tail_repair_time to less than 10 seconds")
                .option("tail_repair_time")
                .missing("Missing numeric argument for tail_repair_time")
                .stat("tail_repair_time")
                .help("seconds after which a pinned tail item counts as leaked\n(default: {}, off)");
        /// Size of the log buffer of memcached's workers in bytes.
        worker_buffer: usize = 64 * 1024,
            Row::bytes(0, WORD_MOST)
                .option("worker_logbuf_size")
                .unit(1024)
                .idle("workers write to watchers directly")
                .stat("worker_logbuf_size");
        /// memcached's hash function of keys.
        hash_algorithm: HashAlgorithm = HashAlgorithm::default(),
            Row::new(Kind::Word(HashAlgorithm::NAMES))
                .low("Unknown hash_algorithm option (jenkins, murmur3, xxh3)")
                .option("hash_algorithm")
                .idle("the index uses its own keyed hash")
                .stat("hash_algorithm");
    }
    others {
        /// `tcpport`.
        tcp_port: u16 = 0;
        /// `udpport`.
        udp_port: u16 = 0;
        /// `inter`: the text of `-l`.
        inter: Option<String> = None;
        /// `num_napi_ids`.
        napi_ids: u32 = 0;
    }
}

impl Reported {
    /// Returns the value of the setting `name`, or `None` if there is no such setting.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        setting::get(Self::SETTINGS, self, name)
    }
}

/// Why the settings of memcached's segments have no effect.
const EVICTION: &str = "eviction depends on accesses and size";

/// Why the settings of memcached's pages have no effect.
const CLASSES: &str = "memory is not assigned to slab classes";

impl ServerConfig {
    /// Sets the setting `name` of the server or of its cache, which is the name of its field. The
    /// names of [`TlsConfig`] follow `tls_`.
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
        setting::set(Self::SETTINGS, self, name, &value)
            .or_else(|| setting::set(CacheConfig::SETTINGS, &mut self.cache, name, &value))
            .or_else(|| TlsConfig::set(&mut self.tls, name, &value))
            .or_else(|| setting::set(Reported::SETTINGS, &mut self.reported, name, &value))
            .unwrap_or_else(|| Err(setting::unknown(name)))
    }

    /// Returns the value of the setting `name`, or `None` if there is no such setting.
    pub fn get(&self, name: &str) -> Option<Value> {
        setting::get(Self::SETTINGS, self, name)
            .or_else(|| self.cache.get(name))
            .or_else(|| setting::get(TlsConfig::SETTINGS, &self.tls.clone().unwrap_or_default(), name))
            .or_else(|| self.reported.get(name))
    }

    /// Returns the rows of all settings: of a server, its cache and TLS, and those only reported.
    #[doc(hidden)]
    pub fn rows() -> impl Iterator<Item = &'static Row> {
        (Self::SETTINGS.iter().map(|setting| &setting.row))
            .chain(CacheConfig::SETTINGS.iter().map(|setting| &setting.row))
            .chain(TlsConfig::SETTINGS.iter().map(|setting| &setting.row))
            .chain(Reported::SETTINGS.iter().map(|setting| &setting.row))
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
        setting::check(Reported::SETTINGS, &self.reported)?;
        if self.reported.hot_lru_pct + self.reported.warm_lru_pct > 80 {
            return fail("hot_lru_pct", "hot_lru_pct + warm_lru_pct cannot be more than 80% combined");
        }
        self.validate_persist()?;
        self.validate_rights()?;
        let speaks_tls = |listen: &Listen| matches!(listen, Listen::Tcp { tls, .. } if *tls != TlsMode::Off);
        match &self.tls {
            None if self.listen.iter().any(speaks_tls) => {
                return fail("tls", "A listener with TLS needs a certificate");
            }
            Some(tls) if tls.in_memory.is_none() && tls.chain_cert.is_none() => {
                return fail(
                    "tls",
                    "Error loading the certificate chain: (null) : ssl_chain_cert is not given",
                );
            }
            _ => {}
        }
        let speaks = |protocol| self.listen.iter().any(|listen| listen.protocol() == Some(protocol));
        let datagrams = self.listen.iter().any(|listen| matches!(listen, Listen::Udp { .. }));
        if self.proxy.is_some() && speaks(Protocol::Binary) {
            return fail("proxy", "Cannot specify a protocol with proxy mode enabled");
        }
        match self.auth.as_ref().map(|auth| auth.method) {
            None if datagrams && self.names_users_by_certificate() => {
                fail("tls_user", "ssl_user cannot be used with UDP, which has no certificates")
            }
            // The sender of a datagram cannot be authenticated.
            Some(AuthMethod::Sasl) if datagrams => {
                fail("auth", "ERROR: Cannot enable UDP while using binary SASL authentication.")
            }
            Some(AuthMethod::Text) if datagrams => {
                fail("auth", "Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
            }
            Some(AuthMethod::Sasl) if self.proxy.is_some() => {
                fail("proxy", "a proxy speaks the text protocols, which SASL does not allow")
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

    /// Returns whether certificates of clients name users.
    pub(crate) fn names_users_by_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.user != TlsUser::None)
    }

    /// Returns whether a listener asks clients for certificates.
    fn asks_for_certificates(&self) -> bool {
        let verifies = self.tls.as_ref().is_some_and(|tls| tls.verify_mode != VerifyMode::None);
        self.listen.iter().any(|listen| match listen {
            Listen::Tcp { tls, .. } => *tls == TlsMode::Peer || *tls == TlsMode::Default && verifies,
            Listen::Unix { .. } | Listen::Udp { .. } => false,
        })
    }

    /// Checks the rights of users.
    fn validate_rights(&self) -> Result<(), ConfigError> {
        let fail = |name, text: &str| Err(ConfigError::new(name, ConfigRule::Conflict, text));
        let by_certificate = self.names_users_by_certificate();
        let name = match (&self.rights_file, &self.rights) {
            (None, None) if by_certificate => return fail("tls_user", "ssl_user needs rights_file"),
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => return fail("rights", "rights and rights_file cannot be used together"),
            (Some(_), None) => "rights_file",
            (None, Some(_)) => "rights",
        };
        if self.auth.is_none() && !by_certificate {
            return fail(name, &format!("{name} needs users: turn authentication or ssl_user on"));
        }
        // The daemon checks its settings once before it knows the addresses.
        if by_certificate && !self.listen.is_empty() && !self.asks_for_certificates() {
            return fail("tls_user", "ssl_user needs ssl_verify_mode, or a listener mtls:");
        }
        match self.rights.as_deref().map(read_rights) {
            Some(Err(why)) => fail("rights", &format!("rights: {why}")),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Checks the settings of the snapshot against each other.
    fn validate_persist(&self) -> Result<(), ConfigError> {
        let fail = |name: &'static str, text: String| Err(ConfigError::new(name, ConfigRule::Conflict, text));
        if self.persist.is_some() && self.memory_file.is_some() {
            return fail("persist", "persist and memory_file cannot be used together".into());
        }
        if self.persist_lazy && self.persist_strict {
            return fail("persist_lazy", "persist_lazy and persist_strict cannot be used together".into());
        }
        let defaults = Self::default();
        let unused =
            |row: &&Row| row.name.starts_with("persist_") && self.get(row.name) != defaults.get(row.name);
        match Self::rows().find(unused) {
            Some(row) if self.persist.is_none() => {
                fail(row.name, format!("{} has no effect without persist", row.name))
            }
            _ => Ok(()),
        }
    }
}

//! Validated settings of a cache and of a server.
//!
//! This module defines each setting and its allowed values. It reads no arguments, environment or
//! file: the faces (daemon, C, Python, Node) fill these structures and call
//! [`CacheConfig::validate`] and [`ServerConfig::validate`].

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth::{AuthConfig, AuthMethod};
use crate::cluster::ClusterNode;
use crate::error::ConfigError;
use crate::hooks::Hooks;

/// Bytes in a mebibyte, the unit of `-m`.
pub const MIB: usize = 1024 * 1024;

/// Size of memcached's slab pages in bytes (`slab_page_size`), which settings
/// and `stats` refer to.
pub const PAGE_SIZE: usize = MIB;

/// Longest key in bytes, in every protocol.
pub const KEY_MAX: usize = 250;

/// Smallest and largest value of [`CacheConfig::item_size_max`].
pub const ITEM_SIZE_MAX_RANGE: std::ops::RangeInclusive<usize> = 1024..=1024 * MIB;

/// Smallest [`CacheConfig::slab_chunk_max`]: a chunk must hold the header of a
/// large item with the longest key, and more than its own header.
const CHUNK_MAX_LEAST: usize = 512;

/// Smallest chunk in [`CacheConfig::slab_sizes`]: room for an item's header and a short key.
const SLAB_SIZE_LEAST: usize = 40;

/// Largest [`CacheConfig::hashpower_init`].
const HASHPOWER_MOST: u32 = 32;

/// The eviction policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruMode {
    /// Evicts items in the order of their last use (`-o no_lru_maintainer`).
    Flat,
    /// Evicts items that are used least for their size (the default).
    Segmented,
}

/// Settings of a cache, with or without a server in front of it.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Memory in bytes for items and their index (`-m`), at least a few hundred KiB. 0 means no
    /// limit but the reserved address space, about 32 GiB.
    pub memory_limit: usize,
    /// Whether items are evicted when memory is full (the default). If not, stores are refused
    /// (`-M`).
    pub evictions: bool,
    /// Growth factor between the chunk sizes of classes (`-f`), above 1. Classes
    /// only name sizes, in `stats` and crawls; items take what they need.
    pub growth_factor: f64,
    /// Smallest space for key, value and flags in bytes (`-n`), for classes.
    pub chunk_size: usize,
    /// Largest item in bytes, as memcached counts them (`-I`).
    pub item_size_max: usize,
    /// Size of the largest class, and of the largest item that `incr` takes
    /// (`-o slab_chunk_max`).
    pub slab_chunk_max: usize,
    /// Chunk sizes given one by one (`-o slab_sizes`), ascending.
    pub slab_sizes: Option<Vec<usize>>,
    /// Whether items have a CAS. Without (`-C`), every CAS reads as 0.
    pub use_cas: bool,
    /// The eviction policy at start. The command `lru mode` changes it.
    pub lru_mode: LruMode,
    /// Whether the background maintainer works at all (`no_lru_maintainer`).
    pub lru_maintainer: bool,
    /// Whether the crawler frees expired items by itself (`no_lru_crawler`).
    pub lru_crawler: bool,
    /// Microseconds the crawler sleeps between batches (`lru_crawler_sleep`).
    pub lru_crawler_sleep: u32,
    /// Most items that a crawl examines; 0 means all (`lru_crawler_tocrawl`).
    pub lru_crawler_tocrawl: u32,
    /// Reported only: `hot_lru_pct`.
    pub hot_lru_pct: u32,
    /// Reported only: `warm_lru_pct`.
    pub warm_lru_pct: u32,
    /// Reported only: `hot_max_factor`.
    pub hot_max_factor: f64,
    /// Reported only: `warm_max_factor`.
    pub warm_max_factor: f64,
    /// Items with at most this TTL in seconds are never evicted (`temporary_ttl`). `None` turns
    /// that off.
    pub temporary_ttl: Option<u32>,
    /// Whether the command `slabs reassign` is accepted (`slab_reassign`). It moves nothing.
    pub slab_reassign: bool,
    /// Reported only: `slab_automove`.
    pub slab_automove: u32,
    /// Reported only: `slab_automove_ratio`.
    pub slab_automove_ratio: f64,
    /// Reported only: `slab_automove_window`.
    pub slab_automove_window: u32,
    /// Track the histogram that `stats sizes` prints from the start.
    pub track_sizes: bool,
    /// Reported only: `tail_repair_time`.
    pub tail_repair_time: u32,
    /// log2 of the initial number of index slots; with 0 the store decides.
    pub hashpower_init: u32,
    /// Number of independently locked shards, a power of two; fewer if the memory
    /// limit is small. `None`: the store decides from the limit and the thread
    /// count.
    pub shards: Option<usize>,
    /// Threads expected to use the cache at once; a hint for `shards`.
    pub concurrency: usize,
    /// Bytes counted as allocated before the first segment (test suites use it).
    pub initial_malloced: usize,
    /// Separates a key's prefix for `stats detail` (`-D`).
    pub prefix_delimiter: u8,
    /// Whether `stats detail` collects from the start (`-D` turns it on).
    pub detail_enabled: bool,
    /// Asks the system for large pages for item memory (`-L`). From 64 MiB on, that is done in any
    /// case.
    pub large_pages: bool,
    /// Whether the clock stands still from the start, until it is resumed.
    pub clock_frozen: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_limit: 64 * MIB,
            evictions: true,
            growth_factor: 1.25,
            chunk_size: 48,
            item_size_max: MIB,
            slab_chunk_max: PAGE_SIZE / 2,
            slab_sizes: None,
            use_cas: true,
            lru_mode: LruMode::Segmented,
            lru_maintainer: true,
            lru_crawler: true,
            lru_crawler_sleep: 100,
            lru_crawler_tocrawl: 0,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temporary_ttl: None,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            track_sizes: false,
            tail_repair_time: 0,
            hashpower_init: 0,
            shards: None,
            concurrency: 4,
            initial_malloced: 0,
            prefix_delimiter: b':',
            detail_enabled: false,
            large_pages: false,
            clock_frozen: false,
        }
    }
}

impl CacheConfig {
    /// Checks the settings, each alone and against each other.
    ///
    /// # Errors
    /// The first rule that is broken. The text is memcached's if memcached has the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError::Invalid(text));
        if !self.growth_factor.is_finite() || self.growth_factor <= 1.0 {
            return fail("Factor must be greater than 1".into());
        }
        if self.chunk_size == 0 {
            return fail("Chunk size must be greater than 0".into());
        }
        if self.item_size_max < *ITEM_SIZE_MAX_RANGE.start() {
            return fail("Item max size cannot be less than 1024 bytes.".into());
        }
        if self.memory_limit != 0 && self.item_size_max > self.memory_limit / 2 {
            return fail("Cannot set item size limit higher than 1/2 of memory max.".into());
        }
        if self.item_size_max > *ITEM_SIZE_MAX_RANGE.end() {
            return fail("Cannot set item size limit higher than a gigabyte.".into());
        }
        let chunk_max = self.slab_chunk_max;
        if chunk_max < CHUNK_MAX_LEAST {
            return fail(format!("slab_chunk_max cannot be less than {CHUNK_MAX_LEAST} bytes"));
        }
        if let Some(sizes) = &self.slab_sizes {
            let ascends = sizes.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascends || sizes.iter().any(|&size| size < SLAB_SIZE_LEAST || size > chunk_max) {
                return fail(format!(
                    "slab_sizes must ascend from at least {SLAB_SIZE_LEAST} to at most slab_chunk_max (bytes: {chunk_max})"
                ));
            }
        }
        if self.hashpower_init > HASHPOWER_MOST {
            return fail(format!("Initial hashtable multiplier of {} is too high", self.hashpower_init));
        }
        if chunk_max > self.item_size_max {
            return fail(format!(
                "slab_chunk_max (bytes: {chunk_max}) cannot be larger than -I (item_size_max {})",
                self.item_size_max
            ));
        }
        if !self.item_size_max.is_multiple_of(chunk_max) {
            return fail(format!(
                "-I (item_size_max: {}) must be evenly divisible by slab_chunk_max (bytes: {chunk_max})",
                self.item_size_max
            ));
        }
        if !PAGE_SIZE.is_multiple_of(chunk_max) {
            return fail(format!(
                "slab_chunk_max (bytes: {chunk_max}) must divide evenly into {PAGE_SIZE} (slab_page_size)"
            ));
        }
        if self.hot_lru_pct + self.warm_lru_pct > 80 {
            return fail("hot_lru_pct + warm_lru_pct cannot be more than 80% combined".into());
        }
        if self.temporary_ttl.is_some() && !self.lru_maintainer {
            return fail("temporary_ttl requires lru_maintainer to be enabled".into());
        }
        if self.slab_automove > 2 {
            return fail("slab_automove must be between 0 and 2".into());
        }
        if self.shards.is_some_and(|n| !n.is_power_of_two() || n > 1024) {
            return fail("shards must be a power of two of at most 1024".into());
        }
        Ok(())
    }
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The first byte of a connection decides.
    Negotiating,
    /// The classic and meta text protocols.
    Ascii,
    /// The binary protocol.
    Binary,
}

/// Whether a TCP listener uses TLS, and whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS (`notls:`).
    #[default]
    Off,
    /// TLS; [`TlsConfig::verify_mode`] says whether clients need a certificate.
    Default,
    /// TLS, clients need no certificate (`btls:`).
    NoPeer,
    /// TLS, clients need a certificate (`mtls:`).
    Peer,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// The server asks for no certificate.
    #[default]
    None,
    /// The server asks for a certificate. One that is sent must be valid.
    Request,
    /// A valid certificate is required.
    Require,
    /// The same as [`VerifyMode::Require`]: a connection is asked only once in any case.
    Once,
}

/// The format of a private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// Text.
    #[default]
    Pem,
    /// ASN.1.
    Der,
}

/// The oldest version of TLS that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

/// Settings of TLS (`-Z`, `-o ssl_*`). Files are read at start and by
/// `refresh_certs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate chain, PEM (`ssl_chain_cert`).
    pub chain_cert: PathBuf,
    /// The private key (`ssl_key`). `None` means that `chain_cert` contains it.
    pub key: Option<PathBuf>,
    /// The format of the key (`ssl_keyformat`).
    pub key_format: KeyFormat,
    /// Whether clients need a certificate at listeners of [`TlsMode::Default`] (`ssl_verify_mode`).
    pub verify_mode: VerifyMode,
    /// Certificates of the authorities that sign clients' certificates, PEM (`ssl_ca_cert`). With
    /// `None`, no certificate of a client is valid.
    pub ca_cert: Option<PathBuf>,
    /// Cipher suites, as a list in OpenSSL's form (`ssl_ciphers`). As in OpenSSL, a list without a
    /// TLS 1.3 suite leaves the suites of TLS 1.3 unchanged.
    pub ciphers: Option<String>,
    /// Bytes that are encrypted before they are sent (`ssl_wbuf_size`), clamped to 64 KiB at least
    /// and 1 MiB at most.
    pub wbuf_size: usize,
    /// Whether sessions can be resumed (`ssl_session_cache`).
    pub session_cache: bool,
    /// Reported only: `ssl_kernel_tls`.
    pub kernel_tls: bool,
    /// The oldest version that is accepted (`ssl_min_version`).
    pub min_version: TlsVersion,
    /// Certificates and key in memory. If they are given, no file is read:
    /// [`Self::chain_cert`], [`Self::key`] and [`Self::ca_cert`] are ignored.
    pub in_memory: Option<TlsPem>,
}

/// Certificates and a private key as PEM texts, for a server that reads no files. A reload uses the
/// same texts again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsPem {
    /// The server's certificate chain.
    pub chain_cert: Vec<u8>,
    /// The private key, always PEM.
    pub key: Vec<u8>,
    /// Certificates of the authorities that sign clients' certificates. With `None`, no certificate
    /// of a client is valid.
    pub ca_cert: Option<Vec<u8>>,
}

impl fmt::Debug for TlsPem {
    /// Shows neither the key nor its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPem").finish_non_exhaustive()
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            chain_cert: PathBuf::new(),
            key: None,
            key_format: KeyFormat::default(),
            verify_mode: VerifyMode::default(),
            ca_cert: None,
            ciphers: None,
            wbuf_size: 16 * 1024,
            session_cache: false,
            kernel_tls: false,
            min_version: TlsVersion::default(),
            in_memory: None,
        }
    }
}

/// An address that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes a free port.
    Tcp {
        /// Address and port.
        addr: SocketAddr,
        /// Protocol of connections accepted here.
        protocol: Protocol,
        /// Whether TLS is used.
        tls: TlsMode,
    },
    /// A Unix stream socket.
    Unix {
        /// Path of the socket file. A stale file there is replaced.
        path: PathBuf,
        /// Permission bits of the socket file (`-a`).
        mask: u32,
        /// Protocol of connections accepted here.
        protocol: Protocol,
    },
    /// A UDP address; port 0 takes a free port. Each datagram's first byte
    /// decides its protocol.
    Udp {
        /// Address and port.
        addr: SocketAddr,
    },
}

impl Listen {
    /// Returns a TCP address that accepts every protocol, without TLS.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Off }
    }

    /// Returns the protocol of connections accepted here, or `None` for UDP, where the first byte
    /// of each datagram decides.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Tcp { protocol, .. } | Self::Unix { protocol, .. } => Some(*protocol),
            Self::Udp { .. } => None,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(ServerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn chunks_that_cannot_hold_an_item_are_refused() {
        let tiny = CacheConfig { slab_chunk_max: 64, item_size_max: 1024, ..CacheConfig::default() };
        assert!(tiny.validate().is_err());
        for sizes in [vec![0], vec![200, 100], vec![100, 1 << 20]] {
            let config = CacheConfig { slab_sizes: Some(sizes), ..CacheConfig::default() };
            assert!(config.validate().is_err(), "{config:?}");
        }
        let huge = CacheConfig { hashpower_init: 64, ..CacheConfig::default() };
        assert!(huge.validate().is_err());
    }

    #[test]
    fn broken_rules_say_which() {
        let big = CacheConfig { item_size_max: 256 * MIB, ..CacheConfig::default() };
        assert!(big.validate().is_err_and(|e| e.to_string().contains("1/2 of memory max")));
        let odd = CacheConfig { slab_chunk_max: 3000, ..CacheConfig::default() };
        assert!(odd.validate().is_err_and(|e| e.to_string().contains("evenly divisible")));
        let plain = ServerConfig { tls: Some(TlsConfig::default()), ..ServerConfig::default() };
        assert!(plain.validate().is_err_and(|e| e.to_string().contains("ssl_chain_cert")));
        let listen = Listen::Tcp {
            addr: ([127, 0, 0, 1], 0).into(),
            protocol: Protocol::Negotiating,
            tls: TlsMode::Peer,
        };
        let bare = ServerConfig { listen: vec![listen], ..ServerConfig::default() };
        assert!(bare.validate().is_err_and(|e| e.to_string().contains("needs a certificate")));
        let none = ServerConfig { threads: 0, ..ServerConfig::default() };
        assert!(none.validate().is_err());
    }
}

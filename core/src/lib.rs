//! A memcached cache and server as a library.
//!
//! [`Cache`] is an in-process cache with memcached's semantics: byte keys of up to 250 bytes, byte
//! values, TTLs, counters, and a memory limit that evicts. [`Server`] serves a cache over
//! memcached's text, meta and binary protocols, on TCP, UDP, Unix sockets and TLS. Both may be used
//! at once: what the program stores, clients read, and the other way round.
//!
//! ```
//! use std::time::Duration;
//! use memcache_rs::{Cache, CacheConfig, Ttl};
//!
//! let cache = Cache::new(CacheConfig { memory_limit: 64 << 20, ..CacheConfig::default() })?;
//! cache.set("greeting", "hello", Duration::from_secs(60))?;
//! assert_eq!(cache.get("greeting").as_deref(), Some(&b"hello"[..]));
//!
//! cache.set("visits", "41", Ttl::Never)?;
//! assert_eq!(cache.incr("visits", 1)?, 42);
//!
//! // A test moves the clock instead of waiting.
//! cache.clock().advance(60)?;
//! assert_eq!(cache.get("greeting"), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server on a free port, for tests. Dropping it closes its sockets and ends its threads:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use memcache_rs::{BoundAddress, Fault, FaultRule, Listen, Server, ServerConfig};
//!
//! let listen = vec![Listen::tcp("127.0.0.1:0".parse()?)];
//! let server = Server::start(ServerConfig { listen, ..ServerConfig::default() })?;
//! let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("one TCP address") };
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"set greeting 0 0 5 noreply\r\nhello\r\n")?;
//! // `server.cache()` waits until the server has carried out what its clients sent.
//! assert_eq!(server.cache().get("greeting").as_deref(), Some(&b"hello"[..]));
//!
//! // The next get is answered with an error, once.
//! let fault = Fault::Error("out of order".into());
//! let rule = FaultRule { command: Some("get".into()), times: Some(1), ..FaultRule::new(fault) };
//! server.cache().faults().add(rule);
//! client.write_all(b"get greeting\r\n")?;
//! let mut reply = [0; 27];
//! client.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"SERVER_ERROR out of order\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Threads
//!
//! [`Cache`], [`Server`], [`Clock`] and [`Faults`] may be used from any thread at any time. Most
//! gets of a small item take no lock and write to no memory that threads share. A get locks one
//! shard if it has to record an access or removes an expired item. A hook must not wait for its own
//! server.
//!
//! # Features
//!
//! Two are on by default. Without them the crate is the cache alone, without mio and rustls.
//!
//! - `server`: [`Server`] and its protocols.
//! - `tls`: listeners with TLS, by rustls and ring. Includes `server`.
//! - `proxy`: nothing public. The tool `mcrs` uses it. It is off by default.
//!
//! # What this crate is not
//!
//! It keeps bytes, not objects: a program that wants typed values of its own in memory is served
//! better by `moka` or `quick_cache`. It is a server, not a client. It runs on Linux.
//!
//! # Stability
//!
//! The names on this page follow semantic versioning. The hidden module `internal` does not.

#![warn(missing_debug_implementations)]

// `scripts/layers.py` lists these layers from the lowest to the highest, and checks their order.
#[macro_use]
mod base;
#[cfg(feature = "server")]
mod admin;
mod cache;
mod config;
#[cfg(feature = "server")]
mod net;
mod persist;
#[cfg(feature = "server")]
mod protocol;
#[cfg(feature = "server")]
mod proxy;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod session;
#[cfg(feature = "server")]
mod state;
mod store;
#[cfg(feature = "server")]
#[cfg_attr(not(feature = "tls"), path = "tls/off.rs")]
mod tls;

pub use self::base::clock::{Clock, ClockError};
pub use self::base::error::{
    ConfigError, ConfigRule, DeltaError, ProxyError, ReloadError, StartError, StopError, StoreError,
};
pub use self::base::faults::{Fault, FaultRule, FaultRuleId, Faults};
pub use self::base::histogram::Histogram;
pub use self::cache::item::CacheItem;
pub use self::cache::iter::{Iter, Keys};
pub use self::cache::namespace::Namespace;
pub use self::cache::options::{StoreMode, StoreOptions, StoreOutcome};
pub use self::cache::prefix::PrefixCounts;
pub use self::cache::{Cache, HotKey, HotKeys, ItemInfo, Ttl};
pub use self::config::{CacheConfig, EvictionGoal, EvictionPolicy, QuotaConfig, Value};
pub use self::persist::{
    Codec as SnapshotCodec, Damage as SnapshotDamage, FormatError as SnapshotFormatError, LoadOptions,
    Loaded, Progress as SnapshotProgress, SaveOptions, Saved, SnapshotError, SnapshotInfo, SnapshotTtl,
};
pub use self::store::{PinnedValue, Quota};
#[cfg(feature = "server")]
pub use self::{
    admin::{
        MetricFamily, MetricHistogram, MetricKind, MetricSample, MetricValue, Metrics, MetricsFormat,
        ProxyBackendStats, ProxyNameStats, ProxyPoolStats, ProxyStats,
    },
    config::{
        AuthConfig, AuthMethod, ClientCommand, ClusterNode, Hooks, KeyFormat, Listen, NameAnswer,
        NameQuestion, NameRecords, Passwords, Protocol, ProxyConfig, Resolver, ServerConfig, ServiceRecord,
        SnapshotWork, Tag, TlsConfig, TlsMode, TlsPem, TlsUser, TlsVersion, VerifyMode,
    },
    net::address::BoundAddress,
    server::Server,
    state::{CommandClass, Stop},
};

/// The parts that this workspace's own crates, tests and fuzz targets use. No promise is made
/// about them between versions.
#[doc(hidden)]
pub mod internal {
    macro_rules! modules {
        ($($name:ident)+) => { $(pub mod $name { pub use crate::$name::*; })+ };
    }

    modules! { base cache config persist store }
    #[cfg(feature = "server")]
    modules! { proxy }
    #[cfg(feature = "server")]
    modules! { admin protocol server session state tls }
}

const _: fn() = || {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Cache>();
    is_send_and_sync::<Clock>();
    is_send_and_sync::<Faults>();
    is_send_and_sync::<PinnedValue>();
    is_send_and_sync::<CacheConfig>();
    is_send_and_sync::<StartError>();
    #[cfg(feature = "server")]
    is_send_and_sync::<Server>();
    #[cfg(feature = "server")]
    is_send_and_sync::<ServerConfig>();
};

/// The examples of the documents, which must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/rust.md")]
#[doc = include_str!("../../docs/namespaces.md")]
#[doc = include_str!("../../docs/snapshots.md")]
pub struct DocumentExamples;

//! Validated settings of a cache and of a server.
//!
//! This module defines each setting and its allowed values. It reads no arguments, environment or
//! file: the faces (daemon, C, Python, Node) fill these structures and call
//! [`CacheConfig::validate`] and [`ServerConfig::validate`].

#[cfg(feature = "server")]
mod auth;
mod cache;
#[cfg(feature = "server")]
mod cluster;
mod codec;
#[cfg(feature = "server")]
mod hash;
#[cfg(feature = "server")]
mod hooks;
#[cfg(feature = "server")]
mod listen;
mod policy;
mod proxy;
mod quota;
#[cfg(feature = "server")]
mod resolver;
#[cfg(feature = "server")]
mod rights;
#[cfg(feature = "server")]
mod server;
mod setting;
mod size;
#[cfg(feature = "server")]
mod tls;

#[cfg(feature = "server")]
pub use self::auth::{AuthConfig, AuthMethod, Passwords};
pub use self::cache::CacheConfig;
#[cfg(feature = "server")]
pub use self::cluster::ClusterNode;
pub use self::codec::Codec;
#[cfg(feature = "server")]
pub use self::hash::HashAlgorithm;
#[cfg(feature = "server")]
pub use self::hooks::{ClientCommand, Hooks, Log, OnCommand, OnSnapshot, SnapshotWork};
#[cfg(feature = "server")]
pub use self::listen::{Listen, Protocol, Tag, TlsMode};
pub(crate) use self::policy::eviction_policies;
pub use self::policy::{EvictionGoal, EvictionPolicy};
pub use self::proxy::{ProxyConfig, ProxyProgram, ProxySource, SourceText, hint_of_toml, is_toml};
pub use self::quota::QuotaConfig;
pub(crate) use self::quota::check_quota;
#[cfg(feature = "server")]
pub use self::resolver::{NameAnswer, NameQuestion, NameRecords, Resolver, ServiceRecord};
#[cfg(feature = "server")]
pub use self::rights::{Need, Rights, RightsByName, read_rights};
#[cfg(feature = "server")]
pub use self::server::{Reported, ServerConfig};
pub use self::setting::{Kind, Row, Scope, Value};
pub use self::size::{KEY_MAX, MIB, PAGE_SIZE, THREADS_MOST};
#[cfg(feature = "server")]
pub use self::tls::{KeyFormat, TlsConfig, TlsPem, TlsUser, TlsVersion, VerifyMode};

#[cfg(all(test, feature = "server"))]
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
            tag: None,
        };
        let bare = ServerConfig { listen: vec![listen], ..ServerConfig::default() };
        assert!(bare.validate().is_err_and(|e| e.to_string().contains("needs a certificate")));
        let none = ServerConfig { threads: 0, ..ServerConfig::default() };
        assert!(none.validate().is_err());
    }
}

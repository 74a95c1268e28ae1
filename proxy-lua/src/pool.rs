//! Pools and backends, as the configuration describes them. Workers share them.

use std::sync::Arc;

use memcache_core::internal::proxy::backend::{Address, Backend as Node};
use memcache_core::internal::proxy::bounds::Bounds;
use memcache_core::internal::proxy::links::{Links, Place};
use memcache_core::internal::tls::ClientRules;
use mlua::UserData;

use crate::api::hashing::KeyMap;

/// When requests to a backend are logged, if at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRules {
    /// A request that takes longer is logged, in milliseconds. 0 for no such rule.
    pub deadline: u64,
    /// One of this many requests is logged. 0 for no such rule.
    pub rate: u32,
    /// Whether failures are logged.
    pub errors: bool,
    /// A text that the lines contain.
    pub tag: String,
}

/// A backend.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name in logs and statistics.
    pub label: String,
    /// Its host, as the configuration writes it.
    pub host: String,
    /// Its port, as the configuration writes it.
    pub port: String,
    /// The connections to it.
    pub bounds: Bounds,
    /// The rules of TLS, if `bounds` asks for it.
    pub rules: Option<Arc<ClientRules>>,
    /// Whether all its requests fail.
    pub is_down: bool,
    /// When its requests are logged.
    pub log: Option<LogRules>,
}

impl Backend {
    /// Returns its address. A port that is not a number leads nowhere.
    pub fn address(&self) -> Address {
        Address::Tcp(self.host.clone(), self.port.parse().unwrap_or(0))
    }

    /// Returns the backend as a distribution of keys knows it.
    pub fn node(&self) -> Node {
        Node::at(self.address())
    }
}

/// Backends that share keys.
#[derive(Debug)]
pub struct Pool {
    /// In the order of the configuration. At least one.
    pub backends: Vec<Backend>,
    /// Pools with different prefixes share no connections.
    prefix: String,
    keys: KeyMap,
}

impl Pool {
    /// Returns a pool of these backends. `keys` names the backend of a key.
    pub fn new(backends: Vec<Backend>, prefix: String, keys: KeyMap) -> Self {
        Self { backends, prefix, keys }
    }

    /// Returns the number of the backend that has a key.
    pub fn choose(&self, key: &[u8]) -> usize {
        self.keys.choose(key)
    }

    /// Acquires links to the backends. A backend that is down has none.
    pub fn link(&self, links: &mut Links) -> Vec<Vec<usize>> {
        let link = |backend: &Backend| {
            if backend.is_down {
                return Vec::new();
            }
            let place = Place {
                address: backend.address(),
                label: Some(format!("{}{}", self.prefix, backend.label)),
                bounds: backend.bounds.clone(),
                rules: backend.rules.clone(),
                server_name: None,
                ordinal: 0,
            };
            place.of_worker().iter().map(|place| links.acquire(place)).collect()
        };
        self.backends.iter().map(link).collect()
    }
}

/// `mcp.backend`.
#[derive(Debug)]
pub struct BackendObject(pub Backend);

impl UserData for BackendObject {}

/// `mcp.pool`.
#[derive(Debug)]
pub struct PoolObject(pub Arc<Pool>);

impl UserData for PoolObject {}

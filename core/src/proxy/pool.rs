//! A pool: backends that share keys. It names the backend that has a key.

use std::path::Path;
use std::sync::Arc;

use super::backend::Backend;
use super::bounds::Bounds;
use super::distribution::{Distribution, Placement};
use super::filter::KeyFilter;
use super::hash::{KeyHash, xxh3};
use super::links::Place;
use crate::tls::{ClientRules, client_rules};

/// Backends that share keys.
#[derive(Debug)]
pub struct Pool {
    /// Name in the configuration.
    pub name: String,
    /// In their order in the configuration. At least one.
    pub backends: Vec<Backend>,
    /// How keys are spread.
    pub distribution: &'static Distribution,
    /// The hash of keys. `None` if the distribution hashes keys in a way of its own.
    pub key_hash: Option<&'static KeyHash>,
    /// The part of the key that is hashed, if not all of it.
    pub filter: Option<KeyFilter>,
    /// The connections to its backends.
    pub bounds: Bounds,
    /// The rules of TLS, once the files of `bounds.tls` are read.
    pub rules: Option<Arc<ClientRules>>,
    seed: u64,
    placement: Placement,
}

impl Pool {
    /// Builds a pool of at least one backend. `seed` changes the hash of keys, if it is `xxh3`.
    pub fn new(
        name: &str,
        backends: Vec<Backend>,
        distribution: &'static Distribution,
        key_hash: Option<&'static KeyHash>,
        filter: Option<KeyFilter>,
        seed: Option<&str>,
    ) -> Self {
        let placement = distribution.build(&backends);
        let seed = seed.map_or(0, |text| xxh3(text.as_bytes()));
        let bounds = Bounds::default();
        Self {
            name: name.into(),
            backends,
            distribution,
            key_hash,
            filter,
            bounds,
            rules: None,
            seed,
            placement,
        }
    }

    /// Reads the certificates and keys of TLS, whose paths are relative to `directory`.
    ///
    /// # Errors
    /// A file cannot be read or used. The text is one line.
    pub fn read_certificates(&mut self, directory: &Path) -> Result<(), String> {
        let rules = self.bounds.tls.as_ref().map(|files| client_rules(files, directory)).transpose();
        self.rules = rules.map_err(|e| format!("pools.{}.tls: {e}", self.name))?;
        Ok(())
    }

    /// Returns where the first connection to a backend leads.
    pub fn place(&self, backend: &Backend) -> Place {
        let (address, bounds, rules) = (backend.address.clone(), self.bounds.clone(), self.rules.clone());
        Place { address, label: None, bounds, rules, ordinal: 0 }
    }

    /// Returns the index of the backend that has a key.
    pub fn choose(&self, key: &[u8]) -> usize {
        let key = self.filter.as_ref().map_or(key, |filter| filter.part(key));
        let hash = self.key_hash.map_or(0, |hash| hash.hash(key, self.seed));
        self.placement.index(key, hash)
    }
}

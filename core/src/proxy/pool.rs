//! A pool: backends that share keys. It names the backend that has a key.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::backend::Backend;
use super::bounds::Bounds;
use super::config::ConfigFault;
use super::distribution::{Distribution, Placement};
use super::filter::KeyFilter;
use super::hash::{KeyHash, xxh3};
use super::health::{Eject, PoolHealth};
use super::links::Place;
use super::log::LogRules;
use super::source::Source;
use crate::tls::{ClientRules, client_rules};

/// A member of a pool in its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A backend.
    Backend(Backend),
    /// The backends of a source.
    Source(Source),
}

/// Backends that share keys.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Name in the configuration.
    pub name: String,
    /// In their order in the configuration. At least one if there is no source.
    pub backends: Vec<Backend>,
    /// The list of the configuration, if a source is in it.
    pub members: Option<Vec<Member>>,
    /// How keys are spread.
    pub distribution: &'static Distribution,
    /// The hash of keys. `None` if the distribution hashes keys in a way of its own.
    pub key_hash: Option<&'static KeyHash>,
    /// The part of the key that is hashed, if not all of it.
    pub filter: Option<KeyFilter>,
    /// The connections to its backends.
    pub bounds: Bounds,
    /// The requests to log. `None` for none.
    pub log: Option<LogRules>,
    /// The line of `tls` in the configuration.
    pub tls_line: usize,
    /// The rules of TLS, once the files of `bounds.tls` are read.
    pub rules: Option<Arc<ClientRules>>,
    /// The health of its backends, if they are probed.
    pub health: Option<PoolHealth>,
    /// Points of a backend on a circle.
    pub points: u32,
    seed: u64,
    placement: Placement,
}

impl Pool {
    /// Builds a pool of backends. `points` is the number of points of each, and `seed` changes the
    /// hash of keys, if it is `xxh3`.
    pub fn new(
        name: &str,
        backends: Vec<Backend>,
        distribution: &'static Distribution,
        key_hash: Option<&'static KeyHash>,
        filter: Option<KeyFilter>,
        points: u32,
        seed: Option<&str>,
    ) -> Self {
        let placement = distribution.build(&backends, points);
        let seed = seed.map_or(0, |text| xxh3(text.as_bytes()));
        let bounds = Bounds::default();
        Self {
            name: name.into(),
            backends,
            members: None,
            distribution,
            key_hash,
            filter,
            bounds,
            log: None,
            tls_line: 0,
            rules: None,
            health: None,
            points,
            seed,
            placement,
        }
    }

    /// Reads the certificates and keys of TLS, whose paths are relative to `directory`.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn read_certificates(&mut self, directory: &Path) -> Result<(), ConfigFault> {
        let rules = self.bounds.tls.as_ref().map(|files| client_rules(files, directory)).transpose();
        let fault = |e| ConfigFault { line: self.tls_line, message: format!("pools.{}.tls: {e}", self.name) };
        self.rules = rules.map_err(fault)?;
        Ok(())
    }

    /// Returns where the first connection to a backend leads.
    pub fn place(&self, backend: &Backend) -> Place {
        let (address, bounds, rules) = (backend.address.clone(), self.bounds.clone(), self.rules.clone());
        // Without TLS, pools share a connection under any name.
        let server_name = bounds.tls.as_ref().and(backend.server_name.clone());
        Place { address, label: None, bounds, rules, server_name, ordinal: 0 }
    }

    /// Returns the sources of backends.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.members.iter().flatten().filter_map(|member| match member {
            Member::Source(source) => Some(source),
            Member::Backend(_) => None,
        })
    }

    /// Replaces the backends of sources by those that `found` returns, which are up. A backend that
    /// is in the pool already is left out.
    pub fn discover(&mut self, mut found: impl FnMut(&Source) -> Vec<Backend>) {
        let Some(members) = &self.members else { return };
        let mut seen = HashSet::new();
        self.backends.clear();
        for member in members {
            let backends = match member {
                Member::Backend(backend) => vec![backend.clone()],
                Member::Source(source) => found(source),
            };
            self.backends.extend(backends.into_iter().filter(|backend| seen.insert(backend.to_string())));
        }
        self.placement = self.distribution.build(&self.backends, self.points);
        if let Some(health) = &mut self.health {
            *health = PoolHealth::new(health.rules.clone(), self.backends.len());
        }
    }

    /// Returns the index of the backend that has a key.
    pub fn choose(&self, key: &[u8]) -> usize {
        let (key, hash) = self.hashed(key);
        self.placement.index(key, hash)
    }

    /// Returns the index of the backend that gets the requests for a key now.
    ///
    /// # Errors
    /// The backend of the key is down, and no other one has its keys.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Result<usize, Eject> {
        match &self.health {
            None => Ok(self.choose(key)),
            Some(health) => self.find_among(key, health.rules.eject, |index| !self.is_down(index)),
        }
    }

    /// Returns whether a backend is down: by its configuration, or by its probes.
    pub fn is_down(&self, index: usize) -> bool {
        self.backends.get(index).is_some_and(|backend| backend.is_down)
            || self.health.as_ref().is_some_and(|health| !health.is_up(index))
    }

    /// Like [`Self::find`], while only some backends are `up`.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_among(&self, key: &[u8], eject: Eject, up: impl Fn(usize) -> bool) -> Result<usize, Eject> {
        let (part, hash) = self.hashed(key);
        let index = self.placement.index(part, hash);
        if up(index) {
            return Ok(index);
        }
        let mut others = (index..self.backends.len()).chain(0..index);
        let other = match eject {
            Eject::No | Eject::Miss => None,
            Eject::Rehash => others.find(|other| up(*other)),
        };
        let Some(other) = other else { return Err(eject) };
        Ok(self.placement.index_among(part, hash, up).unwrap_or(other))
    }

    /// Returns the part of a key that counts, and its hash.
    fn hashed<'k>(&self, key: &'k [u8]) -> (&'k [u8], u64) {
        let key = self.filter.as_ref().map_or(key, |filter| filter.part(key));
        (key, self.key_hash.map_or(0, |hash| hash.hash(key, self.seed)))
    }

    /// Takes over the conditions of backends that this pool had in an earlier configuration. A
    /// backend that is no longer probed gets a new one, because no probe would change the old one.
    pub fn keep_conditions(&mut self, earlier: &Self) {
        let (Some(new), Some(old)) = (&mut self.health, &earlier.health) else { return };
        let pairs = self.backends.iter().zip(&mut new.conditions);
        for (backend, condition) in pairs.filter(|(backend, _)| !backend.is_down) {
            let at = earlier.backends.iter().position(|old| old.address == backend.address);
            if let Some(kept) = at.and_then(|at| old.conditions.get(at)) {
                *condition = Arc::clone(kept);
            }
        }
    }
}

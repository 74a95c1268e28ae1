//! Rendezvous hashing, the default of pymemcache's `HashClient`: the backend with the highest
//! `MurmurHash3` of `HOST:PORT-KEY`. A choice costs one hash a backend.
//!
//! pymemcache hashes texts, and takes the lower eight bits of each character.

use super::super::backend::Backend;
use super::super::hash::murmur3;
use super::circle::{Port, text};

/// Returns the texts to hash.
pub fn build(backends: &[Backend]) -> Vec<String> {
    backends.iter().map(|backend| text(backend, Port::Shown)).collect()
}

/// Returns the index of the backend for a key.
pub fn index(key: &[u8], names: &[String]) -> u32 {
    index_among(key, names, |_| true).unwrap_or(0)
}

/// Returns the index of the backend for a key among those that are `up`.
pub fn index_among(key: &[u8], names: &[String], up: impl Fn(u32) -> bool) -> Option<u32> {
    let key = String::from_utf8_lossy(key);
    let score = |name: &String| {
        let text: Vec<u8> = name.chars().chain(['-']).chain(key.chars()).map(|c| c as u32 as u8).collect();
        murmur3(&text)
    };
    let among = (0..).zip(names).filter(|(index, _)| up(*index));
    among.max_by_key(|(_, name)| (score(name), *name)).map(|(index, _)| index)
}

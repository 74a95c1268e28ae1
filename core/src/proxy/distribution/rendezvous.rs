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
    let key = String::from_utf8_lossy(key);
    let score = |name: &String| {
        let text: Vec<u8> = name.chars().chain(['-']).chain(key.chars()).map(|c| c as u32 as u8).collect();
        murmur3(&text)
    };
    let best = (0..).zip(names).max_by_key(|(_, name)| (score(name), *name));
    best.map_or(0, |(index, _)| index)
}

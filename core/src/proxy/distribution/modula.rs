//! The hash modulo the number of backends, the default of libmemcached, python-memcached, memjs and
//! gomemcache. With weights, a backend has as many remainders as its weight, as in python-memcached
//! and twemproxy. Nearly all keys move when a backend is added.

use super::super::backend::Backend;

/// Returns the index of the backend for each remainder.
pub fn build(backends: &[Backend]) -> Vec<u32> {
    let slots = (0..).zip(backends).flat_map(|(index, backend)| (0..backend.weight).map(move |_| index));
    slots.collect()
}

/// Returns the index of the backend for a hash.
pub fn index(hash: u64, slots: &[u32]) -> u32 {
    let slot = hash.checked_rem(slots.len() as u64).unwrap_or(0);
    slots.get(slot as usize).copied().unwrap_or(0)
}

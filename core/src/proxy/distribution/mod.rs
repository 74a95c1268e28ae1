//! How a pool decides which of its backends has a key.
//!
//! A distribution is a row of [`DISTRIBUTIONS`] and a function that builds its [`Placement`] from
//! the backends of a pool. A placement is data: nothing in it changes when a backend fails.

mod circle;
mod dalli;
mod jump;
mod ketama;
mod libmemcached;
mod modula;
mod rendezvous;
mod ring;

use std::iter;

use self::circle::Circle;
pub use self::ring::{POINTS, Ring};
use super::backend::Backend;
use super::hash::xxh3;

/// Hashes of a key that are tried to find a backend that is up.
const MOST_HASHES: usize = 64;

/// A way to spread keys over backends.
#[derive(Debug)]
pub struct Distribution {
    /// Name in configurations.
    pub name: &'static str,
    /// The hash of keys, if the pool names none. `None` if the distribution hashes keys in a way
    /// of its own.
    pub key_hash: Option<&'static str>,
    /// Whether the weights of backends count.
    pub is_weighted: bool,
    /// Numbers of points of a backend are multiples of this. `None` if there is no choice of them.
    pub point_step: Option<u32>,
    build: fn(&[Backend], u32) -> Placement,
}

/// All distributions.
pub static DISTRIBUTIONS: [Distribution; 9] = [
    Distribution {
        name: "jump",
        key_hash: Some("xxh3"),
        is_weighted: false,
        point_step: None,
        build: |backends, _| Placement::Jump(backends.len() as u32),
    },
    Distribution {
        name: "ring",
        key_hash: Some("xxh3"),
        is_weighted: false,
        point_step: Some(1),
        build: |backends, points| Placement::ring(Ring::Xxh3, backends, points),
    },
    Distribution {
        name: "ketama",
        key_hash: Some("md5"),
        is_weighted: true,
        point_step: Some(4),
        build: |backends, points| Placement::Circle(ketama::build(backends, points)),
    },
    Distribution {
        name: "ketama_port",
        key_hash: Some("md5"),
        is_weighted: true,
        point_step: Some(4),
        build: |backends, points| Placement::Circle(ketama::build_with_port(backends, points)),
    },
    Distribution {
        name: "evcache",
        key_hash: Some("md5"),
        is_weighted: false,
        point_step: Some(4),
        build: |backends, points| Placement::ring(Ring::Evcache, backends, points),
    },
    Distribution {
        name: "libmemcached",
        key_hash: Some("one_at_a_time"),
        is_weighted: false,
        point_step: None,
        build: |backends, _| Placement::Circle(libmemcached::build(backends)),
    },
    Distribution {
        name: "dalli",
        key_hash: Some("crc32a"),
        is_weighted: true,
        point_step: None,
        build: |backends, _| Placement::Circle(dalli::build(backends)),
    },
    Distribution {
        name: "modula",
        key_hash: Some("one_at_a_time"),
        is_weighted: true,
        point_step: None,
        build: |backends, _| Placement::Modula(modula::build(backends)),
    },
    Distribution {
        name: "rendezvous",
        key_hash: None,
        is_weighted: false,
        point_step: None,
        build: |backends, _| Placement::Rendezvous(rendezvous::build(backends)),
    },
];

impl Distribution {
    /// Returns the distribution with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        DISTRIBUTIONS.iter().find(|distribution| distribution.name == name)
    }

    /// Builds the placement for the backends of a pool. `points` is the number of points of a
    /// backend, if this distribution has a choice.
    pub fn build(&self, backends: &[Backend], points: u32) -> Placement {
        (self.build)(backends, points)
    }
}

/// A built distribution.
#[derive(Clone, Debug)]
pub enum Placement {
    /// Jump hash over a number of backends.
    Jump(u32),
    /// A backend for each remainder.
    Modula(Vec<u32>),
    /// Points on a circle.
    Circle(Circle),
    /// The names of the backends, each hashed with the key.
    Rendezvous(Vec<String>),
}

impl Placement {
    /// Builds a ring of memcached's proxy, with `points` points for each backend.
    pub fn ring(ring: Ring, backends: &[Backend], points: u32) -> Self {
        Self::Circle(ring.build(backends, points))
    }

    /// Returns the index of the backend that has a key with this hash.
    pub fn index(&self, key: &[u8], hash: u64) -> usize {
        let index = match self {
            Self::Jump(count) => jump::index(hash, *count),
            Self::Modula(slots) => modula::index(hash, slots),
            Self::Circle(circle) => circle.index(hash),
            Self::Rendezvous(names) => rendezvous::index(key, names),
        };
        index as usize
    }

    /// Returns the index of the backend that has a key with this hash while only some backends are
    /// `up`. Keys of a backend that is up do not move. Returns `None` if it finds no backend.
    ///
    /// A circle and rendezvous hashing skip the others. Jump hash and remainders hash the hash
    /// again, until it leads to a backend that is up.
    pub fn index_among(&self, key: &[u8], hash: u64, up: impl Fn(usize) -> bool) -> Option<usize> {
        let up = |index: &u32| up(*index as usize);
        let index = match self {
            Self::Circle(circle) => circle.index_among(hash, |index| up(&index)),
            Self::Rendezvous(names) => rendezvous::index_among(key, names, |index| up(&index)),
            Self::Jump(_) | Self::Modula(_) => {
                let again = |hash: &u64| Some(xxh3(&hash.to_le_bytes()));
                let hashes = iter::successors(Some(hash), again).take(MOST_HASHES);
                hashes.map(|hash| self.index(key, hash) as u32).find(up)
            }
        };
        index.map(|index| index as usize)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::backend::Address;
    use super::*;

    /// The rounding of weights once left some of 25 backends with 156 points.
    #[test]
    fn a_ring_without_weights_is_that_of_memcached() {
        let address = |n| Address::Tcp(format!("10.0.0.{n}"), 11211);
        let backends: Vec<_> = (1..=25).map(|n| Backend::at(address(n))).collect();
        for (name, ring, points) in [
            ("ketama_port", Ring::Ketama, POINTS),
            ("ketama_port", Ring::Ketama, 40),
            ("evcache", Ring::Evcache, 40),
            ("ring", Ring::Xxh3, 7),
        ] {
            let named = Distribution::named(name).unwrap().build(&backends, points);
            let ring = Placement::ring(ring, &backends, points);
            let mut hashes = (0..5000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(hashes.all(|hash| named.index(b"", hash) == ring.index(b"", hash)), "{name}");
        }
    }
}

//! A circle of 2^32 hashes with points. Each point belongs to a backend.

use super::super::backend::{Address, Backend, DEFAULT_PORT};
use super::super::hash::{md5, md5_part};

/// Points in the order of their values. A key belongs to the first point at or after its hash.
#[derive(Clone, Debug)]
pub struct Circle {
    points: Vec<(u32, u32)>,
    /// Whether a key belongs to the last point at or before its hash instead. Then all values and
    /// hashes are inverted.
    is_backward: bool,
}

impl Circle {
    /// Builds a circle from pairs of a value and the index of a backend. Of equal values the first
    /// one counts.
    pub fn new(mut points: Vec<(u32, u32)>) -> Self {
        points.sort_by_key(|point| point.0);
        Self { points, is_backward: false }
    }

    /// Builds a circle on which a key belongs to the last point at or before its hash.
    pub fn backward(points: &[(u32, u32)]) -> Self {
        let inverted = points.iter().map(|(value, index)| (!value, *index)).collect();
        Self { is_backward: true, ..Self::new(inverted) }
    }

    /// Returns the index of the backend for a hash, of which the lower half counts.
    pub fn index(&self, hash: u64) -> u32 {
        let hash = if self.is_backward { !hash as u32 } else { hash as u32 };
        let at = self.points.partition_point(|point| point.0 < hash);
        self.points.get(at).or(self.points.first()).map_or(0, |point| point.1)
    }

    /// Returns the index of the backend for a hash among those that are `up`.
    pub fn index_among(&self, hash: u64, up: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = if self.is_backward { !hash as u32 } else { hash as u32 };
        let (before, after) = self.points.split_at(self.points.partition_point(|point| point.0 < hash));
        after.iter().chain(before).map(|point| point.1).find(|index| up(*index))
    }
}

/// Which port a ring writes behind the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Always.
    Shown,
    /// Only if it is not memcached's own, as in libmemcached.
    DefaultHidden,
}

/// Returns the text of a backend in a ring: its name if it has one, else its host and port.
pub fn text(backend: &Backend, port: Port) -> String {
    match (&backend.name, &backend.address) {
        (Some(name), _) => name.clone(),
        (None, Address::Tcp(host, DEFAULT_PORT)) if port == Port::DefaultHidden => host.clone(),
        (None, Address::Tcp(host, port)) => format!("{host}:{port}"),
        (None, Address::Unix(path)) => path.clone(),
    }
}

/// Adds the points of one backend: four for each MD5 of `TEXT-0`, `TEXT-1` and so on.
pub fn push_md5(points: &mut Vec<(u32, u32)>, index: u32, text: &str, count: u32) {
    for number in 0..count {
        let digest = md5(format!("{text}-{number}").as_bytes());
        points.extend((0..4).map(|part| (md5_part(&digest, part), index)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_belongs_to_the_next_point() {
        let circle = Circle::new(vec![(30, 2), (10, 0), (20, 1), (20, 3)]);
        let cases =
            [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (30, 2), (31, 0), (u64::MAX, 0), (0x1_0000_000b, 1)];
        for (hash, index) in cases {
            assert_eq!(circle.index(hash), index, "{hash}");
        }
        let circle = Circle::backward(&[(30, 2), (10, 0), (20, 1)]);
        for (hash, index) in [(9, 2), (10, 0), (19, 0), (20, 1), (29, 1), (30, 2), (u64::MAX, 2)] {
            assert_eq!(circle.index(hash), index, "{hash}");
        }
    }
}

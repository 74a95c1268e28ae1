//! The rings of memcached's proxy (`dist_ring_hash`): the same number of points for each backend.

use super::super::backend::{Address, Backend};
use super::super::hash::xxh3;
use super::circle::{Circle, Port, push_md5, text};

/// Points of a backend, if a configuration names no number.
pub const POINTS: u32 = 160;

/// The points of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// XXH3 of `HOST:PORT-N`.
    Xxh3,
    /// MD5 of `HOST:PORT-N`, four points each.
    Ketama,
    /// As ketama, without memcached's own port.
    Twemproxy,
    /// As ketama, of `HOST/HOST:PORT-N`: the ring of Netflix's `EVCache`.
    Evcache,
}

impl Ring {
    /// Returns the ring with this name in memcached's proxy (`omode`).
    pub fn named(omode: &[u8]) -> Option<Self> {
        match omode {
            b"default" => Some(Self::Xxh3),
            b"ketama" => Some(Self::Ketama),
            b"twemproxy" => Some(Self::Twemproxy),
            b"evcache" => Some(Self::Evcache),
            _ => None,
        }
    }

    /// Builds the circle, with `count` points for each backend.
    pub(super) fn build(self, backends: &[Backend], count: u32) -> Circle {
        let mut points = Vec::new();
        for (index, backend) in (0..).zip(backends) {
            let port = if self == Self::Twemproxy { Port::DefaultHidden } else { Port::Shown };
            let mut text = text(backend, port);
            if let (Self::Evcache, None, Address::Tcp(host, _)) = (self, &backend.name, &backend.address) {
                text = format!("{host}/{text}");
            }
            if self == Self::Xxh3 {
                points.extend((0..count).map(|n| (xxh3(format!("{text}-{n}").as_bytes()) as u32, index)));
            } else {
                push_md5(&mut points, index, &text, count / 4);
            }
        }
        Circle::new(points)
    }
}

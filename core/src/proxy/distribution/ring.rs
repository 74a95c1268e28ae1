//! The ring of memcached's proxy (`dist_ring_hash`): 160 points a backend, by XXH3.

use super::super::backend::Backend;
use super::super::hash::xxh3;
use super::circle::{Circle, Port, text};

pub fn build(backends: &[Backend]) -> Circle {
    let mut points = Vec::new();
    for (index, backend) in (0..).zip(backends) {
        let text = text(backend, Port::Shown);
        points.extend((0..160).map(|number| (xxh3(format!("{text}-{number}").as_bytes()) as u32, index)));
    }
    Circle::new(points)
}

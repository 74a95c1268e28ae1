//! The weighted ketama of libmemcached, twemproxy and others, whose backends have 160 points: MD5.

use super::super::backend::Backend;
use super::circle::{Circle, Port, push_md5, text};
use super::ring::Ring;

/// Without memcached's own port, as libmemcached and twemproxy.
pub fn build(backends: &[Backend], points: u32) -> Circle {
    build_as(backends, Port::DefaultHidden, points)
}

/// With each port, as memcached's proxy with `omode = "ketama"`. That has no weights, and the same
/// number of points for each backend, which rounding breaks for 25 backends and some other numbers.
pub fn build_with_port(backends: &[Backend], points: u32) -> Circle {
    let weight = backends.first().map(|backend| backend.weight);
    if backends.iter().all(|backend| Some(backend.weight) == weight) {
        return Ring::Ketama.build(backends, points);
    }
    build_as(backends, Port::Shown, points)
}

fn build_as(backends: &[Backend], port: Port, count: u32) -> Circle {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut points = Vec::new();
    for (index, backend) in (0..).zip(backends) {
        let hashes = hashes(backend.weight, total, backends.len(), count);
        push_md5(&mut points, index, &text(backend, port), hashes);
    }
    Circle::new(points)
}

/// Returns the number of hashes of a backend: `points` / 4 on average. The clients compute it with
/// 32 bits, but add 1e-10 with 64. A weight that is very small beside the others leaves a backend
/// without points.
fn hashes(weight: u32, total: u64, count: usize, points: u32) -> u32 {
    let share = weight as f32 / total as f32;
    let hashes = share * points as f32 / 4.0 * count as f32;
    (f64::from(hashes) + 1e-10) as f32 as u32
}

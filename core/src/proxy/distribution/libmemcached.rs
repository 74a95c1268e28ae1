//! libmemcached's `consistent` and `ketama` without weights: 100 points a backend, by the
//! one-at-a-time hash.

use super::super::backend::Backend;
use super::super::hash::one_at_a_time;
use super::circle::{Circle, Port, text};

pub fn build(backends: &[Backend]) -> Circle {
    let mut points = Vec::new();
    for (index, backend) in (0..).zip(backends) {
        let text = text(backend, Port::DefaultHidden);
        points.extend((0..100).map(|number| (one_at_a_time(format!("{text}-{number}").as_bytes()), index)));
    }
    Circle::new(points)
}

//! The ring of Dalli, the client of Ruby: 160 points a backend by SHA-1, by weight. A key belongs
//! to the last point at or before its hash.

use sha1::{Digest, Sha1};

use super::super::backend::Backend;
use super::circle::{Circle, Port, text};

pub fn build(backends: &[Backend]) -> Circle {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut points = Vec::new();
    for (index, backend) in (0..).zip(backends) {
        let text = text(backend, Port::Shown);
        // Dalli rounds a float down. No quotient here is so near a whole number that it differs.
        let count = backends.len() as u64 * 160 * u64::from(backend.weight) / total.max(1);
        points.extend((0..count).map(|number| (sha1(format!("{text}:{number}").as_bytes()), index)));
    }
    Circle::backward(&points)
}

/// Returns the first 32 bits of the SHA-1 of a text.
fn sha1(text: &[u8]) -> u32 {
    let digest: [u8; 20] = Sha1::digest(text).into();
    digest.iter().take(4).fold(0, |value, byte| value << 8 | u32::from(*byte))
}

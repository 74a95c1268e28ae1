//! The ketama of Netflix's `EVCache`, which memcached's proxy has as `omode = "evcache"`. It hashes
//! `HOST/HOST:PORT-N`.

use super::super::backend::{Address, Backend};
use super::circle::{Circle, Port, push_md5, text};

pub fn build(backends: &[Backend]) -> Circle {
    let mut points = Vec::new();
    for (index, backend) in (0..).zip(backends) {
        let text = match (&backend.name, &backend.address) {
            (None, Address::Tcp(host, port)) => format!("{host}/{host}:{port}"),
            _ => text(backend, Port::Shown),
        };
        push_md5(&mut points, index, &text, 40);
    }
    Circle::new(points)
}

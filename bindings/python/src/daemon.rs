//! The daemon, from the wheel.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs `memcached-rs` with these arguments, its name first. Gives its exit
/// status. For a process of its own: it catches signals for good, and may fork.
#[pyfunction]
pub fn run_daemon(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| memcached_rs::main(args))
}

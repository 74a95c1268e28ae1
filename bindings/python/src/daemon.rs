//! The daemon as a function of the extension module.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the daemon ``memcached-rs``.
///
/// It needs a process of its own, because it installs signal handlers and may fork.
///
/// Args:
///     args: The command line, with the program name first.
///
/// Returns:
///     The exit status.
#[pyfunction]
pub fn run_daemon(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| memcached_rs::main(args))
}

//! The native part of the Python package: classes of Python around
//! `memcache_core`.
//!
//! Conversion and nothing else: arguments to Rust, results and errors to
//! Python, one noun a file. What needs no speed is Python, in
//! `python/memcache_rs`.
//!
//! Two rules hold throughout. Whatever may wait (start, stop, walking the
//! cache, waiting for events) detaches from the interpreter; a get or a set
//! does not, it takes less time than detaching would. And no lock of the cache
//! is held while code of Python's might run.

#![allow(
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "methods of Python's classes have a self, and arguments of Rust's kinds are made for the call"
)]

mod cache;
mod certificates;
mod clock;
mod daemon;
mod errors;
mod faults;
mod handle;
mod item;
mod number;
mod octets;
mod server;
mod stats;
mod ttl;
mod view;
mod watch;

use pyo3::pymodule;

/// The native part of `memcache_rs`.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cache::Cache;
    #[pymodule_export]
    use crate::certificates::make_certificates;
    #[pymodule_export]
    use crate::clock::{Clock, unix_time};
    #[pymodule_export]
    use crate::daemon::run_daemon;
    #[pymodule_export]
    use crate::faults::{FaultRule, Faults};
    #[pymodule_export]
    use crate::item::Item;
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::watch::Watcher;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("MEMCACHED_VERSION", memcache_core::internal::admin::VERSION)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

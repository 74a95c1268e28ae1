//! The native part of the Python package: Python classes around `memcache_core`.
//!
//! This crate converts arguments to Rust, and results and errors to Python, one noun a file. Code
//! that need not be fast is Python, in `python/memcache_rs`.
//!
//! Two rules hold in all files:
//!
//! - A call that may wait (start, stop, a scan, waiting for events) detaches from the interpreter.
//!   A get or a set does not, because it takes less time than detaching.
//! - No lock of the cache is held while Python code may run.
//!
//! The doc comments of classes, their methods and properties are Python docstrings, in Google's
//! style. `python/tests/test_docs.py` copies them into the stub `_native.pyi`, checks that the two
//! agree, and runs their examples.

#![allow(
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "methods of Python classes take self, and own the arguments that PyO3 converts"
)]
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "doc comments of Python classes are Python docstrings"
)]

mod bytes_like;
mod cache;
mod certificates;
mod clock;
mod daemon;
mod directory;
mod errors;
mod faults;
mod flight;
mod handle;
mod hot_keys;
mod item;
mod number;
mod serializer;
mod server;
mod settings;
mod snapshot;
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
    use crate::directory::Directory;
    #[pymodule_export]
    use crate::faults::{FaultRule, Faults};
    #[pymodule_export]
    use crate::flight::Leader;
    #[pymodule_export]
    use crate::hot_keys::HotKey;
    #[pymodule_export]
    use crate::item::{Item, ItemInfo};
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::settings::{check_settings, cluster_proxy};
    #[pymodule_export]
    use crate::snapshot::{Damage, Loaded, Progress, Saved, load, save};
    #[pymodule_export]
    use crate::watch::{Watcher, parse_event};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("MEMCACHED_VERSION", memcache_core::internal::admin::VERSION)?;
        module.add("COMMANDS", memcache_embed::commands::LIMIT)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

//! The native part of the Node package: JavaScript classes and functions around `memcache_core`.
//!
//! It converts arguments, results and errors, one noun a file. Code that need not be fast is
//! JavaScript, in `node/`. It is not a Rust API.
//!
//! Two rules hold throughout. A call that may take long (start, stop, `settle()`) runs on another
//! thread; a get or a set does not. An environment may end at any moment, with its thread: its
//! servers, watchers and flights end with its objects, and no other thread waits for them.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    missing_docs,
    reason = "methods of JavaScript classes have a self and own their arguments; node/index.d.ts documents them"
)]

mod binary_like;
mod cache;
mod cells;
mod clock;
mod daemon;
mod errors;
mod faults;
mod hot_keys;
mod item;
mod raw;
mod server;
mod settings;
mod shared_cache;
mod single_flight;
mod snapshot;
mod stats;
mod ttl;
mod watch;

use napi_derive::napi;

/// The memcached version whose behaviour this package has.
#[napi]
pub const MEMCACHED_VERSION: &str = memcache_core::internal::admin::VERSION;

/// The version of the package.
#[napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

//! The native part of the Node package: classes and functions of JavaScript
//! around `memcache_core`.
//!
//! Conversion and nothing else: arguments to Rust, results and errors to
//! JavaScript, one noun a file. What needs no speed is JavaScript, in `node/`.
//!
//! Two rules hold throughout. Whatever may wait (start and stop of a server)
//! is done in another thread; a get or a set is not. And an environment may
//! end at any moment, with its thread: what belongs to it ends with its
//! objects, and nobody else waits for it.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    missing_docs,
    reason = "methods of JavaScript's classes have a self, get values of their own, and are told of in node/index.d.ts"
)]

mod cache;
mod cells;
mod certificates;
mod clock;
mod daemon;
mod errors;
mod faults;
mod flight;
mod handle;
mod item;
mod octets;
mod raw;
mod renewal;
mod scratch;
mod server;
mod stats;
mod ttl;
mod watch;

use napi_derive::napi;

/// The version of memcached whose behaviour this is.
#[napi]
pub const MEMCACHED_VERSION: &str = memcache_core::internal::admin::VERSION;

/// The version of the package.
#[napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

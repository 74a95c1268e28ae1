//! The rules that each language binding of `memcache-rs` needs, written once.
//!
//! It stands below the bindings and above the server of `memcache-rs`. A binding converts the
//! objects of its language to the types here, and the errors here to its own classes. It waits in
//! its own way: the crate calls back, and blocks no thread.
//!
//! - [`ttl`]: a number of seconds or a moment becomes the second at which an item expires.
//! - [`flight`]: single flight, of the core, and the renewal of a stale value.
//! - [`watch`], [`stats`]: events and statistics, as typed values. [`metrics`]: metrics as text.
//! - [`commands`]: the last commands of clients.
//! - [`faults`]: checked fault rules.
//! - [`server`], [`settings`], [`time`]: options and addresses of a server, failed starts, settings
//!   by name, cluster nodes, times to wait.
//! - [`cluster`]: the configuration of a proxy before servers of the process.
//! - [`temp_dir`]: a private directory that outlives no process for long.
//! - [`snapshot`]: checked options of a save and a load, and why one failed.
//! - [`handle`]: a handle that a child of `fork` neither uses nor drops.
//! - `certificates` (feature `certificates`): certificates for tests.
//!
//! It is not a stable API: it changes with the bindings of this repository.
//!
//! ```
//! use memcache_core::{Cache, CacheConfig};
//! use memcache_embed::ttl::{self, TtlError};
//!
//! let cache = Cache::new(CacheConfig::default())?;
//! let expiry = ttl::after(&cache, 1.5)?;
//! assert_eq!(expiry, cache.clock().now() + 2);
//! assert_eq!(ttl::after(&cache, -1.0), Err(TtlError::Negative));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]
#![warn(missing_debug_implementations)]

#[cfg(feature = "certificates")]
pub mod certificates;
pub mod cluster;
pub mod commands;
pub mod faults;
pub mod flight;
pub mod handle;
pub mod metrics;
pub mod server;
pub mod settings;
pub mod snapshot;
pub mod stats;
pub mod temp_dir;
pub mod time;
pub mod ttl;
pub mod watch;

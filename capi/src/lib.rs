//! The C ABI of memcache-rs: conversions to and from `memcache_core`.
//!
//! `make header` makes `include/memcache_rs.h` from this crate. The conventions at
//! its top hold for every function.
//!
//! - `status`, `failure`, `arguments`, `guard`: how a call begins and ends. Every function
//!   is one `entry!`.
//! - `config`, `server`, `cache`, `item`: the handles and their functions.
//! - `store`, `meta`, `many`, `keys`, `stats`, `clock`, `faults`: further functions
//!   of a cache.
//! - `version`: the versions of the library.

#![expect(non_camel_case_types, reason = "the names are C's")]
#![expect(unsafe_code, reason = "C passes pointers; each block names the fact it relies on")]
#![expect(clippy::doc_markdown, reason = "the header gets these comments")]

#[macro_use]
mod guard;
mod hot_keys;

mod arguments;
mod cache;
mod clock;
mod config;
mod failure;
mod faults;
mod item;
mod keys;
mod many;
mod meta;
mod metrics;
mod server;
mod snapshot;
mod stats;
mod status;
mod store;
mod version;

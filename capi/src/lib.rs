//! The C ABI of memcache-rs. It converts and nothing else: what a function does
//! is in `memcache_core`, what C may rely on is at the top of
//! `include/memcache_rs.h`, which is made from this crate (`make header`).
//!
//! - `status`, `guard`, `arguments`: how a call begins and ends. Every function
//!   is one `entry!`.
//! - `config`, `server`, `cache`, `item`: the handles and what is done with them.
//! - `store`, `meta`, `many`, `keys`, `stats`, `clock`, `faults`: more of what is
//!   done with a cache.
//! - `version`: which library this is.

#![expect(non_camel_case_types, reason = "the names are C's")]
#![expect(unsafe_code, reason = "C passes pointers; each block says what it relies on")]
#![expect(clippy::doc_markdown, reason = "comments become those of the header")]

#[macro_use]
mod guard;

mod arguments;
mod cache;
mod clock;
mod config;
mod faults;
mod item;
mod keys;
mod many;
mod meta;
mod server;
mod stats;
mod status;
mod store;
mod version;

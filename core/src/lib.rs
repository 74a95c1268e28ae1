//! The cache engine and the protocol server of memcache-rs.
//!
//! Parts, from the inside out:
//!
//! - [`store`]: items in logs, index, eviction, expiry.
//! - [`cache`]: typed operations with memcached's semantics.
//! - [`request`], [`reply`], `dispatch`: one command, whatever the wire.
//! - `protocol`: bytes to requests and replies to bytes.
//! - [`session`]: a connection without its socket.
//! - [`tls`]: certificates, keys and rules of TLS.
//! - [`server`]: sockets, threads, start and stop.

pub mod admin;
pub mod ask;
pub mod auth;
pub mod cache;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod context;
pub mod dispatch;
pub mod error;
mod events;
pub mod faults;
pub mod file;
pub mod fork;
pub mod hooks;
pub mod local;
pub mod maintainer;
mod net;
pub mod output;
pub mod prefix;
pub mod protocol;
pub mod reply;
pub mod request;
pub mod server;
pub mod session;
pub mod stderr;
pub mod store;
pub mod sync;
pub mod tls;
pub mod turn;
pub mod walk;
pub mod watch;

/// The examples of the README, which must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadmeExamples;

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

mod admin;
mod ask;
mod auth;
mod cache;
mod clock;
mod cluster;
mod config;
mod context;
mod dispatch;
mod error;
mod events;
mod faults;
mod file;
mod fork;
mod hooks;
mod local;
mod maintainer;
mod net;
mod output;
mod prefix;
mod protocol;
mod reply;
mod request;
mod scan;
mod server;
mod session;
mod stderr;
mod store;
mod sync;
mod tls;
mod turn;
mod watch;

pub use auth::{AuthConfig, AuthMethod, Passwords};
pub use cache::Cache;
pub use clock::{Clock, ClockError};
pub use cluster::ClusterNode;
pub use config::{
    CacheConfig, KeyFormat, Listen, LruMode, Protocol, ServerConfig, TlsConfig, TlsMode, TlsPem, TlsVersion,
    VerifyMode,
};
pub use context::Stop;
pub use error::{ConfigError, DeltaError, StartError, StopError, StoreError};
pub use faults::{Fault, FaultRule, FaultRuleId, Faults};
pub use hooks::Hooks;
pub use local::{ItemInfo, Ttl};
pub use server::{BoundAddress, Server};
pub use store::PinnedValue;

/// The parts that this workspace's own crates, tests and fuzz targets use. No promise is made
/// about them between versions.
#[doc(hidden)]
pub mod internal {
    pub mod admin {
        pub use crate::admin::*;
    }
    pub mod ask {
        pub use crate::ask::*;
    }
    pub mod auth {
        pub use crate::auth::*;
    }
    pub mod cache {
        pub use crate::cache::*;
    }
    pub mod clock {
        pub use crate::clock::*;
    }
    pub mod cluster {
        pub use crate::cluster::*;
    }
    pub mod config {
        pub use crate::config::*;
    }
    pub mod context {
        pub use crate::context::*;
    }
    pub mod dispatch {
        pub use crate::dispatch::*;
    }
    pub mod error {
        pub use crate::error::*;
    }
    pub mod faults {
        pub use crate::faults::*;
    }
    pub mod file {
        pub use crate::file::*;
    }
    pub mod fork {
        pub use crate::fork::*;
    }
    pub mod hooks {
        pub use crate::hooks::*;
    }
    pub mod local {
        pub use crate::local::*;
    }
    pub mod maintainer {
        pub use crate::maintainer::*;
    }
    pub mod output {
        pub use crate::output::*;
    }
    pub mod prefix {
        pub use crate::prefix::*;
    }
    pub mod protocol {
        pub use crate::protocol::*;
    }
    pub mod reply {
        pub use crate::reply::*;
    }
    pub mod request {
        pub use crate::request::*;
    }
    pub mod server {
        pub use crate::server::*;
    }
    pub mod session {
        pub use crate::session::*;
    }
    pub mod stderr {
        pub use crate::stderr::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
    pub mod sync {
        pub use crate::sync::*;
    }
    pub mod tls {
        pub use crate::tls::*;
    }
    pub mod turn {
        pub use crate::turn::*;
    }
    pub mod scan {
        pub use crate::scan::*;
    }
    pub mod watch {
        pub use crate::watch::*;
    }
}

/// The examples of the README, which must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadmeExamples;

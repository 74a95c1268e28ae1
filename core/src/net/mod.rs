//! Sockets and threads: they carry bytes between clients and sessions.
//!
//! ```text
//!   listener ──accepted──▶ mailbox ──▶ worker ── events ──▶ connection
//!                                        │                    ├ stream   (Tcp | Unix | Tls)
//!                                        └ scratch: an Input, ├ session  (bytes in, bytes out)
//!                                          an Output          └ leftover, unsent (only while partial)
//!   udp: a socket of its own, served by one worker, a session a datagram
//!   handshake: a thread that borrows streams from the workers for TLS handshakes
//! ```
//!
//! One thread accepts connections and hands them out round robin. Each worker owns an event queue
//! and its connections. Only [`crate::session`] reads commands and writes replies, with one
//! exception: `udp` looks at the first byte of a datagram and writes two error lines.
//!
//! This module has no public items. [`crate::server`] is its only user.

pub mod address;
mod backend_socket;
#[cfg_attr(not(feature = "tls"), path = "backend_tls_off.rs")]
mod backend_tls;
mod backends;
pub(crate) mod buffers;
mod clients;
pub(crate) mod connection;
mod connection_limit;
pub(crate) mod deadline;
mod elasticache;
pub(crate) mod handover;
pub(crate) mod handshake;
pub(crate) mod io_thread;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod names;
mod per_address;
mod probes;
mod remote;
pub(crate) mod settle;
mod socket;
pub(crate) mod stream;
mod ticket;
mod timers;
#[cfg_attr(not(feature = "tls"), path = "tls_off.rs")]
mod tls;
mod tokens;
pub(crate) mod udp;
pub(crate) mod unstarted;
mod visit;
mod waker;
pub(crate) mod worker;

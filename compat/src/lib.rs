//! Drivers that compare a memcached server with another.
//!
//! Three programs use this library. `differential` sends the same random commands to two servers
//! and compares every reply. `suite` runs memcached's own Perl tests from a checkout. `record`
//! records the replies of a server. The library starts servers, connects to them and compares
//! replies. It does not interpret commands.

pub mod escape;
pub mod link;
pub mod packet;
pub mod reply;
pub mod rng;
pub mod server;
pub mod snapshots;
pub mod transcript;

/// The description of an error. These programs only print it.
pub type Fault = String;

/// The result of functions that can fail.
pub type Outcome<T> = Result<T, Fault>;

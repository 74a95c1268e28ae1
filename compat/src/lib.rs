//! Drivers that hold a memcached server against another one.
//!
//! Three programs stand on this library: `differential` sends the same random commands to two servers and compares
//! every reply, `suite` runs memcached's own Perl tests out of a checkout, and `record` writes down what a server
//! answers. The library itself starts servers, talks to them and compares replies; it knows nothing of what a command
//! means.

pub mod escape;
pub mod link;
pub mod packet;
pub mod reply;
pub mod rng;
pub mod server;
pub mod transcript;

/// What went wrong, in words: these programs only ever print it.
pub type Fault = String;

/// The result of everything here that can fail.
pub type Outcome<T> = Result<T, Fault>;

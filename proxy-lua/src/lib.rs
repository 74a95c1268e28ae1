//! memcached's proxy in Lua: its programs run unmodified.
//!
//! ```text
//!   api        the tables and objects that programs see       knows Lua
//!   request, response, inspector, mutator, router, ratelim,    know no Lua
//!   counters
//! ```

pub mod api;
pub mod counters;
pub mod inspector;
pub mod mutator;
pub mod ratelim;
pub mod request;
pub mod response;
pub mod router;

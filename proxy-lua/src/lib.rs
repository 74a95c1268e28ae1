//! memcached's proxy in Lua: its programs run unmodified.
//!
//! ```text
//!   configurator ── load ──▶ Tree of pools ──▶ engine of each worker ──▶ machine ──▶ functions
//!        └─ reload: all workers or none                                 wait: when they go on
//!
//!   api        the tables and objects that programs see       knows Lua
//!   request, response, inspector, mutator, router, ratelim,   know no Lua
//!   counters, wait
//!   routelib   configurations of routelib, as native routes    knows Lua at load
//! ```

pub mod api;
mod configurator;
mod coroutine;
pub mod counters;
mod easing;
mod engine;
mod fault;
mod functions;
pub mod inspector;
mod line;
mod loaded;
mod machine;
pub mod mutator;
mod object;
pub mod pool;
mod program;
pub mod ratelim;
mod reload;
pub mod request;
pub mod response;
pub mod routelib;
pub mod router;
mod slot;
mod tree;
mod vm;
pub mod wait;
mod worker;

pub use self::loaded::Sources;
pub use self::program::LuaProxy;

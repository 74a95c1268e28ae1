//! The native core of the proxy: pools, routes and how a request runs through them.
//!
//! Everything here is data and state machines. It knows no socket, no thread and no Lua. The daemon
//! does not use it yet; `mcrs proxy` checks configurations with it and explains them.

pub mod backend;
pub mod bucket;
pub mod command;
pub mod config;
pub mod connection;
pub mod distribution;
pub mod explain;
pub mod filter;
pub mod hash;
pub mod pool;
pub mod response;
pub mod route;
pub mod run;

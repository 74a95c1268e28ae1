//! The native core of the proxy: pools, routes and how a request runs through them.
//!
//! Everything here is data and state machines. It knows no socket, no thread and no Lua. Workers
//! serve it (`net::backends`), and `mcrs proxy` checks configurations with it and explains them.
//!
//! ```text
//!   config ──▶ Routes of pools ──▶ Run of a request ──▶ Relay ──▶ Links ──▶ socket
//! ```

mod active;
pub mod backend;
mod batches;
pub mod bounds;
pub mod bucket;
pub mod command;
pub mod config;
pub mod connection;
pub mod counters;
pub mod distribution;
pub mod elasticache;
pub mod engine;
pub mod exchange;
pub mod explain;
pub mod failure;
pub mod filter;
mod generations;
pub mod gets;
pub mod hash;
pub mod health;
pub mod held;
pub mod hooks;
pub mod hot;
pub mod io_engine;
mod item;
pub mod line;
pub mod links;
pub mod loaded;
pub mod log;
pub mod name;
pub mod names;
pub mod native;
pub mod place;
pub mod pool;
pub mod program;
pub mod relay;
mod relay_state;
pub mod reply;
pub mod request;
pub mod route;
pub mod run;
pub mod slots;
pub mod source;
pub mod ttl;

//! memcached's proxy in Lua: its programs run unmodified.
//!
//! ```text
//!   api        the tables and objects that programs see       knows Lua
//!   request, response                                         know no Lua
//! ```

pub mod api;
pub mod request;
pub mod response;

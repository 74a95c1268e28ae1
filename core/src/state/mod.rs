//! The state that the threads and sessions of a server share.
//!
//! [`ServerState`] holds the cache, the settings and one part for each kind of state. Sessions and
//! admin commands read and change it. It knows neither of them, and no socket.

mod close;
pub mod cluster;
mod connections;
mod control;
mod latency;
mod metrics;
mod names;
mod persistence;
mod server_state;
mod users;

pub use self::close::CloseReason;
pub use self::cluster::Cluster;
pub use self::connections::{ConnState, ConnectionTable};
pub use self::control::{Control, Stop};
pub use self::latency::{CommandClass, Latency};
pub use self::metrics::{ListenerStats, WorkerStats};
pub(crate) use self::names::describe;
pub(crate) use self::persistence::Next;
pub use self::persistence::{LastSave, Persistence, Status};
pub use self::server_state::{ServerState, check_proxy};
pub use self::users::{Access, Users};

//! Connections to the backends of a pool: their number, their bounds, and TLS.

use std::time::Duration;

use crate::tls::ClientFiles;

/// The connections to a backend, and the bounds of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Time in which the backend accepts a connection.
    pub connect_timeout: Duration,
    /// Time in which a part of the next reply comes.
    pub read_timeout: Duration,
    /// Pause after too many failures.
    pub retry: Duration,
    /// Failures in a row after which the connection pauses.
    pub failure_limit: u32,
    /// Most requests that wait for replies. 0 for no limit.
    pub depth_limit: usize,
    /// A connection that lasts less than this has flapped. `None` for no such check.
    pub flap_time: Option<Duration>,
    /// Factor of the pause for each flap in a row.
    pub flap_ramp: f64,
    /// Longest pause after flaps.
    pub flap_max: Duration,
    /// Longest value of a reply.
    pub value_max: usize,
    /// Connections to a backend, at least 1. Each worker has as many, unless they are shared.
    pub connections: usize,
    /// Whether all workers share the connections.
    pub shared: bool,
    /// TLS to backends.
    pub tls: Option<ClientFiles>,
}

impl Default for Bounds {
    /// memcached's defaults. The longest value is 1 GiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(3),
            retry: Duration::from_secs(3),
            failure_limit: 3,
            depth_limit: 0,
            flap_time: None,
            flap_ramp: 1.5,
            flap_max: Duration::from_hours(1),
            value_max: 1 << 30,
            connections: 1,
            shared: false,
            tls: None,
        }
    }
}

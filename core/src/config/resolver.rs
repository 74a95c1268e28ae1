//! Looks up names in place of the system, for the backends of a proxy.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A question to a [`Resolver`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameQuestion {
    /// The addresses of a host.
    Host(String),
    /// The SRV records of a service, such as `_memcache._tcp.example.com`.
    Service(String),
}

/// The answer to a question, of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRecords {
    /// The addresses of a host, in any order.
    Host(Vec<IpAddr>),
    /// The records of a service, in any order.
    Service(Vec<ServiceRecord>),
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Records with the lowest priority are used.
    pub priority: u16,
    /// The host, without a dot at its end.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Records, and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAnswer {
    /// The records.
    pub records: NameRecords,
    /// The time for which they hold. `None` if that is not known.
    pub ttl: Option<Duration>,
}

/// Looks up names. One thread of a server calls it, only if a proxy has names to look up.
pub trait Resolver: Send + Sync {
    /// Returns the answer or the reason of a failure for each question, in their order. May block
    /// for 2.5 seconds: a server that stops waits for it. `servers` are the servers to ask, those
    /// of the system if there are none.
    fn look_up(&self, questions: &[NameQuestion], servers: &[SocketAddr]) -> Vec<Result<NameAnswer, String>>;
}

impl fmt::Display for NameQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Service(name) => write!(f, "SRV {name}"),
        }
    }
}

//! The places of connections to backends, and the names of sends.

use std::fmt;
use std::sync::Arc;

use super::backend::Address;
use super::bounds::Bounds;
use crate::tls::ClientRules;

/// Where a connection leads, and its bounds. Places that are equal share a connection. The files of
/// TLS count, but not their contents.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the backend listens.
    pub address: Address,
    /// The name of the backend in logs, if it is not its address.
    pub label: Option<String>,
    /// The bounds of the connection.
    pub bounds: Bounds,
    /// The rules of TLS, from the files of `bounds.tls`.
    pub rules: Option<Arc<ClientRules>>,
    /// The name in the certificate of the backend, if that is not the host of the address. A name
    /// in `bounds.tls` counts before it.
    pub server_name: Option<String>,
    /// Its number among the connections to one backend.
    pub ordinal: usize,
}

impl Place {
    /// Returns the places of the links that a worker has to this backend. The thread that has
    /// shared connections chooses among them.
    pub fn of_worker(self) -> Vec<Arc<Self>> {
        if self.bounds.shared { vec![Arc::new(self)] } else { self.of_connections().collect() }
    }

    /// Returns the places of all connections to this backend, as many as its bounds say.
    pub fn of_connections(&self) -> impl Iterator<Item = Arc<Self>> {
        (0..self.bounds.connections).map(|ordinal| Arc::new(Self { ordinal, ..self.clone() }))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        let Self { address, label, bounds, rules: _, server_name, ordinal } = self;
        (address, label, bounds) == (&other.address, &other.label, &other.bounds)
            && (server_name, ordinal) == (&other.server_name, &other.ordinal)
    }
}

/// The name of a send: the request under way, and the number of the send in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The request under way.
    pub id: usize,
    /// The number of the send.
    pub number: usize,
}

impl Ask {
    /// The number of a send that is a batch.
    const BATCH: usize = usize::MAX;

    /// Returns the name of a batch, which is a get of several keys.
    pub fn of_batch(id: usize) -> Self {
        Self { id, number: Self::BATCH }
    }

    /// Returns whether the send is a batch, so that the reply may have several values.
    pub fn is_batch(self) -> bool {
        self.number == Self::BATCH
    }
}

/// The connection that a reply came from. No other one has the same, not even a later one of its
/// link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The number of the link, in the thread that has the connection.
    pub link: usize,
    /// Grows with each connection of the link.
    pub epoch: u64,
}

/// The name of the backend in statistics and logs.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => f.write_str(label),
            None => self.address.fmt(f),
        }
    }
}

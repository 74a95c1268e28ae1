//! The files that a client of TLS is configured with.

use std::path::PathBuf;

/// TLS to servers, as a configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificates of the authorities that sign those of servers, PEM. `None` if the
    /// certificates of servers are not verified.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its chain, and its key, both PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the certificates of servers, if it is not the host of their address.
    pub server_name: Option<String>,
}

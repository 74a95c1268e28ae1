//! Answers about a server: its addresses, and why it did not start.

use memcache_core::{BoundAddress, StartError};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `tcp`, `udp` or `unix`.
    pub kind: &'static str,
    /// An IP address, or the path of a Unix socket.
    pub host: String,
    /// The port; 0 for a Unix socket.
    pub port: u16,
}

impl From<&BoundAddress> for Address {
    fn from(at: &BoundAddress) -> Self {
        match at {
            BoundAddress::Tcp(at) => Self { kind: "tcp", host: at.ip().to_string(), port: at.port() },
            BoundAddress::Udp(at) => Self { kind: "udp", host: at.ip().to_string(), port: at.port() },
            BoundAddress::Unix(path) => {
                Self { kind: "unix", host: path.to_string_lossy().into_owned(), port: 0 }
            }
        }
    }
}

/// Why a cache or a server did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFault {
    /// A setting is invalid, or names a file that is.
    Setting,
    /// The system refused something, with this error number.
    System(Option<i32>),
}

impl StartFault {
    /// Tells the program's fault from the system's.
    pub fn of(error: &StartError) -> Self {
        /// "Too many open files", the same number on every Unix.
        const EMFILE: i32 = 24;
        match error {
            StartError::Config(_) | StartError::File(_) => Self::Setting,
            StartError::Descriptors { .. } => Self::System(Some(EMFILE)),
            StartError::Memory(cause) | StartError::Listen(_, cause) | StartError::System(cause) => {
                Self::System(cause.raw_os_error())
            }
            _ => Self::System(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use memcache_core::{CacheConfig, ConfigError};

    use super::*;

    #[test]
    fn addresses_have_a_kind_a_host_and_a_port() {
        let address = |at: BoundAddress| {
            let Address { kind, host, port } = Address::from(&at);
            format!("{kind} {host} {port}")
        };
        assert_eq!(address(BoundAddress::Tcp(([127, 0, 0, 1], 11211).into())), "tcp 127.0.0.1 11211");
        assert_eq!(address(BoundAddress::Unix("/tmp/socket".into())), "unix /tmp/socket 0");
    }

    fn bad_setting() -> ConfigError {
        CacheConfig::default().set("growth_factor", 0.5).unwrap_err()
    }

    #[test]
    fn a_bad_setting_is_not_the_fault_of_the_system() {
        let bad = StartError::Config(bad_setting());
        assert_eq!(StartFault::of(&bad), StartFault::Setting);
        let refused = StartError::System(io::Error::from_raw_os_error(12));
        assert_eq!(StartFault::of(&refused), StartFault::System(Some(12)));
    }
}

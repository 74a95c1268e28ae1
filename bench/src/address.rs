//! The address of a server: a TCP address, or the path of a Unix socket.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Doing, Error, Result};
use crate::stream::Blocking;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Connects, and waits for the connection. Nagle's algorithm is off.
    pub fn connect(&self) -> Result<Blocking> {
        let doing = || format!("connecting to {self}");
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).doing(doing)?;
                stream.set_nodelay(true).doing(doing)?;
                Ok(Blocking::Tcp(stream))
            }
            Self::Unix(path) => Ok(Blocking::Unix(UnixStream::connect(path).doing(doing)?)),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Parses an address. Text with a slash is a path, other text is `host:port`.
    fn from_str(text: &str) -> Result<Self> {
        if text.contains('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let mut found = text.to_socket_addrs().doing(|| format!("looking up {text}"))?;
        found.next().map(Self::Tcp).ok_or_else(|| Error::Usage(format!("{text} has no address")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn a_slash_makes_a_path() {
        assert!(matches!("/tmp/a.sock".parse(), Ok(Address::Unix(_))));
        assert!(matches!("127.0.0.1:11211".parse(), Ok(Address::Tcp(_))));
        assert!("127.0.0.1".parse::<Address>().is_err());
    }
}

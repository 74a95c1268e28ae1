//! The address of a server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of memcached.
const PORT: u16 = 11211;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host, without the brackets of an IPv6 address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        // An IPv6 address has colons of its own, so it stands in brackets if a port follows.
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err("the host is missing".into());
        }
        let port = match port {
            None => PORT,
            Some(port) => port.parse().map_err(|_| format!("the port must be 1 to 65535, got {port:?}"))?,
        };
        Ok(Self::Tcp(host.into(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_a_port_or_paths() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.into(), port));
        let parse = |text: &str| text.parse::<Address>();
        assert_eq!(parse("cache.example:7"), tcp("cache.example", 7));
        assert_eq!(parse("10.0.0.1"), tcp("10.0.0.1", 11211));
        assert_eq!(parse("[::1]:7"), tcp("::1", 7));
        assert_eq!(parse("[::1]"), tcp("::1", 11211));
        assert_eq!(parse("::1"), tcp("::1", 11211));
        assert_eq!(parse("/run/m.sock"), Ok(Address::Unix("/run/m.sock".into())));
        assert_eq!(parse("unix:m.sock"), Ok(Address::Unix("m.sock".into())));
        assert_eq!(parse(":7"), Err("the host is missing".into()));
        assert_eq!(parse("a:b"), Err("the port must be 1 to 65535, got \"b\"".into()));
        assert_eq!(parse("a:70000"), Err("the port must be 1 to 65535, got \"70000\"".into()));
    }

    #[test]
    fn an_address_prints_as_it_is_written() {
        for text in ["cache.example:7", "[::1]:7", "/run/m.sock"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.into()));
        }
    }
}

//! A backend as a configuration describes it: where it is, and what it is called.

use std::fmt;

/// memcached's port. Rings of some clients leave it out.
pub const DEFAULT_PORT: u16 = 11211;

/// A memcached server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it listens.
    pub address: Address,
    /// Name in a ring in place of the address. A backend that keeps its name keeps its keys.
    pub name: Option<String>,
    /// Share of the keys, at least 1, among the weights of the pool.
    pub weight: u32,
    /// Whether it is down until the next configuration: it is neither asked nor probed.
    pub is_down: bool,
    /// The name in its certificate, if that is not the host of the address.
    pub server_name: Option<String>,
}

impl Backend {
    /// Returns the backend at an address, without more.
    pub fn at(address: Address) -> Self {
        Self { address, name: None, weight: 1, is_down: false, server_name: None }
    }
}

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or an IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(String),
}

impl Address {
    /// Parses `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() < 108 && !path.contains(char::is_control);
            return fits.then(|| Self::Unix(path.into()));
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok().filter(|port| *port != 0))?;
        let known =
            |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || c == ':' && text.starts_with('[');
        (!host.is_empty() && host.len() <= 255 && host.chars().all(known))
            .then(|| Self::Tcp(host.into(), port))
    }

    /// Returns host and port, or the path of a socket and 0.
    pub fn parts(&self) -> (&str, u16) {
        match self {
            Self::Tcp(host, port) => (host, *port),
            Self::Unix(path) => (path, 0),
        }
    }
}

/// An address, as memcached logs it.
#[derive(Debug)]
pub struct Named<'a>(pub &'a Address);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.0.parts();
        write!(f, "name={host} port={port}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let whole = ["a:1", "10.0.0.1:11211", "[::1]:7", "unix:/run/a.sock", "mc-0.mc:11211"];
        for text in whole {
            assert_eq!(Address::parse(text).map(|address| address.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Address::parse("a").map(|address| address.to_string()).as_deref(), Some("a:11211"));
        assert_eq!(Address::parse("[::1]"), Some(Address::Tcp("::1".into(), 11211)));
        for text in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "a b:1",
            "unix:x",
            "unix:/a\nb",
            "a/b",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}

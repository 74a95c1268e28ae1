//! A backend as a configuration describes it: where it is, and what it is called.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// memcached's port. Rings of some clients leave it out.
pub const DEFAULT_PORT: u16 = 11211;

/// Bytes of the path of a Unix socket at most.
const MAX_PATH: usize = 107;
/// Bytes of a name in DNS at most.
const MAX_HOST: usize = 254;
/// Bytes of a part of a name in DNS at most.
const MAX_LABEL: usize = 63;

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

/// The part of a text that is wrong, so that it has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// It has another form.
    Form,
    /// The port.
    Port,
    /// The IP address.
    Ip,
    /// The name of the host.
    Host,
    /// The path of the socket.
    Path,
}

/// The text says what is allowed.
impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("HOST:PORT, [IPv6]:PORT or unix:PATH"),
            Self::Port => write!(f, "an address with a port from 1 to {}", u16::MAX),
            Self::Ip => f.write_str("an address with a valid IP address"),
            Self::Host => {
                write!(f, "an address whose host has parts of 1 to {MAX_LABEL} bytes without - at their ends")
            }
            Self::Path => write!(f, "unix: and an absolute path of at most {MAX_PATH} bytes in one line"),
        }
    }
}

impl Address {
    /// Parses `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// The part that is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= MAX_PATH && !path.contains(char::is_control);
            return if fits { Ok(Self::Unix(path.into())) } else { Err(AddressFault::Path) };
        }
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(AddressFault::Form)?)),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(DEFAULT_PORT), parse_port)?;
        if bracketed.is_some() {
            host.parse::<Ipv6Addr>().map_err(|_| AddressFault::Ip)?;
        } else {
            check_host(host)?;
        }
        Ok(Self::Tcp(host.into(), port))
    }
}

fn parse_port(text: &str) -> Result<u16, AddressFault> {
    // An IPv6 address without brackets has further colons.
    if text.contains(':') {
        return Err(AddressFault::Form);
    }
    let has_sign = text.starts_with('+');
    text.parse().ok().filter(|port| !has_sign && *port != 0).ok_or(AddressFault::Port)
}

/// Fails unless `host` is an IPv4 address or may be a name in DNS.
fn check_host(host: &str) -> Result<(), AddressFault> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(is_known) {
        return Err(AddressFault::Form);
    }
    let labels = || host.strip_suffix('.').unwrap_or(host).split('.');
    let is_number = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    if labels().all(is_number) {
        return host.parse::<Ipv4Addr>().map(drop).map_err(|_| AddressFault::Ip);
    }
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.len() <= MAX_HOST && labels().all(is_label) { Ok(()) } else { Err(AddressFault::Host) }
}

impl Address {
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
        let path = format!("unix:/{}", "a".repeat(106));
        let whole = [
            "a:1",
            "10.0.0.1:11211",
            "[::1]:7",
            "unix:/run/a.sock",
            &path,
            "mc-0.mc:11211",
            "my_cache:31101",
            "_a._tcp.example.:1",
            "1a.2-b.3:65535",
        ];
        for text in whole {
            assert_eq!(Address::parse(text).map(|address| address.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(Address::parse("a").map(|address| address.to_string()).as_deref(), Ok("a:11211"));
        assert_eq!(Address::parse("[::1]"), Ok(Address::Tcp("::1".into(), 11211)));
        let (long_label, long_host) = (format!("{}:1", "a".repeat(64)), format!("{}:1", "a.".repeat(128)));
        let long_path = format!("unix:/{}", "a".repeat(107));
        for (text, fault) in [
            ("", AddressFault::Form),
            (":1", AddressFault::Form),
            ("a:1:2", AddressFault::Form),
            ("::1", AddressFault::Form),
            ("[::1", AddressFault::Form),
            ("[::1]x", AddressFault::Form),
            ("a b:1", AddressFault::Form),
            ("a/b", AddressFault::Form),
            ("a:", AddressFault::Port),
            ("a:0", AddressFault::Port),
            ("a:+1", AddressFault::Port),
            ("a:65536", AddressFault::Port),
            ("[::1]:99999", AddressFault::Port),
            ("300.1.1.1:11211", AddressFault::Ip),
            ("10.0.1:1", AddressFault::Ip),
            ("10.0.0.010", AddressFault::Ip),
            ("7:1", AddressFault::Ip),
            ("[10.0.0.1]:1", AddressFault::Ip),
            ("[::zz]:1", AddressFault::Ip),
            ("-bad-.example", AddressFault::Host),
            ("a-.example", AddressFault::Host),
            ("a..b", AddressFault::Host),
            (".", AddressFault::Host),
            (".a", AddressFault::Host),
            (&long_label, AddressFault::Host),
            (&long_host, AddressFault::Host),
            ("unix:rel.sock", AddressFault::Path),
            ("unix:", AddressFault::Path),
            ("unix:/a\nb", AddressFault::Path),
            (&long_path, AddressFault::Path),
        ] {
            assert_eq!(Address::parse(text), Err(fault), "{text}");
        }
    }
}

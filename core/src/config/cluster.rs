//! The nodes of a hosted cluster, as settings.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::base::error::{ConfigError, ConfigRule};

/// Longest host name in bytes (RFC 1035).
const HOST_MAX: usize = 255;

/// A node of a cluster: host name, address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// 1 to [`HOST_MAX`] bytes of visible ASCII without a bar.
    host: String,
    ip: Option<IpAddr>,
    /// Not 0.
    port: u16,
}

impl ClusterNode {
    /// Returns a node. Clients connect to `ip`; some have an option to use `host`.
    ///
    /// # Errors
    /// The host name is empty, too long or contains a character that the list cannot hold,
    /// or the port is 0.
    pub fn new(host: &str, ip: Option<IpAddr>, port: u16) -> Result<Self, ConfigError> {
        let stands = |byte: u8| byte.is_ascii_graphic() && byte != b'|';
        if host.is_empty() || host.len() > HOST_MAX || !host.bytes().all(stands) || port == 0 {
            return Err(refused(format!("Invalid cluster node: {host:?} port {port}")));
        }
        Ok(Self { host: host.to_owned(), ip, port })
    }

    /// Returns the host name.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Writes `host|ip|port`, as in the list.
impl fmt::Display for ClusterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|", self.host)?;
        if let Some(ip) = self.ip {
            ip.fmt(f)?;
        }
        write!(f, "|{}", self.port)
    }
}

/// Parses `host|ip|port`, where the address may be empty, or `host:port`, where the host may be an
/// address; IPv6 in brackets. Names are not resolved.
impl FromStr for ClusterNode {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parts: Vec<&str> = text.split('|').collect();
        let node = match parts[..] {
            [host, "", port] => Some((host, None, port)),
            [host, ip, port] => ip.parse().ok().map(|ip| (host, Some(ip), port)),
            [text] => text.rsplit_once(':').and_then(|(host, port)| {
                let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                if bracketed.is_none() && host.contains(':') {
                    return None;
                }
                let host = bracketed.unwrap_or(host);
                Some((host, host.parse().ok(), port))
            }),
            _ => None,
        };
        node.and_then(|(host, ip, port)| Self::new(host, ip, port.parse().ok()?).ok())
            .ok_or_else(|| refused(format!("Invalid cluster node: \"{text}\" (host|ip|port or host:port)")))
    }
}

fn refused(message: String) -> ConfigError {
    ConfigError::new("cluster", ConfigRule::Type, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_and_written() {
        let cases = [
            ("a.example|10.0.0.1|11211", "a.example|10.0.0.1|11211"),
            ("a.example||7", "a.example||7"),
            ("a|::1|7", "a|::1|7"),
            ("127.0.0.1:7", "127.0.0.1|127.0.0.1|7"),
            ("localhost:7", "localhost||7"),
            ("[::1]:7", "::1|::1|7"),
        ];
        for (text, written) in cases {
            let node: Result<ClusterNode, _> = text.parse();
            assert_eq!(node.map(|node| node.to_string()), Ok(written.to_owned()), "{text}");
        }
    }

    #[test]
    fn bad_nodes_are_refused() {
        let long = format!("{}:7", "x".repeat(HOST_MAX + 1));
        let cases = [
            "",
            ":7",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:x",
            "::1:7",
            "[::1:7",
            "a b:7",
            "a\n:7",
            "ä:7",
            "a|7",
            "a|10.0.0.1",
            "a|10.0.0|7",
            "|10.0.0.1|7",
            "a|10.0.0.1|0",
            "a|10.0.0.1|7|8",
            &long,
        ];
        for text in cases {
            let error = format!("Invalid cluster node: \"{text}\" (host|ip|port or host:port)");
            assert_eq!(text.parse::<ClusterNode>(), Err(refused(error)));
        }
    }
}

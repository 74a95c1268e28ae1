//! The address of a service: its text, and its sockets.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::failure::Failure;
use crate::listen::{self, Host, System};

/// The forms of an address, for messages.
pub const FORMS: &str = "PORT, HOST:PORT or [IPV6]:PORT";

/// Connections that wait until they are accepted.
const BACKLOG: i32 = 128;

/// A host and a port. Port 0 is any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: Host,
    port: u16,
}

impl Address {
    /// Parses one of [`FORMS`]. A port alone is one of 127.0.0.1, and the host `*` is every address
    /// of this machine.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
        // `parse` accepts a sign.
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inner) => Host::Name(inner?.parse::<Ipv6Addr>().ok()?.to_string()),
            None if host == "*" => Host::Any,
            None if host.is_empty() || host.contains(':') => return None,
            None => Host::Name(host.to_owned()),
        };
        Some(Self { host, port })
    }

    /// Returns the addresses of the sockets.
    pub fn resolve(&self, system: &impl System) -> Result<Vec<SocketAddr>, Failure> {
        let mut all = Vec::new();
        for at in listen::addresses(&self.host, self.port, system)? {
            if !all.contains(&at) {
                all.push(at);
            }
        }
        Ok(all)
    }
}

/// A socket, and the name of its service.
pub type Named = (String, TcpListener);

/// Removes and returns the passed socket of a service at an address. Port 0 means any port.
pub fn take(passed: &mut Vec<Named>, service: &str, at: SocketAddr) -> Option<TcpListener> {
    let fits = |found: SocketAddr| found.ip() == at.ip() && [0, found.port()].contains(&at.port());
    let is_wanted = |(name, socket): &Named| name == service && socket.local_addr().is_ok_and(fits);
    let found = passed.iter().position(is_wanted)?;
    Some(passed.remove(found).1)
}

/// Opens a socket that listens.
pub fn open(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    if at.is_ipv6() {
        // Another socket has the addresses of IPv4.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::ThisMachine;

    fn resolved(text: &str) -> Option<Vec<String>> {
        let all = Address::parse(text)?.resolve(&ThisMachine).ok()?;
        Some(all.iter().map(SocketAddr::to_string).collect())
    }

    #[test]
    fn a_port_alone_is_of_loopback() {
        for (text, at) in [("80", "127.0.0.1:80"), ("127.0.0.2:0", "127.0.0.2:0"), ("[::1]:9", "[::1]:9")] {
            assert_eq!(resolved(text), Some(vec![at.to_owned()]), "{text}");
        }
        assert!(resolved("*:9").is_some_and(|all| all.contains(&"0.0.0.0:9".to_owned())));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", ":", ":80", "host", "host:", "host:x", "host:+1", "+1", "65536", "::1:80", "[::1]", "[x]:1"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_passed_socket_is_used_again() {
        let socket = open(([127, 0, 0, 1], 0).into()).unwrap_or_else(|e| panic!("{e}"));
        let at = socket.local_addr().unwrap_or_else(|e| panic!("{e}"));
        let mut passed = vec![("one".to_owned(), socket)];
        assert!(take(&mut passed, "one", (at.ip(), at.port() ^ 1).into()).is_none());
        assert!(take(&mut passed, "one", ([127, 0, 0, 2], at.port()).into()).is_none());
        assert!(take(&mut passed, "other", at).is_none());
        let found = take(&mut passed, "one", (at.ip(), 0).into()).and_then(|socket| socket.local_addr().ok());
        assert_eq!((found, passed.len()), (Some(at), 0));
        // It was closed, and the address is free at once.
        assert!(open(at).is_ok());
    }
}

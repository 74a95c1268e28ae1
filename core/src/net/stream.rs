//! The socket of one client, whatever kind it is.
//!
//! Contract: sockets are non-blocking; an interrupted call is repeated here;
//! a write never raises SIGPIPE (we are a library and leave handlers alone).
//! A read that returns fewer bytes than were asked for has drained the socket:
//! the event queue reports the next byte as a new edge.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
/// Apple has no such flag; [`Stream::new_tcp`] sets an option instead.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: libc::c_int = 0;

/// A connected socket.
pub(crate) enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Takes an accepted TCP socket.
    pub(crate) fn new_tcp(socket: TcpStream) -> Self {
        #[cfg(target_vendor = "apple")]
        let _ = SockRef::from(&socket).set_nosigpipe(true);
        Self::Tcp(socket)
    }

    /// Takes an accepted Unix socket.
    pub(crate) fn new_unix(socket: UnixStream) -> Self {
        #[cfg(target_vendor = "apple")]
        let _ = SockRef::from(&socket).set_nosigpipe(true);
        Self::Unix(socket)
    }

    /// The descriptor, for the connection table and the logs.
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(s) => s.as_raw_fd(),
            Self::Unix(s) => s.as_raw_fd(),
        }
    }

    /// Whether `idle_timeout` concerns it.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Starts reporting to `token`, once for the life of the connection.
    ///
    /// A Unix socket reports that it can be written to whenever the peer has
    /// read something, blocked or not; it therefore asks for that only between
    /// [`Stream::blocked`] and [`Stream::unblocked`]. TCP reports it only
    /// after a write fell short, and asks for it from the start.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(s) => registry.register(s, token, Interest::READABLE | Interest::WRITABLE),
            Self::Unix(s) => registry.register(s, token, Interest::READABLE),
        }
    }

    /// A write fell short: report when more can be written.
    pub(crate) fn blocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE | Interest::WRITABLE),
        }
    }

    /// Everything is written.
    pub(crate) fn unblocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE),
        }
    }

    /// Reads into `to`; 0 is the end of the stream if `to` is not empty.
    pub(crate) fn read(&self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(s) => { s }.read(to),
                Self::Unix(s) => { s }.read(to),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads into `first`, and what does not fit there into `second`.
    pub(crate) fn read_two(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        let mut slices = [IoSliceMut::new(first), IoSliceMut::new(second)];
        loop {
            let result = match self {
                Self::Tcp(s) => { s }.read_vectored(&mut slices),
                Self::Unix(s) => { s }.read_vectored(&mut slices),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Where output goes.
    pub(crate) fn sink(&self) -> Sink<'_> {
        Sink(match self {
            Self::Tcp(s) => SockRef::from(s),
            Self::Unix(s) => SockRef::from(s),
        })
    }
}

/// The writing half of a [`Stream`].
pub(crate) struct Sink<'a>(SockRef<'a>);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.send_with_flags(bytes, SEND_FLAGS) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.0.send_vectored_with_flags(slices, SEND_FLAGS) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who is at the other end, in 20 bytes (a `SocketAddr` takes 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine.
    Unix,
    /// IPv4 address and port.
    V4([u8; 4], u16),
    /// IPv6 address and port.
    V6([u8; 16], u16),
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(a) => Self::V4(a.ip().octets(), a.port()),
            SocketAddr::V6(a) => Self::V6(a.ip().octets(), a.port()),
        }
    }
}

/// As memcached's connection events show it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = match *self {
            Self::Unix => return f.write_str("rip=unix rport=0 transport=local"),
            Self::V4(ip, port) => (IpAddr::V4(Ipv4Addr::from(ip)), port),
            Self::V6(ip, port) => (IpAddr::V6(Ipv6Addr::from(ip)), port),
        };
        write!(f, "rip={ip} rport={port} transport=tcp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_read_as_in_memcacheds_log() {
        let v6: SocketAddr = "[::1]:4711".parse().unwrap_or_else(|_| unreachable!());
        assert_eq!(Peer::from(v6).to_string(), "rip=::1 rport=4711 transport=tcp");
        assert_eq!(Peer::Unix.to_string(), "rip=unix rport=0 transport=local");
        assert_eq!(size_of::<Peer>(), 20);
    }
}

//! The socket of one client: TCP, Unix or TLS.
//!
//! Contract: sockets are non-blocking. An interrupted call is repeated here. A write never raises
//! SIGPIPE, because a library must not change signal handlers.
//!
//! A read that returns fewer bytes than it asked for has drained a plain socket: the event queue
//! reports the next byte as a new edge. A TLS stream may hold bytes that no event reports.
//! [`Stream::may_hold_more`] covers both.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::socket::{SEND_FLAGS, send};
use super::tls::TlsStream;
use crate::tls::{Rules, Tls};

/// A connected socket.
pub(crate) enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// TLS over TCP, while the handshake thread has the stream: its descriptor, and the bytes of
    /// buffers that it held.
    Away(RawFd, usize),
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

    /// Encrypts the stream by `rules` if it is TCP. The handshake is still to come.
    pub(crate) fn over_tls(self, rules: Arc<Rules>, shared: &Arc<Tls>) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(s) => Self::Tls(Box::new(TlsStream::new(s, rules, Arc::clone(shared))?)),
            other => other,
        })
    }

    /// Takes the stream out for the handshake thread. Returns `None` if it is away already or has
    /// no TLS.
    pub(crate) fn take_away(&mut self) -> Option<Box<TlsStream>> {
        let away = Self::Away(self.fd(), self.held());
        match std::mem::replace(self, away) {
            Self::Tls(stream) => Some(stream),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Puts a stream back. Returns `false` if another stream was taken out. An open descriptor
    /// identifies the stream.
    pub(crate) fn put_back(&mut self, stream: Box<TlsStream>) -> bool {
        let ours = matches!(self, Self::Away(fd, _) if *fd == stream.fd());
        if ours {
            *self = Self::Tls(stream);
        }
        ours
    }

    /// Returns whether the handshake thread has the stream.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away(..))
    }

    /// Returns the names that may be the user, from the certificate of a client with TLS.
    pub(crate) fn names(&self) -> Vec<String> {
        if let Self::Tls(s) = self { s.names() } else { Vec::new() }
    }

    /// Returns the first common name in the certificate of a client with TLS.
    pub(crate) fn common_name(&self) -> Option<Arc<[u8]>> {
        if let Self::Tls(s) = self { s.common_name() } else { None }
    }

    /// Sends nothing more to the peer, not even the end of TLS.
    pub(crate) fn give_up(&mut self) {
        if let Self::Tls(s) = self {
            s.give_up();
        }
    }

    /// Returns the descriptor, for the connection table and the logs.
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(s) => s.as_raw_fd(),
            Self::Unix(s) => s.as_raw_fd(),
            Self::Tls(s) => s.fd(),
            Self::Away(fd, _) => *fd,
        }
    }

    /// Acknowledges the received bytes at once, where the system delays that.
    pub(crate) fn acknowledge(&self) {
        let socket = match self {
            Self::Tcp(s) => SockRef::from(s),
            Self::Tls(s) => SockRef::from(&s.socket),
            Self::Unix(_) | Self::Away(..) => return,
        };
        #[cfg(target_os = "linux")]
        // If this fails, the acknowledgement only comes later.
        let _ = socket.set_tcp_quickack(true);
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
    }

    /// Returns whether `idle_timeout` applies to the socket.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Tls(_) | Self::Away(..))
    }

    /// Returns whether the socket uses TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Away(..))
    }

    /// Returns whether the handshake must go on before there is input.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(s) => s.is_handshaking(),
            Self::Away(..) => true,
        }
    }

    /// Starts reporting events to `token`, once for the life of the connection.
    ///
    /// A Unix socket reports room for output whenever the peer has read bytes, even if no write was
    /// blocked. So it asks for these reports only between [`Stream::blocked`] and
    /// [`Stream::unblocked`]. TCP reports room only after a write fell short, and asks for it from
    /// the start.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(s) => registry.register(s, token, Interest::READABLE | Interest::WRITABLE),
            Self::Unix(s) => registry.register(s, token, Interest::READABLE),
            Self::Tls(s) => registry.register(&mut s.socket, token, Interest::READABLE | Interest::WRITABLE),
            Self::Away(..) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Asks for an event when more can be written. Call after a write fell short.
    pub(crate) fn blocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Tls(_) | Self::Away(..) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE | Interest::WRITABLE),
        }
    }

    /// Ends the effect of [`Stream::blocked`]. Call when everything is written.
    pub(crate) fn unblocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Tls(_) | Self::Away(..) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE),
        }
    }

    /// Reads into `to`. Returns 0 at the end of the stream, unless `to` is empty.
    pub(crate) fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(s) => s.read(to),
                Self::Unix(s) => s.read(to),
                Self::Tls(s) => s.read_two(to, &mut []),
                Self::Away(..) => Err(io::ErrorKind::WouldBlock.into()),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads into `first`, then into `second`.
    pub(crate) fn read_two(&mut self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut slices = [IoSliceMut::new(first), IoSliceMut::new(second)];
            let result = match self {
                Self::Tcp(s) => s.read_vectored(&mut slices),
                Self::Unix(s) => s.read_vectored(&mut slices),
                Self::Tls(s) => s.read_two(first, second),
                Self::Away(..) => Err(io::ErrorKind::WouldBlock.into()),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Returns whether there may be more to read without an event, after a read for `asked` bytes
    /// returned `n`.
    #[inline]
    pub(crate) fn may_hold_more(&self, asked: usize, n: usize) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => n == asked,
            Self::Tls(s) => s.holds_more(),
            Self::Away(..) => false,
        }
    }

    /// Reads and discards input. The bytes in `scratch` have no meaning afterwards.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Away(..) => self.read(scratch),
            Self::Tls(s) => s.discard(scratch),
        }
    }

    /// Returns the bytes that were written but have not gone to the socket. [`Sink::flush`] sends
    /// them.
    pub(crate) fn unsent(&self) -> usize {
        if let Self::Tls(s) = self { s.unsent() } else { 0 }
    }

    /// Returns the bytes of buffers held.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(s) => s.held(),
            Self::Away(_, held) => *held,
        }
    }

    /// Reports the end of the stream to the peer, if the protocol has a message for it.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(s) = self {
            s.close();
        }
    }

    /// Returns the writing half.
    pub(crate) fn sink(&mut self) -> Sink<'_> {
        match self {
            Self::Tcp(s) => Sink::Socket(SockRef::from(&*s)),
            Self::Unix(s) => Sink::Socket(SockRef::from(&*s)),
            Self::Tls(s) => Sink::Tls(s),
            Self::Away(..) => Sink::Away,
        }
    }
}

/// The writing half of a [`Stream`]. Written bytes have gone out once `flush` has succeeded.
pub(crate) enum Sink<'a> {
    /// Sends bytes as they are.
    Socket(SockRef<'a>),
    /// Sends bytes encrypted.
    Tls(&'a mut TlsStream),
    /// The handshake thread has the stream.
    Away,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(s) => send(s, bytes),
            Self::Tls(s) => s.write(bytes),
            Self::Away => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(s) => loop {
                match s.send_vectored_with_flags(slices, SEND_FLAGS) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
            Self::Tls(s) => s.write_vectored(slices),
            Self::Away => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(_) => Ok(()),
            Self::Tls(s) => s.flush(),
            Self::Away => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The address of a peer in 20 bytes (a `SocketAddr` takes 32).
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

/// Formats the address as memcached's connection events do.
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

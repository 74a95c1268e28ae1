//! The socket of one client, whatever kind it is.
//!
//! Contract: sockets are non-blocking; an interrupted call is repeated here;
//! a write never raises SIGPIPE (we are a library and leave handlers alone).
//! A read that returns fewer bytes than were asked for has drained a plain
//! socket: the event queue reports the next byte as a new edge. One that speaks
//! TLS may hold bytes that no event will tell of; [`Stream::may_hold_more`]
//! knows for both.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::tls::TlsStream;
use crate::tls::{Rules, Tls};

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
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// TLS over TCP, while the handshake thread has the stream: its descriptor, and the
    /// bytes of buffers that it held.
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

    /// Speaks TLS by `rules` if this is TCP. The handshake is to come.
    pub(crate) fn over_tls(self, rules: Arc<Rules>, shared: &Arc<Tls>) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(s) => Self::Tls(Box::new(TlsStream::new(s, rules, Arc::clone(shared))?)),
            other => other,
        })
    }

    /// Takes the stream out for the handshake thread. `None`: it is away already, or not
    /// TLS.
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

    /// Puts a stream back. Returns `false` if another one was taken out: the
    /// descriptor tells, since it is open.
    pub(crate) fn put_back(&mut self, stream: Box<TlsStream>) -> bool {
        let ours = matches!(self, Self::Away(fd, _) if *fd == stream.fd());
        if ours {
            *self = Self::Tls(stream);
        }
        ours
    }

    /// Whether the handshake thread has the stream.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away(..))
    }

    /// Nothing more is to be said to the peer.
    pub(crate) fn give_up(&mut self) {
        if let Self::Tls(s) = self {
            s.give_up();
        }
    }

    /// The descriptor, for the connection table and the logs.
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(s) => s.as_raw_fd(),
            Self::Unix(s) => s.as_raw_fd(),
            Self::Tls(s) => s.fd(),
            Self::Away(fd, _) => *fd,
        }
    }

    /// Acknowledges what was read at once, where the system puts that off.
    pub(crate) fn acknowledge(&self) {
        let socket = match self {
            Self::Tcp(s) => SockRef::from(s),
            Self::Tls(s) => SockRef::from(&s.socket),
            Self::Unix(_) | Self::Away(..) => return,
        };
        #[cfg(target_os = "linux")]
        // Without it the acknowledgement comes later.
        let _ = socket.set_tcp_quickack(true);
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
    }

    /// Whether `idle_timeout` concerns it.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Tls(_) | Self::Away(..))
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Away(..))
    }

    /// Whether the handshake thread has to go on before there is anything to read.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(s) => s.is_handshaking(),
            Self::Away(..) => true,
        }
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
            Self::Tls(s) => registry.register(&mut s.socket, token, Interest::READABLE | Interest::WRITABLE),
            Self::Away(..) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// A write fell short: report when more can be written.
    pub(crate) fn blocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Tls(_) | Self::Away(..) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE | Interest::WRITABLE),
        }
    }

    /// Everything is written.
    pub(crate) fn unblocked(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Tls(_) | Self::Away(..) => Ok(()),
            Self::Unix(s) => registry.reregister(s, token, Interest::READABLE),
        }
    }

    /// Reads into `to`; 0 is the end of the stream if `to` is not empty.
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

    /// Reads into `first`, and what does not fit there into `second`.
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

    /// Whether there may be more to read without an event, after a read for
    /// `asked` bytes returned `n`.
    #[inline]
    pub(crate) fn may_hold_more(&self, asked: usize, n: usize) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => n == asked,
            Self::Tls(s) => s.holds_more(),
            Self::Away(..) => false,
        }
    }

    /// Reads what nobody wants; what comes into `scratch` means nothing.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Away(..) => self.read(scratch),
            Self::Tls(s) => s.discard(scratch),
        }
    }

    /// Bytes written that have not gone to the socket; [`Sink::flush`] sends them.
    pub(crate) fn unsent(&self) -> usize {
        if let Self::Tls(s) = self { s.unsent() } else { 0 }
    }

    /// Bytes of buffers held.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(s) => s.held(),
            Self::Away(_, held) => *held,
        }
    }

    /// Tells the peer that nothing more comes, where there are words for it.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(s) = self {
            s.close();
        }
    }

    /// Where output goes.
    pub(crate) fn sink(&mut self) -> Sink<'_> {
        match self {
            Self::Tcp(s) => Sink::Socket(SockRef::from(&*s)),
            Self::Unix(s) => Sink::Socket(SockRef::from(&*s)),
            Self::Tls(s) => Sink::Tls(s),
            Self::Away(..) => Sink::Away,
        }
    }
}

/// The writing half of a [`Stream`]. What was taken has gone out once `flush`
/// has succeeded.
pub(crate) enum Sink<'a> {
    /// Bytes go out as they are.
    Socket(SockRef<'a>),
    /// Bytes are encrypted.
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

/// One call, repeated if it was interrupted.
pub(super) fn send(socket: &SockRef<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.send_with_flags(bytes, SEND_FLAGS) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
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

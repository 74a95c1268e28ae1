//! The socket to a backend: TCP, Unix or TLS. It is non-blocking.
//!
//! This is not [`super::stream::Stream`], whose TLS is that of a server, and which leaves the
//! handshake to another thread. A worker has few connections to backends.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

use super::backend_tls::TlsSocket;
use crate::tls::ClientRules;

/// The socket to a backend.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Opens a socket, with the rules of TLS and the name of the server if it uses TLS. It is not
    /// connected yet.
    pub(super) fn tcp(address: SocketAddr, tls: Option<&(Arc<ClientRules>, String)>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(match tls {
            Some((rules, name)) => Self::Tls(Box::new(TlsSocket::new(socket, rules, name)?)),
            None => Self::Tcp(socket),
        })
    }

    /// Opens a Unix socket.
    pub(super) fn unix(path: &str) -> io::Result<Self> {
        UnixStream::connect(path).map(Self::Unix)
    }

    /// Returns the socket for the event queue.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => socket,
            Self::Tls(tls) => &mut tls.socket,
        }
    }

    /// Returns whether a read that leaves room has emptied the socket. TLS reads records.
    pub(super) fn reads_all(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Returns whether bytes can be sent. Goes on with the handshake of TLS.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(socket) => (socket.take_error()?, socket.peer_addr().map(|_| ())),
            Self::Unix(socket) => (socket.take_error()?, socket.peer_addr().map(|_| ())),
            Self::Tls(tls) => (tls.socket.take_error()?, tls.socket.peer_addr().map(|_| ())),
        };
        match (error, peer, self) {
            (Some(error), _, _) => Err(error),
            (None, Ok(()), Self::Tls(tls)) => tls.shake_hands(),
            (None, Ok(()), _) => Ok(true),
            (None, Err(e), _) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(e), _) => Err(e),
        }
    }

    /// Reads into `to`. Returns 0 at the end.
    pub(super) fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        repeat(|| match self {
            Self::Tcp(socket) => socket.read(to),
            Self::Unix(socket) => socket.read(to),
            Self::Tls(tls) => tls.read(to),
        })
    }

    /// Writes a part of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        repeat(|| match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        })
    }

    /// Sends the bytes that TLS holds.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        repeat(|| match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        })
    }
}

/// Repeats a call while it is interrupted.
fn repeat<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

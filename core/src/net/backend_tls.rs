//! TLS to a backend: a socket and rustls' client.
//!
//! The worker carries out the handshake itself: a connection to a backend is opened once for many
//! requests. rustls holds at most about 64 KiB for each direction.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::socket::would_block;
use crate::tls::ClientRules;

/// A socket that uses TLS. Each call may return [`io::ErrorKind::Interrupted`].
pub(super) struct TlsSocket {
    /// The socket.
    pub(super) socket: TcpStream,
    session: ClientConnection,
}

impl TlsSocket {
    /// Takes a socket. `name` must be in the certificate of the server.
    pub(super) fn new(socket: TcpStream, rules: &Arc<ClientRules>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(rules), name).map_err(io::Error::other)?;
        Ok(Self { socket, session })
    }

    /// Goes on with the handshake. Returns whether it is done.
    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        while self.session.is_handshaking() {
            match self.session.complete_io(&mut self.socket) {
                Ok(_) => {}
                Err(e) if would_block(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Reads into `to`. Returns 0 at the end.
    pub(super) fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(to) {
                Err(e) if would_block(&e) => {}
                // memcached ends a connection without a message of TLS. Replies have lengths.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            self.session.read_tls(&mut self.socket)?;
            if let Err(error) = self.session.process_new_packets() {
                // The reason for the backend, which may be gone.
                let _ = self.flush();
                return Err(io::Error::other(error));
            }
        }
    }

    /// Takes a part of `bytes` once the bytes before them are sent.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let n = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(e) if !would_block(&e) && e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(n),
        }
    }

    /// Sends the bytes that rustls holds.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

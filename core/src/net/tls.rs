//! The stream of a client that uses TLS: a socket, rustls, and the partial records between them.
//!
//! ```text
//!   socket ── scratch ── decrypted in place ──▶ to whoever reads
//!                └ incoming: less than a record, or      └ plain: did not fit
//!                  than a message of the handshake
//!   socket ◀── scratch ◀── encrypted ── from whoever writes
//!                └ outgoing: the socket was full
//! ```
//!
//! This uses rustls' unbuffered interface. It holds no bytes of ours while a connection is idle,
//! and copies records once in each direction beyond its own copies. Each thread has one scratch
//! buffer for all its connections.
//!
//! The handshake thread takes a stream through its handshake ([`TlsStream::shake_hands`]) before
//! the worker reads from it. Loading certificates is not part of this module: that is
//! [`crate::tls`].

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::net::TcpStream;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;

use super::socket::send;
use crate::tls::{Tls, first_common_name};

/// Most bytes that one read takes, kept partial input included. Messages of a handshake may have 64
/// KiB, records 18.
const INPUT: usize = 128 * 1024;

/// Longest incomplete handshake message that is kept, its record headers included.
const HANDSHAKE: usize = 32 * 1024;

/// Least bytes that a read asks for, so that it completes a partial record.
const LEAST_READ: usize = 18 * 1024;

/// Fewest and most bytes that are encrypted before they are sent.
const BATCH: std::ops::RangeInclusive<usize> = 64 * 1024..=1024 * 1024;

/// Most bytes of plain text in a record.
const RECORD: usize = 16 * 1024;

/// Most bytes that encryption adds to a record.
const RECORD_EXTRA: usize = 64;

/// Space for messages of rustls' own behind any batch.
const SLACK: usize = 1024;

struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// A connected socket that uses TLS.
pub(crate) struct TlsStream {
    /// The socket.
    pub(super) socket: TcpStream,
    session: UnbufferedServerConnection,
    shared: Arc<Tls>,
    /// Received bytes that are not decrypted: less than a record, or in a handshake less than a
    /// message.
    incoming: Vec<u8>,
    /// Decrypted bytes, used up to `plain_at`. `plain_at <= plain.len()`
    plain: Vec<u8>,
    plain_at: usize,
    /// Encrypted bytes, sent up to `outgoing_at`. `outgoing_at <= outgoing.len()`
    outgoing: Vec<u8>,
    outgoing_at: usize,
    handshaking: bool,
    /// The first common name in the certificate of the client, after the handshake.
    common_name: Option<Arc<[u8]>>,
    /// Whether the socket may hold input.
    undrained: bool,
    /// Whether the peer sends no more.
    ended: bool,
    /// Whether the peer broke the protocol. Nothing more is read or encrypted then.
    failed: bool,
    /// The reason why the handshake failed, for the next read.
    error: Option<io::Error>,
}

/// The destination of decrypted bytes: the free parts of two buffers, one after the other.
struct Target<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
    filled: usize,
}

impl Target<'_> {
    /// Returns the bytes that still fit.
    fn room(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// Takes the bytes that fit. Returns the others.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        for free in [&mut self.first, &mut self.second] {
            let (front, after) = rest.split_at(free.len().min(rest.len()));
            let (filled, left) = std::mem::take(free).split_at_mut(front.len());
            filled.copy_from_slice(front);
            (*free, rest) = (left, after);
        }
        self.filled += bytes.len() - rest.len();
        rest
    }
}

impl TlsStream {
    /// Takes an accepted socket.
    ///
    /// # Errors
    /// rustls refuses the rules.
    pub(super) fn new(socket: TcpStream, rules: Arc<ServerConfig>, shared: Arc<Tls>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(rules).map_err(io::Error::other)?;
        Ok(Self {
            socket,
            session,
            shared,
            incoming: Vec::new(),
            plain: Vec::new(),
            plain_at: 0,
            outgoing: Vec::new(),
            outgoing_at: 0,
            handshaking: true,
            common_name: None,
            undrained: false,
            ended: false,
            failed: false,
            error: None,
        })
    }

    /// Returns the descriptor.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Returns whether a read may return bytes without an event before.
    pub(super) fn holds_more(&self) -> bool {
        self.undrained || self.ended || self.failed || !self.plain.is_empty()
    }

    /// Returns whether the handshake must go on before there is input.
    pub(super) fn is_handshaking(&self) -> bool {
        self.handshaking && !self.ended && !self.failed
    }

    /// Goes on with the handshake until it is done or has to wait, and sends its messages. If the
    /// handshake fails, the next read returns the error.
    pub(super) fn shake_hands(&mut self) {
        // Bytes behind the handshake are kept.
        let mut nowhere = Target { first: &mut [], second: &mut [], filled: 0 };
        while self.is_handshaking() {
            match with_scratch(|scratch| self.receive(&mut nowhere, &mut scratch.input)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => self.error = Some(e),
            }
        }
        self.common_name = self.certificate().and_then(first_common_name).map(Arc::from);
        // The worker sends the bytes that the socket does not take now, and handles all errors.
        let _ = self.flush();
    }

    /// Returns the names that may be the user, from the certificate of the client.
    pub(super) fn names(&self) -> Vec<String> {
        self.certificate().map(|certificate| self.shared.names(certificate)).unwrap_or_default()
    }

    /// Returns the first common name in the certificate of the client.
    pub(super) fn common_name(&self) -> Option<Arc<[u8]>> {
        self.common_name.clone()
    }

    /// Returns the certificate of the client after the handshake.
    fn certificate(&self) -> Option<&CertificateDer<'static>> {
        let certificate = self.session.peer_certificates().and_then(<[_]>::first);
        certificate.filter(|_| !self.handshaking && !self.failed)
    }

    /// Returns the encrypted bytes that wait for the peer to read.
    pub(super) fn unsent(&self) -> usize {
        self.outgoing.len() - self.outgoing_at
    }

    /// Returns the bytes of buffers held.
    pub(super) fn held(&self) -> usize {
        self.incoming.capacity() + self.plain.capacity() + self.outgoing.capacity()
    }

    /// Reads into `first`, then into `second`. Returns 0 at the end. [`io::ErrorKind::WouldBlock`]
    /// means that the socket itself is drained.
    pub(super) fn read_two(&mut self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        let mut target = Target { first, second, filled: 0 };
        let waiting = self.plain.get(self.plain_at..).unwrap_or_default();
        if !waiting.is_empty() {
            self.plain_at = self.plain.len() - target.take(waiting).len();
            if self.plain_at == self.plain.len() {
                (self.plain, self.plain_at) = (Vec::new(), 0);
            }
            // An event may have come since the last read from the socket.
            self.undrained = true;
            return Ok(target.filled);
        }
        with_scratch(|scratch| {
            while target.filled == 0 {
                if self.failed {
                    return Err(self.error.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into()));
                }
                if self.ended {
                    break;
                }
                match self.receive(&mut target, &mut scratch.input) {
                    // The bytes before a broken record are returned first.
                    Err(e) if target.filled == 0 => return Err(e),
                    _ => {}
                }
            }
            Ok(target.filled)
        })
    }

    /// Reads from the socket once and decrypts the input.
    fn receive(&mut self, target: &mut Target<'_>, scratch: &mut [u8]) -> io::Result<()> {
        // Encrypted bytes take more space than plain ones, so this reads little more than fits.
        let most = target.room().max(LEAST_READ);
        let (partial, space) = scratch.split_at_mut(self.incoming.len().min(scratch.len()));
        let most = most.min(space.len());
        let n = match self.socket.read(space.get_mut(..most).unwrap_or_default()) {
            Ok(0) if self.handshaking => return Err(self.fail(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.undrained = false;
                return Err(e);
            }
            Err(e) => return Err(self.fail(e)),
        };
        self.undrained = n == most;
        self.ended = n == 0;
        partial.copy_from_slice(&self.incoming);
        let whole = partial.len() + n;
        self.decrypt(scratch.get_mut(..whole).unwrap_or_default(), target)
    }

    /// Decrypts the records in `bytes`. Keeps a partial record.
    fn decrypt(&mut self, bytes: &mut [u8], target: &mut Target<'_>) -> io::Result<()> {
        let mut at = 0;
        loop {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(rest);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        self.plain.extend_from_slice(target.take(record.payload));
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing, |to| data.encode(to));
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                // The server does not offer early data.
                Ok(_) => false,
                Err(error) => {
                    let rest = bytes.get_mut(at + discard..).unwrap_or_default();
                    if let Ok(ConnectionState::EncodeTlsData(mut alert)) =
                        self.session.process_tls_records(rest).state
                    {
                        append(&mut self.outgoing, |to| alert.encode(to));
                    }
                    if !self.handshaking {
                        self.shared.stats.proto_errors.fetch_add(1, Relaxed);
                    }
                    return Err(self.fail(io::Error::other(error)));
                }
            };
            at += discard;
            if !goes_on {
                break;
            }
        }
        if self.handshaking && !self.session.is_handshaking() {
            self.handshaking = false;
            if self.session.handshake_kind() != Some(HandshakeKind::Resumed) {
                self.shared.stats.new_sessions.fetch_add(1, Relaxed);
            }
        }
        let rest = if self.ended { &[][..] } else { bytes.get(at..).unwrap_or_default() };
        if self.handshaking && rest.len() > HANDSHAKE {
            return Err(self.fail(io::Error::other("a message of the handshake is too long")));
        }
        self.incoming = rest.to_vec();
        Ok(())
    }

    /// Marks the connection as failed.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.failed = true;
        if self.handshaking {
            self.shared.stats.handshake_errors.fetch_add(1, Relaxed);
        }
        error
    }

    /// Reads and discards input without decrypting it.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.socket.read(scratch)
    }

    /// Ends reading and writing, because the session may be in the middle of a step.
    pub(super) fn give_up(&mut self) {
        self.failed = true;
    }

    /// Sends the end of TLS, if that is possible without waiting.
    pub(super) fn close(&mut self) {
        if self.failed || self.handshaking || self.flush().is_err() {
            return;
        }
        let mut goodbye = [0; SLACK];
        if let Ok(n) = self.encode(None, &mut goodbye) {
            // The peer does not depend on this message.
            let _ = send(&SockRef::from(&self.socket), goodbye.get(..n).unwrap_or_default());
        }
    }

    /// Encrypts at most a batch of `slices` and sends it. Keeps the bytes that the socket does not
    /// take, and sends them before any others.
    fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let batch = self.shared.batch().clamp(*BATCH.start(), *BATCH.end());
        with_scratch(|Scratch { output, .. }| {
            let size = batch + (batch / RECORD + slices.len() + 1) * RECORD_EXTRA + SLACK;
            if output.len() < size {
                output.resize(size, 0);
            }
            let (mut taken, mut used) = (0, 0);
            for slice in slices {
                let piece = slice.get(..slice.len().min(batch - taken)).unwrap_or_default();
                let room = output.get_mut(used..).unwrap_or_default();
                used += self.encode(Some(piece), room)?;
                taken += piece.len();
                if taken == batch {
                    break;
                }
            }
            let encrypted = output.get(..used).unwrap_or_default();
            let sent = match send(&SockRef::from(&self.socket), encrypted) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
                other => other?,
            };
            self.outgoing.extend_from_slice(encrypted.get(sent..).unwrap_or_default());
            Ok(taken)
        })
    }

    /// Writes `bytes` into `to` as records, or the end of TLS for `None`. Returns the length of the
    /// output.
    fn encode(&mut self, bytes: Option<&[u8]>, to: &mut [u8]) -> io::Result<usize> {
        // rustls expects nothing of a partial record, but may hold offsets into it.
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut at = 0;
        let mut used = 0;
        let result = loop {
            let rest = incoming.get_mut(at..).unwrap_or_default();
            let room = to.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(rest);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = match bytes {
                        Some(bytes) => traffic.encrypt(bytes, room),
                        None => traffic.queue_close_notify(room),
                    };
                    break written.map(|n| used + n).map_err(io::Error::other);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(room) {
                    Ok(n) => used += n,
                    Err(e) => break Err(io::Error::other(e)),
                },
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(_) => break Err(io::ErrorKind::NotConnected.into()),
                Err(e) => break Err(io::Error::other(e)),
            }
            at += discard;
        };
        incoming.drain(..at.min(incoming.len()));
        self.incoming = incoming;
        if result.is_err() {
            self.failed = true;
        }
        result
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_slices(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_slices(slices)
    }

    /// Sends the encrypted bytes.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(unsent @ [_, ..]) = self.outgoing.get(self.outgoing_at..) {
            match send(&SockRef::from(&self.socket), unsent)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => self.outgoing_at += n,
            }
        }
        if !self.outgoing.is_empty() {
            (self.outgoing, self.outgoing_at) = (Vec::new(), 0);
        }
        Ok(())
    }
}

/// Appends the output of `encode`, which reports the space it needs.
fn append(to: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let used = to.len();
    if let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) {
        to.resize(used + needed.required_size, 0);
        let n = encode(to.get_mut(used..).unwrap_or_default()).unwrap_or(0);
        to.truncate(used + n);
    }
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        work(
            scratch.get_or_insert_with(|| Scratch {
                input: vec![0; INPUT].into_boxed_slice(),
                output: Vec::new(),
            }),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net;
    use std::path::PathBuf;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

    use super::*;
    use crate::config::{TlsConfig, TlsMode};

    type Client = StreamOwned<ClientConnection, net::TcpStream>;

    /// Returns both ends of a connection before the handshake.
    fn pair(name: &str) -> (TlsStream, Client) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
        let path: PathBuf = std::env::temp_dir().join(format!("mcrs-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, cert.pem() + &signing_key.serialize_pem()).unwrap();
        let shared =
            Tls::load(&TlsConfig { chain_cert: Some(path.clone()), ..TlsConfig::default() }).unwrap();
        std::fs::remove_file(path).unwrap();

        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        let rules = shared.rules(TlsMode::Default).unwrap();
        let server = TlsStream::new(TcpStream::from_std(accepted), rules, Arc::new(shared)).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let rules = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(rules), name).unwrap();
        (server, StreamOwned::new(client, socket))
    }

    /// Waits for input and reads it.
    fn next(stream: &mut TlsStream, to: &mut [u8]) -> usize {
        loop {
            stream.shake_hands();
            match stream.read_two(to, &mut []) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.flush().unwrap(),
                other => return other.unwrap(),
            }
        }
    }

    #[test]
    fn what_did_not_fit_hides_no_later_record() {
        let (mut server, mut client) = pair("later");
        let client = std::thread::spawn(move || {
            client.write_all(&[7; RECORD]).unwrap();
            client
        });
        let mut few = [0; 100];
        assert_eq!(next(&mut server, &mut few), 100);
        let mut client = client.join().unwrap();
        // The event for this write comes while there is still input to read.
        client.write_all(&[8; 10]).unwrap();
        assert!(server.holds_more());
        let mut rest = vec![0; RECORD];
        assert_eq!(next(&mut server, &mut rest), RECORD - 100);
        assert!(server.holds_more());
        assert_eq!(next(&mut server, &mut rest), 10);
        assert_eq!(rest.get(..11), Some(&[8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7][..]));
        assert!(!server.holds_more());
        assert_eq!(server.held(), 0);
    }

    #[test]
    fn a_full_socket_leaves_at_most_one_batch_behind() {
        let (mut server, mut client) = pair("full");
        let client = std::thread::spawn(move || {
            client.write_all(b"x").unwrap();
            client
        });
        assert_eq!(next(&mut server, &mut [0; 10]), 1);
        let mut client = client.join().unwrap();
        let mut written = 0;
        let much = vec![9; 1 << 20];
        while let Ok(n) = server.write(&much) {
            written += n;
        }
        let most = BATCH.start() + (BATCH.start() / RECORD + 1) * RECORD_EXTRA;
        assert!((1..=most).contains(&server.unsent()), "{}", server.unsent());
        assert!(server.flush().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; written];
            client.read_exact(&mut all).unwrap();
            assert!(all.iter().all(|byte| *byte == 9));
        });
        while server.flush().is_err() {
            std::thread::yield_now();
        }
        reader.join().unwrap();
        assert_eq!((server.unsent(), server.held()), (0, 0));
    }
}

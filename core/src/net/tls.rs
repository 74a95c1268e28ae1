//! The stream of a client that speaks TLS: a socket, rustls, and what is
//! partial between them.
//!
//! ```text
//!   socket ── scratch ── decrypted in place ──▶ to whoever reads
//!                └ incoming: less than a record, or      └ plain: did not fit
//!                  than a message of the handshake
//!   socket ◀── scratch ◀── encrypted ── from whoever writes
//!                └ outgoing: the socket was full
//! ```
//!
//! rustls' unbuffered side is used: it holds no bytes of ours while a
//! connection is idle, and records come and go by one copy each beyond its own.
//! A thread has one scratch for all its connections. The handshake thread takes a
//! stream through its handshake ([`TlsStream::shake_hands`]) before anything reads
//! from it. Nothing here knows how certificates are loaded: that is [`crate::tls`].

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::net::TcpStream;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;

use super::stream::send;
use crate::tls::Tls;

/// Most that one read takes, what is partial included. Messages of a handshake
/// may have 64 KiB, records 18.
const INPUT: usize = 128 * 1024;

/// Most bytes of a message of the handshake, headers of its records included,
/// that are kept while the rest is to come.
const HANDSHAKE: usize = 32 * 1024;

/// Least that is asked for: a record that came in part is then read whole.
const LEAST_READ: usize = 18 * 1024;

/// Fewest and most bytes that are encrypted before they are sent.
const BATCH: std::ops::RangeInclusive<usize> = 64 * 1024..=1024 * 1024;

/// Bytes of plain text in a record, at most.
const RECORD: usize = 16 * 1024;

/// What encryption adds to a record, at most.
const RECORD_EXTRA: usize = 64;

/// Room for what rustls has to say by itself behind any batch.
const SLACK: usize = 1024;

struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// A connected socket that speaks TLS.
pub(crate) struct TlsStream {
    /// The socket.
    pub(super) socket: TcpStream,
    session: UnbufferedServerConnection,
    shared: Arc<Tls>,
    /// Received and not decrypted: less than a record, or in a handshake less than
    /// a message.
    incoming: Vec<u8>,
    /// Decrypted, and used up to there. `plain_at <= plain.len()`
    plain: Vec<u8>,
    plain_at: usize,
    /// Encrypted, and sent up to there. `outgoing_at <= outgoing.len()`
    outgoing: Vec<u8>,
    outgoing_at: usize,
    handshaking: bool,
    /// The socket may hold input.
    undrained: bool,
    /// The peer sends no more.
    ended: bool,
    /// The protocol was broken; nothing is read or encrypted any more.
    failed: bool,
    /// Why the handshake failed, for the next read.
    error: Option<io::Error>,
}

/// Where decrypted bytes go: two places, one after the other; what of them is
/// still free.
struct Target<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
    filled: usize,
}

impl Target<'_> {
    /// Bytes that still fit.
    fn room(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// Takes what fits; returns what does not.
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
    /// Rules that rustls cannot begin with.
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
            undrained: false,
            ended: false,
            failed: false,
            error: None,
        })
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether a read may give something without an event before.
    pub(super) fn holds_more(&self) -> bool {
        self.undrained || self.ended || self.failed || !self.plain.is_empty()
    }

    /// Whether the handshake has to go on before there is anything to read.
    pub(super) fn is_handshaking(&self) -> bool {
        self.handshaking && !self.ended && !self.failed
    }

    /// Goes on with the handshake until it is done or has to wait, and sends what it
    /// has to say. If it fails, the next read says why.
    pub(super) fn shake_hands(&mut self) {
        // What comes behind the handshake is kept.
        let mut nowhere = Target { first: &mut [], second: &mut [], filled: 0 };
        while self.is_handshaking() {
            match with_scratch(|scratch| self.receive(&mut nowhere, &mut scratch.input)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => self.error = Some(e),
            }
        }
        // The worker sends what the socket does not take now, and meets all errors.
        let _ = self.flush();
    }

    /// Encrypted bytes that wait for the peer to read.
    pub(super) fn unsent(&self) -> usize {
        self.outgoing.len() - self.outgoing_at
    }

    /// Bytes of buffers held.
    pub(super) fn held(&self) -> usize {
        self.incoming.capacity() + self.plain.capacity() + self.outgoing.capacity()
    }

    /// Reads into `first`, and what does not fit there into `second`. 0 is the
    /// end; [`io::ErrorKind::WouldBlock`] is the socket's own word.
    pub(super) fn read_two(&mut self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        let mut target = Target { first, second, filled: 0 };
        let waiting = self.plain.get(self.plain_at..).unwrap_or_default();
        if !waiting.is_empty() {
            self.plain_at = self.plain.len() - target.take(waiting).len();
            if self.plain_at == self.plain.len() {
                (self.plain, self.plain_at) = (Vec::new(), 0);
            }
            // An event may have come since the socket was looked at.
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
                    // What came before a broken record is used first.
                    Err(e) if target.filled == 0 => return Err(e),
                    _ => {}
                }
            }
            Ok(target.filled)
        })
    }

    /// Reads from the socket once and decrypts what has come.
    fn receive(&mut self, target: &mut Target<'_>, scratch: &mut [u8]) -> io::Result<()> {
        // What is encrypted takes more room than what is not, so little
        // more is read than fits.
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

    /// Decrypts the records in `bytes`; what is less than a record is kept.
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
                // Early data is not offered.
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

    /// The connection goes no further.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.failed = true;
        if self.handshaking {
            self.shared.stats.handshake_errors.fetch_add(1, Relaxed);
        }
        error
    }

    /// Throws input away as it comes, encrypted or not.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.socket.read(scratch)
    }

    /// Nothing is read or written any more: the session may be half done.
    pub(super) fn give_up(&mut self) {
        self.failed = true;
    }

    /// Says goodbye, if that is possible without waiting.
    pub(super) fn close(&mut self) {
        if self.failed || self.handshaking || self.flush().is_err() {
            return;
        }
        let mut goodbye = [0; SLACK];
        if let Ok(n) = self.encode(None, &mut goodbye) {
            // Nobody waits for it.
            let _ = send(&SockRef::from(&self.socket), goodbye.get(..n).unwrap_or_default());
        }
    }

    /// Encrypts at most a batch of `slices` and sends it. What the socket does
    /// not take is kept, and sent before anything else.
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

    /// Writes `bytes` into `to` as records, or a goodbye; returns how many bytes
    /// that takes.
    fn encode(&mut self, bytes: Option<&[u8]>, to: &mut [u8]) -> io::Result<usize> {
        // Nothing is expected of what is less than a record. But rustls may
        // remember places in it.
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

    /// Sends what is encrypted.
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

/// Appends what `encode` writes, which says how much room it needs.
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

    /// Both ends of a connection, before the handshake.
    fn pair(name: &str) -> (TlsStream, Client) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
        let path: PathBuf = std::env::temp_dir().join(format!("mcrs-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, cert.pem() + &signing_key.serialize_pem()).unwrap();
        let shared = Tls::load(&TlsConfig { chain_cert: path.clone(), ..TlsConfig::default() }).unwrap();
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

    /// Reads what comes next, and waits for it.
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
        // The event of this one comes while there is still something to read.
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

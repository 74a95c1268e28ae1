//! A connection's bytes: TCP, a Unix socket, or TLS on one of them.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::address::Address;

/// Time in which a server must accept a connection.
pub const CONNECT: Duration = Duration::from_secs(10);

/// The certificates that Linux distributions keep, for servers that a public authority has signed.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The time that reads and writes of a stream may take.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Each call may take as long.
    Each(Duration),
    /// All calls end at this moment.
    Until(Instant),
    /// There is no limit.
    Never,
}

/// The stream of a connection. A read or a write that takes too long fails with `TimedOut` or
/// `WouldBlock`.
pub trait Stream: Read + Write + Send {
    /// Sets the limit of the calls that follow.
    ///
    /// # Errors
    /// The system does not set it.
    fn set_limit(&mut self, limit: Limit) -> io::Result<()>;
}

/// The certificates of TLS, or `None` for a connection that is not encrypted.
pub type Tls = Option<Arc<ClientConfig>>;

/// Connects to a server, within `patience` for each of its addresses.
pub fn connect(
    address: &Address,
    tls: &Tls,
    patience: Duration,
    limit: Limit,
) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(host, port) => {
            let socket = connect_tcp(host, *port, patience)?;
            socket.set_nodelay(true)?;
            encrypt(Limited::new(socket, limit)?, host, tls)
        }
        Address::Unix(path) => encrypt(Limited::new(UnixStream::connect(path)?, limit)?, "localhost", tls),
    }
}

/// Tries the addresses of a host in turn, and returns the last error.
fn connect_tcp(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn encrypt<S: Socket + 'static>(stream: Limited<S>, host: &str, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// A socket whose calls can be given a time.
trait Socket: Read + Write + Send {
    fn set_timeout(&self, time: Option<Duration>) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)?;
        self.set_write_timeout(time)
    }
}

impl Socket for UnixStream {
    fn set_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)?;
        self.set_write_timeout(time)
    }
}

/// A socket and the moment at which its calls end.
struct Limited<S> {
    socket: S,
    end: Option<Instant>,
}

impl<S: Socket> Limited<S> {
    fn new(socket: S, limit: Limit) -> io::Result<Self> {
        let mut limited = Self { socket, end: None };
        limited.set_limit(limit)?;
        Ok(limited)
    }

    /// Gives the next call the time that is left.
    fn arm(&self) -> io::Result<()> {
        let Some(end) = self.end else { return Ok(()) };
        let left = end.saturating_duration_since(Instant::now());
        // The system would take 0 for no limit.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { self.socket.set_timeout(Some(left)) }
    }
}

impl<S: Socket> Stream for Limited<S> {
    fn set_limit(&mut self, limit: Limit) -> io::Result<()> {
        self.end = match limit {
            Limit::Until(end) => Some(end),
            Limit::Each(_) | Limit::Never => None,
        };
        match limit {
            Limit::Until(_) => Ok(()),
            Limit::Each(time) => self.socket.set_timeout(Some(time)),
            Limit::Never => self.socket.set_timeout(None),
        }
    }
}

impl<S: Socket> Read for Limited<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.read(buffer)
    }
}

impl<S: Socket> Write for Limited<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl<S: Socket> Stream for StreamOwned<ClientConnection, Limited<S>> {
    fn set_limit(&mut self, limit: Limit) -> io::Result<()> {
        self.sock.set_limit(limit)
    }
}

/// The files of a client's own certificate.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate and its chain, PEM.
    pub chain: &'a Path,
    /// The private key, PEM. It may be the same file.
    pub key: &'a Path,
}

/// Returns the settings of TLS with the authorities in `file`, or with those of the system. A
/// server that asks for a certificate gets that of `identity`.
///
/// # Errors
/// The reason, with the name of the file.
pub fn tls(file: Option<&Path>, identity: Option<Identity<'_>>) -> Result<ClientConfig, String> {
    let file = file.unwrap_or(Path::new(SYSTEM_CA));
    let error = |reason: String| unreadable("certificates", file, &reason);
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(file).map_err(|e| error(e.to_string()))?;
    // The system's file may have certificates that rustls does not take.
    roots.add_parsable_certificates(all.flatten());
    if roots.is_empty() {
        return Err(error("there is none in it".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let config = config.with_root_certificates(roots);
    let Some(Identity { chain, key }) = identity else { return Ok(config.with_no_client_auth()) };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable("certificates", chain, &e.to_string()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("a key", key, &e.to_string()))?;
    config.with_client_auth_cert(certificates, secret).map_err(|e| {
        format!("the certificate in {} and the key in {} cannot be used: {e}", chain.display(), key.display())
    })
}

fn unreadable(what: &str, file: &Path, reason: &str) -> String {
    format!("failed to read {what} from {}: {reason}", file.display())
}

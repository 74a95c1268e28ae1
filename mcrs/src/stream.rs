//! A connection's bytes: TCP, a Unix socket, or TLS on one of them.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::address::Address;

/// Time in which a server must accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Time in which a server must send or take something.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The certificates that Linux distributions keep, for servers that a public authority has signed.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The stream of a connection.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// The certificates of TLS, or `None` for a connection that is not encrypted.
pub type Tls = Option<Arc<ClientConfig>>;

/// Connects to a server.
pub fn connect(address: &Address, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(host, port) => {
            let stream = connect_tcp(host, *port)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            encrypt(stream, host, tls)
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            encrypt(stream, "localhost", tls)
        }
    }
}

/// Tries the addresses of a host in turn, and returns the last error.
fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn encrypt<S: Stream + 'static>(stream: S, host: &str, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
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

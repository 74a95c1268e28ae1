//! Settings of TLS.

use std::fmt;
use std::path::PathBuf;

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// The server asks for no certificate.
    #[default]
    None,
    /// The server asks for a certificate. One that is sent must be valid.
    Request,
    /// A valid certificate is required.
    Require,
    /// The same as [`VerifyMode::Require`]: a connection is asked only once in any case.
    Once,
}

/// The format of a private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// Text.
    #[default]
    Pem,
    /// ASN.1.
    Der,
}

/// The oldest version of TLS that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

/// Settings of TLS (`-Z`, `-o ssl_*`). Files are read at start and by
/// `refresh_certs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate chain, PEM (`ssl_chain_cert`).
    pub chain_cert: PathBuf,
    /// The private key (`ssl_key`). `None` means that `chain_cert` contains it.
    pub key: Option<PathBuf>,
    /// The format of the key (`ssl_keyformat`).
    pub key_format: KeyFormat,
    /// Whether clients need a certificate at listeners of [`TlsMode::Default`](super::TlsMode::Default) (`ssl_verify_mode`).
    pub verify_mode: VerifyMode,
    /// Certificates of the authorities that sign clients' certificates, PEM (`ssl_ca_cert`). With
    /// `None`, no certificate of a client is valid.
    pub ca_cert: Option<PathBuf>,
    /// Cipher suites, as a list in OpenSSL's form (`ssl_ciphers`). As in OpenSSL, a list without a
    /// TLS 1.3 suite leaves the suites of TLS 1.3 unchanged.
    pub ciphers: Option<String>,
    /// Bytes that are encrypted before they are sent (`ssl_wbuf_size`), clamped to 64 KiB at least
    /// and 1 MiB at most.
    pub wbuf_size: usize,
    /// Whether sessions can be resumed (`ssl_session_cache`).
    pub session_cache: bool,
    /// Reported only: `ssl_kernel_tls`.
    pub kernel_tls: bool,
    /// The oldest version that is accepted (`ssl_min_version`).
    pub min_version: TlsVersion,
    /// Certificates and key in memory. If they are given, no file is read:
    /// [`Self::chain_cert`], [`Self::key`] and [`Self::ca_cert`] are ignored.
    pub in_memory: Option<TlsPem>,
}

/// Certificates and a private key as PEM texts, for a server that reads no files. A reload uses the
/// same texts again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsPem {
    /// The server's certificate chain.
    pub chain_cert: Vec<u8>,
    /// The private key, always PEM.
    pub key: Vec<u8>,
    /// Certificates of the authorities that sign clients' certificates. With `None`, no certificate
    /// of a client is valid.
    pub ca_cert: Option<Vec<u8>>,
}

impl fmt::Debug for TlsPem {
    /// Shows neither the key nor its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPem").finish_non_exhaustive()
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            chain_cert: PathBuf::new(),
            key: None,
            key_format: KeyFormat::default(),
            verify_mode: VerifyMode::default(),
            ca_cert: None,
            ciphers: None,
            wbuf_size: 16 * 1024,
            session_cache: false,
            kernel_tls: false,
            min_version: TlsVersion::default(),
            in_memory: None,
        }
    }
}

//! Settings of TLS.

use std::fmt;
use std::path::PathBuf;

use super::policy::named;
use super::setting::{self, Kind, Row, Scope, Value, WORD_MOST, settings};
use crate::base::error::ConfigError;

named! {
    /// Whether clients need a certificate.
    #[derive(Default)]
    VerifyMode {
        /// The server asks for no certificate.
        #[default]
        None none,
        /// The server asks for a certificate. One that is sent must be valid.
        Request request,
        /// A valid certificate is required.
        Require require,
        /// The same as [`VerifyMode::Require`]: a connection is asked only once in any case.
        Once once,
    }
}

named! {
    /// The format of a private key.
    #[derive(Default)]
    KeyFormat {
        /// Text.
        #[default]
        Pem pem,
        /// ASN.1.
        Der der,
    }
}

named! {
    /// The part of a client's certificate that names the user.
    #[derive(Default)]
    TlsUser {
        /// None: clients log in by a password.
        #[default]
        None none,
        /// The common name of the subject, if there is exactly one.
        Cn cn,
        /// The first DNS name, then the first URI, of the alternative names that has rights.
        San san,
    }
}

named! {
    /// The oldest version of TLS that is accepted.
    #[derive(Default)]
    TlsVersion {
        /// TLS 1.2 and 1.3.
        #[default]
        V1_2 1.2,
        /// TLS 1.3 alone.
        V1_3 1.3,
    }
}

settings! {
    /// Settings of TLS (`-Z`, `-o ssl_*`). Files are read at start and by
    /// `refresh_certs`.
    ///
    /// As settings of a server, their names begin with `tls_`, such as `tls_chain_cert`.
    #[derive(PartialEq, Eq)]
    pub struct TlsConfig (Scope::Tls, "tls_") {
        /// The server's certificate chain, PEM (`ssl_chain_cert`).
        chain_cert: Option<PathBuf> = None,
            Row::file().option("ssl_chain_cert").stat("ssl_chain_cert");
        /// The private key (`ssl_key`). `None` means that `chain_cert` contains it.
        key: Option<PathBuf> = None,
            Row::file().option("ssl_key").stat("ssl_key");
        /// The format of the key (`ssl_keyformat`).
        key_format: KeyFormat = KeyFormat::default(),
            Row::new(Kind::Word(KeyFormat::NAMES)).option("ssl_keyformat").stat("ssl_keyformat");
        /// Whether clients need a certificate, at listeners that do not have a rule of their own
        /// (`ssl_verify_mode`).
        verify_mode: VerifyMode = VerifyMode::default(),
            Row::new(Kind::Word(VerifyMode::NAMES)).option("ssl_verify_mode").stat("ssl_verify_mode");
        /// Certificates of the authorities that sign clients' certificates, PEM (`ssl_ca_cert`).
        /// With `None`, no certificate of a client is valid.
        ca_cert: Option<PathBuf> = None,
            Row::file().option("ssl_ca_cert").stat("ssl_ca_cert");
        /// Cipher suites, as a list in OpenSSL's form (`ssl_ciphers`). As in OpenSSL, a list
        /// without a TLS 1.3 suite leaves the suites of TLS 1.3 unchanged.
        ciphers: Option<String> = None,
            Row::new(Kind::Text).or_none().option("ssl_ciphers").stat("ssl_ciphers");
        /// Bytes that are encrypted before they are sent (`ssl_wbuf_size`), clamped to 64 KiB at
        /// least and 1 MiB at most.
        wbuf_size: usize = 16 * 1024,
            Row::bytes(0, WORD_MOST).unit(1024).option("ssl_wbuf_size").stat("ssl_wbuf_size");
        /// Whether sessions can be resumed (`ssl_session_cache`).
        session_cache: bool = false,
            Row::on_off().option("ssl_session_cache").stat("ssl_session_cache");
        /// Reported only: `ssl_kernel_tls`.
        kernel_tls: bool = false,
            Row::on_off().option("ssl_kernel_tls").stat("ssl_kernel_tls");
        /// The oldest version that is accepted (`ssl_min_version`).
        min_version: TlsVersion = TlsVersion::default(),
            Row::new(Kind::Word(TlsVersion::NAMES)).option("ssl_min_version").stat("ssl_min_version");
        /// The part of a client's certificate that names the user in the list of rights
        /// (`ssl_user`). Such a client needs no password. A listener must ask for certificates.
        user: TlsUser = TlsUser::default(),
            Row::new(Kind::Word(TlsUser::NAMES)).option("ssl_user").stat("memcache_rs_ssl_user");
    }
    others {
        /// Certificates and key in memory. If they are given, no file is read:
        /// [`Self::chain_cert`], [`Self::key`] and [`Self::ca_cert`] are ignored.
        in_memory: Option<TlsPem> = None;
    }
}

impl TlsConfig {
    /// Sets the setting `name` in `config`, or returns `None` if TLS has no such setting. A value
    /// that is accepted makes the settings of TLS if there are none.
    pub(super) fn set(
        config: &mut Option<Self>,
        name: &str,
        value: &Value,
    ) -> Option<Result<(), ConfigError>> {
        let mut changed = config.clone().unwrap_or_default();
        let done = setting::set(Self::SETTINGS, &mut changed, name, value)?;
        if done.is_ok() {
            *config = Some(changed);
        }
        Some(done)
    }
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

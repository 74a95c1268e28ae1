//! Certificates, keys and rules of TLS: read from files or from memory, checked, and read again
//! while the server runs.
//!
//! `client` has the rules of a proxy to its backends. The rest is about listeners.
//!
//! The listeners of a server share a [`Tls`]. Its configuration is loaded completely or not at all.
//! If files have become invalid, the earlier configuration stays. Connections keep the one that
//! they began with.
//!
//! This module does not use sockets. `net::tls` handles the bytes of a connection.

mod ciphers;
mod client;
mod client_files;
mod files;
mod identity;
mod stats;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, version,
};

use crate::base::error::{ConfigError, ConfigRule, StartError};
use crate::base::sync::Mutex;
use crate::config::{KeyFormat, TlsConfig, TlsMode, TlsVersion, VerifyMode};

pub use self::client::{ClientRules, client_rules};
pub use self::client_files::ClientFiles;
use self::files::{Source, read_authorities, read_certificate};
pub(crate) use self::identity::first_common_name;
pub use self::stats::TlsStats;

/// The rules of a connection.
pub(crate) type Rules = ServerConfig;

/// Sessions that are stored for clients without tickets, as in OpenSSL.
const SESSIONS: usize = 20_480;

/// The TLS configuration and counters that the listeners of a server share.
///
/// All methods may be called from any thread.
pub struct Tls {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    notes: Vec<String>,
    loaded: Mutex<Arc<Loaded>>,
    reloading: Mutex<()>,
    /// Second of the cache's clock at which the files were read.
    refreshed: AtomicU32,
    /// Counters.
    pub stats: TlsStats,
}

opaque_debug!(Tls);

/// A configuration for each kind of listener. They share no sessions: a session that began without
/// a certificate must not continue where one is required.
struct Loaded {
    default: Arc<ServerConfig>,
    no_peer: Arc<ServerConfig>,
    peer: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// A file cannot be read or used. The text is memcached's.
    pub fn load(config: &TlsConfig) -> Result<Self, StartError> {
        let mut provider = ring::default_provider();
        let mut notes = Vec::new();
        if let Some(list) = &config.ciphers {
            let Some(chosen) = ciphers::choose(list, &provider.cipher_suites) else {
                let line = format!("Error setting the provided cipher(s): {list}");
                return Err(ConfigError::new("ssl_ciphers", ConfigRule::Range, line).into());
            };
            if !chosen.unknown.is_empty() {
                notes.push(format!("ssl_ciphers: not available here: {}", chosen.unknown.join(", ")));
            }
            provider.cipher_suites = chosen.suites;
        }
        let provider = Arc::new(provider);
        let loaded = Loaded::read(config, &provider).map_err(StartError::File)?;
        Ok(Self {
            config: config.clone(),
            provider,
            notes,
            loaded: Mutex::new(Arc::new(loaded)),
            reloading: Mutex::new(()),
            refreshed: AtomicU32::new(0),
            stats: TlsStats::default(),
        })
    }

    /// Returns the requested settings that are not available, each as one line.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Reads the files again, for connections that begin from `now` on, a second of the cache's
    /// clock. Removes earlier sessions.
    ///
    /// # Errors
    /// As [`Tls::load`]. The configuration is unchanged then.
    pub fn reload(&self, now: u32) -> Result<(), String> {
        // Keeps an earlier reload from replacing the result of a later one.
        let _one_at_a_time = self.reloading.lock();
        let loaded = Loaded::read(&self.config, &self.provider)?;
        *self.loaded.lock() = Arc::new(loaded);
        self.loaded_at(now);
        Ok(())
    }

    /// Records that the files were read at `now`.
    pub(crate) fn loaded_at(&self, now: u32) {
        self.refreshed.store(now, Relaxed);
    }

    /// Returns the second of the cache's clock at which the files were read.
    pub fn refreshed(&self) -> u32 {
        self.refreshed.load(Relaxed)
    }

    /// Returns the names that may be the user of a client with this certificate, which is valid.
    pub(crate) fn names(&self, certificate: &CertificateDer<'_>) -> Vec<String> {
        identity::names(certificate, self.config.user)
    }

    /// Returns the number of bytes that are encrypted before they are sent.
    pub(crate) fn batch(&self) -> usize {
        self.config.wbuf_size
    }

    /// Returns the rules for a new connection. Returns `None` if `mode` is without TLS.
    pub(crate) fn rules(&self, mode: TlsMode) -> Option<Arc<ServerConfig>> {
        let loaded = self.loaded.lock();
        match mode {
            TlsMode::Off => None,
            TlsMode::Default => Some(Arc::clone(&loaded.default)),
            TlsMode::NoPeer => Some(Arc::clone(&loaded.no_peer)),
            TlsMode::Peer => Some(Arc::clone(&loaded.peer)),
        }
    }
}

impl Loaded {
    /// Reads all files that `config` names.
    fn read(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (chain, key, authorities, format) = sources(config);
        let certificate = Arc::new(SingleCertAndKey::from(read_certificate(&chain, &key, format, provider)?));
        let authorities = authorities.as_ref().map(read_authorities).transpose()?.map(Arc::new);
        let build = |verify| {
            let verifier = verifier(authorities.as_ref(), verify, provider)?;
            let versions = match config.min_version {
                TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12][..],
                TlsVersion::V1_3 => &[&version::TLS13][..],
            };
            let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
                .with_protocol_versions(versions)
                .map_err(|e| format!("Error setting the protocol version: {e}"))?;
            let mut rules =
                builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::clone(&certificate) as _);
            if config.session_cache {
                rules.session_storage = ServerSessionMemoryCache::new(SESSIONS);
                rules.ticketer = ring::Ticketer::new().map_err(|e| format!("Error making tickets: {e}"))?;
            } else {
                rules.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
                rules.send_tls13_tickets = 0;
            }
            Ok::<_, String>(Arc::new(rules))
        };
        Ok(Self {
            default: build(config.verify_mode)?,
            no_peer: build(VerifyMode::None)?,
            peer: build(VerifyMode::Require)?,
        })
    }
}

/// Returns the sources of the certificate chain, the key and the authorities, and the format of the
/// key.
fn sources(config: &TlsConfig) -> (Source<'_>, Source<'_>, Option<Source<'_>>, KeyFormat) {
    match &config.in_memory {
        Some(pem) => {
            let authorities = pem.ca_cert.as_deref().map(Source::Memory);
            (Source::Memory(&pem.chain_cert), Source::Memory(&pem.key), authorities, KeyFormat::Pem)
        }
        None => {
            // `ServerConfig::validate` refuses settings without a chain.
            let chain = config.chain_cert.as_deref().unwrap_or_else(|| Path::new(""));
            let key = config.key.as_deref().unwrap_or(chain);
            let authorities = config.ca_cert.as_deref().map(Source::File);
            (Source::File(chain), Source::File(key), authorities, config.key_format)
        }
    }
}

/// Returns the verifier of clients' certificates.
fn verifier(
    authorities: Option<&Arc<RootCertStore>>,
    verify: VerifyMode,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if verify == VerifyMode::None {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let optional = verify == VerifyMode::Request;
    let Some(authorities) = authorities else {
        return Ok(Arc::new(NoAuthority { optional, provider: Arc::clone(provider) }));
    };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder
        .build()
        .map(|verifier| verifier as _)
        .map_err(|e| format!("Error loading the CA certificate: {e}"))
}

/// Asks for certificates and accepts none, because no authority is configured. As in memcached,
/// such a server starts.
#[derive(Debug)]
struct NoAuthority {
    optional: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for NoAuthority {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(rustls::CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::CertificateError::UnknownIssuer.into())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::CertificateError::UnknownIssuer.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

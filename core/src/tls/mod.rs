//! Certificates, keys and rules of TLS: read from files or from memory, checked, and read again
//! while the server runs.
//!
//! The listeners of a server share a [`Tls`]. Its configuration is loaded completely or not at all.
//! If files have become invalid, the earlier configuration stays. Connections keep the one that
//! they began with.
//!
//! This module does not use sockets. `net::tls` handles the bytes of a connection.

mod ciphers;
mod identity;
mod stats;

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use memchr::memmem;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, version,
};

use crate::base::error::{ConfigError, ConfigRule, StartError};
use crate::base::file;
use crate::base::sync::Mutex;
use crate::config::{KeyFormat, TlsConfig, TlsMode, TlsVersion, VerifyMode};

pub use self::stats::TlsStats;

/// The rules of a connection.
pub(crate) type Rules = ServerConfig;

/// Sessions that are stored for clients without tickets, as in OpenSSL.
const SESSIONS: usize = 20_480;

/// Largest file that is read. Certificates and keys take a few KiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

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

/// The source of a certificate or a key.
enum Source<'a> {
    File(&'a Path),
    Memory(&'a [u8]),
}

impl<'a> Source<'a> {
    fn read(&self) -> Result<Cow<'a, [u8]>, String> {
        match *self {
            Self::File(path) => file::read(path, LARGEST_FILE).map(Cow::Owned),
            Self::Memory(text) => Ok(Cow::Borrowed(text)),
        }
    }

    /// Returns the error line for `what`, in memcached's words.
    fn refused(&self, what: &str, why: &dyn Display) -> String {
        match self {
            Self::File(path) => format!("Error loading the {what}: {} : {why}", path.display()),
            Self::Memory(_) => format!("Error loading the {what}: (memory) : {why}"),
        }
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

fn read_certificate(
    chain: &Source<'_>,
    key: &Source<'_>,
    format: KeyFormat,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = certificates(chain).map_err(|e| chain.refused("certificate chain", &e))?;
    let refused = |why: &dyn Display| key.refused("key", why);
    let key = private_key(key, format).map_err(|e| refused(&e))?;
    let key = provider.key_provider.load_private_key(key).map_err(|e| refused(&e))?;
    // The certificate contains the public key in this form. (rustls' own check does not read
    // certificates of version 1, which servers may have.)
    if let (Some(public), Some(own)) = (key.public_key(), chain.first())
        && memmem::find(own, public.as_ref()).is_none()
    {
        return Err(refused(&"the key is not that of the certificate"));
    }
    Ok(CertifiedKey::new(chain, key))
}

fn read_authorities(source: &Source<'_>) -> Result<RootCertStore, String> {
    let refused = |why: &dyn Display| source.refused("CA certificate", why);
    let mut store = RootCertStore::empty();
    for certificate in certificates(source).map_err(|e| refused(&e))? {
        store.add(certificate).map_err(|e| refused(&e))?;
    }
    Ok(store)
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

/// Returns all certificates of a PEM text, at least one.
fn certificates(source: &Source<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = source.read()?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("not a PEM file: {e}"))?;
    if all.is_empty() { Err("no certificate in it".into()) } else { Ok(all) }
}

fn private_key(source: &Source<'_>, format: KeyFormat) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = source.read()?;
    match format {
        KeyFormat::Der => PrivateKeyDer::try_from(bytes.into_owned()).map_err(str::to_owned),
        KeyFormat::Pem => PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| match e {
            _ if memmem::find(&bytes, b"ENCRYPTED").is_some() => {
                "it is encrypted, which is not supported".into()
            }
            pem::Error::NoItemsFound => "no private key in it".into(),
            other => format!("not a PEM file: {other}"),
        }),
    }
}

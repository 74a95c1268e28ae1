//! The rules of TLS to servers: which certificates are accepted, and which one is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::client_files::ClientFiles;
use super::files::{Source, read_authorities, read_certificate};
use crate::config::KeyFormat;

/// The rules of connections to servers.
pub type ClientRules = ClientConfig;

/// Reads files, whose paths are relative to `directory`. TLS 1.2 and 1.3 are accepted.
///
/// # Errors
/// A file cannot be read or used. The text is one line with its path.
pub fn client_rules(files: &ClientFiles, directory: &Path) -> Result<Arc<ClientRules>, String> {
    let provider = Arc::new(ring::default_provider());
    let at = |path: &PathBuf| directory.join(path);
    let verifier: Arc<dyn ServerCertVerifier> = match files.ca.as_ref().map(at) {
        Some(path) => {
            let authorities = read_authorities(&Source::File(&path)).map_err(|e| e.to_string())?;
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
                .build()
                .map_err(|e| format!("failed to load the CA certificate {}: {e}", path.display()))?
        }
        None => Arc::new(AnyServer(Arc::clone(&provider))),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("Error setting the protocol version: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut rules = match &files.identity {
        Some((chain, key)) => {
            let (chain, key) = (at(chain), at(key));
            let (chain, key) = (Source::File(&chain), Source::File(&key));
            let own = read_certificate(&chain, &key, KeyFormat::Pem, &provider).map_err(|e| e.to_string())?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
        }
        None => builder.with_no_client_auth(),
    };
    // memcached 1.6.45 refuses to resume a session if it verifies clients.
    rules.resumption = Resumption::disabled();
    Ok(Arc::new(rules))
}

/// Accepts all certificates of servers. A server must have the key of the one that it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

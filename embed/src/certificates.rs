//! Certificates for tests. They are made in memory, and written to files only if the program asks
//! for paths.

use std::error::Error;
use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The keys could not be made.
#[derive(Debug)]
pub struct CertificateError(rcgen::Error);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to make test certificates: {}", self.0)
    }
}

impl Error for CertificateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// A certificate authority, and certificates that it signed for a server and a client, as PEM.
#[derive(Clone)]
pub struct TestCertificates {
    /// The authority.
    pub ca: String,
    /// The certificate of a server at `localhost`, `127.0.0.1` and `::1`.
    pub server: String,
    /// The key of the server.
    pub server_key: String,
    /// The certificate of a client.
    pub client: String,
    /// The key of the client.
    pub client_key: String,
}

impl TestCertificates {
    /// Creates an authority and its certificates.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn create() -> Result<Self, CertificateError> {
        Self::make().map_err(CertificateError)
    }

    fn make() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.distinguished_name.push(DnType::CommonName, "memcache-rs test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // Strict OpenSSL requires these usages. CPython 3.13 and later is strict.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let sign = |name: &str, names: &[&str], purpose| -> Result<(String, String), rcgen::Error> {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, name);
            params.key_usages.push(KeyUsagePurpose::DigitalSignature);
            params.extended_key_usages.push(purpose);
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let names = ["localhost", "127.0.0.1", "::1"];
        let (server, server_key) = sign("localhost", &names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client, client_key) = sign("memcache-rs test client", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self { ca: authority, server, server_key, client, client_key })
    }

    /// Returns the PEM texts with the names of their files.
    pub fn files(&self) -> [(&'static str, &str); 5] {
        [
            ("ca.pem", &self.ca),
            ("server.pem", &self.server),
            ("server-key.pem", &self.server_key),
            ("client.pem", &self.client),
            ("client-key.pem", &self.client_key),
        ]
    }
}

/// Shows no key.
impl fmt::Debug for TestCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificates").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_text_of_its_own() {
        let made = TestCertificates::create().unwrap();
        let mut texts: Vec<&str> = made.files().iter().map(|&(_, text)| text).collect();
        assert!(texts.iter().all(|text| text.starts_with("-----BEGIN ")));
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 5);
        assert!(made.server_key.contains("PRIVATE KEY") && !format!("{made:?}").contains("PRIVATE KEY"));
    }
}

//! Certificates for tests. They are made in memory, and written to files only if the program asks
//! for paths.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority, and certificates it signed for a server and a client, as PEM.
pub struct TestCertificates {
    pub ca: String,
    pub server: String,
    pub server_key: String,
    pub client: String,
    pub client_key: String,
}

impl TestCertificates {
    /// Returns the names and contents of the files that [`Self::write`] creates.
    fn files(&self) -> [(&'static str, &str); 5] {
        [
            ("ca.pem", &self.ca),
            ("server.pem", &self.server),
            ("server-key.pem", &self.server_key),
            ("client.pem", &self.client),
            ("client-key.pem", &self.client_key),
        ]
    }

    /// Writes each to a file in `directory` that only the owner can read.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        for (name, text) in self.files() {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name))?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// Creates an authority and its certificates.
    pub fn create() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.distinguished_name.push(DnType::CommonName, "memcache-rs test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // A strict OpenSSL, as some clients use it, refuses an authority without these.
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
}

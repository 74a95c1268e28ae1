//! Throw-away certificates for tests.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Writes an authority, a certificate of a server that is signed by it, and one
/// of a client, into files of these names in `place`.
pub fn write(place: &Path) -> io::Result<()> {
    for (name, text) in make().map_err(io::Error::other)? {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn make() -> Result<Vec<(&'static str, String)>, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, "memcache-rs test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // Without these, OpenSSL refuses it where it is strict, as other clients may have it.
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
    Ok(vec![
        ("ca.pem", authority),
        ("server.pem", server),
        ("server-key.pem", server_key),
        ("client.pem", client),
        ("client-key.pem", client_key),
    ])
}

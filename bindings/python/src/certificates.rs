//! Throwaway certificates for tests.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Makes a test authority, and a server and a client certificate signed by it.
///
/// Returns:
///     Pairs of a file name and its PEM text.
///
/// Raises:
///     RuntimeError: The keys could not be made.
#[pyfunction]
pub fn make_certificates(py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
    py.detach(make).map_err(|e| PyRuntimeError::new_err(format!("failed to make certificates: {e}")))
}

fn make() -> Result<Vec<(&'static str, String)>, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, "memcache-rs test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // Strict OpenSSL requires these usages, and CPython 3.13 and later is strict.
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

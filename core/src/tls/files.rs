//! Certificates and keys, read from files or from memory and checked.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Display;
use std::path::Path;

use memchr::memmem;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::base::file;
use crate::config::KeyFormat;

/// Largest file that is read. Certificates and keys take a few KiB.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The source of a certificate or a key.
pub(super) enum Source<'a> {
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

    fn refused(&self, what: &'static str, why: &dyn Display) -> Unusable {
        let place = match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(_) => "(memory)".into(),
        };
        Unusable { what, place, why: why.to_string() }
    }
}

/// A certificate or a key that cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    what: &'static str,
    place: String,
    why: String,
}

impl Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, place, why } = self;
        write!(f, "failed to load the {what} {place}: {why}")
    }
}

/// The line in memcached's words.
impl From<Unusable> for String {
    fn from(Unusable { what, place, why }: Unusable) -> Self {
        format!("Error loading the {what}: {place} : {why}")
    }
}

/// Reads a certificate chain and its key.
pub(super) fn read_certificate(
    chain: &Source<'_>,
    key: &Source<'_>,
    format: KeyFormat,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unusable> {
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

/// Reads the certificates of authorities.
pub(super) fn read_authorities(source: &Source<'_>) -> Result<RootCertStore, Unusable> {
    let refused = |why: &dyn Display| source.refused("CA certificate", why);
    let mut store = RootCertStore::empty();
    for certificate in certificates(source).map_err(|e| refused(&e))? {
        store.add(certificate).map_err(|e| refused(&e))?;
    }
    Ok(store)
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

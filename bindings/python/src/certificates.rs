//! Throwaway certificates for tests.

use memcache_embed::certificates::TestCertificates;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Makes a test authority, and a server and a client certificate signed by it.
///
/// Returns:
///     Pairs of a file name and its PEM text.
///
/// Raises:
///     RuntimeError: The keys could not be made.
#[pyfunction]
pub fn make_certificates(py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
    let made = py.detach(TestCertificates::create);
    let made = made.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok(made.files().map(|(name, text)| (name, text.to_owned())).into())
}

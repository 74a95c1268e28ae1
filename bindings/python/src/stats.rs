//! Statistics as a dict, and metrics as text.

use memcache_core::internal::state::ServerState;
use memcache_embed::metrics;
use memcache_embed::stats::{StatValue, UnknownGroup};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns a group of statistics. Whole numbers become int, and other values stay str.
pub fn dict(
    py: Python<'_>,
    listed: Result<Vec<(String, StatValue)>, UnknownGroup>,
) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in listed.map_err(|error| PyValueError::new_err(error.to_string()))? {
        match value {
            StatValue::Number(number) => dict.set_item(name, number)?,
            StatValue::Text(text) => dict.set_item(name, text)?,
        }
    }
    Ok(dict)
}

/// Returns metrics as text.
pub fn metrics_text(of: &ServerState, format: &str) -> PyResult<String> {
    metrics::text(of, format).map_err(|error| PyValueError::new_err(error.to_string()))
}

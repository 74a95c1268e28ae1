//! Statistics as a dict.

use memcache_core::internal::admin::each_stat;
use memcache_core::internal::state::ServerState;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns a group of statistics. Whole numbers become int, and other values stay str.
pub fn dict<'py>(py: Python<'py>, context: &ServerState, group: &str) -> PyResult<Bound<'py, PyDict>> {
    let mut pairs = Vec::new();
    let known = py.detach(|| {
        each_stat(context, group, &mut |name, value| pairs.push((name.to_owned(), value.to_owned())))
    });
    if !known {
        return Err(PyValueError::new_err(format!(
            "group must be '', 'items', 'slabs', 'sizes', 'settings' or 'conns', got {group:?}"
        )));
    }
    let dict = PyDict::new(py);
    for (name, value) in pairs {
        match value.parse::<i128>() {
            Ok(number) => dict.set_item(name, number)?,
            Err(_) => dict.set_item(name, value)?,
        }
    }
    Ok(dict)
}

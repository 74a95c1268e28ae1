//! Hot keys as objects.

use memcache_core::HotKeys;
use pyo3::prelude::*;

/// A key that many requests are for, as :meth:`Cache.hot_keys` found it.
///
/// The numbers are estimates from samples of the last 2 to 4 seconds.
///
/// Example:
///     >>> cache = Cache(settings={"sample_rate": 1})
///     >>> cache.set("user:1", "Ada")
///     >>> cache.hot_keys()
///     [HotKey(key=b'user:1', reads=0, writes=1, error=0, share=1.0)]
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct HotKey {
    /// The key.
    key: Vec<u8>,
    /// Gets, including those that missed.
    reads: u64,
    /// Other requests: stores, deletes, touches, increments.
    writes: u64,
    /// Requests that may be missing in both numbers, at most, beside the error of sampling.
    error: u64,
    /// The part of all requests that are for this key, from 0 to 1.
    share: f64,
}

#[pymethods]
impl HotKey {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Self { reads, writes, error, share, .. } = self;
        let key = pyo3::types::PyBytes::new(py, &self.key).repr()?;
        Ok(format!("HotKey(key={key}, reads={reads}, writes={writes}, error={error}, share={share:?})"))
    }
}

/// Converts hot keys.
pub fn list(hot: HotKeys) -> Vec<HotKey> {
    let convert = |hot: memcache_core::HotKey| {
        let memcache_core::HotKey { key, reads, writes, error, share } = hot;
        HotKey { key, reads, writes, error, share }
    };
    hot.keys.into_iter().map(convert).collect()
}

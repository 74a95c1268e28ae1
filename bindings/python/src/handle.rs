//! Handles that remember in which process they were made, with errors of Python.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_embed::handle::Handle;
use pyo3::{PyResult, Python};

use crate::errors;

/// The handle of a cache.
pub type CacheHandle = Handle<Cache>;

/// Returns the object of a handle, or a `ForkError` that names it as `what`.
#[inline]
pub fn owned<'h, T>(handle: &'h Handle<T>, what: &str) -> PyResult<&'h Arc<T>> {
    handle.get().ok_or_else(|| errors::forked(what))
}

/// Like [`owned`], after the server of the cache, if any, has run the commands that clients have
/// sent.
#[inline]
pub fn settled<'h>(handle: &'h CacheHandle, what: &str) -> PyResult<&'h Arc<Cache>> {
    let cache = owned(handle, what)?;
    if cache.settles() {
        // A hook of the server may need the interpreter's lock.
        Python::attach(|py| py.detach(|| cache.settle()));
    }
    Ok(cache)
}

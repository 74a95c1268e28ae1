//! Keys and values as Python passes them: str (as UTF-8), bytes, or any object with a buffer.

use std::ops::Deref;

use memcache_core::internal::cache::is_key;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::errors;

/// The bytes of a Python object.
pub enum BytesLike<'a, 'py> {
    /// Borrowed from a bytes or str object, which cannot change.
    Lent(&'a [u8]),
    /// Copied from an object that may change.
    Copied(Bound<'py, PyBytes>),
    /// A key behind the prefix of its namespace.
    Joined(Box<[u8]>),
}

impl<'py> BytesLike<'_, 'py> {
    /// Returns a bytes object of the bytes, which `source` may have lent.
    pub fn into_object(self, source: &Bound<'py, PyAny>) -> Bound<'py, PyBytes> {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Joined(bytes) => PyBytes::new(source.py(), &bytes),
            Self::Lent(lent) => match source.cast_exact::<PyBytes>() {
                Ok(bytes) => bytes.clone(),
                Err(_) => PyBytes::new(source.py(), lent),
            },
        }
    }
}

impl Deref for BytesLike<'_, '_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Copied(bytes) => bytes.as_bytes(),
            Self::Joined(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for BytesLike<'_, '_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Returns the bytes of `object`. `name` is the parameter in errors.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as the body")]
pub fn bytes_like<'a, 'py>(object: &'a Bound<'py, PyAny>, name: &str) -> PyResult<BytesLike<'a, 'py>> {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return Ok(BytesLike::Lent(text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Ok(BytesLike::Lent(bytes.as_bytes()));
    }
    rare(object, name)
}

/// Handles subclasses of bytes and str, and objects with a buffer.
#[inline(never)]
fn rare<'a, 'py>(object: &'a Bound<'py, PyAny>, name: &str) -> PyResult<BytesLike<'a, 'py>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(BytesLike::Lent(bytes.as_bytes()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(BytesLike::Lent(text.to_str()?.as_bytes()));
    }
    // The stable ABI of 3.10 reaches buffers only through a memoryview.
    if let Ok(view) = PyMemoryView::from(object) {
        let copy = view.call_method0("tobytes")?;
        return Ok(BytesLike::Copied(copy.cast_into::<PyBytes>()?));
    }
    let kind = object.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "{name} must be str, bytes, bytearray or memoryview, got {kind}; encode it first, for example with str() or \
         json"
    )))
}

/// Returns the bytes of a key.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as the body")]
pub fn key<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<BytesLike<'a, 'py>> {
    let key = bytes_like(object, "key")?;
    if is_key(&key) { Ok(key) } else { Err(errors::bad_key(key.len())) }
}

/// Returns the bytes of a key behind the prefix of a namespace.
#[inline(never)]
pub fn key_under<'a, 'py>(prefix: &[u8], object: &Bound<'py, PyAny>) -> PyResult<BytesLike<'a, 'py>> {
    let key = [prefix, &bytes_like(object, "key")?].concat();
    if is_key(&key) { Ok(BytesLike::Joined(key.into())) } else { Err(errors::bad_key(key.len())) }
}

/// Returns the bytes of a value.
#[inline]
pub fn value<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<BytesLike<'a, 'py>> {
    bytes_like(object, "value")
}

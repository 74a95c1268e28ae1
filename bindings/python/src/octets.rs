//! Keys and values as Python gives them: bytes, str (as UTF-8), or anything
//! that has a buffer.

use std::ops::Deref;

use memcache_core::internal::local::is_key;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::errors;

/// Bytes that a Python object holds.
pub enum Octets<'a, 'py> {
    /// Those of bytes or str, which do not change.
    Lent(&'a [u8]),
    /// A copy of those of an object that may change.
    Copied(Bound<'py, PyBytes>),
}

impl Deref for Octets<'_, '_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Copied(bytes) => bytes.as_bytes(),
        }
    }
}

impl AsRef<[u8]> for Octets<'_, '_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The bytes of `object`; `role` says in errors what they were to be.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
fn octets<'a, 'py>(object: &'a Bound<'py, PyAny>, role: &str) -> PyResult<Octets<'a, 'py>> {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return Ok(Octets::Lent(text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Ok(Octets::Lent(bytes.as_bytes()));
    }
    rare(object, role)
}

/// Subclasses of bytes and str, and objects that have a buffer.
#[inline(never)]
fn rare<'a, 'py>(object: &'a Bound<'py, PyAny>, role: &str) -> PyResult<Octets<'a, 'py>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Octets::Lent(bytes.as_bytes()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Octets::Lent(text.to_str()?.as_bytes()));
    }
    // The stable ABI of 3.10 has no buffers but by way of a memoryview.
    if let Ok(view) = PyMemoryView::from(object) {
        let copy = view.call_method0("tobytes")?;
        return Ok(Octets::Copied(copy.cast_into::<PyBytes>()?));
    }
    let kind = object.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "a {role} is bytes, str, bytearray or memoryview, not {kind}; encode it first, for example with str() or json"
    )))
}

/// The bytes of a key.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
pub fn key<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<Octets<'a, 'py>> {
    let key = octets(object, "key")?;
    if is_key(&key) { Ok(key) } else { Err(errors::bad_key(key.len())) }
}

/// The bytes of a value.
#[inline]
pub fn value<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<Octets<'a, 'py>> {
    octets(object, "value")
}

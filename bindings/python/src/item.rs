//! An item with all that is known of it.

use std::{ptr, slice};

use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{ItemInfo, PinnedValue};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// An item as it was when it was read.
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct Item {
    /// The value.
    value: Py<PyBytes>,
    /// Client flags, 32 bits.
    flags: u32,
    /// Changes with each store; for `Cache.cas`.
    cas: u64,
    /// Seconds until it expires; None: never.
    ttl: Option<u32>,
    /// Seconds since it was last used.
    idle: u32,
    /// Whether it was read before.
    fetched: bool,
    /// Whether it was invalidated and not stored again yet.
    stale: bool,
}

impl Item {
    pub fn new(value: Bound<'_, PyBytes>, info: ItemInfo) -> Self {
        let ItemInfo { flags, cas, ttl, idle, fetched, stale, .. } = info;
        Self { value: value.unbind(), flags, cas, ttl, idle, fetched, stale }
    }
}

#[pymethods]
impl Item {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py).repr()?;
        let ttl = self.ttl.map_or_else(|| "None".to_owned(), |ttl| ttl.to_string());
        Ok(format!("Item(value={value}, flags={}, cas={}, ttl={ttl})", self.flags, self.cas))
    }
}

/// A value that was found: the bytes object, or what makes it later.
pub enum Found<'py> {
    Copied(Bound<'py, PyBytes>),
    Pinned(PinnedValue),
}

impl<'py> Found<'py> {
    /// Copies a value that lies in one piece; pins one that does not, which is
    /// large.
    #[inline]
    #[expect(
        unsafe_code,
        reason = "a bytes object is made without a value, and filled before anybody sees it"
    )]
    pub fn see(py: Python<'py>, entry: &mut EntryRef<'_>) -> Result<Self, ReadConflict> {
        if entry.is_in_pieces() {
            return entry.pin().map(Self::Pinned);
        }
        // SAFETY: an object of that length, whose bytes nobody else has seen, and are
        // ours to write until then. PyO3 panics if there is no memory.
        unsafe {
            let object = ffi::PyBytes_FromStringAndSize(ptr::null(), entry.len().cast_signed());
            let bytes = Bound::from_owned_ptr(py, object).cast_into_unchecked();
            let start = ffi::PyBytes_AsString(object).cast();
            entry.fill(slice::from_raw_parts_mut(start, entry.len()))?;
            Ok(Self::Copied(bytes))
        }
    }

    /// The value. Call it when the item is not shown any more.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "nothing is left of it where the value was copied")]
    pub fn bytes(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Copied(bytes) => Ok(bytes),
            Self::Pinned(value) => join(py, &value),
        }
    }
}

/// A pinned value in one piece.
#[cold]
fn join<'py>(py: Python<'py>, value: &PinnedValue) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, value.len(), |mut to| {
        for slice in value.slices() {
            let (here, rest) = to.split_at_mut(slice.len().min(to.len()));
            here.copy_from_slice(&slice[..here.len()]);
            to = rest;
        }
        Ok(())
    })
}

//! An item with all that is known of it.

use memcache_core::local::Info;
use memcache_core::store::{Item as Stored, PinnedValue, Visit};
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
    pub fn new(value: Bound<'_, PyBytes>, info: Info) -> Self {
        let Info { flags, cas, ttl, idle, fetched, stale, .. } = info;
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

/// A value under the lock: the bytes object, or what makes it after the lock.
pub enum Found<'py> {
    Copied(Bound<'py, PyBytes>),
    Pinned(PinnedValue),
}

impl<'py> Found<'py> {
    /// Copies a value that lies in one piece; pins one that does not, which is
    /// large.
    #[inline]
    pub fn see(py: Python<'py>, visit: &mut Visit<'_>) -> Option<Self> {
        if let Some(whole) = visit.item().map(whole)? {
            return Some(Self::Copied(PyBytes::new(py, whole)));
        }
        visit.pin().map(Self::Pinned)
    }

    /// The value. Call it after the visit.
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

/// The value, if it lies in one piece.
#[inline]
fn whole(item: Stored<'_>) -> Option<&[u8]> {
    let mut slices = item.slices();
    match (slices.next(), slices.next()) {
        (None, _) => Some(&[]),
        (Some(whole), None) => Some(whole),
        (Some(_), Some(_)) => None,
    }
}

//! Items and their metadata.

use std::{ptr, slice};

use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{ItemInfo as Info, PinnedValue};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

/// An item: a value with its metadata, as :meth:`Cache.get_item` found it.
///
/// Example:
///     >>> cache = Cache()
///     >>> cache.set("user:1", "Ada", ttl=60)
///     >>> item = cache.get_item("user:1")
///     >>> item.value, item.ttl
///     (b'Ada', 60)
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct Item {
    /// The value.
    value: Py<PyAny>,
    /// The client flags, a number of 32 bits that was stored with the value.
    flags: u32,
    /// The CAS, which changes with each store. :meth:`Cache.cas` takes it.
    cas: u64,
    /// Seconds until the item expires. ``None`` means that it does not.
    ttl: Option<u32>,
    /// Seconds since the item was last accessed.
    idle: u32,
    /// Whether the item was read before this call.
    fetched: bool,
    /// Whether :meth:`Cache.invalidate` marked the item and no value was stored since.
    stale: bool,
}

impl Item {
    pub fn new(value: Bound<'_, PyAny>, info: Info) -> Self {
        let Info { flags, cas, ttl, idle, fetched, stale, .. } = info;
        Self { value: value.unbind(), flags, cas, ttl, idle, fetched, stale }
    }
}

#[pymethods]
impl Item {
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        values: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        generic_alias(class, values)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py).repr()?;
        Ok(format!("Item(value={value}, flags={}, cas={}, ttl={})", self.flags, self.cas, shown(self.ttl)))
    }
}

/// Returns a class with the type of its values, for annotations: ``Cache[dict[str, int]]``.
pub fn generic_alias<'py>(
    class: &Bound<'py, PyType>,
    values: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    class.py().import("types")?.getattr("GenericAlias")?.call1((class, values))
}

/// The metadata of an item, as :meth:`Cache.info` found it.
///
/// Example:
///     >>> cache = Cache()
///     >>> cache.set("user:1", "Ada", ttl=60)
///     >>> info = cache.info("user:1")
///     >>> info.length, info.ttl
///     (3, 60)
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct ItemInfo {
    /// The length of the value in bytes.
    length: usize,
    /// The client flags, a number of 32 bits that was stored with the value.
    flags: u32,
    /// The CAS, which changes with each store. :meth:`Cache.cas` takes it.
    cas: u64,
    /// Seconds until the item expires. ``None`` means that it does not.
    ttl: Option<u32>,
    /// Seconds since the item was last accessed.
    idle: u32,
    /// Whether the item was ever read.
    fetched: bool,
    /// Whether :meth:`Cache.invalidate` marked the item and no value was stored since.
    stale: bool,
}

impl ItemInfo {
    pub fn new(info: Info) -> Self {
        let Info { length, flags, cas, ttl, idle, fetched, stale } = info;
        Self { length, flags, cas, ttl, idle, fetched, stale }
    }
}

#[pymethods]
impl ItemInfo {
    fn __repr__(&self) -> String {
        let Self { length, flags, cas, ttl, .. } = self;
        format!("ItemInfo(length={length}, flags={flags}, cas={cas}, ttl={})", shown(*ttl))
    }
}

/// Returns a TTL as Python writes it.
fn shown(ttl: Option<u32>) -> String {
    ttl.map_or_else(|| "None".to_owned(), |ttl| ttl.to_string())
}

/// A value of an entry: the finished bytes object, or a pinned value to copy after the lock.
pub enum Found<'py> {
    Copied(Bound<'py, PyBytes>),
    Pinned(PinnedValue),
}

impl<'py> Found<'py> {
    /// Copies a value that is in one piece. Pins a value in several pieces, which is large.
    #[inline]
    #[expect(unsafe_code, reason = "a bytes object is allocated first and filled before it is shared")]
    pub fn see(py: Python<'py>, entry: &mut EntryRef<'_>) -> Result<Self, ReadConflict> {
        if entry.is_in_pieces() {
            return entry.pin().map(Self::Pinned);
        }
        // SAFETY: the object has the given length, and no other code has a reference to it, so its
        // bytes may be written. PyO3 panics if the allocation failed.
        unsafe {
            let object = ffi::PyBytes_FromStringAndSize(ptr::null(), entry.len().cast_signed());
            let bytes = Bound::from_owned_ptr(py, object).cast_into_unchecked();
            let start = ffi::PyBytes_AsString(object).cast();
            entry.fill(slice::from_raw_parts_mut(start, entry.len()))?;
            Ok(Self::Copied(bytes))
        }
    }

    /// Returns the bytes object. Call it after the entry is released.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it compiles to nothing where the value was copied")]
    pub fn bytes(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Copied(bytes) => Ok(bytes),
            Self::Pinned(value) => join(py, &value),
        }
    }
}

/// Copies a pinned value into one bytes object.
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

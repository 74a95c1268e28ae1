//! The cache in process.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use memcache_core::internal::cache::{
    Deleted, DeltaRequest, MetaDelete, MetaGet, Mode, StoreRequest, StoreValue, Stored,
};
use memcache_core::internal::config::PAGE_SIZE;
use memcache_core::internal::context::ServerState;
use memcache_core::internal::scan::Scan;
use memcache_core::{Cache as Core, CacheConfig, ItemInfo};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyMapping, PyTuple};

use crate::clock::Clock;
use crate::errors;
use crate::handle::CacheHandle;
use crate::item::{Found, Item};
use crate::number::{Cas, Delta, Flags, Initial, ItemSizeMax, MemoryLimit};
use crate::octets::{Octets, key, value};
use crate::stats;
use crate::ttl::expiry;
use crate::view;

/// Items that a walk looks at while it holds a lock.
const STEP: usize = 256;

/// A cache in this process. `memcache_rs.Cache` is its subclass.
#[pyclass(frozen, subclass, module = "memcache_rs._native")]
pub struct Cache {
    handle: CacheHandle,
    closed: AtomicBool,
    /// Another handle made the cache: closing this one does not empty it.
    shared: bool,
    /// What statistics are asked of, once they were.
    context: OnceLock<Arc<ServerState>>,
}

impl Cache {
    /// The cache, if it may be used.
    #[inline]
    pub fn core(&self) -> PyResult<&Arc<Core>> {
        if self.closed.load(Relaxed) {
            return Err(errors::closed("this cache is closed; make a new one"));
        }
        self.handle.settled("cache")
    }

    #[expect(clippy::too_many_arguments, reason = "they are those of the methods of Python's class")]
    fn put(
        cache: &Arc<Core>,
        py: Python<'_>,
        mode: Mode,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: u32,
        compare: u64,
    ) -> PyResult<Stored> {
        let (key, value) = (self::key(key)?, self::value(value)?);
        let expiry = expiry(cache, ttl)?;
        put(py, cache, &StoreRequest { mode, expiry, flags, compare, ..StoreRequest::new(&key) }, &value)
    }

    fn count(
        &self,
        increment: bool,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let vivify =
            initial.map(|Initial(initial)| Ok::<_, PyErr>((initial, expiry(cache, ttl)?))).transpose()?;
        match cache.add_delta(&DeltaRequest { vivify, ..DeltaRequest::new(&key, increment, delta.0) }) {
            Ok(number) => Ok(Some(number.value)),
            Err(error) => errors::not_counted(error).map_or(Ok(None), Err),
        }
    }

    fn fetch<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        touch: Option<u32>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let found = cache.fetch(&key, touch, 0, |entry| Found::see(py, entry));
        found.map(|found| found.bytes(py)).transpose()
    }

    /// All keys, those first that a walk comes to first.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<Vec<u8>>> {
        let cache = self.core()?;
        Ok(py.detach(|| {
            let (mut scan, mut keys) = (Scan::default(), Vec::new());
            while scan.advance(cache, STEP, |item, _| keys.push(item.key().to_vec())) {}
            keys
        }))
    }
}

/// Stores, and tells errors in Python's words.
fn put(py: Python<'_>, cache: &Core, request: &StoreRequest<'_>, value: &[u8]) -> PyResult<Stored> {
    /// From here on copying takes longer than detaching.
    const LARGE: usize = 256 * 1024;
    let store = || cache.store_value(request, StoreValue::Bytes(value));
    let stored = if value.len() < LARGE { store() } else { py.detach(store) };
    match stored {
        Ok(reply) => Ok(reply.stored),
        Err(error) => Err(errors::not_stored(error, value.len(), cache.config().item_size_max)),
    }
}

/// Most bytes of a cache: the addresses of a process are 47 bits, and twice the
/// limit is reserved.
const MEMORY_MOST: usize = 1 << 46;

/// Settings of a cache: what is not given is as in memcached.
fn settings(
    MemoryLimit(memory_limit): MemoryLimit,
    item_size_max: Option<ItemSizeMax>,
    evictions: bool,
) -> PyResult<CacheConfig> {
    let mut config = CacheConfig { memory_limit, evictions, ..CacheConfig::default() };
    if let Some(ItemSizeMax(size)) = item_size_max.filter(|size| size.0 > 0) {
        // memcached's rule: whole chunks, whose size divides a page.
        let chunk = PAGE_SIZE / 2;
        let chunk = if size < chunk { 1 << size.ilog2() } else { chunk };
        config.slab_chunk_max = chunk;
        config.item_size_max = size.saturating_add(chunk - 1) / chunk * chunk;
    }
    if memory_limit > MEMORY_MOST {
        return Err(errors::out_of_range(&format!(
            "memory_limit must be at most {MEMORY_MOST} bytes (64 TiB), got {memory_limit}"
        )));
    }
    let largest = config.item_size_max;
    if memory_limit != 0 && memory_limit / 2 < largest {
        return Err(errors::bad_argument(format!(
            "memory_limit must be at least {} bytes, twice item_size_max ({largest} bytes), got {memory_limit}: the \
             largest item takes at most 1/2 of memory max",
            largest.saturating_mul(2)
        )));
    }
    Ok(config)
}

#[pymethods]
impl Cache {
    #[new]
    #[allow(clippy::used_underscore_binding, reason = "the name says that it is no argument for users")]
    #[pyo3(
        signature = (memory_limit=MemoryLimit(67_108_864), *, item_size_max=None, evictions=true, _shared=None),
        text_signature = "(memory_limit=67108864, *, item_size_max=None, evictions=True, _shared=None)"
    )]
    fn new(
        py: Python<'_>,
        memory_limit: MemoryLimit,
        item_size_max: Option<ItemSizeMax>,
        evictions: bool,
        _shared: Option<&Bound<'_, Self>>,
    ) -> PyResult<Self> {
        let (handle, shared) = match _shared {
            Some(other) => (other.get().handle.another(), true),
            None => {
                let config = settings(memory_limit, item_size_max, evictions)?;
                let made = py.detach(|| Core::new(config)).map_err(|e| errors::not_started(&e))?;
                (CacheHandle::new(made), false)
            }
        };
        Ok(Self { handle, closed: AtomicBool::new(false), shared, context: OnceLock::new() })
    }

    /// The value of `key`, or `default`.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.fetch(py, key, None)?.map(Bound::into_any).or(default))
    }

    /// The values of those of `keys` that are there.
    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.core()?;
        let objects = keys.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let keys = objects.iter().map(key).collect::<PyResult<Vec<Octets<'_, '_>>>>()?;
        let mut values = Vec::with_capacity(keys.len());
        cache.fetch_many(&keys, |index, entry| {
            values.push((index, Found::see(py, entry)?));
            Ok(())
        });
        // A key's hash may be code of Python's: not under the lock.
        let dict = PyDict::new(py);
        for (index, found) in values {
            dict.set_item(&objects[index], found.bytes(py)?)?;
        }
        Ok(dict)
    }

    /// The value of `key` and its CAS, or None.
    #[pyo3(signature = (key, /))]
    fn gets<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let found = cache.fetch(&key, None, 0, |entry| {
            let cas = entry.header().cas();
            Ok((Found::see(py, entry)?, cas))
        });
        found.map(|(found, cas)| Ok((found.bytes(py)?, cas))).transpose()
    }

    /// All that is known of `key`, or None.
    #[pyo3(signature = (key, /))]
    fn get_item(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Item>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let found = cache.fetch_as_was(&key, |entry| {
            let info = ItemInfo::of(entry);
            Ok((Found::see(py, entry)?, info))
        });
        found.map(|(found, info)| Ok(Item::new(found.bytes(py)?, info))).transpose()
    }

    /// The value of `key` where it lies, as read-only memoryviews, or None.
    ///
    /// A value of more than 4 KiB is not copied: it is one view, or several, in order, if the cache keeps it in
    /// pieces. A smaller one mostly is copied, which takes less time than to keep it. The views go to
    /// `socket.sendmsg` or `os.writev` as they are. They stay good and unchanged whatever becomes of the key and the
    /// cache. Those of a large value hold on to a part of its memory, so keep them no longer than they are needed; when
    /// much is held already, the value is copied instead.
    #[pyo3(signature = (key, /))]
    fn get_views<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let found = cache.fetch(&key, None, 0, |entry| entry.pin().map(Arc::new));
        found.map(|value| view::views(py, &value)).transpose()
    }

    /// Stores `value` under `key`.
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn set(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<()> {
        Self::put(self.core()?, py, Mode::Set, key, value, ttl, flags.0, 0).map(|_| ())
    }

    /// Stores each value of a mapping under its key.
    #[pyo3(signature = (values, ttl=None, *, flags=Flags(0)), text_signature = "($self, values, ttl=None, *, flags=0)")]
    fn set_many(
        &self,
        py: Python<'_>,
        values: &Bound<'_, PyMapping>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<()> {
        // A server settles once for all of them.
        let cache = self.core()?;
        for pair in values.items()?.iter() {
            let pair = pair.cast_into::<PyTuple>()?;
            Self::put(cache, py, Mode::Set, &pair.get_item(0)?, &pair.get_item(1)?, ttl, flags.0, 0)?;
        }
        Ok(())
    }

    /// Stores `value` if there is nothing under `key`.
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn add(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<bool> {
        Ok(Self::put(self.core()?, py, Mode::Add, key, value, ttl, flags.0, 0)? == Stored::Stored)
    }

    /// Stores `value` if there is something under `key`.
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn replace(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<bool> {
        Ok(Self::put(self.core()?, py, Mode::Replace, key, value, ttl, flags.0, 0)? == Stored::Stored)
    }

    /// Puts `value` behind the one under `key`.
    #[pyo3(signature = (key, value))]
    fn append(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(Self::put(self.core()?, py, Mode::Append, key, value, None, 0, 0)? == Stored::Stored)
    }

    /// Puts `value` before the one under `key`.
    #[pyo3(signature = (key, value))]
    fn prepend(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(Self::put(self.core()?, py, Mode::Prepend, key, value, None, 0, 0)? == Stored::Stored)
    }

    /// Stores `value` if the item's CAS is still `cas`.
    #[pyo3(signature = (key, value, cas, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, cas, ttl=None, *, flags=0)")]
    fn cas(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        cas: Cas,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<Option<bool>> {
        let Cas(cas) = cas;
        if cas == 0 {
            return Err(PyValueError::new_err("0 is the CAS of no item; take the one that gets() returns"));
        }
        Ok(match Self::put(self.core()?, py, Mode::Cas, key, value, ttl, flags.0, cas)? {
            Stored::Stored => Some(true),
            Stored::Exists | Stored::NotStored => Some(false),
            Stored::NotFound => None,
        })
    }

    /// Adds `delta` to a number.
    #[pyo3(signature = (key, delta=Delta(1), *, initial=None, ttl=None), text_signature = "($self, key, delta=1, *, initial=None, ttl=None)")]
    fn incr(
        &self,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        self.count(true, key, delta, initial, ttl)
    }

    /// Takes `delta` from a number.
    #[pyo3(signature = (key, delta=Delta(1), *, initial=None, ttl=None), text_signature = "($self, key, delta=1, *, initial=None, ttl=None)")]
    fn decr(
        &self,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        self.count(false, key, delta, initial, ttl)
    }

    /// Gives `key` a new time to live.
    #[pyo3(signature = (key, ttl=None))]
    fn touch(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let cache = self.core()?;
        let key = self::key(key)?;
        Ok(cache.touch_for(&key, expiry(cache, ttl)?, 0))
    }

    /// The value of `key`, which gets a new time to live.
    #[pyo3(signature = (key, ttl=None, default=None))]
    fn get_and_touch<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let expiry = expiry(self.core()?, ttl)?;
        Ok(self.fetch(py, key, Some(expiry))?.map(Bound::into_any).or(default))
    }

    /// Removes `key`.
    #[pyo3(signature = (key, /))]
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let cache = self.core()?;
        Ok(cache.delete_for(&self::key(key)?, 0, 0) == Deleted::Deleted)
    }

    /// Removes all of `keys`; gives how many were there.
    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut deleted = 0;
        for key in keys.try_iter()? {
            deleted += usize::from(self.delete(&key?)?);
        }
        Ok(deleted)
    }

    /// Removes everything.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let cache = self.core()?;
        py.detach(|| cache.clear());
        Ok(())
    }

    /// What `get_or_set` asks: the value, or None; and whether the caller is to
    /// store it anew, which one caller is told when the item has been invalidated
    /// or will expire within `recache` seconds.
    #[pyo3(signature = (key, recache=None))]
    fn _lease<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        recache: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, bool)>> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let recache = recache.map(|within| expiry(cache, Some(within))).transpose()?;
        let request = MetaGet { update: true, recache, ..MetaGet::default() };
        let found = cache.meta_get(&key, &request, |entry, tokens| Ok((Found::see(py, entry)?, tokens.win)));
        found.map(|(found, win)| Ok((found.bytes(py)?, win))).transpose()
    }

    /// Raises what a store with this `ttl` would raise.
    fn _check_ttl(&self, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        expiry(self.core()?, ttl).map(|_| ())
    }

    /// Marks `key` stale: it is still there, and one caller of `get_or_set` is
    /// told to store it anew.
    #[pyo3(signature = (key, ttl=None))]
    fn invalidate(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let cache = self.core()?;
        let key = self::key(key)?;
        let expiry = ttl.map(|ttl| expiry(cache, Some(ttl))).transpose()?;
        let request = MetaDelete { stale: true, expiry, ..MetaDelete::default() };
        Ok(cache.meta_delete(&key, &request) == Deleted::Deleted)
    }

    /// Statistics, by memcached's names.
    #[pyo3(signature = (group="", /))]
    fn stats<'py>(&self, py: Python<'py>, group: &str) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.core()?;
        let context = self.context.get_or_init(|| Arc::new(ServerState::of_cache(Arc::clone(cache))));
        stats::dict(py, context, group)
    }

    /// The cache's clock.
    #[getter]
    fn clock(&self) -> PyResult<Clock> {
        self.core()?;
        Ok(Clock::new(self.handle.another()))
    }

    /// Ends the use of this handle.
    fn close(&self, py: Python<'_>) {
        if !self.closed.swap(true, Relaxed)
            && !self.shared
            && let Ok(cache) = self.handle.get("cache")
        {
            py.detach(|| cache.clear());
        }
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let cache = self.core()?;
        Ok(cache.inspect(&self::key(key)?, 0, |_| Ok(())).is_some())
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        self.fetch(py, key, None)?.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set(py, key, value, None, Flags(0))
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.delete(key)? { Ok(()) } else { Err(PyKeyError::new_err(key.clone().unbind())) }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let cache = self.core()?;
        Ok(py.detach(|| cache.store().totals().curr_items) as usize)
    }

    fn __bool__(&self) -> bool {
        // A cache is not false for being empty.
        true
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        // A key that moves during the walk may be met twice.
        let seen = PyDict::new(py);
        for key in self.keys(py)? {
            seen.set_item(PyBytes::new(py, &key), py.None())?;
        }
        seen.as_any().try_iter()
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("cache"))
    }

    fn __repr__(&self) -> String {
        match self.core() {
            Ok(cache) => format!("<Cache of {} items>", cache.store().totals().curr_items),
            Err(_) => "<Cache, closed>".into(),
        }
    }
}

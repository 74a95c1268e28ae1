//! The cache in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use memcache_core::internal::cache::{
    Deleted, DeltaOperation, MetaDelete, Mode, Request, StoreOperation, StoreValue, Stored,
};
use memcache_core::internal::config::KEY_MAX;
use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{Cache as Core, CacheConfig, ItemInfo as Info};
use memcache_embed::flight::{lease, store_made};
use memcache_embed::settings::set_cache;
use memcache_embed::stats::CacheStats;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyMapping, PyTuple, PyType};

use crate::bytes_like::{self, BytesLike, bytes_like, value};
use crate::clock::Clock;
use crate::errors;
use crate::flight::{self, Caller, Leader, SingleFlight};
use crate::handle::{CacheHandle, settled};
use crate::hot_keys::{self, HotKey};
use crate::item::{Found, Item, ItemInfo, generic_alias};
use crate::number::{Cas, Delta, Flags, Initial, Most};
use crate::serializer::Serializer;
use crate::settings::{Settings, Whole};
use crate::stats;
use crate::ttl::{expiry, named_expiry};
use crate::view;

/// A cache in this process. `memcache_rs.Cache` is its subclass.
#[pyclass(frozen, subclass, module = "memcache_rs._native")]
pub struct Cache {
    handle: CacheHandle,
    /// Handles of the same items share this and the flights.
    closed: Arc<AtomicBool>,
    flights: Arc<SingleFlight>,
    /// The source of `stats`.
    stats: CacheStats,
    /// `None` stores and returns bytes.
    serializer: Option<Serializer>,
    /// The prefix of all keys, which Python does not see. It is empty unless this is a namespace.
    prefix: Box<[u8]>,
}

impl Cache {
    /// Returns the cache, unless it is closed or belongs to another process.
    #[inline]
    pub fn core(&self) -> PyResult<&Arc<Core>> {
        if self.closed.load(Relaxed) {
            return Err(errors::closed("the cache is closed; make a new one"));
        }
        settled(&self.handle, "cache")
    }

    /// Returns the bytes of a key, with the prefix.
    #[inline]
    fn key<'a, 'py>(&self, object: &'a Bound<'py, PyAny>) -> PyResult<BytesLike<'a, 'py>> {
        if self.prefix.is_empty() {
            bytes_like::key(object)
        } else {
            bytes_like::key_under(&self.prefix, object)
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python methods")]
    fn put(
        &self,
        cache: &Arc<Core>,
        py: Python<'_>,
        mode: Mode,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: u32,
        compare: u64,
    ) -> PyResult<Stored> {
        let key = self.key(key)?;
        let (value, flags) = match &self.serializer {
            Some(serializer) if !matches!(mode, Mode::Append | Mode::Prepend) => {
                if flags != 0 {
                    let text = format!(
                        "flags must be 0 for a cache with a serializer, which sets them, got {flags}"
                    );
                    return Err(errors::bad_argument(text));
                }
                serializer.dump(value)?
            }
            _ => (self::value(value)?, flags),
        };
        let expiry = expiry(cache, ttl)?;
        put(
            py,
            cache,
            &Request::new(&key, StoreOperation { mode, expiry, flags, compare, ..StoreOperation::of(mode) }),
            &value,
        )
    }

    /// Returns the value of an entry, and sets `flags` if there is a serializer to read them.
    #[inline]
    fn see<'py>(
        &self,
        py: Python<'py>,
        entry: &mut EntryRef<'_>,
        flags: &mut u32,
    ) -> Result<Found<'py>, ReadConflict> {
        if self.serializer.is_some() {
            *flags = entry.flags();
        }
        Found::see(py, entry)
    }

    /// Returns a value that was found.
    #[inline]
    fn value<'py>(&self, py: Python<'py>, found: Found<'py>, flags: u32) -> PyResult<Bound<'py, PyAny>> {
        self.load(found.bytes(py)?, flags)
    }

    #[inline]
    fn load<'py>(&self, bytes: Bound<'py, PyBytes>, flags: u32) -> PyResult<Bound<'py, PyAny>> {
        match &self.serializer {
            None => Ok(bytes.into_any()),
            Some(serializer) => serializer.load(bytes, flags),
        }
    }

    /// Returns the prefix of a namespace inside this one.
    fn whole_prefix(&self, inner: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let prefix = [&self.prefix, &*bytes_like(inner, "prefix")?].concat();
        if prefix.len() <= KEY_MAX { Ok(prefix) } else { Err(errors::bad_prefix(prefix.len())) }
    }

    fn count(
        &self,
        py: Python<'_>,
        increment: bool,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let create =
            initial.map(|Initial(initial)| Ok::<_, PyErr>((initial, expiry(cache, ttl)?))).transpose()?;
        // memcached creates a number without flags, so a cache with a serializer creates it itself.
        let vivify = if self.serializer.is_none() { create } else { None };
        loop {
            match cache.add_delta(&Request::new(
                &key,
                DeltaOperation { vivify, ..DeltaOperation::new(increment, delta.0) },
            )) {
                Ok(number) => return Ok(Some(number.value)),
                Err(error) => errors::not_counted(error).map_or(Ok(()), Err)?,
            }
            let Some((initial, expiry)) = create else { return Ok(None) };
            let (mode, flags) = (Mode::Add, Serializer::NUMBER);
            let operation = StoreOperation { mode, expiry, flags, ..StoreOperation::of(mode) };
            let digits = initial.to_string();
            if put(py, cache, &Request::new(&key, operation), digits.as_bytes())? == Stored::Stored {
                return Ok(Some(initial));
            }
        }
    }

    fn fetch<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        touch: Option<u32>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let mut flags = 0;
        let found = cache.fetch(&key, touch, 0, |entry| self.see(py, entry, &mut flags));
        found.map(|found| self.value(py, found, flags)).transpose()
    }

    /// Returns all keys without the prefix, in the order of the scan.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<Vec<u8>>> {
        let cache = self.core()?;
        Ok(py.detach(|| cache.keys_under(&self.prefix).collect()))
    }
}

/// Stores a value, and converts errors to Python exceptions.
fn put(
    py: Python<'_>,
    cache: &Core,
    request: &Request<'_, StoreOperation>,
    value: &[u8],
) -> PyResult<Stored> {
    /// Length from which the copy takes longer than detaching from the interpreter.
    const LARGE: usize = 256 * 1024;
    let store = || cache.store_value(request, StoreValue::Bytes(value));
    let stored = if value.len() < LARGE { store() } else { py.detach(store) };
    match stored {
        Ok(reply) => Ok(reply.stored),
        Err(error) => Err(errors::not_stored(error, value.len(), cache.config().item_size_max)),
    }
}

#[pymethods]
impl Cache {
    #[new]
    #[pyo3(
        signature = (
            memory_limit=None, *, item_size_max=None, evictions=None, serializer=None, persist=None, settings=None,
            _of=None, _prefix=None
        ),
        text_signature = "(memory_limit=None, *, item_size_max=None, evictions=None, serializer=None, persist=None, \
                          settings=None, _of=None, _prefix=None)"
    )]
    #[expect(
        clippy::too_many_arguments,
        clippy::used_underscore_binding,
        reason = "the parameters of the Python class, of which two are private"
    )]
    fn new(
        py: Python<'_>,
        memory_limit: Option<Whole>,
        item_size_max: Option<Whole>,
        evictions: Option<bool>,
        serializer: Option<Serializer>,
        persist: Option<&Bound<'_, PyAny>>,
        settings: Option<Settings>,
        _of: Option<&Bound<'_, Self>>,
        _prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        // `memcache_rs.Cache` loads and saves the file.
        let _ = persist;
        if let Some(other) = _of {
            let other = other.get();
            other.core()?;
            let (prefix, serializer) = match _prefix {
                None => (other.prefix.clone(), serializer),
                Some(inner) => (
                    other.whole_prefix(inner)?.into(),
                    other.serializer.as_ref().map(|serializer| serializer.another(py)),
                ),
            };
            return Ok(Self {
                handle: other.handle.another(),
                closed: Arc::clone(&other.closed),
                flights: Arc::clone(&other.flights),
                stats: CacheStats::default(),
                serializer,
                prefix,
            });
        }
        let mut config = CacheConfig::default();
        let mut settings = settings.unwrap_or_default().0;
        settings.extend(memory_limit.map(|bytes| ("memory_limit".into(), bytes.0)));
        settings.extend(item_size_max.map(|bytes| ("item_size_max".into(), bytes.0)));
        settings.extend(evictions.map(|on| ("evictions".into(), on.into())));
        set_cache(&mut config, settings).map_err(|e| errors::bad_setting(&e))?;
        let made = py.detach(|| Core::new(config)).map_err(|e| errors::not_started(&e))?;
        Ok(Self {
            handle: CacheHandle::new(made),
            closed: Arc::default(),
            flights: Arc::default(),
            stats: CacheStats::default(),
            serializer,
            prefix: Box::default(),
        })
    }

    /// Returns the value of a key.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     default: The result if there is no item.
    ///
    /// Returns:
    ///     The value, or ``default`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> cache.get("user:1")
    ///     b'Ada'
    ///     >>> cache.get("user:2", "unknown")
    ///     'unknown'
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.fetch(py, key, None)?.or(default))
    }

    /// Returns the values of several keys.
    ///
    /// Args:
    ///     keys: The keys, 1 to 250 bytes each.
    ///
    /// Returns:
    ///     The values by key. Keys without an item are left out.
    ///
    /// Raises:
    ///     InvalidKeyError: A key is empty or longer than 250 bytes.
    ///     TypeError: A key is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set_many({"a": "1", "b": "2"})
    ///     >>> cache.get_many(["a", "b", "c"])
    ///     {'a': b'1', 'b': b'2'}
    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.core()?;
        let objects = keys.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let keys = objects.iter().map(|key| self.key(key)).collect::<PyResult<Vec<BytesLike<'_, '_>>>>()?;
        let mut values = Vec::with_capacity(keys.len());
        // The flags of the values, if there is a serializer to read them.
        let mut all_flags = Vec::new();
        cache.fetch_many(&keys, |index, entry| {
            let mut flags = 0;
            values.push((index, self.see(py, entry, &mut flags)?));
            if self.serializer.is_some() {
                all_flags.push(flags);
            }
            Ok(())
        });
        // Hashing a key may run Python code, so no lock is held here.
        let dict = PyDict::new(py);
        for (place, (index, found)) in values.into_iter().enumerate() {
            let flags = all_flags.get(place).copied().unwrap_or_default();
            dict.set_item(&objects[index], self.value(py, found, flags)?)?;
        }
        Ok(dict)
    }

    /// Returns the value of a key together with its CAS, for :meth:`cas`.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///
    /// Returns:
    ///     The value and the CAS, or ``None`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> value, cas = cache.gets("user:1")
    ///     >>> value
    ///     b'Ada'
    #[pyo3(signature = (key, /))]
    fn gets<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let mut flags = 0;
        let found = cache.fetch(&key, None, 0, |entry| {
            let cas = entry.header().cas();
            Ok((self.see(py, entry, &mut flags)?, cas))
        });
        found.map(|(found, cas)| Ok((self.value(py, found, flags)?, cas))).transpose()
    }

    /// Returns an item: the value of a key with its metadata.
    ///
    /// The metadata is as it was before this call, which counts as an access.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///
    /// Returns:
    ///     The item, or ``None`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada", ttl=60, flags=7)
    ///     >>> item = cache.get_item("user:1")
    ///     >>> item.value, item.ttl, item.flags
    ///     (b'Ada', 60, 7)
    #[pyo3(signature = (key, /))]
    fn get_item(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Item>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let found = cache.fetch_as_was(&key, |entry| {
            let info = Info::of(entry);
            Ok((Found::see(py, entry)?, info))
        });
        found.map(|(found, info)| Ok(Item::new(self.value(py, found, info.flags)?, info))).transpose()
    }

    /// Returns the metadata of a key, without its value.
    ///
    /// This does not count as an access.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///
    /// Returns:
    ///     The metadata, or ``None`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada", ttl=60)
    ///     >>> info = cache.info("user:1")
    ///     >>> info.length, info.ttl, info.fetched
    ///     (3, 60, False)
    #[pyo3(signature = (key, /))]
    fn info(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<ItemInfo>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        Ok(cache.info(&*key).map(ItemInfo::new))
    }

    /// Returns the value of a key as read-only memoryviews, without copying a large value.
    ///
    /// Values over 4 KiB are not copied. The cache may keep such a value in pieces; then there are
    /// several views, in order. Smaller values are usually copied, because that is faster. Pass the
    /// views to ``socket.sendmsg`` or ``os.writev`` as they are.
    ///
    /// The views stay valid and unchanged if the key is overwritten or the cache is closed. Views
    /// of a large value pin a part of the cache's memory, so release them soon. If too much of the
    /// cache is pinned, the value is copied instead.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///
    /// Returns:
    ///     The views, or ``None`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("page", b"x" * 10_000)
    ///     >>> sum(len(view) for view in cache.get_views("page"))
    ///     10000
    #[pyo3(signature = (key, /))]
    fn get_views<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let found = cache.fetch(&key, None, 0, |entry| entry.pin().map(Arc::new));
        found.map(|value| view::views(py, &value)).transpose()
    }

    /// Stores a value under a key, and replaces an item that is there.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The value. A str is stored as UTF-8.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     flags: The client flags, a number of 32 bits that is stored with the value.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``flags`` does not fit in 32 bits.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("session", "Ada", ttl=60)
    ///     >>> cache.get("session")
    ///     b'Ada'
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn set(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<()> {
        self.put(self.core()?, py, Mode::Set, key, value, ttl, flags.0, 0).map(|_| ())
    }

    /// Stores several values, each under its key.
    ///
    /// If one cannot be stored, those before it stay stored.
    ///
    /// Args:
    ///     values: A mapping of keys to values.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     flags: The client flags, a number of 32 bits that is stored with the value.
    ///
    /// Raises:
    ///     InvalidKeyError: A key is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     ValueTooLargeError: An item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``flags`` does not fit in 32 bits.
    ///     TypeError: A key or a value is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set_many({"a": "1", "b": "2"}, ttl=60)
    ///     >>> len(cache)
    ///     2
    #[pyo3(signature = (values, ttl=None, *, flags=Flags(0)), text_signature = "($self, values, ttl=None, *, flags=0)")]
    fn set_many(
        &self,
        py: Python<'_>,
        values: &Bound<'_, PyMapping>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<()> {
        // The server settles once for the whole batch.
        let cache = self.core()?;
        for pair in values.items()?.iter() {
            let pair = pair.cast_into::<PyTuple>()?;
            self.put(cache, py, Mode::Set, &pair.get_item(0)?, &pair.get_item(1)?, ttl, flags.0, 0)?;
        }
        Ok(())
    }

    /// Stores a value if the key has no item.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The value. A str is stored as UTF-8.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     flags: The client flags, a number of 32 bits that is stored with the value.
    ///
    /// Returns:
    ///     ``True`` if the value was stored, ``False`` if there is an item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``flags`` does not fit in 32 bits.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.add("lock", "1", ttl=10), cache.add("lock", "2", ttl=10)
    ///     (True, False)
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn add(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<bool> {
        Ok(self.put(self.core()?, py, Mode::Add, key, value, ttl, flags.0, 0)? == Stored::Stored)
    }

    /// Stores a value if the key has an item.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The value. A str is stored as UTF-8.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     flags: The client flags, a number of 32 bits that is stored with the value.
    ///
    /// Returns:
    ///     ``True`` if the value was stored, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``flags`` does not fit in 32 bits.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.replace("user:1", "Ada")
    ///     False
    #[pyo3(signature = (key, value, ttl=None, *, flags=Flags(0)), text_signature = "($self, key, value, ttl=None, *, flags=0)")]
    fn replace(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        flags: Flags,
    ) -> PyResult<bool> {
        Ok(self.put(self.core()?, py, Mode::Replace, key, value, ttl, flags.0, 0)? == Stored::Stored)
    }

    /// Appends bytes to the value of a key. TTL and flags stay as they are.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The bytes to append.
    ///
    /// Returns:
    ///     ``True`` if the value was changed, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("log", "one")
    ///     >>> cache.append("log", ",two"), cache.get("log")
    ///     (True, b'one,two')
    #[pyo3(signature = (key, value))]
    fn append(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.put(self.core()?, py, Mode::Append, key, value, None, 0, 0)? == Stored::Stored)
    }

    /// Prepends bytes to the value of a key. TTL and flags stay as they are.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The bytes to prepend.
    ///
    /// Returns:
    ///     ``True`` if the value was changed, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("log", "two")
    ///     >>> cache.prepend("log", "one,"), cache.get("log")
    ///     (True, b'one,two')
    #[pyo3(signature = (key, value))]
    fn prepend(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.put(self.core()?, py, Mode::Prepend, key, value, None, 0, 0)? == Stored::Stored)
    }

    /// Stores a value if the item has not changed since its CAS was read.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     value: The value. A str is stored as UTF-8.
    ///     cas: The CAS, from :meth:`gets`, :meth:`get_item` or :meth:`info`.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     flags: The client flags, a number of 32 bits that is stored with the value.
    ///
    /// Returns:
    ///     ``True`` if the value was stored, ``False`` if the item has changed, ``None`` if there
    ///     is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     ValueTooLargeError: The item does not fit in ``item_size_max``.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``cas`` does not fit in 64 bits, or ``flags`` in 32.
    ///     ValueError: ``cas`` is 0, which no item has.
    ///     TypeError: ``key`` or ``value`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> _, cas = cache.gets("user:1")
    ///     >>> cache.cas("user:1", "Ada Lovelace", cas)
    ///     True
    ///     >>> cache.cas("user:1", "too late", cas)
    ///     False
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
            return Err(PyValueError::new_err("cas must be the CAS of an item, as gets() returns it, got 0"));
        }
        Ok(match self.put(self.core()?, py, Mode::Cas, key, value, ttl, flags.0, cas)? {
            Stored::Stored => Some(true),
            Stored::Exists | Stored::NotStored => Some(false),
            Stored::NotFound => None,
        })
    }

    /// Increments a decimal number, atomically. It wraps around at 2**64.
    ///
    /// The TTL stays as it is.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     delta: The number to add, from 0 to 2**64 - 1.
    ///     initial: The number to store if there is no item. ``None`` stores nothing.
    ///     ttl: The TTL of an item that ``initial`` creates. See :meth:`set`.
    ///
    /// Returns:
    ///     The new number, or ``None`` if there is no item and no ``initial``.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     NotANumberError: The value is not a decimal number from 0 to 2**64 - 1.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``delta`` or ``initial`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.incr("visits", initial=1)
    ///     1
    ///     >>> cache.incr("visits", 41)
    ///     42
    #[pyo3(signature = (key, delta=Delta(1), *, initial=None, ttl=None), text_signature = "($self, key, delta=1, *, initial=None, ttl=None)")]
    fn incr(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        self.count(py, true, key, delta, initial, ttl)
    }

    /// Decrements a decimal number, atomically. It stops at 0.
    ///
    /// The TTL stays as it is.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     delta: The number to subtract, from 0 to 2**64 - 1.
    ///     initial: The number to store if there is no item. ``None`` stores nothing.
    ///     ttl: The TTL of an item that ``initial`` creates. See :meth:`set`.
    ///
    /// Returns:
    ///     The new number, or ``None`` if there is no item and no ``initial``.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     NotANumberError: The value is not a decimal number from 0 to 2**64 - 1.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
    ///     OutOfRangeError: ``delta`` or ``initial`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("left", "5")
    ///     >>> cache.decr("left"), cache.decr("left", 10)
    ///     (4, 0)
    #[pyo3(signature = (key, delta=Delta(1), *, initial=None, ttl=None), text_signature = "($self, key, delta=1, *, initial=None, ttl=None)")]
    fn decr(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        delta: Delta,
        initial: Option<Initial>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<u64>> {
        self.count(py, false, key, delta, initial, ttl)
    }

    /// Sets the TTL of an item.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///
    /// Returns:
    ///     ``True`` if the TTL was set, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("session", "Ada", ttl=60)
    ///     >>> cache.touch("session", ttl=120), cache.info("session").ttl
    ///     (True, 120)
    #[pyo3(signature = (key, ttl=None))]
    fn touch(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let cache = self.core()?;
        let key = self.key(key)?;
        Ok(cache.touch_for(&key, expiry(cache, ttl)?, 0))
    }

    /// Returns the value of a key, and sets the TTL of the item.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
    ///     default: The result if there is no item.
    ///
    /// Returns:
    ///     The value, or ``default`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("session", "Ada", ttl=60)
    ///     >>> cache.get_and_touch("session", ttl=120), cache.info("session").ttl
    ///     (b'Ada', 120)
    #[pyo3(signature = (key, ttl=None, default=None))]
    fn get_and_touch<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let expiry = expiry(self.core()?, ttl)?;
        Ok(self.fetch(py, key, Some(expiry))?.or(default))
    }

    /// Removes the item of a key.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///
    /// Returns:
    ///     ``True`` if the item was removed, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> cache.delete("user:1"), cache.delete("user:1")
    ///     (True, False)
    #[pyo3(signature = (key, /))]
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let cache = self.core()?;
        Ok(cache.delete_for(&self.key(key)?, 0, 0) == Deleted::Deleted)
    }

    /// Removes the items of several keys.
    ///
    /// Args:
    ///     keys: The keys, 1 to 250 bytes each.
    ///
    /// Returns:
    ///     The number of items removed.
    ///
    /// Raises:
    ///     InvalidKeyError: A key is empty or longer than 250 bytes.
    ///     TypeError: A key is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set_many({"a": "1", "b": "2"})
    ///     >>> cache.delete_many(["a", "b", "c"])
    ///     2
    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut deleted = 0;
        for key in keys.try_iter()? {
            deleted += usize::from(self.delete(&key?)?);
        }
        Ok(deleted)
    }

    /// Removes all items.
    ///
    /// Raises:
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> cache.flush()
    ///     >>> len(cache)
    ///     0
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let cache = self.core()?;
        py.detach(|| cache.flush_prefix(&self.prefix));
        Ok(())
    }

    /// Removes all items, as :meth:`flush` does. This is the name that mappings have.
    ///
    /// Raises:
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set_many({"user:1": "Ada", "post:1": "Hello"})
    ///     >>> cache.namespace("user:").clear()
    ///     >>> list(cache)
    ///     [b'post:1']
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.flush(py)
    }

    /// Removes all items whose keys begin with a prefix.
    ///
    /// This takes constant time. Later gets find none of the items, and their memory is freed in
    /// the background.
    ///
    /// Args:
    ///     prefix: The prefix. An empty one is that of all items.
    ///
    /// Raises:
    ///     TypeError: The prefix is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set_many({"site1:page": "old", "site2:page": "other"})
    ///     >>> cache.flush_prefix("site1:")
    ///     >>> cache.get("site1:page"), cache.get("site2:page")
    ///     (None, b'other')
    fn flush_prefix(&self, py: Python<'_>, prefix: &Bound<'_, PyAny>) -> PyResult<()> {
        let cache = self.core()?;
        let prefix = [&self.prefix, &*bytes_like(prefix, "prefix")?].concat();
        // With very many prefixes it frees items itself.
        py.detach(|| cache.flush_prefix(prefix));
        Ok(())
    }

    /// Limits the bytes of the items of a namespace.
    ///
    /// A store that exceeds the limit evicts other items of the namespace, old ones first, and none
    /// of others. ``stats("quotas")`` reports limits, bytes and evictions. A new limit examines all
    /// items of the cache, so set limits before items are stored.
    ///
    /// Args:
    ///     limit: Most bytes, as ``stats`` counts them. ``None`` removes the limit.
    ///
    /// Raises:
    ///     ConfigError: This is not a namespace, its prefix overlaps with that of another quota, or
    ///         there are 1,024 quotas.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> site = cache.namespace("site1:")
    ///     >>> site.set_quota(1500)
    ///     >>> site.set_many({"a": b"x" * 1000, "b": b"x" * 1000})
    ///     >>> list(site), cache.stats("quotas")["quota:1:evicted"]
    ///     ([b'b'], 1)
    #[pyo3(signature = (limit, /))]
    fn set_quota(&self, py: Python<'_>, limit: Option<u64>) -> PyResult<()> {
        let cache = self.core()?;
        py.detach(|| cache.set_quota(&self.prefix, limit)).map_err(|error| errors::bad_setting(&error))
    }

    /// Returns the value of a key for :meth:`get_or_set`, and whether the caller must renew it.
    ///
    /// Only one caller gets ``True``, if the item is stale or expires within ``stale_for`` seconds.
    #[pyo3(signature = (key, stale_for=None))]
    fn _lease<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        stale_for: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, bool)>> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let recache = stale_for.map(|time| named_expiry(cache, "stale_for", time)).transpose()?;
        let mut flags = 0;
        let found = lease(cache, &key, recache, |entry| self.see(py, entry, &mut flags));
        found.map(|(found, win)| Ok((self.value(py, found, flags)?, win))).transpose()
    }

    /// Returns the bytes and the flags with which a value is stored.
    fn _dumps<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, u32)> {
        let (bytes, flags) = match &self.serializer {
            None => (self::value(value)?, 0),
            Some(serializer) => serializer.dump(value)?,
        };
        Ok((bytes.into_object(value), flags))
    }

    /// Returns the value of bytes and flags.
    fn _loads<'py>(&self, data: Bound<'py, PyBytes>, flags: u32) -> PyResult<Bound<'py, PyAny>> {
        self.load(data, flags)
    }

    /// Makes the caller the leader of a key, or returns the leader that it waits for.
    ///
    /// A caller is a thread, and a task or 0. ``notify`` is called with the outcome of the
    /// leader.
    fn _join(&self, py: Python<'_>, key: &[u8], caller: Caller, notify: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let whole = [&self.prefix, key].concat();
        match flight::join(self.core()?, &self.flights, &whole, caller, notify) {
            Ok(leader) => Ok(Py::new(py, leader)?.into_any()),
            Err(leader) => Ok(leader.into_pyobject(py)?.into_any().unbind()),
        }
    }

    /// Returns a leader for a stale value, which ``_lease`` has chosen the caller to renew.
    fn _renew(&self, key: &[u8]) -> PyResult<Leader> {
        Ok(Leader::of_renewal(self.core()?, &[&self.prefix, key].concat()))
    }

    /// Stores what a leader has made, unless there is a newer value.
    ///
    /// Returns ``False`` if the key was deleted since, so that waiters must not get the value.
    fn _store_made(
        &self,
        py: Python<'_>,
        leader: &Leader,
        key: &[u8],
        value: &[u8],
        ttl: Option<&Bound<'_, PyAny>>,
        flags: u32,
    ) -> PyResult<bool> {
        let cache = self.core()?;
        let operation = StoreOperation { expiry: expiry(cache, ttl)?, flags, ..StoreOperation::default() };
        let Some(made) = leader.made() else { return Ok(false) };
        // Another thread may hold the lock of the load for the time of a copy.
        let whole = [&self.prefix, key].concat();
        py.detach(|| store_made(cache, &whole, made, operation, value))
            .map_err(|error| errors::not_stored(error, value.len(), cache.config().item_size_max))
    }

    /// Raises :class:`InvalidTTLError` if a time is not a TTL. The error names the parameter.
    #[pyo3(signature = (ttl, name="ttl"))]
    fn _check_ttl(&self, ttl: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<()> {
        let cache = self.core()?;
        ttl.map_or(Ok(()), |ttl| named_expiry(cache, name, ttl).map(|_| ()))
    }

    /// Marks an item as stale, so that :meth:`get_or_set` renews it.
    ///
    /// The item stays readable. The next caller of :meth:`get_or_set` makes a new value, and other
    /// callers get the old one until then.
    ///
    /// Args:
    ///     key: The key, 1 to 250 bytes.
    ///     ttl: The new TTL of the stale item. ``None`` leaves the TTL as it is.
    ///
    /// Returns:
    ///     ``True`` if the item was marked, ``False`` if there is no item.
    ///
    /// Raises:
    ///     InvalidKeyError: ``key`` is empty or longer than 250 bytes.
    ///     InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("report", "old")
    ///     >>> cache.invalidate("report"), cache.get("report")
    ///     (True, b'old')
    ///     >>> cache.get_or_set("report", lambda: "new")
    ///     b'new'
    #[pyo3(signature = (key, ttl=None))]
    fn invalidate(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let cache = self.core()?;
        let key = self.key(key)?;
        let expiry = ttl.map(|ttl| expiry(cache, Some(ttl))).transpose()?;
        let request = MetaDelete { stale: true, expiry, ..MetaDelete::default() };
        Ok(cache.meta_delete(&Request::new(&key, request)) == Deleted::Deleted)
    }

    /// Returns statistics under memcached's names.
    ///
    /// Args:
    ///     group: ``""`` for the general statistics, ``"items"``, ``"slabs"``, ``"sizes"``,
    ///         ``"quotas"``, ``"settings"``, ``"conns"``, ``"latency"`` or ``"hotkeys"``.
    ///
    /// Returns:
    ///     The statistics by name. Whole numbers are int, all others str.
    ///
    /// Raises:
    ///     ValueError: ``group`` is none of these.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("user:1", "Ada")
    ///     >>> cache.stats()["curr_items"]
    ///     1
    #[pyo3(signature = (group="", /))]
    fn stats<'py>(&self, py: Python<'py>, group: &str) -> PyResult<Bound<'py, PyDict>> {
        let cache = self.core()?;
        stats::dict(py, py.detach(|| self.stats.list(cache, group)))
    }

    /// Returns metrics as text, for a monitoring system.
    ///
    /// The names are those of Prometheus' memcached exporter, and further ones that begin with
    /// ``memcache_rs_``. :mod:`memcache_rs.adapters.prometheus` adds them to ``prometheus_client``.
    ///
    /// Args:
    ///     format: ``"prometheus"`` for the text form 0.0.4, or ``"openmetrics"`` for
    ///         OpenMetrics 1.0.
    ///
    /// Returns:
    ///     The text.
    ///
    /// Raises:
    ///     ValueError: ``format`` is neither.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> "memcached_current_items 0" in cache.metrics()
    ///     True
    #[pyo3(signature = (format="prometheus", /))]
    fn metrics(&self, py: Python<'_>, format: &str) -> PyResult<String> {
        let cache = self.core()?;
        py.detach(|| stats::metrics_text(self.stats.state(cache), format))
    }

    /// Returns the keys that had the most requests in the last 2 to 4 seconds.
    ///
    /// The numbers are estimates from samples: one of ``sample_rate`` requests is counted, 128 by
    /// default. Requests of this program count, and those of clients of a server of this cache.
    ///
    /// Args:
    ///     most: The number of keys, at most 512.
    ///
    /// Returns:
    ///     The keys, the one with the most requests first.
    ///
    /// Raises:
    ///     OutOfRangeError: ``most`` is negative.
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache(settings={"sample_rate": 1})
    ///     >>> for n in range(9):
    ///     ...     _ = cache.get("page:home"), cache.get(f"page:{n}")
    ///     >>> [hottest] = cache.hot_keys(1)
    ///     >>> hottest.key, hottest.reads, hottest.share
    ///     (b'page:home', 9, 0.5)
    #[pyo3(signature = (most=Most(10)), text_signature = "($self, most=10)")]
    fn hot_keys(&self, py: Python<'_>, most: Most) -> PyResult<Vec<HotKey>> {
        let cache = self.core()?;
        Ok(hot_keys::list(py.detach(|| cache.hot_keys(most.0))))
    }

    /// The prefix of a namespace, or ``b""``.
    ///
    /// Example:
    ///     >>> Cache().namespace("users:").namespace("drafts:").prefix
    ///     b'users:drafts:'
    #[getter]
    fn prefix<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.prefix)
    }

    /// The clock of the cache, which tests can stop and move.
    ///
    /// Raises:
    ///     ClosedError: The cache is closed.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("session", "Ada", ttl=60)
    ///     >>> with cache.clock.freeze() as clock:
    ///     ...     clock.advance(60)
    ///     ...     cache.get("session", "expired")
    ///     'expired'
    #[getter]
    fn clock(&self) -> PyResult<Clock> {
        self.core()?;
        Ok(Clock::new(self.handle.another()))
    }

    /// Closes the cache and removes all items.
    ///
    /// A second call does nothing. In a child of ``fork`` it leaves the parent's cache as it is. A
    /// ``with`` block closes the cache at its end.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.close()
    ///     >>> cache.closed
    ///     True
    fn close(&self, py: Python<'_>) {
        if !self.closed.swap(true, Relaxed)
            && let Some(cache) = self.handle.get()
        {
            py.detach(|| cache.clear());
        }
    }

    /// Whether the cache is closed.
    ///
    /// Example:
    ///     >>> with Cache() as cache:
    ///     ...     cache.closed
    ///     False
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let cache = self.core()?;
        Ok(cache.inspect(&self.key(key)?, 0, |_| Ok(())).is_some())
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
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
        Ok(py.detach(|| match &*self.prefix {
            [] => cache.store().totals().curr_items as usize,
            prefix => cache.keys_under(prefix).count(),
        }))
    }

    fn __bool__(&self) -> bool {
        // An empty cache is not false.
        true
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let keys = self.keys(py)?;
        PyList::new(py, keys.iter().map(|key| PyBytes::new(py, key)))?.try_iter()
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        values: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        generic_alias(class, values)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.serializer.as_ref().map_or(Ok(()), |serializer| serializer.traverse(&visit))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("cache"))
    }

    fn __repr__(&self) -> String {
        match self.core() {
            Ok(_) if !self.prefix.is_empty() => {
                format!("<Cache, namespace \"{}\">", self.prefix.escape_ascii())
            }
            Ok(cache) => format!("<Cache of {} items>", cache.store().totals().curr_items),
            Err(_) => "<Cache, closed>".into(),
        }
    }
}

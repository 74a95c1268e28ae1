//! Stores and arithmetic, each in a plain form and one with options.

use std::ffi::c_void;

use memcache_core::internal::cache::{DeltaOperation, Mode, Request, StoreOperation, StoreValue, Stored};

use crate::arguments::{Out, known};
use crate::cache::{MCRS_NEVER, mcrs_cache};
use crate::guard::{Failure, Outcome, invalid};
use crate::status::mcrs_status;

/// Names the condition of a store: one of the MCRS_MODE_ numbers.
pub type mcrs_mode = u32;

/// Stores in any case.
pub const MCRS_MODE_SET: mcrs_mode = 0;

/// Stores only if there is no item.
pub const MCRS_MODE_ADD: mcrs_mode = 1;

/// Stores only if there is an item.
pub const MCRS_MODE_REPLACE: mcrs_mode = 2;

/// Appends to the value of an item, which keeps its flags and TTL.
pub const MCRS_MODE_APPEND: mcrs_mode = 3;

/// Prepends to the value of an item, which keeps its flags and TTL.
pub const MCRS_MODE_PREPEND: mcrs_mode = 4;

/// In mcrs_store_options.bits: stores over a changed item, and marks the new one stale.
///
/// For MCRS_MODE_SET with `compare_cas`. It is for the winner of a recache whose item was
/// invalidated again, see mcrs_cache_meta_get().
pub const MCRS_STORE_ALLOW_STALE: u32 = 1;

/// In mcrs_store_options.bits: creates a missing item.
///
/// For MCRS_MODE_APPEND and MCRS_MODE_PREPEND.
pub const MCRS_STORE_CREATE: u32 = 2;

/// Holds the options of mcrs_cache_store().
///
/// All zero is a plain set without expiry: write `mcrs_store_options options = {0};`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_store_options {
    /// Condition of the store: one of the MCRS_MODE_ numbers.
    pub mode: mcrs_mode,
    /// MCRS_STORE_ bits.
    pub bits: u32,
    /// Number of the caller's own, kept with the value.
    pub flags: u32,
    /// Seconds to live from now, or MCRS_NEVER.
    pub ttl: u32,
    /// CAS that the item must have; 0 for any. Must be 0 for MCRS_MODE_ADD and MCRS_MODE_REPLACE.
    pub compare_cas: u64,
    /// CAS of the new item; 0 for the next one.
    pub new_cas: u64,
    /// Must be 0.
    pub reserved: [u64; 4],
}

/// In mcrs_delta_options.bits: creates a missing item with `initial` and `create_ttl`.
pub const MCRS_DELTA_CREATE: u32 = 1;

/// In mcrs_delta_options.bits: sets the TTL of the item to `ttl`.
///
/// As in memcached, the TTL stays as it is if the number needs more digits than before.
pub const MCRS_DELTA_TTL: u32 = 2;

/// Holds the options of mcrs_cache_incr_with() and mcrs_cache_decr_with().
///
/// All zero adds 0 to an item that exists: write `mcrs_delta_options options = {0};`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_delta_options {
    /// Number to add or to subtract.
    pub delta: u64,
    /// Value of an item that is created.
    pub initial: u64,
    /// CAS that the item must have; 0 for any.
    pub compare_cas: u64,
    /// CAS of the new value; 0 for the next one.
    pub new_cas: u64,
    /// MCRS_DELTA_ bits.
    pub bits: u32,
    /// Seconds to live from now, or MCRS_NEVER; used with MCRS_DELTA_TTL.
    pub ttl: u32,
    /// Seconds to live of an item that is created, or MCRS_NEVER.
    pub create_ttl: u32,
    /// Must be 0.
    pub reserved_bits: u32,
    /// Must be 0.
    pub reserved: [u64; 4],
}

/// Stores a value, and returns its CAS.
#[inline]
pub(crate) fn store(
    cache: &mcrs_cache,
    request: &Request<'_, StoreOperation>,
    value: &[u8],
) -> Result<u64, Failure> {
    let reply = cache.cache.store_value(request, StoreValue::Bytes(value))?;
    match reply.stored {
        Stored::Stored => Ok(reply.cas),
        Stored::NotStored => Err(mcrs_status::MCRS_NOT_STORED.into()),
        Stored::Exists => Err(mcrs_status::MCRS_EXISTS.into()),
        Stored::NotFound => Err(mcrs_status::MCRS_NOT_FOUND.into()),
    }
}

#[inline]
fn plain(cache: &mcrs_cache, mode: Mode, key: &[u8], value: &[u8], ttl: u32) -> Outcome {
    let request =
        Request::new(key, StoreOperation { mode, expiry: cache.expires(ttl)?, ..StoreOperation::of(mode) });
    store(cache, &request, value).map(drop)
}

/// Stores a value under a key.
///
/// If the call returns MCRS_TOO_LARGE or MCRS_NO_MEMORY, an old item of that key is deleted.
///
/// ```c
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);    // for a minute
/// assert(mcrs_cache_set(cache, "name", 4, "ann", 3, MCRS_NEVER) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @return MCRS_OK; MCRS_TOO_LARGE if the item is above the item_size_max setting; MCRS_NO_MEMORY;
///     MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_set(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        plain(cache, Mode::Set, key, value, ttl)
    })
}

/// Stores a value if there is no item.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @return MCRS_OK; MCRS_NOT_STORED if there is an item; MCRS_TOO_LARGE; MCRS_NO_MEMORY;
///     MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_add(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        plain(cache, Mode::Add, key, value, ttl)
    })
}

/// Stores a value if there is an item.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @return MCRS_OK; MCRS_NOT_STORED if there is no item; MCRS_TOO_LARGE; MCRS_NO_MEMORY;
///     MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_replace(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        plain(cache, Mode::Replace, key, value, ttl)
    })
}

/// Appends bytes to the value of an item, which keeps its TTL.
///
/// ```c
/// assert(mcrs_cache_set(cache, "log", 3, "one", 3, 60) == MCRS_OK);
/// assert(mcrs_cache_append(cache, "log", 3, " two", 4) == MCRS_OK);    // "one two"
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @return MCRS_OK; MCRS_NOT_STORED if there is no item, or no memory for both parts;
///     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_append(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        plain(cache, Mode::Append, key, value, MCRS_NEVER)
    })
}

/// Prepends bytes to the value of an item, which keeps its TTL.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @return MCRS_OK; MCRS_NOT_STORED if there is no item, or no memory for both parts;
///     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_prepend(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        plain(cache, Mode::Prepend, key, value, MCRS_NEVER)
    })
}

/// Stores a value if the item still has the given CAS.
///
/// mcrs_cache_info(), mcrs_item_info() and callbacks report the CAS of an item.
///
/// ```c
/// mcrs_info info;
/// assert(mcrs_cache_set(cache, "stock", 5, "7", 1, 60) == MCRS_OK);
/// assert(mcrs_cache_info(cache, "stock", 5, &info) == MCRS_OK);
/// assert(mcrs_cache_cas(cache, "stock", 5, "6", 1, 60, info.cas) == MCRS_OK);
/// assert(mcrs_cache_cas(cache, "stock", 5, "5", 1, 60, info.cas) == MCRS_EXISTS);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @param cas  CAS that the item must have; no item has 0.
/// @return MCRS_OK; MCRS_EXISTS if the item has another CAS; MCRS_NOT_FOUND if there is no item;
///     MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_cas(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl: u32,
    cas: u64,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), value: bytes(value, value_len) }, {
        let expiry = cache.expires(ttl)?;
        let request = Request::new(key, StoreOperation { mode: Mode::Cas, expiry, compare: cas, ..StoreOperation::of(Mode::Cas) });
        store(cache, &request, value).map(drop)
    })
}

/// Stores a value with options.
///
/// ```c
/// mcrs_store_options options = {0};
/// uint64_t cas = 0;
/// options.mode = MCRS_MODE_ADD;
/// options.flags = 7;
/// options.ttl = 60;
/// assert(mcrs_cache_store(cache, "lock", 4, "me", 2, &options, &cas) == MCRS_OK);
/// assert(mcrs_cache_store(cache, "lock", 4, "you", 3, &options, &cas) == MCRS_NOT_STORED);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param value  Bytes of the value; may be NULL if `value_len` is 0.
/// @param value_len  Length of `value` in bytes.
/// @param options  Options; NULL is a plain set with MCRS_NEVER.
/// @param cas  Receives the CAS of the new item, or 0 if the cache keeps none; may be NULL.
/// @return MCRS_OK; MCRS_NOT_STORED if the condition of `mode` does not hold, or there is no memory
///     for both parts; MCRS_EXISTS if the item has another CAS; MCRS_NOT_FOUND if there is no item
///     to compare with; MCRS_TOO_LARGE; MCRS_NO_MEMORY; MCRS_INVALID_ARGUMENT if `options` is not
///     allowed; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_store(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const mcrs_store_options,
    cas: *mut u64,
) -> mcrs_status {
    entry!(cache, {
        key: key(key, key_len),
        value: bytes(value, value_len),
        options: options(options),
        output: maybe_out(cas),
    }, {
        known(options.bits, MCRS_STORE_ALLOW_STALE | MCRS_STORE_CREATE, &options.reserved)?;
        let compares = options.compare_cas != 0;
        let mode = match options.mode {
            MCRS_MODE_SET if compares => Mode::Cas,
            MCRS_MODE_SET => Mode::Set,
            MCRS_MODE_ADD | MCRS_MODE_REPLACE if compares => {
                return Err(invalid("compare_cas must be 0 for MCRS_MODE_ADD and MCRS_MODE_REPLACE"));
            }
            MCRS_MODE_ADD => Mode::Add,
            MCRS_MODE_REPLACE => Mode::Replace,
            MCRS_MODE_APPEND => Mode::Append,
            MCRS_MODE_PREPEND => Mode::Prepend,
            other => return Err(invalid(format!("mode must be one of the MCRS_MODE_ numbers, got {other}"))),
        };
        let stored = store(cache, &Request::new(key, StoreOperation {
            mode,
            vivify: options.bits & MCRS_STORE_CREATE != 0,
            flags: options.flags,
            expiry: cache.expires(options.ttl)?,
            compare: options.compare_cas,
            cas: (options.new_cas != 0).then_some(options.new_cas),
            allow_stale: options.bits & MCRS_STORE_ALLOW_STALE != 0,
            ..StoreOperation::of(mode)
        }), value)?;
        if let Some(output) = output {
            output.set(stored);
        }
        Ok(())
    })
}

/// Adds to the decimal number under a key, modulo 2^64.
///
/// ```c
/// uint64_t visits = 0;
/// assert(mcrs_cache_set(cache, "visits", 6, "41", 2, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_incr(cache, "visits", 6, 1, &visits) == MCRS_OK && visits == 42);
/// assert(mcrs_cache_decr(cache, "visits", 6, 100, &visits) == MCRS_OK && visits == 0);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param delta  Number to add.
/// @param value  Receives the sum; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
///     64-bit decimal number; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_incr(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    delta: u64,
    value: *mut u64,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), output: maybe_out(value) }, {
        let number = cache.cache.add_delta(&Request::new(key, DeltaOperation::new(true, delta)))?;
        if let Some(output) = output {
            output.set(number.value);
        }
        Ok(())
    })
}

/// Subtracts from the decimal number under a key, down to 0.
///
/// As in memcached, a number with fewer digits than before keeps its length, filled up with spaces.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param delta  Number to subtract.
/// @param value  Receives the difference; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
///     64-bit decimal number; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_decr(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    delta: u64,
    value: *mut u64,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), output: maybe_out(value) }, {
        let number = cache.cache.add_delta(&Request::new(key, DeltaOperation::new(false, delta)))?;
        if let Some(output) = output {
            output.set(number.value);
        }
        Ok(())
    })
}

/// Adds to the decimal number under a key, with options.
///
/// ```c
/// mcrs_delta_options options = {0};
/// uint64_t hits = 0;
/// options.delta = 1;
/// options.initial = 1;
/// options.bits = MCRS_DELTA_CREATE;
/// options.create_ttl = 60;
/// assert(mcrs_cache_incr_with(cache, "hits", 4, &options, &hits, NULL) == MCRS_OK && hits == 1);
/// assert(mcrs_cache_incr_with(cache, "hits", 4, &options, &hits, NULL) == MCRS_OK && hits == 2);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param options  Options, among them the number to add.
/// @param value  Receives the new value; may be NULL.
/// @param cas  Receives the new CAS, or 0 if the cache keeps none; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
///     64-bit decimal number; MCRS_EXISTS if the item has another CAS; MCRS_NO_MEMORY;
///     MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_incr_with(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    options: *const mcrs_delta_options,
    value: *mut u64,
    cas: *mut u64,
) -> mcrs_status {
    entry!(cache, {
        key: key(key, key_len),
        options: given(options),
        value: maybe_out(value),
        cas: maybe_out(cas),
    }, {
        delta_with(cache, Request::new(key, DeltaOperation::new(true, options.delta)), &options, value, cas)
    })
}

/// Subtracts from the decimal number under a key, with options.
///
/// It stops at 0, as mcrs_cache_decr() does.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param options  Options, among them the number to subtract.
/// @param value  Receives the new value; may be NULL.
/// @param cas  Receives the new CAS, or 0 if the cache keeps none; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NOT_A_NUMBER if the value is not a
///     64-bit decimal number; MCRS_EXISTS if the item has another CAS; MCRS_NO_MEMORY;
///     MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_decr_with(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    options: *const mcrs_delta_options,
    value: *mut u64,
    cas: *mut u64,
) -> mcrs_status {
    entry!(cache, {
        key: key(key, key_len),
        options: given(options),
        value: maybe_out(value),
        cas: maybe_out(cas),
    }, {
        delta_with(cache, Request::new(key, DeltaOperation::new(false, options.delta)), &options, value, cas)
    })
}

/// Adds or subtracts with C's options.
fn delta_with(
    cache: &mcrs_cache,
    request: Request<'_, DeltaOperation>,
    options: &mcrs_delta_options,
    value: Option<Out<'_, u64>>,
    cas: Option<Out<'_, u64>>,
) -> Outcome {
    known(options.bits, MCRS_DELTA_CREATE | MCRS_DELTA_TTL, &options.reserved)?;
    known(0, 0, &[u64::from(options.reserved_bits)])?;
    let has = |bit| options.bits & bit != 0;
    let operation = DeltaOperation {
        compare: options.compare_cas,
        cas: (options.new_cas != 0).then_some(options.new_cas),
        expiry: has(MCRS_DELTA_TTL).then(|| cache.expires(options.ttl)).transpose()?,
        vivify: has(MCRS_DELTA_CREATE)
            .then(|| Ok::<_, Failure>((options.initial, cache.expires(options.create_ttl)?)))
            .transpose()?,
        ..request.operation
    };
    let number = cache.cache.add_delta(&request.with(operation))?;
    if let Some(value) = value {
        value.set(number.value);
    }
    if let Some(cas) = cas {
        cas.set(number.cas);
    }
    Ok(())
}

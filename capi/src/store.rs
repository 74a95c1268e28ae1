//! Ways to store: the plain ones, and one that knows everything.

use std::ffi::c_void;

use memcache_core::DeltaError;
use memcache_core::internal::cache::{DeltaRequest, Mode, StoreRequest, StoreValue, Stored};

use crate::arguments::{Out, known};
use crate::cache::{MCRS_NEVER, mcrs_cache};
use crate::guard::{Failure, Outcome, invalid};
use crate::status::mcrs_status;

/// What a store does about an item that is there: one of the MCRS_MODE_ numbers.
pub type mcrs_mode = u32;

/// Store in any case.
pub const MCRS_MODE_SET: mcrs_mode = 0;

/// Store if there is no item.
pub const MCRS_MODE_ADD: mcrs_mode = 1;

/// Store if there is an item.
pub const MCRS_MODE_REPLACE: mcrs_mode = 2;

/// Put the value behind the one that is there, which keeps its flags and TTL.
pub const MCRS_MODE_APPEND: mcrs_mode = 3;

/// Put the value before the one that is there, which keeps its flags and TTL.
pub const MCRS_MODE_PREPEND: mcrs_mode = 4;

/// In mcrs_store_options.bits, with MCRS_MODE_SET and `compare_cas`: store too if
/// the item was changed since, but mark the new one stale. For who won a
/// recache (mcrs_cache_meta_get()) of an item that was then invalidated again.
pub const MCRS_STORE_ALLOW_STALE: u32 = 1;

/// In mcrs_store_options.bits, with MCRS_MODE_APPEND and MCRS_MODE_PREPEND: if
/// there is no item, make one.
pub const MCRS_STORE_CREATE: u32 = 2;

/// How mcrs_cache_store() stores. All zero is a plain set: write
/// `mcrs_store_options options = {0};` and set what is wanted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_store_options {
    /// What to do about an item that is there.
    pub mode: mcrs_mode,
    /// MCRS_STORE_ bits.
    pub bits: u32,
    /// A number of the caller's own, kept with the value.
    pub flags: u32,
    /// Seconds to live, or MCRS_NEVER.
    pub ttl: u32,
    /// Not 0: store only over an item with this CAS. Not with MCRS_MODE_ADD and
    /// MCRS_MODE_REPLACE.
    pub compare_cas: u64,
    /// CAS of the new item; 0: the next one.
    pub new_cas: u64,
    /// 0; for later versions.
    pub reserved: [u64; 4],
}

/// In mcrs_delta_options.bits: if there is no item, make one with the value
/// `initial` and the TTL `create_ttl`.
pub const MCRS_DELTA_CREATE: u32 = 1;

/// In mcrs_delta_options.bits: give the item the TTL `ttl`, as long as the number
/// gets no longer (as memcached does it).
pub const MCRS_DELTA_TTL: u32 = 2;

/// How mcrs_cache_incr_with() counts. All zero adds 0 to an item that is there.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_delta_options {
    /// How much to add or subtract.
    pub delta: u64,
    /// The value of an item that is made.
    pub initial: u64,
    /// Not 0: only an item with this CAS.
    pub compare_cas: u64,
    /// CAS of the new value; 0: the next one.
    pub new_cas: u64,
    /// MCRS_COUNT_ bits.
    pub bits: u32,
    /// Seconds to live, or MCRS_NEVER.
    pub ttl: u32,
    /// The same for an item that is made.
    pub create_ttl: u32,
    /// 0; for later versions.
    pub reserved_bits: u32,
    /// 0; for later versions.
    pub reserved: [u64; 4],
}

/// Carries out a store. Returns the new CAS.
#[inline]
pub(crate) fn store(cache: &mcrs_cache, request: &StoreRequest<'_>, value: &[u8]) -> Result<u64, Failure> {
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
    let request = StoreRequest { mode, expiry: cache.expires(ttl), ..StoreRequest::new(key) };
    store(cache, &request, value).map(drop)
}

/// Stores a value under a key, for `ttl` seconds or MCRS_NEVER, whatever is
/// there.
///
/// MCRS_TOO_LARGE, MCRS_NO_MEMORY: it is not stored, and what was there is gone,
/// for it is out of date.
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

/// Stores a value if there is no item. MCRS_NOT_STORED: there is one.
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

/// Stores a value if there is an item. MCRS_NOT_STORED: there is none.
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

/// Puts a value behind the one that is there, which keeps its TTL.
/// MCRS_NOT_STORED: there is none, or no room for both.
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

/// Puts a value before the one that is there, which keeps its TTL.
/// MCRS_NOT_STORED: there is none, or no room for both.
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

/// Stores a value if the item has the CAS `cas`, which mcrs_cache_info() and others
/// tell. MCRS_EXISTS: it has another, as somebody has changed it; also if `cas`
/// is 0. MCRS_NOT_FOUND: there is no item.
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
        let expiry = cache.expires(ttl);
        let request = StoreRequest { mode: Mode::Cas, expiry, compare: cas, ..StoreRequest::new(key) };
        store(cache, &request, value).map(drop)
    })
}

/// Stores a value as `options` say; NULL is a plain set for ever. `cas`, if not
/// NULL, gets the CAS of the new item, 0 if the cache keeps none.
///
/// MCRS_NOT_STORED: what `mode` wants does not hold, or there is no room for both
/// parts. MCRS_EXISTS, MCRS_NOT_FOUND: `compare_cas` is not the item's, or there
/// is no item. MCRS_TOO_LARGE, MCRS_NO_MEMORY: as with mcrs_cache_set().
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
        place: maybe_out(cas),
    }, {
        known(options.bits, MCRS_STORE_ALLOW_STALE | MCRS_STORE_CREATE, &options.reserved)?;
        let compares = options.compare_cas != 0;
        let mode = match options.mode {
            MCRS_MODE_SET if compares => Mode::Cas,
            MCRS_MODE_SET => Mode::Set,
            MCRS_MODE_ADD | MCRS_MODE_REPLACE if compares => {
                return Err(invalid("compare_cas is not for MCRS_MODE_ADD and MCRS_MODE_REPLACE"));
            }
            MCRS_MODE_ADD => Mode::Add,
            MCRS_MODE_REPLACE => Mode::Replace,
            MCRS_MODE_APPEND => Mode::Append,
            MCRS_MODE_PREPEND => Mode::Prepend,
            other => return Err(invalid(format!("there is no mode {other}"))),
        };
        let stored = store(cache, &StoreRequest {
            mode,
            vivify: options.bits & MCRS_STORE_CREATE != 0,
            flags: options.flags,
            expiry: cache.expires(options.ttl),
            compare: options.compare_cas,
            cas: (options.new_cas != 0).then_some(options.new_cas),
            allow_stale: options.bits & MCRS_STORE_ALLOW_STALE != 0,
            ..StoreRequest::new(key)
        }, value)?;
        if let Some(place) = place {
            place.set(stored);
        }
        Ok(())
    })
}

impl From<DeltaError> for Failure {
    fn from(error: DeltaError) -> Self {
        Self::Plain(match error {
            DeltaError::NotFound => mcrs_status::MCRS_NOT_FOUND,
            DeltaError::NonNumeric => mcrs_status::MCRS_NOT_A_NUMBER,
            DeltaError::CasMismatch => mcrs_status::MCRS_EXISTS,
            DeltaError::NoMemory => mcrs_status::MCRS_NO_MEMORY,
        })
    }
}

/// Adds `delta` to the decimal number under a key, modulo 2^64. `value`, if not
/// NULL, gets the sum. MCRS_NOT_FOUND: there is no item. MCRS_NOT_A_NUMBER: it is
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_incr(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    delta: u64,
    value: *mut u64,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), place: maybe_out(value) }, {
        let number = cache.cache.add_delta(&DeltaRequest::new(key, true, delta))?;
        if let Some(place) = place {
            place.set(number.value);
        }
        Ok(())
    })
}

/// Subtracts `delta` from the decimal number under a key, down to 0. Else as
/// mcrs_cache_incr(). A number that gets shorter keeps its length, with blanks
/// behind it, as memcached does it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_decr(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    delta: u64,
    value: *mut u64,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), place: maybe_out(value) }, {
        let number = cache.cache.add_delta(&DeltaRequest::new(key, false, delta))?;
        if let Some(place) = place {
            place.set(number.value);
        }
        Ok(())
    })
}

/// Adds to a decimal number as `options` say, which must not be NULL. `value` and
/// `cas`, if not NULL, get the new value and its CAS. MCRS_EXISTS: `compare_cas` is
/// not the item's. Else as mcrs_cache_incr().
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
        delta_with(cache, DeltaRequest::new(key, true, options.delta), &options, value, cas)
    })
}

/// Subtracts from a decimal number as `options` say. Else as mcrs_cache_incr_with().
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
        delta_with(cache, DeltaRequest::new(key, false, options.delta), &options, value, cas)
    })
}

/// Changes a number as C's options say.
fn delta_with(
    cache: &mcrs_cache,
    request: DeltaRequest<'_>,
    options: &mcrs_delta_options,
    value: Option<Out<'_, u64>>,
    cas: Option<Out<'_, u64>>,
) -> Outcome {
    known(options.bits, MCRS_DELTA_CREATE | MCRS_DELTA_TTL, &options.reserved)?;
    known(options.reserved_bits, 0, &[])?;
    let has = |bit| options.bits & bit != 0;
    let number = cache.cache.add_delta(&DeltaRequest {
        compare: options.compare_cas,
        cas: (options.new_cas != 0).then_some(options.new_cas),
        expiry: has(MCRS_DELTA_TTL).then(|| cache.expires(options.ttl)),
        vivify: has(MCRS_DELTA_CREATE).then(|| (options.initial, cache.expires(options.create_ttl))),
        ..request
    })?;
    if let Some(value) = value {
        value.set(number.value);
    }
    if let Some(cas) = cas {
        cas.set(number.cas);
    }
    Ok(())
}

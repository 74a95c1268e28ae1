//! Many keys in one call.

use std::ffi::c_void;
use std::ptr;

use memcache_core::internal::cache::{Request, StoreOperation};

use crate::arguments::{key_of, mcrs_slice};
use crate::cache::{mcrs_cache, mcrs_found_fn, show};
use crate::guard::{LOCKED, inside, run};
use crate::status::mcrs_status;
use crate::store::store;

/// Calls a callback with the value of each key that has an item.
///
/// The calls follow the order of the keys. If most items are not in the processor's caches, this is
/// several times as fast as as many calls of mcrs_cache_get(). The keys must not change during the
/// call.
///
/// ```c
/// const mcrs_slice keys[] = {{"one", 3}, {"two", 3}};
/// size_t hits = 0;
/// assert(mcrs_cache_set(cache, "two", 3, "2", 1, 60) == MCRS_OK);
/// assert(mcrs_cache_get_many(cache, keys, 2, print_value, NULL, &hits) == MCRS_OK);
/// assert(hits == 1);    // print_value, see mcrs_found_fn, was called with index 1
/// ```
///
/// @param cache  Cache to work on.
/// @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
/// @param count  Number of keys.
/// @param found  Callback, which is called for each item.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @param hits  Receives the number of items; may be NULL.
/// @return MCRS_OK, also if there is no item; MCRS_BAD_KEY if a key is not allowed, then no item
///     was shown; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_many(
    cache: *const mcrs_cache,
    keys: *const mcrs_slice,
    count: usize,
    found: mcrs_found_fn,
    userdata: *mut c_void,
    hits: *mut usize,
) -> mcrs_status {
    entry!(cache, { keys: keys(keys, count), found: callback(found), hits: maybe_out(hits) }, {
        let mut joined = Vec::new();
        let mut number = 0;
        cache.cache.fetch_many(keys.0, |index, entry| {
            show(entry, &mut joined, |value, info| {
                number += 1;
                // SAFETY: the caller's function gets what it is declared to take.
                inside(LOCKED, || unsafe { found(userdata, index, value, info) });
            })
        });
        if let Some(hits) = hits {
            hits.set(number);
        }
        Ok(())
    })
}

/// Copies the values of keys into one buffer.
///
/// `buffer` and `values` may be modified even if the call fails.
///
/// ```c
/// const mcrs_slice keys[] = {{"one", 3}, {"two", 3}};
/// mcrs_slice values[2];
/// char room[100];
/// size_t used = 0;
/// assert(mcrs_cache_set(cache, "two", 3, "2", 1, 60) == MCRS_OK);
/// assert(mcrs_cache_get_many_into(cache, keys, 2, room, sizeof room, values, &used) == MCRS_OK);
/// assert(values[0].data == NULL && values[1].len == 1 && used == 1);
/// ```
///
/// @param cache  Cache to work on.
/// @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
/// @param count  Number of keys.
/// @param buffer  Receives the values, one after the other; may be NULL if `buffer_size` is 0.
/// @param buffer_size  Size of `buffer` in bytes.
/// @param values  Receives `count` slices of `buffer`. `data` is NULL for a key without an item
///     only. May be NULL if `count` is 0.
/// @param used  Receives the length of all values in bytes.
/// @return MCRS_OK, also if there is no item; MCRS_BUFFER_TOO_SMALL if the values are longer than
///     `buffer_size`, then `*used` is their length; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_many_into(
    cache: *const mcrs_cache,
    keys: *const mcrs_slice,
    count: usize,
    buffer: *mut c_void,
    buffer_size: usize,
    values: *mut mcrs_slice,
    used: *mut usize,
) -> mcrs_status {
    entry!(cache, {
        keys: keys(keys, count),
        room: room(buffer, buffer_size),
        values: outs(values, count),
        used: out(used),
    }, {
        let mut room = room;
        for index in 0..count {
            values.set(index, mcrs_slice { data: ptr::null(), len: 0 });
        }
        let mut end = 0usize;
        cache.cache.fetch_many(keys.0, |index, entry| {
            let length = entry.len();
            let data: *mut c_void = match room.part(end, length) {
                // An empty value differs from a missing one, also without a buffer.
                _ if length == 0 => ptr::NonNull::<u8>::dangling().as_ptr().cast(),
                Some(part) => {
                    entry.fill(part)?;
                    part.as_mut_ptr().cast()
                }
                None => ptr::null_mut(),
            };
            values.set(index, mcrs_slice { data: data.cast_const(), len: length });
            end = end.saturating_add(length);
            Ok(())
        });
        used.set(end);
        if end > room.size() { Err(mcrs_status::MCRS_BUFFER_TOO_SMALL.into()) } else { Ok(()) }
    })
}

/// Stores values under as many keys.
///
/// It does not stop at a value that cannot be stored. `statuses` and `stored` are written whenever
/// the lists and the cache are valid, also if the call fails.
///
/// ```c
/// const mcrs_slice keys[] = {{"one", 3}, {"", 0}};
/// const mcrs_slice values[] = {{"1", 1}, {"2", 1}};
/// mcrs_status statuses[2];
/// size_t stored = 0;
/// assert(mcrs_cache_set_many(cache, keys, values, 2, 60, statuses, &stored) == MCRS_BAD_KEY);
/// assert(stored == 1 && statuses[0] == MCRS_OK && statuses[1] == MCRS_BAD_KEY);
/// ```
///
/// @param cache  Cache to work on.
/// @param keys  Keys of 1 to 250 bytes; may be NULL if `count` is 0.
/// @param values  Values, one for each key; may be NULL if `count` is 0.
/// @param count  Number of keys and of values.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @param statuses  Receives the status of each store; may be NULL.
/// @param stored  Receives the number of stores that succeeded; may be NULL.
/// @return MCRS_OK, or the status of the first store that failed as with mcrs_cache_set(); or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_set_many(
    cache: *const mcrs_cache,
    keys: *const mcrs_slice,
    values: *const mcrs_slice,
    count: usize,
    ttl: u32,
    statuses: *mut mcrs_status,
    stored: *mut usize,
) -> mcrs_status {
    entry!(cache, {
        keys: list(keys, count),
        values: list(values, count),
        statuses: maybe_outs(statuses, count),
        stored: maybe_out(stored),
    }, {
        let expiry = cache.expires(ttl)?;
        let (mut number, mut first) = (0, mcrs_status::MCRS_OK);
        for (index, (key, value)) in keys.iter().zip(values).enumerate() {
            let status = run(|| {
                // SAFETY: the caller keeps the conventions for each key and value.
                let (key, value) = unsafe { (key_of(*key), value.read()) };
                let request = Request::new(key?, StoreOperation { expiry, ..StoreOperation::default() });
                store(cache, &request, value?).map(drop)
            });
            if let Some(statuses) = &statuses {
                statuses.set(index, status);
            }
            if status == mcrs_status::MCRS_OK {
                number += 1;
            } else if first == mcrs_status::MCRS_OK {
                first = status;
            }
        }
        if let Some(stored) = stored {
            stored.set(number);
        }
        match first {
            mcrs_status::MCRS_OK => Ok(()),
            failed => Err(failed.into()),
        }
    })
}

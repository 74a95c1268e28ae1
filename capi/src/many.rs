//! Many keys in one call.

use std::ffi::c_void;
use std::ptr;

use memcache_core::internal::cache::StoreRequest;

use crate::arguments::{key_of, mcrs_slice};
use crate::cache::{mcrs_cache, mcrs_found_fn, show};
use crate::guard::{LOCKED, inside, invalid, run};
use crate::status::mcrs_status;
use crate::store::store;

/// Shows the values of `count` keys to `found`, in the order of the keys; keys
/// that are not there are left out. `hits`, if not NULL, gets how many are. Where
/// most items are not in the processor's caches this is several times as fast as
/// so many calls of mcrs_cache_get(). All keys must stay as they are until this returns.
///
/// MCRS_BAD_KEY, MCRS_NULL_ARGUMENT: one of the keys; nothing was shown.
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

/// Copies the values of `count` keys to `buffer`, one behind the other.
/// `values[i]` says where that of `keys[i]` lies; its `data` is NULL if there is
/// none, and not NULL if it is empty. `*used` is the number of bytes used.
///
/// MCRS_BUFFER_TOO_SMALL: `*used` says how many bytes were needed; `buffer` and
/// `values` may have been written to.
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
        values: places(values, count),
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
                // An empty value is no missing one, even if there is no buffer.
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

/// Stores `count` values under as many keys, for `ttl` seconds or MCRS_NEVER. It
/// does not stop at one that cannot be stored: `statuses`, if not NULL, gets what
/// became of each, and `stored`, if not NULL, how many were stored, also when the
/// call does not return MCRS_OK.
///
/// Returns the first status that is not MCRS_OK. MCRS_NULL_ARGUMENT for the lists
/// themselves and for the cache: nothing was stored, nothing written.
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
        statuses: maybe_places(statuses, count),
        stored: maybe_out(stored),
    }, {
        let expiry = cache.expires(ttl);
        let (mut number, mut first) = (0, mcrs_status::MCRS_OK);
        for (index, (key, value)) in keys.iter().zip(values).enumerate() {
            let status = run(|| {
                // SAFETY: the caller keeps the contract for each key and value.
                let (key, value) = unsafe { (key_of(*key), value.read()) };
                let request = StoreRequest { expiry, ..StoreRequest::new(key?) };
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
            mcrs_status::MCRS_PANIC => Err(invalid("a store failed inside the library")),
            failed => Err(failed.into()),
        }
    })
}

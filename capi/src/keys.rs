//! The scan of all keys of a cache.

use std::ffi::c_void;

use memcache_core::ItemInfo;
use memcache_core::internal::cache::scan::Scan;

use crate::arguments::mcrs_slice;
use crate::cache::mcrs_cache;
use crate::item::mcrs_info;
use crate::status::mcrs_status;

/// Items copied while a part of the cache is locked.
const STEP: usize = 64;

/// Takes a key, and returns whether the scan should go on.
///
/// `key` and `info` are valid until the callback returns. No lock is held then, so it may call the
/// library.
///
/// ```c
/// static bool count_key(void *userdata, const mcrs_slice *key, const mcrs_info *info) {
///     (void)key, (void)info;
///     ++*(size_t *)userdata;
///     return true;
/// }
/// ```
pub type mcrs_key_fn = Option<
    unsafe extern "C" fn(userdata: *mut c_void, key: *const mcrs_slice, info: *const mcrs_info) -> bool,
>;

/// Calls a callback with each key of a cache, in no order.
///
/// A scan shows every item that exists for its whole time once. Items that come or go
/// during the scan may be shown or not. The cache is locked in parts, and for a few items at a
/// time.
///
/// ```c
/// size_t keys = 0;
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// // count_key: see mcrs_key_fn
/// assert(mcrs_cache_each_key(cache, count_key, &keys) == MCRS_OK && keys == 1);
/// ```
///
/// @param cache  Cache to work on.
/// @param each  Callback; it returns false to end the scan.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_each_key(
    cache: *const mcrs_cache,
    each: mcrs_key_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(cache, { each: callback(each) }, {
        let mut scan = Scan::default();
        let mut bytes = Vec::new();
        let mut found = Vec::new();
        loop {
            bytes.clear();
            found.clear();
            let more = scan.advance(&cache.cache, STEP, |item, time| {
                bytes.extend_from_slice(item.key());
                found.push((bytes.len(), mcrs_info::new(&ItemInfo::new(item, time), 0)));
            });
            let mut start = 0;
            for (end, info) in &found {
                let key = mcrs_slice::of(bytes.get(start..*end).unwrap_or_default());
                start = *end;
                // SAFETY: the caller's function gets what it is declared to take.
                if !unsafe { each(userdata, &raw const key, info) } {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
    })
}

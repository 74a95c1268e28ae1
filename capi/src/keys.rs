//! All keys of a cache, one after the other.

use std::ffi::c_void;

use memcache_core::ItemInfo;
use memcache_core::internal::scan::Scan;

use crate::arguments::mcrs_slice;
use crate::cache::mcrs_cache;
use crate::item::mcrs_info;
use crate::status::mcrs_status;

/// Items that are noted while a part of the cache is locked.
const STEP: usize = 64;

/// Shows a caller a key; `key` and `info` are good until it returns. It returns
/// whether it wants more. Nothing is locked while it runs: it may call this
/// library.
pub type mcrs_key_fn = Option<
    unsafe extern "C" fn(userdata: *mut c_void, key: *const mcrs_slice, info: *const mcrs_info) -> bool,
>;

/// Shows the keys of all items to `each`, in no order, until it returns false.
///
/// Items that stay meanwhile are shown at least once; those that come or go
/// meanwhile may be shown or not. The cache is locked in part and for a few
/// items at a time only.
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

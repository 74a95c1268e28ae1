//! The keys that most requests are for.

use std::ffi::c_void;

use memcache_core::HotKeys;

use crate::arguments::mcrs_slice;
use crate::cache::mcrs_cache;
use crate::server::mcrs_server;
use crate::status::mcrs_status;

/// Holds the requests for a key.
///
/// The numbers are estimates from samples of the last 2 to 4 seconds.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_hot_key {
    /// Key. Valid until the callback returns.
    pub key: mcrs_slice,
    /// Gets, including those that missed.
    pub reads: u64,
    /// Other requests: stores, deletes, touches, increments.
    pub writes: u64,
    /// Requests that may be missing in both numbers, at most. The error of sampling is not in this
    /// number.
    pub error: u64,
    /// Part of all requests that are for this key, from 0 to 1.
    pub share: f64,
    /// Set to 0 by this version.
    pub reserved: [u64; 2],
}

/// Takes a hot key, and returns whether more should follow.
///
/// `key` is valid until the callback returns. No lock is held then, so it may call the library.
///
/// ```c
/// static bool print_hot_key(void *userdata, const mcrs_hot_key *hot) {
///     (void)userdata;
///     printf("%.*s: %.1f%%\n", (int)hot->key.len, (const char *)hot->key.data, hot->share * 100);
///     return true;
/// }
/// ```
pub type mcrs_hot_key_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, key: *const mcrs_hot_key) -> bool>;

fn show(
    hot: &HotKeys,
    each: unsafe extern "C" fn(*mut c_void, *const mcrs_hot_key) -> bool,
    userdata: *mut c_void,
) {
    for key in &hot.keys {
        let shown = mcrs_hot_key {
            key: mcrs_slice::of(&key.key),
            reads: key.reads,
            writes: key.writes,
            error: key.error,
            share: key.share,
            reserved: [0; 2],
        };
        // SAFETY: the caller's function gets what it is declared to take.
        if !unsafe { each(userdata, &raw const shown) } {
            break;
        }
    }
}

/// Calls a callback with the keys that had the most requests.
///
/// They are those of the last 2 to 4 seconds, the one with the most requests first.
///
/// One of `sample_rate` requests is counted. Requests of this program count, and those of clients
/// of a server of this cache.
///
/// ```c
/// // print_hot_key: see mcrs_hot_key_fn
/// assert(mcrs_cache_hot_keys(cache, 10, print_hot_key, NULL) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param most  Number of keys, up to 512.
/// @param each  Callback; it returns false to end the list.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_hot_keys(
    cache: *const mcrs_cache,
    most: usize,
    each: mcrs_hot_key_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(cache, { each: callback(each) }, {
        show(&cache.cache.hot_keys(most), each, userdata);
        Ok(())
    })
}

/// Calls a callback with the keys that had the most requests.
///
/// They are those of the last 2 to 4 seconds, the one with the most requests first.
///
/// See mcrs_cache_hot_keys(). The durations of requests are the group "latency" of
/// mcrs_server_stats().
///
/// @param server  Server to work on.
/// @param most  Number of keys, up to 512.
/// @param each  Callback; it returns false to end the list.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_hot_keys(
    server: *const mcrs_server,
    most: usize,
    each: mcrs_hot_key_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(server, { each: callback(each) }, {
        show(&server.server.hot_keys(most), each, userdata);
        Ok(())
    })
}

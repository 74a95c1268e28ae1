//! Statistics by name, as the command `stats` reports them.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use memcache_core::internal::admin;
use memcache_core::internal::state::ServerState;

use crate::cache::mcrs_cache;
use crate::guard::{Outcome, invalid};
use crate::server::mcrs_server;
use crate::status::mcrs_status;

/// Takes a statistic, and returns whether more should follow.
///
/// `name` and `value` are the texts that memcached writes. They are valid until the callback
/// returns. No lock is held then, so it may call the library.
///
/// ```c
/// static bool print_stat(void *userdata, const char *name, const char *value) {
///     (void)userdata;
///     printf("%s = %s\n", name, value);
///     return true;
/// }
/// ```
pub type mcrs_stat_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, name: *const c_char, value: *const c_char) -> bool>;

fn show(
    context: &ServerState,
    group: Option<&str>,
    each: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> bool,
    userdata: *mut c_void,
) -> Outcome {
    // Collected first, so that no lock is held when the caller sees them.
    let mut list = Vec::new();
    let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
    let group = group.unwrap_or_default();
    if !admin::each_stat(context, group, &mut |name, value| list.push((text(name), text(value)))) {
        return Err(invalid(format!("group must be one that the header names, got \"{group}\"")));
    }
    for (name, value) in list {
        // SAFETY: the caller's function gets what it is declared to take.
        if !unsafe { each(userdata, name.as_ptr(), value.as_ptr()) } {
            break;
        }
    }
    Ok(())
}

/// Calls a callback with each statistic of a cache.
///
/// Statistics about connections read as those of a server without any.
///
/// ```c
/// // print_stat: see mcrs_stat_fn
/// assert(mcrs_cache_stats(cache, NULL, print_stat, NULL) == MCRS_OK);
/// assert(mcrs_cache_stats(cache, "items", print_stat, NULL) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param group  Argument of the command `stats`: "items", "slabs", "sizes", "quotas", "settings",
///     "hotkeys" or "hotkeys 20". NULL and "" mean the general statistics.
/// @param each  Callback; it returns false to end the list.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another group; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_stats(
    cache: *const mcrs_cache,
    group: *const c_char,
    each: mcrs_stat_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(cache, { group: maybe_text(group), each: callback(each) }, {
        show(&ServerState::of_cache(Arc::clone(&cache.cache)), group, each, userdata)
    })
}

/// Calls a callback with each statistic of a server and its cache.
///
/// @param server  Server to work on.
/// @param group  As for mcrs_cache_stats(), and "conns" and "latency".
/// @param each  Callback; it returns false to end the list.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another group; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_stats(
    server: *const mcrs_server,
    group: *const c_char,
    each: mcrs_stat_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(server, { group: maybe_text(group), each: callback(each) }, {
        show(server.server.context(), group, each, userdata)
    })
}

/// Sets the counters of a cache to 0.
///
/// @param cache  Cache to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_reset_stats(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.reset_stats();
        Ok(())
    })
}

/// Sets the counters of a server and its cache to 0.
///
/// @param server  Server to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_reset_stats(server: *const mcrs_server) -> mcrs_status {
    entry!(server, {}, {
        admin::reset_stats(server.server.context());
        Ok(())
    })
}

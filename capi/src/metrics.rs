//! Metrics as text, for a monitoring system.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use memcache_core::internal::state::ServerState;
use memcache_embed::metrics;

use crate::cache::mcrs_cache;
use crate::guard::{Outcome, invalid};
use crate::server::mcrs_server;
use crate::status::mcrs_status;

/// Takes the text of all metrics.
///
/// `text` has `len` bytes of UTF-8 and ends in a NUL after them. It is valid until the callback
/// returns. No lock is held then, so it may call the library.
///
/// ```c
/// static void print_metrics(void *userdata, const char *text, size_t len) {
///     (void)userdata;
///     fwrite(text, 1, len, stdout);
/// }
/// ```
pub type mcrs_metrics_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, text: *const c_char, len: usize)>;

fn show(
    context: &ServerState,
    format: Option<&str>,
    take: unsafe extern "C" fn(*mut c_void, *const c_char, usize),
    userdata: *mut c_void,
) -> Outcome {
    let mut text =
        metrics::text(context, format.unwrap_or("prometheus")).map_err(|e| invalid(e.to_string()))?;
    let length = text.len();
    text.push('\0');
    // SAFETY: the caller's function gets what it is declared to take.
    unsafe { take(userdata, text.as_ptr().cast(), length) };
    Ok(())
}

/// Calls a callback with the metrics of a cache.
///
/// Metrics of connections read as those of a server without any.
///
/// ```c
/// // print_metrics: see mcrs_metrics_fn
/// assert(mcrs_cache_metrics(cache, NULL, print_metrics, NULL) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param format  "prometheus" for the text form 0.0.4 of Prometheus, which NULL means as well, or
///     "openmetrics" for OpenMetrics 1.0.
/// @param take  Callback, called once.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another format; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_metrics(
    cache: *const mcrs_cache,
    format: *const c_char,
    take: mcrs_metrics_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(cache, { format: maybe_text(format), take: callback(take) }, {
        show(&ServerState::of_cache(Arc::clone(&cache.cache)), format, take, userdata)
    })
}

/// Calls a callback with the metrics of a server and its cache.
///
/// The names are those of Prometheus' memcached exporter, and further ones that begin with
/// memcache_rs_. A program that has an HTTP server can answer a scrape with the text.
///
/// @param server  Server to work on.
/// @param format  As for mcrs_cache_metrics().
/// @param take  Callback, called once.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT for another format; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_server_metrics(
    server: *const mcrs_server,
    format: *const c_char,
    take: mcrs_metrics_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(server, { format: maybe_text(format), take: callback(take) }, {
        show(server.server.context(), format, take, userdata)
    })
}

//! The clock of a cache, which tests can stop and move.

use crate::cache::mcrs_cache;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// Returns the time of a cache's clock.
///
/// @param cache  Cache to work on.
/// @param seconds  Receives the Unix time in whole seconds.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_now(cache: *const mcrs_cache, seconds: *mut i64) -> mcrs_status {
    entry!(cache, { output: out(seconds) }, {
        output.set(cache.cache.clock().unix());
        Ok(())
    })
}

/// Stops the clock of a cache.
///
/// mcrs_clock_advance() still moves it.
///
/// @param cache  Cache to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_freeze(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().freeze();
        Ok(())
    })
}

/// Starts the clock of a cache from where it stands.
///
/// @param cache  Cache to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_resume(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().resume();
        Ok(())
    })
}

/// Sets the clock of a cache to the system's time, and starts it.
///
/// @param cache  Cache to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_reset(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().reset();
        Ok(())
    })
}

/// Moves the clock of a cache.
///
/// ```c
/// assert(mcrs_clock_freeze(cache) == MCRS_OK);
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// assert(mcrs_clock_advance(cache, 60) == MCRS_OK);
/// assert(mcrs_cache_delete(cache, "greeting", 8) == MCRS_NOT_FOUND);    // it has expired
/// ```
///
/// @param cache  Cache to work on.
/// @param seconds  Seconds to move it by, backwards if negative. The clock reaches from 34 years
///     before the cache was made to 102 years after.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if the clock does not reach that time, then it is not
///     moved; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_advance(cache: *const mcrs_cache, seconds: i64) -> mcrs_status {
    entry!(cache, {}, {
        let moved = cache.cache.clock().advance(seconds);
        moved.map_err(|error| invalid(error.to_string()))
    })
}

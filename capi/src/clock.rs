//! The clock of a cache, which tests can stop and move.

use crate::cache::mcrs_cache;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// The Unix time that the cache goes by, in whole seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_now(cache: *const mcrs_cache, seconds: *mut i64) -> mcrs_status {
    entry!(cache, { place: out(seconds) }, {
        let clock = cache.cache.clock();
        place.set(i64::from(clock.now()) + clock.origin());
        Ok(())
    })
}

/// Stops the clock; mcrs_clock_advance() still moves it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_freeze(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().freeze();
        Ok(())
    })
}

/// Lets the clock run again from where it stands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_resume(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().resume();
        Ok(())
    })
}

/// Sets the clock to what the time is for the system, and lets it run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_reset(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.clock().reset();
        Ok(())
    })
}

/// Moves the clock by `seconds`, backwards if negative.
///
/// MCRS_INVALID_ARGUMENT: it reaches from 34 years before the cache was made to
/// 102 years after; then it is not moved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_clock_advance(cache: *const mcrs_cache, seconds: i64) -> mcrs_status {
    entry!(cache, {}, {
        let moved = cache.cache.clock().advance(seconds);
        moved.map_err(|error| invalid(error.to_string()))
    })
}

//! Times to live as Python gives them.

use std::time::Duration;

use memcache_core::{Cache, Ttl};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::errors;

/// Longest time to live, in seconds: 100 years. More is a mistake, such as
/// milliseconds, or a Unix time.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// The second of the clock of `cache` at which an item stored now with this
/// `ttl` expires; 0: never.
///
/// `None` is never; a number is seconds, of which a part counts as a whole
/// one. A datetime counts from what Python's `time.time()` returns now, also
/// where a test has that faked; one without a zone is local time. A datetime
/// that is over expires at once.
#[inline]
pub fn expiry(cache: &Cache, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
    match ttl {
        None => Ok(0),
        Some(ttl) => given(cache, ttl),
    }
}

fn given(cache: &Cache, ttl: &Bound<'_, PyAny>) -> PyResult<u32> {
    if ttl.cast::<PyBool>().is_ok() {
        return Err(errors::bad_ttl("a bool is no ttl"));
    }
    // Datetimes are known by what they can do: while a test fakes dates, the classes
    // in the module `datetime` are others.
    let seconds: f64 = if let Ok(seconds) = ttl.extract() {
        seconds
    } else if ttl.hasattr("total_seconds")? {
        ttl.call_method0("total_seconds")?.extract()?
    } else if ttl.hasattr("timestamp")? {
        let time: f64 = ttl.call_method0("timestamp")?.extract()?;
        // Looked up at each call: that is how the faking packages replace it.
        let now: f64 = ttl.py().import("time")?.call_method0("time")?.extract()?;
        // Both are rounded, so a whole second may come out a microsecond longer.
        let seconds = (((time - now) * 1000.0).round() / 1000.0).ceil();
        if seconds > LONGEST {
            return Err(errors::bad_ttl("a ttl of more than 100 years"));
        }
        // 0 would be never, so a moment before the clock began is second 1.
        return Ok((f64::from(cache.clock().now()) + seconds).clamp(1.0, f64::from(u32::MAX)) as u32);
    } else {
        let kind = ttl.get_type().name()?;
        return Err(errors::bad_ttl(&format!("{kind} is no ttl")));
    };
    if !(0.0..=LONGEST).contains(&seconds) {
        let why = if seconds < 0.0 {
            "a negative ttl"
        } else {
            "a ttl that is no number, or of more than 100 years"
        };
        return Err(errors::bad_ttl(why));
    }
    Ok(cache.expires(Ttl::After(Duration::from_secs_f64(seconds))))
}

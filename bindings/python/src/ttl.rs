//! TTLs as Python passes them.

use std::time::Duration;

use memcache_core::{Cache, Ttl};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::errors;
use crate::number::Float;

/// The longest TTL in seconds: 100 years. A longer one is a mistake, such as milliseconds or a Unix
/// time.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// Returns the second of the cache's clock at which an item with this `ttl` expires. 0 means never.
///
/// `None` never expires. A number is in seconds, rounded up. A datetime counts from what Python's
/// `time.time()` returns, also where a test fakes that; without a zone it is local time. A datetime
/// in the past expires at once.
#[inline]
pub fn expiry(cache: &Cache, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
    match ttl {
        None => Ok(0),
        Some(ttl) => named_expiry(cache, "ttl", ttl),
    }
}

/// Like [`expiry`], for a time that is not `None`. `name` is the parameter that errors name.
pub fn named_expiry(cache: &Cache, name: &str, ttl: &Bound<'_, PyAny>) -> PyResult<u32> {
    let refuse = || {
        let kind = ttl.get_type().name()?;
        Err(errors::bad_ttl(format!("{name} must be seconds, a timedelta, a datetime or None, got {kind}")))
    };
    if ttl.cast::<PyBool>().is_ok() {
        return refuse();
    }
    // The methods tell datetimes from other objects. A test that fakes dates replaces the classes
    // in the module `datetime`.
    let seconds: f64 = if let Ok(Float(seconds)) = ttl.extract() {
        seconds
    } else if ttl.hasattr("total_seconds")? {
        ttl.call_method0("total_seconds")?.extract()?
    } else if ttl.hasattr("timestamp")? {
        let time: f64 = ttl.call_method0("timestamp")?.extract()?;
        // Looked up at each call, because the faking packages replace the function.
        let now: f64 = ttl.py().import("time")?.call_method0("time")?.extract()?;
        // Both are rounded, so whole seconds may come out a microsecond too long.
        let seconds = (((time - now) * 1000.0).round() / 1000.0).ceil();
        if seconds > LONGEST {
            return Err(too_long(name, ttl));
        }
        // 0 means never, so a time before the clock began becomes second 1.
        return Ok((f64::from(cache.clock().now()) + seconds).clamp(1.0, f64::from(u32::MAX)) as u32);
    } else {
        return refuse();
    };
    if seconds > LONGEST {
        return Err(too_long(name, ttl));
    }
    if seconds.is_nan() || seconds < 0.0 {
        return Err(errors::bad_ttl(format!("{name} must not be negative or NaN, got {}", shown(ttl))));
    }
    Ok(cache.expires(Ttl::After(Duration::from_secs_f64(seconds))))
}

#[cold]
fn too_long(name: &str, ttl: &Bound<'_, PyAny>) -> PyErr {
    errors::bad_ttl(format!("{name} must be at most 100 years, got {}", shown(ttl)))
}

/// Returns a time as an error shows it.
fn shown(ttl: &Bound<'_, PyAny>) -> String {
    // Python refuses to convert a number of thousands of digits to text.
    ttl.str().map_or_else(|_| "a longer number".to_owned(), |text| text.to_string())
}

//! TTLs as Python passes them.

use memcache_core::Cache;
use memcache_embed::ttl::{self, TtlError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::errors;
use crate::number::Float;

/// Returns the second of the cache's clock at which an item with this `ttl` expires. 0 means never.
///
/// `None` never expires. A number is in seconds. A datetime counts from what Python's `time.time()`
/// returns, also where a test fakes that; without a zone it is local time.
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
    if let Ok(Float(seconds)) = ttl.extract() {
        return ttl::after(cache, seconds).map_err(|error| refusal(error, name, ttl));
    }
    let expiry = if ttl.hasattr("total_seconds")? {
        ttl::after(cache, ttl.call_method0("total_seconds")?.extract()?)
    } else if ttl.hasattr("timestamp")? {
        let time = ttl.call_method0("timestamp")?.extract()?;
        // Looked up at each call, because the faking packages replace the function.
        let now = ttl.py().import("time")?.call_method0("time")?.extract()?;
        ttl::at(cache, time, now)
    } else {
        return refuse();
    };
    expiry.map_err(|error| refusal(error, name, ttl))
}

#[cold]
fn refusal(error: TtlError, name: &str, ttl: &Bound<'_, PyAny>) -> PyErr {
    let rule = match error {
        TtlError::TooLong => "must be at most 100 years",
        _ => "must not be negative or NaN",
    };
    // Python refuses to convert a number of thousands of digits to text.
    let given = ttl.str().map_or_else(|_| "a longer number".to_owned(), |text| text.to_string());
    errors::bad_ttl(format!("{name} {rule}, got {given}"))
}

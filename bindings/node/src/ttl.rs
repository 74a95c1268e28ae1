//! TTLs as JavaScript gives them.

use memcache_core::Cache;
use memcache_embed::ttl;

use crate::errors::{self, Failure};
use crate::raw::Value;

/// Converts a TTL into the second of the cache's clock at which an item stored now expires.
///
/// `undefined` and `null` mean that the item does not expire: 0. A number is seconds. A Date is the
/// moment itself, by the clock of the cache. `name` is the parameter, for the error.
#[inline]
pub fn expiry(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<u32, Failure> {
    match ttl.number() {
        Some(seconds) => ttl::after(cache, seconds).map_err(|_| errors::bad_ttl(name, &seconds.to_string())),
        None => at(cache, ttl, name),
    }
}

/// Like [`expiry`], but returns `None` for `undefined` and `null`.
#[inline]
pub fn optional_expiry(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<Option<u32>, Failure> {
    if ttl.is_nothing() { Ok(None) } else { expiry(cache, ttl, name).map(Some) }
}

fn at(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<u32, Failure> {
    let Some(milliseconds) = ttl.date() else {
        return if ttl.is_nothing() { Ok(0) } else { Err(errors::bad_ttl(name, ttl.type_name())) };
    };
    let (time, now) = (milliseconds / 1000.0, ttl::unix_time(cache) as f64);
    ttl::at(cache, time, now).map_err(|_| {
        let ahead = time - now;
        let got =
            if ahead.is_nan() { "an invalid Date".into() } else { format!("a Date {ahead} seconds ahead") };
        errors::bad_ttl(name, &got)
    })
}

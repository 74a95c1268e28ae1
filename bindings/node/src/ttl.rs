//! TTLs as JavaScript gives them.

use std::time::Duration;

use memcache_core::{Cache, Ttl};

use crate::errors::{self, Failure};
use crate::raw::Value;

/// Longest TTL in seconds: 100 years. A larger number is a mistake, such as milliseconds or a Unix
/// time.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// Converts a TTL into the second of the cache's clock at which an item stored now expires.
///
/// `undefined` and `null` mean that the item does not expire: 0. A number is seconds, rounded up. A
/// Date is the moment itself. A TTL of 0 or a moment in the past expires at once. `name` is the
/// parameter, for the error.
#[inline]
pub fn expiry(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<u32, Failure> {
    match ttl.number() {
        Some(seconds) => after(cache, seconds, name),
        None => at(cache, ttl, name),
    }
}

/// Like [`expiry`], but returns `None` for `undefined` and `null`.
#[inline]
pub fn optional_expiry(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<Option<u32>, Failure> {
    if ttl.is_nothing() { Ok(None) } else { expiry(cache, ttl, name).map(Some) }
}

#[inline]
fn after(cache: &Cache, seconds: f64, name: &str) -> Result<u32, Failure> {
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(errors::bad_ttl(name, &seconds.to_string()));
    }
    Ok(cache.expires(Ttl::After(Duration::from_secs_f64(seconds))))
}

fn at(cache: &Cache, ttl: Value<'_>, name: &str) -> Result<u32, Failure> {
    if let Some(time) = ttl.date() {
        if time.is_nan() {
            return Err(errors::bad_ttl(name, "an invalid Date"));
        }
        let second = (time / 1000.0).ceil() - cache.clock().origin() as f64;
        let ahead = second - f64::from(cache.clock().now());
        if ahead > LONGEST {
            return Err(errors::bad_ttl(name, &format!("a Date {ahead} seconds ahead")));
        }
        // 0 would mean that the item does not expire, so a moment in the past becomes second 1.
        return Ok(second.clamp(1.0, f64::from(u32::MAX)) as u32);
    }
    if ttl.is_nothing() {
        return Ok(0);
    }
    Err(errors::bad_ttl(name, ttl.type_name()))
}

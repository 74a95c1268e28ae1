//! Times to live as JavaScript gives them.

use std::time::Duration;

use memcache_core::{Cache, Ttl};

use crate::errors::{self, Failure};
use crate::raw::Value;

/// Longest time to live, in seconds: 100 years. More is a mistake, such as
/// milliseconds, or a Unix time.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// The second of the clock of `cache` at which an item stored now with this
/// `ttl` expires; 0: never.
///
/// Nothing is never; a number is seconds, of which a part counts as a whole
/// one; a Date is the moment itself. What is over expires at once.
#[inline]
pub fn expiry(cache: &Cache, ttl: Value<'_>) -> Result<u32, Failure> {
    match ttl.number() {
        Some(seconds) => after(cache, seconds),
        None => other(cache, ttl),
    }
}

/// The same, of what may be left out.
#[inline]
pub fn given(cache: &Cache, ttl: Value<'_>) -> Result<Option<u32>, Failure> {
    if ttl.is_nothing() { Ok(None) } else { expiry(cache, ttl).map(Some) }
}

#[inline]
fn after(cache: &Cache, seconds: f64) -> Result<u32, Failure> {
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

fn other(cache: &Cache, ttl: Value<'_>) -> Result<u32, Failure> {
    if let Some(time) = ttl.date() {
        let second = (time / 1000.0).ceil() - cache.clock().origin() as f64;
        if second.is_nan() || second - f64::from(cache.clock().now()) > LONGEST {
            return Err(errors::bad_ttl("a Date that is none, or in more than 100 years"));
        }
        // 0 would be never, so what is long over expires at second 1.
        return Ok(second.clamp(1.0, f64::from(u32::MAX)) as u32);
    }
    if ttl.is_nothing() {
        return Ok(0);
    }
    Err(errors::bad_ttl(&format!("{} is no ttl", ttl.word())))
}

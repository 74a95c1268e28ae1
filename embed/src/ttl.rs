//! TTLs: how long an item lives, as programs in other languages pass it.
//!
//! The rules are the same in all of them. A number is in seconds, and a part of a second counts as
//! a whole one. 0 expires at once. A moment in the past expires at once, too. The limit is
//! [`LONGEST`]. Each language has its own value for an item that does not expire (`None`,
//! `undefined`, `MCRS_NEVER`), and passes none of them here.

use std::error::Error;
use std::fmt;

use memcache_core::Cache;

/// Longest TTL in seconds: 100 years of 365.25 days. A larger number is a mistake, such as
/// milliseconds.
pub use memcache_core::internal::cache::LONGEST;

/// A time that is not a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TtlError {
    /// It is negative.
    Negative,
    /// It is not a number.
    NotANumber,
    /// It is longer than [`LONGEST`].
    TooLong,
}

impl fmt::Display for TtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Negative | Self::NotANumber => "ttl must not be negative or NaN",
            Self::TooLong => "ttl must be at most 100 years",
        })
    }
}

impl Error for TtlError {}

/// Returns the second of the cache's clock at which an item stored now expires after `seconds`.
///
/// # Errors
/// `seconds` is negative, not a number, or more than [`LONGEST`].
#[inline]
pub fn after(cache: &Cache, seconds: f64) -> Result<u32, TtlError> {
    if !(0.0..=f64::from(LONGEST)).contains(&seconds) {
        return Err(refusal(seconds));
    }
    let whole = seconds as u32;
    // As in `Cache::expires`, whose durations have whole nanoseconds: less than half of one is a
    // rounding error. A `Duration` would take 30 instructions more.
    let is_more = seconds - f64::from(whole) > 0.5e-9;
    after_whole(cache, whole + u32::from(is_more))
}

/// Returns the second of the cache's clock at which an item stored now expires after whole
/// `seconds`.
///
/// # Errors
/// `seconds` is more than [`LONGEST`].
#[inline]
pub fn after_whole(cache: &Cache, seconds: u32) -> Result<u32, TtlError> {
    if seconds > LONGEST {
        return Err(TtlError::TooLong);
    }
    Ok(cache.clock().now().saturating_add(seconds).max(1))
}

/// Returns the second of the cache's clock at the moment `time`, counted from `now`. Both are in
/// seconds of one clock: that of the program, or that of the cache.
///
/// # Errors
/// `time` is not a number, or is more than [`LONGEST`] after `now`.
pub fn at(cache: &Cache, time: f64, now: f64) -> Result<u32, TtlError> {
    // Both numbers are rounded, so whole seconds may come out a microsecond too long.
    let ahead = (((time - now) * 1000.0).round() / 1000.0).ceil();
    if ahead.is_nan() {
        return Err(TtlError::NotANumber);
    }
    if ahead > f64::from(LONGEST) {
        return Err(TtlError::TooLong);
    }
    // 0 would mean never, so a time before the clock began becomes second 1.
    Ok((f64::from(cache.clock().now()) + ahead).clamp(1.0, f64::from(u32::MAX)) as u32)
}

/// Returns the present Unix time of the cache's clock, in seconds. Pass it to [`at`] for moments
/// that count from that clock.
pub fn unix_time(cache: &Cache) -> i64 {
    cache.clock().unix()
}

#[cold]
fn refusal(seconds: f64) -> TtlError {
    if seconds.is_nan() {
        TtlError::NotANumber
    } else if seconds < 0.0 {
        TtlError::Negative
    } else {
        TtlError::TooLong
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use memcache_core::{CacheConfig, Ttl};

    use super::*;

    fn cache() -> Arc<Cache> {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        cache.clock().freeze();
        cache
    }

    #[test]
    fn a_part_of_a_second_counts_as_a_whole_one() {
        let cache = cache();
        let now = cache.clock().now();
        for (seconds, ahead) in [(0.0, 0), (0.001, 1), (1.0, 1), (1.5, 2), (60.0, 60)] {
            assert_eq!(after(&cache, seconds), Ok(now + ahead), "{seconds}");
        }
        // The core takes a duration, and rounds in the same way.
        for seconds in
            [0.0, 3e-10, 6e-10, 1e-9, 0.999_999_999_9, 60.0 * 1.1, 66.0 + 1e-9, 1e9, 3_155_759_999.5]
        {
            let expiry = cache.expires(Ttl::After(Duration::from_secs_f64(seconds)));
            assert_eq!(after(&cache, seconds), Ok(expiry), "{seconds}");
        }
        assert_eq!(after_whole(&cache, 60), Ok(now + 60));
    }

    #[test]
    fn the_limit_is_the_same_for_all_kinds_of_times() {
        let cache = cache();
        let longest = f64::from(LONGEST);
        assert!(after(&cache, longest).is_ok());
        assert_eq!(after(&cache, longest + 1.0), Err(TtlError::TooLong));
        assert_eq!(after(&cache, f64::INFINITY), Err(TtlError::TooLong));
        assert!(after_whole(&cache, LONGEST).is_ok());
        assert_eq!(after_whole(&cache, LONGEST + 1), Err(TtlError::TooLong));
        assert!(at(&cache, longest, 0.0).is_ok());
        // A `Duration` of Rust cannot be refused, and counts as the longest.
        for seconds in [LONGEST.into(), u64::from(LONGEST) + 1, u64::MAX] {
            let expiry = cache.expires(Ttl::After(Duration::from_secs(seconds)));
            assert_eq!(after(&cache, longest), Ok(expiry), "{seconds}");
        }
        assert_eq!(at(&cache, longest + 1.0, 0.0), Err(TtlError::TooLong));
    }

    #[test]
    fn times_that_are_no_ttl_are_refused() {
        let cache = cache();
        assert_eq!(after(&cache, -0.1), Err(TtlError::Negative));
        assert_eq!(after(&cache, f64::NEG_INFINITY), Err(TtlError::Negative));
        assert_eq!(after(&cache, f64::NAN), Err(TtlError::NotANumber));
        assert_eq!(at(&cache, f64::NAN, 0.0), Err(TtlError::NotANumber));
    }

    #[test]
    fn a_moment_counts_from_now_and_never_means_never() {
        let cache = cache();
        let now = cache.clock().now();
        // 0.1 + 0.2 is a little more than 0.3.
        assert_eq!(at(&cache, 1000.1 + 0.2, 999.3), Ok(now + 1));
        assert_eq!(at(&cache, 1000.5, 1000.0), Ok(now + 1));
        assert_eq!(at(&cache, 0.0, 4e9), Ok(1));
        let unix = unix_time(&cache) as f64;
        assert_eq!(at(&cache, unix + 10.0, unix), Ok(now + 10));
    }
}

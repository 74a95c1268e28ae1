//! Numbers of seconds: how long to wait, and how far to move a clock.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Returns a time to wait. A number that is negative or not a number means not to wait, and one
/// that no `Duration` can hold means without limit.
pub fn patience(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// A number of seconds by which a clock cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotWholeSeconds(pub f64);

impl fmt::Display for NotWholeSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seconds must be a whole number between -4294967295 and 4294967295, got {}", self.0)
    }
}

impl Error for NotWholeSeconds {}

/// Returns seconds by which a clock is moved.
///
/// # Errors
/// `seconds` is not whole, or not between -(2^32 - 1) and 2^32 - 1.
pub fn whole_seconds(seconds: f64) -> Result<i64, NotWholeSeconds> {
    if seconds.fract() != 0.0 || seconds.abs() >= f64::from(u32::MAX) {
        return Err(NotWholeSeconds(seconds));
    }
    Ok(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_wait_have_no_bad_numbers() {
        assert_eq!(patience(0.25), Duration::from_millis(250));
        assert_eq!((patience(-1.0), patience(f64::NAN)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(patience(f64::INFINITY), Duration::MAX);
    }

    #[test]
    fn clocks_move_by_whole_seconds() {
        assert_eq!(whole_seconds(-60.0), Ok(-60));
        for seconds in [0.5, 4_294_967_295.0, f64::INFINITY] {
            assert_eq!(whole_seconds(seconds), Err(NotWholeSeconds(seconds)));
        }
        assert!(whole_seconds(f64::NAN).is_err());
    }
}

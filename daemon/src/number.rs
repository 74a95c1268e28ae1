//! Numbers of the command line: decimal, octal, and sizes with a unit.
//!
//! memcached mostly parses with `atoi`, which takes "12x" for 12 and "x" for 0. These functions
//! refuse such values. They allow blanks around a number.

use std::str::FromStr;

use memcache_core::internal::config::MIB;

/// Parses a decimal number. Returns `None` if `text` is not one.
pub fn whole<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// Parses a finite number. Returns `None` if `text` is not one.
pub fn real(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

/// Parses permission bits in octal.
pub fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim(), 8).ok()
}

/// Parses bytes with an optional `k` or `m` (`-I`).
pub fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 1024),
        b'm' | b'M' => (text.get(..text.len() - 1)?, MIB),
        _ => (text, 1),
    };
    whole::<usize>(digits)?.checked_mul(unit)
}

/// Parses megabytes into bytes (`-m`). "64m" and "64MB" mean the same as in memcached, whose `atoi`
/// ignores the unit. "4g" is refused, because `atoi` takes it for 4 megabytes.
pub fn megabytes(text: &str) -> Option<usize> {
    let text = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['m', 'M']);
    whole::<usize>(text)?.checked_mul(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wholes() {
        assert_eq!(whole::<i32>("-1"), Some(-1));
        assert_eq!(whole::<u32>(" 12\n"), Some(12));
        for bad in ["", "x", "12x", "1.5", "0x10"] {
            assert_eq!(whole::<u32>(bad), None, "{bad}");
        }
        assert_eq!(whole::<u32>("4294967296"), None);
    }

    #[test]
    fn reals() {
        assert_eq!(real("1.25"), Some(1.25));
        assert_eq!(real("inf"), None);
        assert_eq!(real("nan"), None);
        assert_eq!(real("1.25x"), None);
    }

    #[test]
    fn octals() {
        assert_eq!(octal("0755"), Some(0o755));
        assert_eq!(octal("789"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1024"), Some(1024));
        assert_eq!(size("512k"), Some(512 * 1024));
        assert_eq!(size("2M"), Some(2 * MIB));
        for bad in ["", "k", "m", "1g", "-1k", "1.5m", "99999999999999m", "é"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(megabytes("64"), Some(64 * MIB));
        assert_eq!(megabytes("64m"), Some(64 * MIB));
        assert_eq!(megabytes("64MB"), Some(64 * MIB));
        for bad in ["", "4g", "-1", "mb", "99999999999999999"] {
            assert_eq!(megabytes(bad), None, "{bad}");
        }
    }
}

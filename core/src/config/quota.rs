//! Quotas: the most bytes of the items whose keys begin with a prefix.

use std::str::FromStr;

use super::setting::bytes;
use super::size::KEY_MAX;
use crate::base::error::{ConfigError, ConfigRule};

/// Most quotas of a cache.
pub(super) const QUOTAS_MOST: usize = 1024;

/// A quota of [`CacheConfig::quotas`](super::CacheConfig::quotas). [`str::parse`] reads
/// `PREFIX:SIZE`, such as `site1::64m`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaConfig {
    /// The prefix of the keys, 1 to 250 bytes.
    pub prefix: Vec<u8>,
    /// Most bytes of the items, as `stats` counts them.
    pub bytes: u64,
}

impl QuotaConfig {
    /// Returns a quota.
    pub fn new(prefix: impl Into<Vec<u8>>, bytes: u64) -> Self {
        Self { prefix: prefix.into(), bytes }
    }
}

impl FromStr for QuotaConfig {
    type Err = ConfigError;

    /// Reads `PREFIX:SIZE`. The last colon separates them.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parts = text.rsplit_once(':').and_then(|(prefix, size)| {
            let size = u64::try_from(bytes(size)?).ok()?;
            (!prefix.is_empty()).then(|| Self::new(prefix, size))
        });
        parts.ok_or_else(|| {
            let text = format!("quota must be PREFIX:SIZE, such as site1::64m, got {text:?}");
            ConfigError::new("quota", ConfigRule::Type, text)
        })
    }
}

/// Checks a prefix beside those of the quotas that are there. It may be one of them.
///
/// # Errors
/// The prefix has no byte or too many, overlaps with another, or is one too many.
pub(crate) fn check_quota<'q>(
    prefix: &[u8],
    others: impl ExactSizeIterator<Item = &'q [u8]>,
) -> Result<(), ConfigError> {
    if !(1..=KEY_MAX).contains(&prefix.len()) {
        let text = format!("quota must have a prefix of 1 to {KEY_MAX} bytes, got {} bytes", prefix.len());
        return Err(ConfigError::new("quota", ConfigRule::Range, text));
    }
    let (count, mut is_known) = (others.len(), false);
    for other in others {
        if other == prefix {
            is_known = true;
        } else if other.starts_with(prefix) || prefix.starts_with(other) {
            let (prefix, other) = (prefix.escape_ascii(), other.escape_ascii());
            let text = format!("quota must not overlap with another, got {prefix} beside {other}");
            return Err(ConfigError::new("quota", ConfigRule::Conflict, text));
        }
    }
    if count >= QUOTAS_MOST && !is_known {
        let text = format!("quota must be one of at most {QUOTAS_MOST}");
        return Err(ConfigError::new("quota", ConfigRule::Range, text));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_separates_prefix_and_size() {
        let read = |text: &str| text.parse::<QuotaConfig>().map_err(|e| e.message);
        assert_eq!(read("site1::64m"), Ok(QuotaConfig::new("site1:", 64 << 20)));
        assert_eq!(read("a:1024"), Ok(QuotaConfig::new("a", 1024)));
        assert_eq!(read("é:0"), Ok(QuotaConfig::new("é", 0)));
        for text in ["", "a", ":1m", "a:", "a:x", "a:-1", "1m"] {
            let wanted = format!("quota must be PREFIX:SIZE, such as site1::64m, got {text:?}");
            assert_eq!(read(text), Err(wanted));
        }
    }

    #[test]
    fn prefixes_do_not_overlap() {
        let check = |prefix: &str, others: &[&str]| {
            let others: Vec<&[u8]> = others.iter().map(|other| other.as_bytes()).collect();
            check_quota(prefix.as_bytes(), others.iter().copied())
        };
        assert_eq!(check("a:", &["b:", "a;", "a:"]), Ok(()));
        for (prefix, other) in [("a:", "a"), ("a", "a:")] {
            let error = check(prefix, &["b", other]).unwrap_err();
            assert_eq!(
                error.message,
                format!("quota must not overlap with another, got {prefix} beside {other}")
            );
        }
        assert!(check("", &[]).is_err() && check(&"k".repeat(251), &[]).is_err());
        let many: Vec<String> = (0..QUOTAS_MOST).map(|n| format!("{n:04}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(check("0007", &many).is_ok() && check("new", &many).is_err());
    }
}

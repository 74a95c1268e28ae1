//! A rule of a route for the TTLs of requests.

use std::fmt;

/// Longest TTL in seconds. A larger number of a request is a Unix time.
pub const LONGEST_TTL: i64 = 30 * 24 * 3600;

/// A rule for the TTL of items, in seconds from 1 to [`LONGEST_TTL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlRule {
    /// Each item has this TTL, as by memcached's `route_ttl`. That one does not know the flag `N`.
    Exactly(u32),
    /// No item has a longer TTL. The TTL that an item gets if `N` makes it has this limit, too.
    AtMost(u32),
}

impl TtlRule {
    /// Returns the rule for a route with this rule inside one with `outer`.
    pub fn inside(self, outer: Option<Self>) -> Self {
        match (self, outer) {
            (Self::AtMost(own), Some(Self::AtMost(outer))) => Self::AtMost(own.min(outer)),
            (Self::AtMost(own), Some(Self::Exactly(outer))) => Self::Exactly(own.min(outer)),
            _ => self,
        }
    }

    /// Returns the TTL in place of a client's exptime, or `None` if that stays. An exptime is
    /// memcached's: 0 for an item that never expires, less for one that has expired, and a Unix
    /// time beyond [`LONGEST_TTL`]. Any other text stays, so that the backend refuses it.
    /// `second` is the Unix time.
    pub fn replace(self, exptime: Option<i64>, second: u64) -> Option<u32> {
        match self {
            Self::Exactly(seconds) => Some(seconds),
            Self::AtMost(seconds) => {
                let left = match exptime? {
                    0 => i64::MAX,
                    relative @ ..=LONGEST_TTL => relative,
                    time => time.saturating_sub_unsigned(second),
                };
                (left > seconds.into()).then_some(seconds)
            }
        }
    }
}

impl fmt::Display for TtlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(seconds) => write!(f, "{seconds} s"),
            Self::AtMost(seconds) => write!(f, "at most {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_does_not_lengthen() {
        let (now, limit) = (1_800_000_000, TtlRule::AtMost(60));
        for (exptime, expected) in [
            (None, None),
            (Some(0), Some(60)),
            (Some(1), None),
            (Some(60), None),
            (Some(61), Some(60)),
            (Some(LONGEST_TTL), Some(60)),
            (Some(-1), None),
            (Some(i64::MIN), None),
            // A Unix time: long ago, soon, and late.
            (Some(LONGEST_TTL + 1), None),
            (Some(1_800_000_060), None),
            (Some(1_800_000_061), Some(60)),
            (Some(i64::MAX), Some(60)),
        ] {
            assert_eq!(limit.replace(exptime, now), expected, "{exptime:?}");
            assert_eq!(TtlRule::Exactly(60).replace(exptime, now), Some(60), "{exptime:?}");
        }
    }

    #[test]
    fn rules_inside_each_other() {
        use TtlRule::{AtMost, Exactly};
        for (inner, outer, expected) in [
            (AtMost(5), None, AtMost(5)),
            (AtMost(5), Some(AtMost(9)), AtMost(5)),
            (AtMost(9), Some(AtMost(5)), AtMost(5)),
            (AtMost(9), Some(Exactly(5)), Exactly(5)),
            (AtMost(5), Some(Exactly(9)), Exactly(5)),
            (Exactly(9), Some(AtMost(5)), Exactly(9)),
            (Exactly(9), Some(Exactly(5)), Exactly(9)),
        ] {
            assert_eq!(inner.inside(outer), expected, "{inner} in {outer:?}");
        }
    }
}

//! How long an item lives, as programs say it.

use std::time::Duration;

/// How long an item lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ttl {
    /// The item lives until it is deleted, evicted or flushed.
    #[default]
    Never,
    /// The item expires when the clock has advanced by this many seconds, rounded up: up to one
    /// second early. Zero expires at once.
    After(Duration),
}

impl From<Duration> for Ttl {
    fn from(time: Duration) -> Self {
        Self::After(time)
    }
}

impl From<Option<Duration>> for Ttl {
    /// `None` is [`Ttl::Never`].
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Self::Never, Self::After)
    }
}

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
    ///
    /// A time of more than [`Ttl::LONGEST`] counts as that. The other faces take numbers of seconds
    /// and refuse such a one, because it is in another unit. A `Duration` has its unit, and
    /// [`Cache::touch`](super::Cache::touch) has no error for it.
    After(Duration),
}

impl Ttl {
    /// The longest time that an item lives: 100 years of 365.25 days.
    pub const LONGEST: Duration = Duration::from_secs(LONGEST as u64);
}

/// The seconds of [`Ttl::LONGEST`].
pub const LONGEST: u32 = 3_155_760_000;

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

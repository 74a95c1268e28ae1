//! The numbers of the logs of a shard.

/// The number of a log of a shard. A weighted rank is the binary logarithm of the least weight of
/// its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Rank(u8);

impl Rank {
    /// Number of ranks.
    pub(in crate::store) const COUNT: usize = 32;
    /// The log of COLD items, in the order of arrival.
    pub(in crate::store) const ORDERED: Self = Self(30);
    /// The log of items that are never evicted.
    pub(in crate::store) const TEMPORARY: Self = Self(31);

    /// Iterates over all ranks.
    pub(in crate::store) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Returns the index among all ranks.
    #[inline]
    pub(in crate::store) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Returns the rank with this index.
    pub(in crate::store) fn at(index: usize) -> Self {
        debug_assert!(index < Self::COUNT);
        Self(index as u8)
    }

    /// Returns the rank of items whose weight has this binary logarithm, which is below 30.
    #[inline]
    pub(in crate::store) fn weighted(log2: u8) -> Self {
        debug_assert!(log2 < Self::ORDERED.0);
        Self(log2)
    }

    /// Returns whether the log is one of those by weight.
    pub(in crate::store) fn is_weighted(self) -> bool {
        self.0 < Self::ORDERED.0
    }

    /// Returns the priority of a segment that is opened at `inflation`.
    pub(in crate::store) fn priority(self, inflation: u64) -> u64 {
        if self.is_weighted() { inflation + (1 << self.0) } else { 0 }
    }
}

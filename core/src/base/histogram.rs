//! Counts of numbers in buckets with fixed bounds, as monitoring systems keep them.

/// Counts of numbers in buckets.
///
/// A number is in the first bucket whose bound is not below it. The last bucket has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One count for each bound, and one for numbers above all of them.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Returns a histogram with these bounds, ascending, and these counts: one for each bound and
    /// one more. `sum` is the sum of the counted numbers.
    pub(crate) fn new(bounds: &'static [u64], mut counts: Vec<u64>, sum: u64) -> Self {
        counts.resize(bounds.len() + 1, 0);
        Self { bounds, counts, sum }
    }

    /// Returns the number of counted numbers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the counted numbers.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Iterates over the bounds in ascending order, each with the number of counted numbers up to
    /// it. Numbers above the last bound are only in [`Histogram::count`].
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (&bound, &count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    /// Returns the lowest bound that at least `share` (0 to 1) of the numbers do not exceed.
    /// Returns `None` if there are no numbers, or if that bound is above all bounds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        self.buckets().find(|&(_, count)| count >= wanted).map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds() {
        let histogram = Histogram::new(&[1, 10, 100], vec![5, 4, 0, 1], 1234);
        assert_eq!((histogram.count(), histogram.sum()), (10, 1234));
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(1, 5), (10, 9), (100, 9)]);
        let quantiles = [0.0, 0.5, 0.51, 0.9, 0.91].map(|share| histogram.quantile(share));
        assert_eq!(quantiles, [Some(1), Some(1), Some(10), Some(10), None]);
        assert_eq!(Histogram::new(&[1], Vec::new(), 0).quantile(0.5), None);
    }
}

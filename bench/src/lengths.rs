//! The lengths of keys and values. Each is a function of the item's number, so that a reader knows
//! the lengths that a writer used.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::random::{mix, unit};

/// The length of every item's key or value.
#[derive(Debug, Clone)]
pub enum Lengths {
    Fixed(u32),
    LogNormal(LogNormal),
    /// One length for each item. Items beyond the table have the last length.
    Table(Vec<u32>),
}

/// Lengths whose logarithm has a normal distribution, at least 1 and at most `LogNormal::LONGEST`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    /// Mean of the logarithm.
    mu: f64,
    /// Standard deviation of the logarithm.
    sigma: f64,
}

impl Lengths {
    /// Longest length that can be requested.
    const LONGEST: u32 = 512 << 20;

    /// Returns the length of item `id`.
    #[inline]
    pub fn of(&self, id: u64) -> usize {
        match self {
            Self::Fixed(length) => *length as usize,
            Self::LogNormal(law) => law.of(id) as usize,
            Self::Table(table) => table.get(id as usize).or(table.last()).copied().unwrap_or(0) as usize,
        }
    }

    /// Returns an upper bound of all lengths.
    pub fn longest(&self) -> usize {
        match self {
            Self::Fixed(length) => *length as usize,
            Self::LogNormal(_) => LogNormal::LONGEST as usize,
            Self::Table(table) => table.iter().copied().max().unwrap_or(0) as usize,
        }
    }

    /// Returns the same lengths for the items below `count`, as a table that needs no arithmetic on
    /// access.
    pub fn tabulated(self, count: u64) -> Self {
        match self {
            Self::LogNormal(law) => Self::Table((0..count).map(|id| law.of(id)).collect()),
            other => other,
        }
    }
}

impl LogNormal {
    /// The longest value drawn, so that every item fits into a memcached with its default limits.
    pub const LONGEST: u32 = 512 << 10;

    /// Returns the distribution of lengths with this mean. `mean` is that of the lengths, not of
    /// their logarithms.
    pub fn with_mean(mean: f64, sigma: f64) -> Self {
        Self { mu: mean.ln() - sigma * sigma / 2.0, sigma }
    }

    /// Returns the length of item `id`: the Box-Muller transform of two fractions mixed from it.
    pub fn of(&self, id: u64) -> u32 {
        let first = mix(id ^ 0x5bd1_e995);
        let radius = (-2.0 * unit(first).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(mix(first));
        let length = (self.mu + self.sigma * radius * angle.cos()).exp();
        (length.round() as u32).clamp(1, Self::LONGEST)
    }
}

impl FromStr for Lengths {
    type Err = Error;

    /// Parses `100`, `4k`, `1m`, or `lognormal:MEAN:SIGMA`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Usage(format!(
                "a size must be a number, with k or m if needed, or lognormal:MEAN:SIGMA, got {text}"
            ))
        };
        if let Some(law) = text.strip_prefix("lognormal:") {
            let (mean, sigma) = law.split_once(':').ok_or_else(wrong)?;
            let mean: f64 = mean.parse().map_err(|_| wrong())?;
            let sigma: f64 = sigma.parse().map_err(|_| wrong())?;
            if !(mean >= 1.0 && (0.0..10.0).contains(&sigma)) {
                return Err(wrong());
            }
            return Ok(Self::LogNormal(LogNormal::with_mean(mean, sigma)));
        }
        let (digits, scale) = match text.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1 << 10),
            None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
        };
        let count: u32 = digits.parse().map_err(|_| wrong())?;
        count.checked_mul(scale).filter(|&length| length <= Self::LONGEST).map(Self::Fixed).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lengths, LogNormal};

    #[test]
    fn log_normal_has_the_asked_mean_and_median() {
        let (mean, sigma) = (500.0_f64, 1.0_f64);
        let law = LogNormal::with_mean(mean, sigma);
        let mut lengths: Vec<u32> = (0..400_000).map(|id| law.of(id)).collect();
        let measured = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / lengths.len() as f64;
        assert!((measured - mean).abs() < 10.0, "mean {measured}");
        lengths.sort_unstable();
        let median = f64::from(lengths[lengths.len() / 2]);
        let due = mean * (-sigma * sigma / 2.0).exp();
        assert!((median - due).abs() < 5.0, "median {median}, expected {due}");
    }

    #[test]
    fn a_length_follows_from_the_item_alone() {
        let law = Lengths::LogNormal(LogNormal::with_mean(500.0, 1.0));
        let table = law.clone().tabulated(1_000);
        assert!((0..1_000).all(|id| law.of(id) == table.of(id)));
    }

    #[test]
    fn spellings() {
        assert_eq!("4k".parse::<Lengths>().map(|l| l.of(0)).ok(), Some(4096));
        assert_eq!("100".parse::<Lengths>().map(|l| l.longest()).ok(), Some(100));
        assert!("lognormal:500:1".parse::<Lengths>().is_ok());
        for wrong in ["", "k", "4g", "-1", "lognormal:500", "lognormal:0:1", "lognormal:500:x", "513m"] {
            assert!(wrong.parse::<Lengths>().is_err(), "{wrong}");
        }
    }
}

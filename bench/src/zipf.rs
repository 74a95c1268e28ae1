//! Ranks drawn with probability proportional to 1 / rank^theta.
//!
//! The method is rejection-inversion sampling: W. Hörmann and G. Derflinger, "Rejection-inversion
//! to generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. It needs no
//! table, supports any theta above 0, and takes about one try for each draw.

use crate::random::Random;

/// A Zipf distribution over a number of ranks.
#[derive(Debug, Clone)]
pub struct Zipf {
    ranks: f64,
    theta: f64,
    /// The integral of the density at 3/2, less the mass of the first rank.
    first: f64,
    /// The integral of the density at `ranks` + 1/2.
    last: f64,
    /// Distance from a rank within which a draw is accepted without a test.
    accept: f64,
}

impl Zipf {
    /// Makes a distribution. `ranks` must be at least 1 and `theta` above 0.
    pub fn new(ranks: u64, theta: f64) -> Self {
        let mut zipf = Self { ranks: ranks.max(1) as f64, theta, first: 0.0, last: 0.0, accept: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(zipf.ranks + 0.5);
        zipf.accept = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank from 0, the most frequent, to `ranks` - 1.
    pub fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let u = self.last + random.unit() * (self.first - self.last);
            let x = self.inverse(u);
            let rank = x.round().clamp(1.0, self.ranks);
            if rank - x <= self.accept || u >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        x.powf(-self.theta)
    }

    /// Returns the integral of the density from 1 to `x`. It is well-behaved at theta = 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let t = (1.0 - self.theta) * log;
        let scale = if t.abs() > 1e-8 { t.exp_m1() / t } else { 1.0 + t / 2.0 };
        scale * log
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = (area * (1.0 - self.theta)).max(-1.0);
        let scale = if t.abs() > 1e-8 { t.ln_1p() / t } else { 1.0 - t / 2.0 };
        (scale * area).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::Zipf;
    use crate::random::Random;

    /// Compares the share of each rank with its exact probability.
    fn holds(ranks: u64, theta: f64) {
        let zipf = Zipf::new(ranks, theta);
        let mut random = Random::new(7);
        let draws = 400_000;
        let mut seen = vec![0_u32; ranks as usize];
        for _ in 0..draws {
            seen[zipf.draw(&mut random) as usize] += 1;
        }
        let total: f64 = (1..=ranks).map(|rank| (rank as f64).powf(-theta)).sum();
        for (rank, &count) in (1_u32..).zip(&seen) {
            let p = f64::from(rank).powf(-theta) / total;
            let slack = 5.0 * (p * (1.0 - p) / f64::from(draws)).sqrt() + 1e-6;
            let share = f64::from(count) / f64::from(draws);
            assert!((share - p).abs() < slack, "theta {theta} rank {rank}: {share}, expected {p}");
        }
    }

    #[test]
    fn shares_follow_the_law() {
        for theta in [0.5, 0.99, 1.0, 1.3] {
            holds(100, theta);
        }
        holds(1, 0.99);
        holds(2, 0.99);
    }
}

//! Chooses the requests that are looked at closely: each with a probability of one in N.
//!
//! A thread draws the number of requests until its next sample, and counts down. Most requests so
//! cost a subtraction and two comparisons. The number has a geometric distribution. So each request
//! has the same chance, and its past does not matter: a client with a fixed rhythm hides no key,
//! and samplers of several caches may take turns on a thread.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Decides which requests are sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// One of this many requests is sampled; 0 means none.
    rate: u32,
    /// Scales the logarithm of a random number to a number of requests.
    scale: f64,
}

/// The countdown of a thread.
struct Countdown {
    /// The rate for which `left` was drawn.
    rate: Cell<u32>,
    /// Requests up to the next sample, that one included.
    left: Cell<u32>,
    /// The state of the random numbers; 0 before the first.
    random: Cell<u64>,
}

thread_local! {
    static COUNTDOWN: Countdown =
        const { Countdown { rate: Cell::new(0), left: Cell::new(0), random: Cell::new(0) } };
}

impl Sampler {
    /// Returns a sampler of one in `rate` requests, or of none if `rate` is 0.
    pub fn new(rate: u32) -> Self {
        Self { rate, scale: (1.0 - 1.0 / f64::from(rate.max(1))).ln().recip() }
    }

    /// Returns the number of requests of which one is sampled, or 0 if none is.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Counts a request of this thread. Returns whether to sample it.
    #[inline]
    pub fn is_due(&self) -> bool {
        COUNTDOWN.with(|countdown| {
            let left = countdown.left.get().wrapping_sub(1);
            countdown.left.set(left);
            (left == 0 || countdown.rate.get() != self.rate) && countdown.draw(self)
        })
    }
}

impl Countdown {
    /// Begins a countdown. Returns whether to sample the request that was just counted.
    #[cold]
    fn draw(&self, sampler: &Sampler) -> bool {
        if sampler.rate == 0 {
            self.rate.set(0);
            self.left.set(u32::MAX);
            return false;
        }
        let mut is_due = true;
        if self.rate.replace(sampler.rate) != sampler.rate {
            // The count was for another rate, so it says nothing about this request.
            self.left.set(self.gap(sampler));
            is_due = self.left.get() == 1;
            self.left.set(self.left.get() - 1);
        }
        if is_due {
            self.left.set(self.gap(sampler));
        }
        is_due
    }

    /// Returns the number of requests up to the next sample, at least 1.
    fn gap(&self, sampler: &Sampler) -> u32 {
        // Above 0 and at most 1.
        let random = ((self.next_random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        // A conversion to an integer saturates.
        ((random.ln() * sampler.scale) as u32).saturating_add(1)
    }

    /// Returns a random number (`SplitMix64`).
    fn next_random(&self) -> u64 {
        let before = match self.random.get() {
            0 => RandomState::new().hash_one(0),
            before => before,
        };
        let next = before.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the requests among `count` that were sampled.
    fn sampled(sampler: &Sampler, count: u32) -> Vec<u32> {
        (0..count).filter(|_| sampler.is_due()).collect()
    }

    #[test]
    fn a_rate_of_one_samples_all_and_zero_none() {
        let (all, none) = (Sampler::new(1), Sampler::new(0));
        for _ in 0..100 {
            assert!(all.is_due());
            assert!(!none.is_due() && !none.is_due());
        }
    }

    /// The bounds are 6 standard deviations from the mean, so chance does not fail the test.
    #[test]
    fn a_request_has_the_same_chance_at_each_place_of_a_rhythm() {
        const COUNT: u32 = 1 << 20;
        for (rate, rhythm) in [(2_u32, 2_u32), (16, 16), (16, 8), (100, 10)] {
            let mut places = vec![0_u32; rhythm as usize];
            for request in sampled(&Sampler::new(rate), COUNT) {
                places[(request % rhythm) as usize] += 1;
            }
            let mean = f64::from(COUNT) / f64::from(rate) / f64::from(rhythm);
            for place in places {
                assert!((f64::from(place) - mean).abs() < 6.0 * mean.sqrt(), "{place} is far from {mean}");
            }
        }
    }

    #[test]
    fn samplers_that_take_turns_keep_their_rates() {
        const COUNT: u32 = 1 << 18;
        let samplers = [Sampler::new(4), Sampler::new(16), Sampler::new(0)];
        let mut counts = [0_u32; 3];
        for _ in 0..COUNT {
            for (count, sampler) in counts.iter_mut().zip(&samplers) {
                *count += u32::from(sampler.is_due());
            }
        }
        for (count, rate) in counts.into_iter().zip([4.0, 16.0]) {
            let mean = f64::from(COUNT) / rate;
            assert!((f64::from(count) - mean).abs() < 6.0 * mean.sqrt(), "{count} is far from {mean}");
        }
        assert_eq!(counts[2], 0);
    }
}

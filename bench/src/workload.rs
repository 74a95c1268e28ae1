//! The requests of a load: the mix of requests and the choice of keys.

use std::sync::Arc;

use crate::checker::Verb;
use crate::random::Random;
use crate::zipf::Zipf;

/// Draws made in advance for a skewed choice. They are read in order, and enough that repeating
/// them does not affect results.
const DRAWS: usize = 1 << 21;

/// How the items of requests are chosen.
#[derive(Debug, Clone)]
pub enum Choice {
    /// Each item from the first number up to, but not including, the second, once.
    Sequence(u64, u64),
    /// Any item below the number, with equal probability.
    Uniform(u64),
    /// Draws made in advance, and the index of the next.
    Drawn(Arc<[u32]>, usize),
}

/// The share of gets among the requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mix {
    Get,
    Set,
    /// This share of the requests are gets, the others are sets.
    Share(f64),
}

/// A source of requests.
#[derive(Debug, Clone)]
pub struct Workload {
    mix: Mix,
    /// Number of keys in one get.
    batch: u32,
    choice: Choice,
    random: Random,
}

impl Choice {
    /// Chooses items below `count` by Zipf's law. Item 0 is the most popular.
    pub fn zipf(count: u32, theta: f64) -> Self {
        let zipf = Zipf::new(u64::from(count), theta);
        let mut random = Random::new(2);
        Self::Drawn((0..DRAWS).map(|_| zipf.draw(&mut random) as u32).collect(), 0)
    }

    /// Returns the next item, or `None` at the end of a sequence.
    #[inline]
    fn next(&mut self, random: &mut Random) -> Option<u64> {
        match self {
            Self::Uniform(count) => Some(random.below(*count)),
            Self::Drawn(draws, next) => {
                let id = *draws.get(*next)?;
                *next = (*next + 1) % draws.len();
                Some(u64::from(id))
            }
            Self::Sequence(next, end) => (*next < *end).then(|| {
                *next += 1;
                *next - 1
            }),
        }
    }
}

impl Mix {
    /// Returns a mix with this share of gets.
    pub fn of(gets: f64) -> Self {
        match gets {
            _ if gets >= 1.0 => Self::Get,
            _ if gets <= 0.0 => Self::Set,
            _ => Self::Share(gets),
        }
    }
}

impl Workload {
    /// Makes a workload of this mix, with `batch` keys in each get.
    pub fn new(mix: Mix, batch: u32, choice: Choice) -> Self {
        Self { mix, batch: batch.max(1), choice, random: Random::new(1) }
    }

    /// Makes a workload that sets every item below `count` once.
    pub fn fill(count: u64) -> Self {
        Self::new(Mix::Set, 1, Choice::Sequence(0, count))
    }

    /// Returns the next request and puts its items into `ids`. Returns `None` at the end of the
    /// workload.
    #[inline]
    pub fn next(&mut self, ids: &mut Vec<u64>) -> Option<Verb> {
        ids.clear();
        let verb = match self.mix {
            Mix::Get => Verb::Get,
            Mix::Share(gets) if self.random.unit() < gets => Verb::Get,
            Mix::Set | Mix::Share(_) => Verb::Set,
        };
        let keys = if verb == Verb::Get { self.batch } else { 1 };
        for _ in 0..keys {
            ids.extend(self.choice.next(&mut self.random));
        }
        (!ids.is_empty()).then_some(verb)
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Mix, Workload};
    use crate::checker::Verb;

    #[test]
    fn a_sequence_gives_each_item_once() {
        let mut workload = Workload::new(Mix::Get, 4, Choice::Sequence(0, 10));
        let (mut ids, mut seen) = (Vec::new(), Vec::new());
        while workload.next(&mut ids) == Some(Verb::Get) {
            seen.extend_from_slice(&ids);
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(workload.next(&mut ids), None);
    }

    #[test]
    fn the_share_of_gets_is_kept() {
        let mut workload = Workload::new(Mix::Share(0.9), 1, Choice::Uniform(100));
        let mut ids = Vec::new();
        let gets = (0..100_000).filter(|_| workload.next(&mut ids) == Some(Verb::Get)).count();
        assert!((89_500..90_500).contains(&gets), "{gets}");
    }
}

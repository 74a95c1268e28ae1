//! The length of a comparison.

use std::time::Duration;

use super::scenario::Scenario;
use crate::error::{Error, Result};

/// Longest warm-up, in seconds. A warm-up is a quarter of the measured time, up to this.
const WARM: f64 = 0.5;

/// Warm-up before the first turn of a scenario with sets. A store that appends grows to a multiple
/// of its live items before it reuses memory, and the first touch of memory has a cost.
const STEADY: Duration = Duration::from_millis(1500);

/// The options about the length of a comparison.
#[derive(Debug, clap::Args)]
pub struct Length {
    /// Rounds. Each gives every server one turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// Length of the measurement in each turn, in seconds.
    #[arg(long)]
    seconds: Option<f64>,
    /// Repeat a turn up to this number of times while other processes use more than a tenth of a
    /// core. The least disturbed turn counts.
    #[arg(long, default_value_t = 0)]
    retries: usize,
}

/// The length of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// How often to repeat a disturbed turn.
    pub retries: usize,
    pub warmup: Duration,
    pub measured: Duration,
}

impl Length {
    /// Returns the effort. `rounds` and `seconds` are the defaults.
    pub fn effort(&self, rounds: usize, seconds: f64) -> Result<Effort> {
        let measured = self.seconds.unwrap_or(seconds);
        if !(measured > 0.0 && measured < 1e6) {
            return Err(Error::Usage("--seconds must be above 0 and below 1e6".to_owned()));
        }
        Ok(Effort {
            rounds: self.rounds.unwrap_or(rounds).max(1),
            retries: self.retries,
            warmup: Duration::from_secs_f64((measured / 4.0).min(WARM)),
            measured: Duration::from_secs_f64(measured),
        })
    }
}

impl Effort {
    /// Returns the effort for the first turn of a scenario.
    pub fn beginning(self, scenario: &Scenario) -> Self {
        let warmup = if scenario.gets < 1.0 { self.warmup.max(STEADY) } else { self.warmup };
        Self { warmup, ..self }
    }
}

//! `bench compare`: several servers on one core, one load on the other, in turns.

mod compare_run;
mod idle;
mod memory;
mod scenario;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use crate::common::Common;
use crate::error::{Error, Result};
use crate::results::Results;

use compare_run::Effort;

/// Longest warm-up, in seconds. A warm-up is a quarter of the measured time, up to this.
const WARM: f64 = 0.5;

/// Run the same loads on several servers, side by side.
#[derive(Debug, clap::Args)]
pub struct Compare {
    #[command(flatten)]
    common: Common,
    /// Scenarios to run, by name or by the beginning of a name. The default is all. See --list.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Print the scenarios and exit.
    #[arg(long)]
    list: bool,
    /// Run only the main scenarios, in three short rounds.
    #[arg(long)]
    quick: bool,
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
    /// Measure the cost of an item beyond its key and value instead. Needs --sizes.
    #[arg(long, requires = "sizes", conflicts_with = "idle")]
    memory: bool,
    /// Table of item sizes: CSV with the columns `cluster`, `key_bytes`, `value_bytes`, `kqps`.
    #[arg(long)]
    sizes: Option<PathBuf>,
    /// How --memory mixes the rows of the table.
    #[arg(long, value_enum, default_value = "bytes")]
    weights: memory::Weights,
    /// Measure the cost of an idle connection instead.
    #[arg(long)]
    idle: bool,
    /// Number of connections for --idle.
    #[arg(long, default_value_t = 10_000)]
    idle_connections: usize,
}

/// Runs the comparison that the command line selects, and prints tables.
pub fn run(compare: &Compare) -> Result<()> {
    if compare.list {
        scenario::print_list();
        return Ok(());
    }
    let common = &compare.common;
    if common.limits.len() > 1 {
        return Err(Error::Usage("compare accepts one -m; only replay accepts several".to_owned()));
    }
    common.prepare()?;
    let mut results = Results::create(common.results.as_ref())?;
    if let (true, Some(sizes)) = (compare.memory, &compare.sizes) {
        return memory::run(common, sizes, compare.weights, &mut results);
    }
    if compare.idle {
        return idle::run(common, compare.idle_connections, &mut results);
    }
    let chosen = scenario::choose(&compare.scenario, compare.quick)?;
    let (rounds, measured) = if compare.quick { (3, 0.8) } else { (5, 3.0) };
    let measured = compare.seconds.unwrap_or(measured);
    if !(measured > 0.0 && measured < 1e6) {
        return Err(Error::Usage("--seconds must be above 0 and below 1e6".to_owned()));
    }
    let effort = Effort {
        rounds: compare.rounds.unwrap_or(rounds).max(1),
        retries: compare.retries,
        warmup: Duration::from_secs_f64((measured / 4.0).min(WARM)),
        measured: Duration::from_secs_f64(measured),
    };
    compare_run::run(common, &chosen, effort, &mut results)
}

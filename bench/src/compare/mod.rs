//! `bench compare`: several servers on one core, one load on the other, in turns.

pub mod compare_run;
pub mod effort;
mod idle;
mod memory;
pub mod scenario;
mod table;

use std::path::PathBuf;

use crate::common::Common;
use crate::error::{Error, Result};
use crate::results::Results;

use effort::Length;

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
    #[command(flatten)]
    length: Length,
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
        scenario::print_list(scenario::ALL);
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
    let effort = compare.length.effort(rounds, measured)?;
    compare_run::run(common, &chosen, effort, &mut results)
}

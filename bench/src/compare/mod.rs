//! `bench compare`: several servers on one core, one load on the other, in turns.

mod duel;
mod idle;
mod memory;
mod scenario;
mod table;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::launch;
use crate::results::Results;
use crate::server::{Settings, Spec};

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

/// The options of all side-by-side runs.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// A server, name=path[:extra arguments], or floor. Can be repeated. The first is the base of
    /// all ratios.
    #[arg(long = "server", required_unless_present = "list")]
    pub servers: Vec<Spec>,
    /// Memory of each server, in MiB. The default is that of the scenario (mostly 1024), and 64 for
    /// --memory and replays. Replays accept several, separated by commas.
    #[arg(short = 'm', long = "limit", value_delimiter = ',')]
    limits: Vec<u32>,
    /// Threads of each server.
    #[arg(short, long, default_value_t = 1)]
    threads: u32,
    /// Core of the servers and core of the load.
    #[arg(long, default_value = "0,1")]
    pub cores: Cores,
    /// Scheduling priority of the servers and the load, -20 (highest) to 19, for a machine that
    /// also does other work.
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// Use Unix sockets instead of loopback TCP.
    #[arg(long)]
    unix: bool,
    /// File to append turns and results to, one line of JSON each.
    #[arg(long)]
    pub results: Option<PathBuf>,
    /// Show the output of the servers.
    #[arg(short, long)]
    verbose: bool,
}

/// The cores of the servers and of the load.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

/// The length of a comparison.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    /// How often to repeat a disturbed turn.
    retries: usize,
    warmup: Duration,
    measured: Duration,
}

impl FromStr for Cores {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(',').and_then(|(server, load)| {
            Some(Self { server: server.trim().parse().ok()?, load: load.trim().parse().ok()? })
        });
        parsed.ok_or_else(|| Error::Usage(format!("--cores must be two numbers, SERVER,LOAD, got {text}")))
    }
}

impl Common {
    /// Prepares this process as the load: sets its core, its priority and its limit of open files.
    pub fn prepare(&self) -> Result<()> {
        launch::raise_open_files()?;
        launch::pin(self.cores.load)?;
        self.nice.map_or(Ok(()), launch::set_nice)
    }

    /// Returns the memory limits to try, in MiB. The default is `limit` alone.
    pub fn limits(&self, limit: u32) -> Vec<u32> {
        if self.limits.is_empty() { vec![limit] } else { self.limits.clone() }
    }

    /// Returns the settings of every server. The default memory limit is `limit` MiB.
    pub fn settings(&self, limit: u32) -> Settings {
        Settings {
            memory: self.limits.first().copied().unwrap_or(limit),
            threads: self.threads,
            connections: 1000,
            core: Some(self.cores.server),
            nice: self.nice,
            unix: self.unix,
            value_size: 100,
            verbose: self.verbose,
        }
    }
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
    duel::run(common, &chosen, effort, &mut results)
}

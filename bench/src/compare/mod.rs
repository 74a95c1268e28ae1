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

/// A warm-up is a quarter of what is measured, but need not be longer than this, in seconds.
const WARM: f64 = 0.5;

/// Run the same loads on several servers, side by side.
#[derive(Debug, clap::Args)]
pub struct Compare {
    #[command(flatten)]
    common: Common,
    /// Scenarios to run, by name or by the beginning of a name; all without this. See --list.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Print the scenarios and stop.
    #[arg(long)]
    list: bool,
    /// The main scenarios, three short rounds each.
    #[arg(long)]
    quick: bool,
    /// Rounds; each gives every server one turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds measured in one turn.
    #[arg(long)]
    seconds: Option<f64>,
    /// Repeat a turn up to so many times while other processes use more than a tenth of a core; the least
    /// disturbed counts.
    #[arg(long, default_value_t = 0)]
    retries: usize,
    /// Instead: what an item costs beyond its key and value. Needs --sizes.
    #[arg(long, requires = "sizes", conflicts_with = "idle")]
    memory: bool,
    /// Table of item sizes: CSV with the columns `cluster`, `key_bytes`, `value_bytes`, `kqps`.
    #[arg(long)]
    sizes: Option<PathBuf>,
    /// How --memory mixes the rows of the table.
    #[arg(long, value_enum, default_value = "bytes")]
    weights: memory::Weights,
    /// Instead: what an idle connection costs.
    #[arg(long)]
    idle: bool,
    /// Connections of --idle.
    #[arg(long, default_value_t = 10_000)]
    idle_connections: usize,
}

/// What all side-by-side runs need.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// A server, name=path[:extra arguments], or floor; repeat it. The first is the base of all ratios.
    #[arg(long = "server", required_unless_present = "list")]
    pub servers: Vec<Spec>,
    /// Memory of each server, in MiB: as the scenario says (1024 mostly) for loads, 64 for --memory and
    /// replays. Replays take several, parted by commas.
    #[arg(short = 'm', long = "limit", value_delimiter = ',')]
    limits: Vec<u32>,
    /// Threads of each server.
    #[arg(short, long, default_value_t = 1)]
    threads: u32,
    /// Cores of the servers and of the load.
    #[arg(long, default_value = "0,1")]
    pub cores: Cores,
    /// Priority of the servers and the load, -20 (highest) to 19; on a machine that also does other work.
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// Use Unix sockets instead of loopback TCP.
    #[arg(long)]
    unix: bool,
    /// File that one line of JSON for each turn and each result is added to.
    #[arg(long)]
    pub results: Option<PathBuf>,
    /// Show what the servers print.
    #[arg(short, long)]
    verbose: bool,
}

/// Where things run.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

/// How long a comparison is.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    /// How often a disturbed turn is repeated.
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
        parsed.ok_or_else(|| Error::Usage(format!("{text}: cores are two numbers, SERVER,LOAD")))
    }
}

impl Common {
    /// Makes this process the load: on its core, with its priority, with enough open files.
    pub fn prepare(&self) -> Result<()> {
        launch::raise_open_files()?;
        launch::pin(self.cores.load)?;
        self.nice.map_or(Ok(()), launch::set_nice)
    }

    /// The memory limits to try, in MiB; `limit` alone unless the command line says otherwise.
    pub fn limits(&self, limit: u32) -> Vec<u32> {
        if self.limits.is_empty() { vec![limit] } else { self.limits.clone() }
    }

    /// The settings of every server; `limit` MiB unless the command line says otherwise.
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

/// Runs what the command line asks for and prints tables.
pub fn run(compare: &Compare) -> Result<()> {
    if compare.list {
        scenario::print_list();
        return Ok(());
    }
    let common = &compare.common;
    if common.limits.len() > 1 {
        return Err(Error::Usage("a comparison takes one -m; replays take several".to_owned()));
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
        return Err(Error::Usage("seconds are above 0".to_owned()));
    }
    let effort = Effort {
        rounds: compare.rounds.unwrap_or(rounds).max(1),
        retries: compare.retries,
        warmup: Duration::from_secs_f64((measured / 4.0).min(WARM)),
        measured: Duration::from_secs_f64(measured),
    };
    duel::run(common, &chosen, effort, &mut results)
}

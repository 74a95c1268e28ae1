//! Compares servers under the same loads, in turns.
//!
//! For each scenario, every server is started and filled. Then come rounds. In a round each server
//! gets one turn: fresh connections, a warm-up, a measured span. The other servers are stopped
//! (SIGSTOP), so that their background work does not affect the measurement.

use std::time::Duration;

use serde::Serialize;

use super::effort::Effort;
use super::scenario::Scenario;
use super::table::{median, percent, ratio, thousands};
use crate::checker::{Check, Terms};
use crate::common::{Common, Cores};
use crate::driver::{Driver, Pace, Span};
use crate::error::{Error, Result};
use crate::items::Items;
use crate::load::fill;
use crate::measurement::Measurement;
use crate::results::Results;
use crate::server::{Server, Settings, Spec};
use crate::usage::core_busy;
use crate::wire::Protocol;
use crate::workload::Workload;

/// Length of the measurement that finds the rate of an open loop.
const CALIBRATION: Duration = Duration::from_secs(1);

/// Accepted share of refused sets in the fill: one in this number. memcached refuses some when it
/// is full and evicts too slowly.
const REFUSED: u64 = 1000;

/// Longest wait for a server to finish the work that its fill started.
const SETTLE: Duration = Duration::from_secs(20);

/// Share of a core used by other processes above which the numbers are marked.
const DISTURBED: f64 = 0.1;

/// Pause of an open loop, in microseconds, above which its latencies are marked.
const PAUSED: f64 = 1000.0;

/// One scenario, and what it needs besides the contestants.
pub struct Game<'a> {
    scenario: &'a Scenario,
    items: Items,
    cores: Cores,
    /// The backends of the contestants, which share the core of the load.
    backends: &'a [Server],
}

/// The results of the scenarios so far.
pub struct Report<'a> {
    results: &'a mut Results,
    summaries: Vec<ScenarioLine>,
    failed: bool,
}

/// A server in a scenario, and its results.
pub struct Contestant<'a> {
    spec: &'a Spec,
    standing: Standing,
    turns: Vec<Turn>,
}

/// Whether a contestant still takes part.
enum Standing {
    Runs(Box<Server>),
    NotSpoken,
    Failed(Error),
}

/// The parts of a turn.
#[derive(Clone, Copy)]
struct Stage<'a> {
    server: &'a Server,
    game: &'a Game<'a>,
    terms: &'a Terms<'a>,
}

/// The results of one turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    measured: Measurement,
    /// Operations per second: keys in a multiget, else requests.
    rate: f64,
    cpu_ns: f64,
    server_busy: f64,
    /// CPU time that other processes used on the two cores, as a share of one core.
    others: f64,
}

/// One line of the results file for one turn.
#[derive(Debug, Serialize)]
struct TurnLine<'a> {
    kind: &'static str,
    scenario: &'a str,
    server: &'a str,
    version: &'a str,
    round: usize,
    operations_per_second: f64,
    cpu_ns_per_operation: f64,
    server_busy: f64,
    others: f64,
    #[serde(flatten)]
    measured: Measurement,
}

/// One line of the results file for one server in one scenario.
#[derive(Debug, Serialize)]
struct ScenarioLine {
    kind: &'static str,
    scenario: &'static str,
    operation: &'static str,
    /// The description of the scenario, for readers without the list of scenarios.
    protocol: Protocol,
    connections: usize,
    pipeline: usize,
    gets: f64,
    batch: u32,
    value_size: u32,
    keys: u32,
    /// For an open loop, its rate as a share of the base's peak.
    open: Option<f64>,
    server: String,
    version: String,
    base: String,
    operations_per_second: Ratio,
    cpu_ns_per_operation: Ratio,
    p50_us: Ratio,
    p99_us: Ratio,
    p999_us: Ratio,
    server_busy: f64,
    load_busy: f64,
    goal: Option<f64>,
    note: String,
    /// Medians over the rounds: pairs of a percentile and its latency.
    percentiles_us: Vec<(f64, f64)>,
}

/// A median over the rounds, and its ratio to the base.
#[derive(Debug, Clone, Copy, Serialize)]
struct Ratio {
    median: f64,
    to_base: f64,
}

/// Runs the scenarios and prints the tables.
pub fn run(common: &Common, scenarios: &[Scenario], effort: Effort, results: &mut Results) -> Result<()> {
    let mut report = Report::begin(results);
    for scenario in scenarios {
        let game = Game::new(scenario, common.cores, &[]);
        let mut contestants = game.enter(&common.servers, common);
        game.play(&mut contestants, effort, &mut report)?;
    }
    report.end(common)
}

impl<'a> Game<'a> {
    pub fn new(scenario: &'a Scenario, cores: Cores, backends: &'a [Server]) -> Self {
        Self { scenario, items: scenario.items(), cores, backends }
    }

    /// Starts and fills the servers.
    pub fn enter<'s>(&self, specs: &'s [Spec], common: &Common) -> Vec<Contestant<'s>> {
        let settings = Settings {
            connections: self.scenario.connections.max(1000),
            value_size: self.scenario.value_size as usize,
            ..common.settings(self.scenario.memory)
        };
        let contestant = |spec| Contestant {
            spec,
            standing: enter(spec, &settings, &self.terms(spec), self.scenario.filled()),
            turns: Vec::new(),
        };
        specs.iter().map(contestant).collect()
    }

    /// Plays all rounds, and adds the results to the report. The first contestant is the base.
    pub fn play(&self, contestants: &mut [Contestant], effort: Effort, report: &mut Report) -> Result<()> {
        let workload = self.scenario.workload();
        let mut pace = self.scenario.open.is_none().then_some(self.scenario.pace);
        for round in 0..effort.rounds {
            for contestant in &mut *contestants {
                let Standing::Runs(server) = &contestant.standing else { continue };
                let stage = Stage { server, game: self, terms: &self.terms(contestant.spec) };
                let effort = if round == 0 { effort.beginning(self.scenario) } else { effort };
                match stage.take_turn(&workload, &mut pace, effort) {
                    Ok(turn) => {
                        report.results.write(&TurnLine {
                            kind: "turn",
                            scenario: self.scenario.name,
                            server: &server.name,
                            version: &server.version,
                            round,
                            operations_per_second: turn.rate,
                            cpu_ns_per_operation: turn.cpu_ns,
                            server_busy: turn.server_busy,
                            others: turn.others,
                            measured: turn.measured,
                        })?;
                        contestant.turns.push(turn);
                    }
                    Err(error) => contestant.standing = Standing::Failed(error),
                }
            }
        }
        report.add(self.scenario, contestants)
    }

    /// Returns the terms between the load and a server.
    fn terms(&self, spec: &Spec) -> Terms<'_> {
        let check = match spec.check() {
            Check::Full if self.scenario.failures => Check::Failures,
            check => check,
        };
        Terms { items: &self.items, protocol: self.scenario.protocol, check }
    }

    /// Returns the time in which any process but the backends used the cores of server and load.
    fn busy(&self) -> Result<Duration> {
        let backends: Duration = self.backends.iter().map(Server::cpu).sum::<Result<_>>()?;
        let cores = core_busy(self.cores.server)? + core_busy(self.cores.load)?;
        Ok(cores.saturating_sub(backends))
    }
}

impl<'a> Report<'a> {
    /// Prints the head of the table.
    pub fn begin(results: &'a mut Results) -> Self {
        println!(
            "| scenario | server | ops/s | ratio | CPU ns/op | ratio | p50 us | p99 us | ratio | p99.9 us | ratio | server busy | load busy | note |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|");
        Self { results, summaries: Vec::new(), failed: false }
    }

    /// Adds a scenario and prints its rows.
    fn add(&mut self, scenario: &Scenario, contestants: &[Contestant]) -> Result<()> {
        self.failed |= contestants.iter().any(|c| matches!(c.standing, Standing::Failed(_)));
        let Some(base) = contestants.first() else { return Ok(()) };
        for contestant in contestants {
            let summary = contestant.summary(scenario, base);
            println!("{}", summary.row());
            self.results.write(&summary)?;
            self.summaries.push(summary);
        }
        Ok(())
    }

    /// Prints CPU per operation as ratios: a row for each scenario, a column for each server.
    ///
    /// # Errors
    /// If a server failed.
    pub fn end(self, common: &Common) -> Result<()> {
        println!();
        let names: Vec<_> = common.servers.iter().map(|spec| spec.name.as_str()).collect();
        println!("| CPU/op to {} | goal | {} |", names.first().unwrap_or(&""), names.join(" | "));
        println!("|---|--:|{}", "--:|".repeat(names.len()));
        for scenario in self.summaries.chunk_by(|a, b| a.scenario == b.scenario) {
            let Some(ScenarioLine { scenario: name, goal, .. }) = scenario.first() else { continue };
            let goal = goal.map_or(String::new(), |goal| format!("<= {goal:.2}x"));
            let cells =
                names.iter().map(|server| match scenario.iter().find(|summary| summary.server == *server) {
                    Some(summary) if summary.cpu_ns_per_operation.median.is_nan() => {
                        summary.note.split(':').next().unwrap_or_default().to_owned()
                    }
                    Some(summary) => ratio(summary.cpu_ns_per_operation.to_base),
                    None => String::new(),
                });
            println!("| {name} | {goal} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        if self.failed { Err(Error::Failed) } else { Ok(()) }
    }
}

/// Starts a server, checks that it speaks the protocol, and fills it. Then lets it finish the work
/// that the fill started, such as growing a hash table, and pauses it.
fn enter(spec: &Spec, settings: &Settings, terms: &Terms, keys: u64) -> Standing {
    let entered = spec.start(settings).and_then(|server| {
        if !server.speaks(terms) {
            return Ok(Standing::NotSpoken);
        }
        if spec.stores() {
            let filled = fill(&server.address, terms, keys, 0)?;
            if filled.counts.refused > keys / REFUSED {
                let what = format!("refused {} sets of the fill", filled.counts.refused);
                return Err(Error::Server { name: spec.name.clone(), what });
            }
            server.settle(SETTLE)?;
        }
        server.pause()?;
        Ok(Standing::Runs(Box::new(server)))
    });
    entered.unwrap_or_else(Standing::Failed)
}

impl Stage<'_> {
    /// Measures one turn, and repeats it if other processes disturb it. The first turn of an open
    /// loop determines its rate.
    fn take_turn(&self, workload: &Workload, pace: &mut Option<Pace>, effort: Effort) -> Result<Turn> {
        self.server.resume()?;
        let pace = if let Some(known) = *pace {
            known
        } else {
            let full = self.measure(workload, Pace::Closed, CALIBRATION / 4, CALIBRATION)?;
            let share = self.game.scenario.open.unwrap_or(1.0);
            *pace.insert(Pace::Rate(full.measured.requests_per_second * share))
        };
        let mut best = self.measure(workload, pace, effort.warmup, effort.measured)?;
        for _ in 0..effort.retries {
            if best.disturbance() <= DISTURBED {
                break;
            }
            let again = self.measure(workload, pace, effort.warmup, effort.measured)?;
            if again.disturbance() < best.disturbance() {
                best = again;
            }
        }
        self.server.pause()?;
        Ok(best)
    }

    fn measure(&self, workload: &Workload, pace: Pace, warmup: Duration, measured: Duration) -> Result<Turn> {
        let Self { server, game, terms } = *self;
        let scenario = game.scenario;
        let mut workload = workload.clone();
        let mut driver = Driver::connect(&server.address, scenario.connections, scenario.pipeline, 0, terms)?;
        let span = |duration| Span { duration: Some(duration), requests: None, drain: false };
        driver.run(&mut workload, pace, span(warmup))?;
        let (busy, cpu) = (game.busy()?, server.cpu()?);
        let measured = driver.run(&mut workload, pace, span(measured))?;
        let share = |used: Duration| used.as_secs_f64() / measured.seconds;
        let server_busy = share(server.cpu()?.saturating_sub(cpu));
        let all_busy = share(game.busy()?.saturating_sub(busy));
        let rate = measured.requests_per_second * f64::from(scenario.batch);
        Ok(Turn {
            measured,
            rate,
            cpu_ns: server_busy * 1e9 / rate,
            server_busy,
            others: (all_busy - server_busy - measured.load_busy).max(0.0),
        })
    }
}

impl Turn {
    /// Returns how much other processes disturbed the turn, on the scale of `DISTURBED`.
    fn disturbance(&self) -> f64 {
        self.others.max(self.measured.load_pause_us / PAUSED * DISTURBED)
    }
}

impl Contestant<'_> {
    /// Returns medians over the rounds.
    ///
    /// Ratios of CPU and throughput are medians of the ratios within each round, because a machine
    /// is slow for seconds. Ratios of latencies are ratios of the medians. Single moments disturb a
    /// tail, and the two sides of a round do not share these.
    fn summary(&self, scenario: &Scenario, base: &Contestant) -> ScenarioLine {
        let middle = |of: fn(&Turn) -> f64| median(self.turns.iter().map(of).collect());
        let compared = |of: fn(&Turn) -> f64| Ratio {
            median: middle(of),
            to_base: median(
                self.turns.iter().zip(&base.turns).map(|(own, base)| of(own) / of(base)).collect(),
            ),
        };
        let latency = |of: fn(&Turn) -> f64| {
            let base = median(base.turns.iter().map(of).collect());
            Ratio { median: middle(of), to_base: middle(of) / base }
        };
        ScenarioLine {
            kind: "summary",
            scenario: scenario.name,
            operation: scenario.unit(),
            protocol: scenario.protocol,
            connections: scenario.connections,
            pipeline: scenario.pipeline,
            gets: scenario.gets,
            batch: scenario.batch,
            value_size: scenario.value_size,
            keys: scenario.keys,
            open: scenario.open,
            server: self.spec.name.clone(),
            version: match &self.standing {
                Standing::Runs(server) => server.version.clone(),
                _ => String::new(),
            },
            base: base.spec.name.clone(),
            operations_per_second: compared(|turn| turn.rate),
            cpu_ns_per_operation: compared(|turn| turn.cpu_ns),
            p50_us: latency(|turn| turn.measured.p50_us),
            p99_us: latency(|turn| turn.measured.p99_us),
            p999_us: latency(|turn| turn.measured.p999_us),
            server_busy: middle(|turn| turn.server_busy),
            load_busy: middle(|turn| turn.measured.load_busy),
            goal: scenario.goal,
            note: self.note(),
            percentiles_us: self.percentiles(),
        }
    }

    /// Returns the distribution of latencies, medians over the rounds.
    fn percentiles(&self) -> Vec<(f64, f64)> {
        let Some(first) = self.turns.first() else { return Vec::new() };
        let shares = first.measured.percentiles_us.iter().enumerate();
        let middle = |(place, &(share, _)): (usize, &(f64, f64))| {
            let all = self.turns.iter().map(|turn| turn.measured.percentiles_us[place].1);
            (share, median(all.collect()))
        };
        shares.map(middle).collect()
    }

    /// Returns the text of the column `note`.
    fn note(&self) -> String {
        match &self.standing {
            Standing::NotSpoken => return "not spoken".to_owned(),
            Standing::Failed(error) => return format!("failed: {error}"),
            Standing::Runs(_) => {}
        }
        let sum = |of: fn(&Turn) -> u64| self.turns.iter().map(of).sum::<u64>();
        let (misses, refused) = (sum(|t| t.measured.counts.misses), sum(|t| t.measured.counts.refused));
        let unsent = sum(|t| t.measured.unsent);
        let counts = [(misses, "misses"), (refused, "refused"), (unsent, "unsent")];
        let told =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let others = median(self.turns.iter().map(|turn| turn.others).collect());
        let disturbed = (others > DISTURBED).then(|| format!("others {}", percent(others)));
        let pause = median(self.turns.iter().map(|turn| turn.measured.load_pause_us).collect());
        let paused = (pause > PAUSED).then(|| format!("load paused {:.1} ms", pause / 1e3));
        told.chain(disturbed).chain(paused).collect::<Vec<_>>().join(", ")
    }
}

impl ScenarioLine {
    /// Returns the row of the table.
    fn row(&self) -> String {
        let Self { scenario, server, note, .. } = self;
        if self.cpu_ns_per_operation.median.is_nan() {
            return format!("| {scenario} | {server} | | | | | | | | | | | | {note} |");
        }
        format!(
            "| {scenario} | {server} | {} | {} | {:.0} | {} | {:.0} | {:.0} | {} | {:.0} | {} | {} | {} | {note} |",
            thousands(self.operations_per_second.median),
            ratio(self.operations_per_second.to_base),
            self.cpu_ns_per_operation.median,
            ratio(self.cpu_ns_per_operation.to_base),
            self.p50_us.median,
            self.p99_us.median,
            ratio(self.p99_us.to_base),
            self.p999_us.median,
            ratio(self.p999_us.to_base),
            percent(self.server_busy),
            percent(self.load_busy),
        )
    }
}

//! `bench replay`: replays a trace against each server, with a set after each miss, and compares
//! miss ratios.
//!
//! It uses one connection. The requests of a window leave together: gets of different keys. A
//! window ends before a key would repeat. The sets for its misses leave next, before the gets of
//! the following window. So every get of a key sees every earlier set of it. It is as with one
//! client that waits for each reply, at a fraction of the round trips.
//!
//! Traces with times to live are replayed at a rate, so that every server gets the same number of
//! requests within a time to live. A window leaves when its last request is due. Traces without
//! them go as fast as the server can.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::address::Address;
use crate::checker::{Request, Sink, Terms};
use crate::common::Common;
use crate::dialogue::Dialogue;
use crate::error::{Error, Result};
use crate::lengths::Lengths;
use crate::results::Results;
use crate::server::{Settings, Spec};
use crate::summary::Summary;
use crate::trace::Trace;
use crate::wire::Protocol;

/// Default memory of each server, in MiB.
const LIMIT: u32 = 64;

/// Silence of a server after which a replay ends with an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// Delay behind a rate, in seconds, above which a replay is marked. Servers see times to live in
/// whole seconds.
const LATE: f64 = 0.5;

/// Replay a trace against servers, side by side: miss ratios.
#[derive(Debug, clap::Args)]
pub struct Replay {
    #[command(flatten)]
    common: Common,
    /// Traces: ARC (.lis), or lines of key, size and time to live. Either may be .zst.
    #[arg(long = "trace", required = true)]
    traces: Vec<PathBuf>,
    /// Replay at most this number of requests of each trace.
    #[arg(long)]
    requests: Option<u64>,
    /// Lengths of values, in bytes, for traces without sizes.
    #[arg(long, default_value = "lognormal:500:1")]
    value_size: Lengths,
    /// Greatest number of requests that are sent together.
    #[arg(long, default_value_t = 32)]
    window: usize,
    #[arg(long, value_enum, default_value = "classic")]
    protocol: Protocol,
    /// Requests per second, for traces with times to live. Other traces go as fast as the server
    /// can.
    #[arg(long)]
    rate: Option<f64>,
    /// Repeat a replay that was behind the rate up to this number of times. The one with the least
    /// delay counts.
    #[arg(long, default_value_t = 0)]
    retries: usize,
}

/// The parameters of a replay.
#[derive(Debug, Clone, Copy)]
pub struct ReplayPlan<'a> {
    pub trace: &'a Trace,
    /// Greatest number of requests that are sent together.
    pub window: usize,
    /// Requests per second. If `None`, as fast as the server can.
    pub rate: Option<f64>,
}

/// The results of a replay.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub misses: u64,
    pub refused: u64,
    /// Bytes of key and value that were requested, and that were not found.
    pub bytes: u64,
    pub missed_bytes: u64,
    pub miss_ratio: f64,
    pub byte_miss_ratio: f64,
    pub seconds: f64,
    /// Greatest delay of the server behind the rate, in seconds.
    pub late: f64,
}

/// One line of the results.
#[derive(Debug, Serialize)]
struct Line<'a> {
    kind: &'static str,
    trace: &'a str,
    server: &'a str,
    version: &'a str,
    memory_mib: u32,
    rate: Option<f64>,
    #[serde(flatten)]
    outcome: &'a Outcome,
    cpu_ns_per_request: f64,
    resident_bytes: u64,
    /// Miss ratio and resident memory as ratios to the base's.
    miss_ratio_to_base: f64,
    resident_to_base: f64,
}

/// A replay on one server.
#[derive(Debug)]
struct Trial {
    version: String,
    outcome: Outcome,
    cpu: Duration,
    resident_bytes: u64,
}

/// Collects the misses of a window, and the results of the replay.
struct Window<'a, 'b> {
    terms: &'a Terms<'b>,
    missed: Vec<u64>,
    outcome: Outcome,
}

/// Replays each trace against each server with each limit, and prints tables.
pub fn run(replay: &Replay) -> Result<()> {
    if replay.rate.is_some_and(|rate| !(rate > 0.0 && rate < 1e9)) {
        return Err(Error::Usage("--rate must be above 0 and below 1e9".to_owned()));
    }
    replay.common.prepare()?;
    let mut results = Results::create(replay.common.results.as_ref())?;
    let servers: Vec<_> = replay.common.servers.iter().filter(|spec| spec.stores()).collect();
    let mut summaries: Vec<_> = servers.iter().map(|spec| Summary::new(&spec.name)).collect();
    println!(
        "| trace | -m | server | requests | miss ratio | to base | byte miss ratio | to base | CPU ns/request | RSS MiB | refused | note |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|");
    for path in &replay.traces {
        let trace = Trace::read(path, replay.requests)?;
        let items = trace.items(&replay.value_size);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rate = replay.rate.filter(|_| !trace.ttls().is_empty());
        let plan = ReplayPlan { trace: &trace, window: replay.window, rate };
        for limit in replay.common.limits(LIMIT) {
            let mut base: Option<(Outcome, u64)> = None;
            for (spec, summary) in servers.iter().zip(&mut summaries) {
                let settings = Settings { memory: limit, ..replay.common.settings(limit) };
                let terms = Terms { items: &items, protocol: replay.protocol, check: spec.check() };
                let mut trial = Trial::run(spec, &settings, &terms, plan)?;
                for _ in 0..replay.retries {
                    if trial.outcome.late <= LATE {
                        break;
                    }
                    let again = Trial::run(spec, &settings, &terms, plan)?;
                    if again.outcome.late < trial.outcome.late {
                        trial = again;
                    }
                }
                let Trial { version, outcome, cpu, resident_bytes } = trial;
                let (base, base_resident) = base.get_or_insert_with(|| (outcome.clone(), resident_bytes));
                let line = Line {
                    kind: "replay",
                    trace: &name,
                    server: &spec.name,
                    version: &version,
                    memory_mib: limit,
                    rate,
                    cpu_ns_per_request: cpu.as_secs_f64() * 1e9 / outcome.requests as f64,
                    resident_bytes,
                    miss_ratio_to_base: outcome.miss_ratio / base.miss_ratio,
                    resident_to_base: resident_bytes as f64 / *base_resident as f64,
                    outcome: &outcome,
                };
                println!("{}", line.row(base));
                results.write(&line)?;
                summary.add(&name, limit, line.miss_ratio_to_base, line.resident_to_base);
            }
        }
    }
    println!("\n{}", Summary::HEAD);
    for summary in &summaries {
        println!("{}", summary.row());
        results.write(&summary.line())?;
    }
    Ok(())
}

/// Replays a trace on one connection.
pub fn replay(address: &Address, terms: &Terms, plan: ReplayPlan) -> Result<Outcome> {
    let mut dialogue = Dialogue::connect(address, terms, PATIENCE)?;
    let mut learned = Window { terms, missed: Vec::new(), outcome: Outcome::default() };
    let mut distinct = HashSet::with_capacity(plan.window);
    let mut late = Duration::ZERO;
    let began = Instant::now();
    let requests = plan.trace.requests();
    let ttls = plan.trace.ttls();
    let mut rest = requests;
    while !rest.is_empty() || !learned.missed.is_empty() {
        for id in learned.missed.drain(..) {
            dialogue.set(id, ttls.get(id as usize).copied().unwrap_or(0));
        }
        distinct.clear();
        let fresh = rest.iter().take(plan.window.max(1)).take_while(|&&id| distinct.insert(id)).count();
        let (now, later) = rest.split_at(fresh);
        for &id in now {
            dialogue.get(id);
        }
        rest = later;
        if let Some(rate) = plan.rate {
            let due = Duration::from_secs_f64((requests.len() - rest.len()) as f64 / rate);
            let elapsed = began.elapsed();
            std::thread::sleep(due.saturating_sub(elapsed));
            late = late.max(elapsed.saturating_sub(due));
        }
        dialogue.exchange(&mut learned)?;
    }
    let mut outcome = learned.outcome;
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome.late = late.as_secs_f64();
    outcome.miss_ratio = outcome.misses as f64 / (outcome.requests as f64).max(1.0);
    outcome.byte_miss_ratio = outcome.missed_bytes as f64 / (outcome.bytes as f64).max(1.0);
    Ok(outcome)
}

/// Prints one outcome, as text or as a line of JSON.
pub fn print(outcome: &Outcome, json: bool) -> Result<()> {
    if json {
        return crate::print_json(outcome);
    }
    println!(
        "{} requests in {:.2} s, miss ratio {:.4}, byte miss ratio {:.4}, {} sets refused",
        outcome.requests, outcome.seconds, outcome.miss_ratio, outcome.byte_miss_ratio, outcome.refused
    );
    Ok(())
}

impl Trial {
    /// Starts the server and replays a trace on it.
    fn run(spec: &Spec, settings: &Settings, terms: &Terms, plan: ReplayPlan) -> Result<Self> {
        let server = spec.start(settings)?;
        let before = server.cpu()?;
        let outcome = replay(&server.address, terms, plan)?;
        Ok(Self {
            version: server.version.clone(),
            outcome,
            cpu: server.cpu()?.saturating_sub(before),
            resident_bytes: server.resident()?,
        })
    }
}

impl Line<'_> {
    fn row(&self, base: &Outcome) -> String {
        let Self { outcome, .. } = self;
        let note = if outcome.late > LATE {
            format!("{:.1} s behind the rate", outcome.late)
        } else {
            String::new()
        };
        format!(
            "| {} | {} | {} | {} | {:.4} | {:.3}x | {:.4} | {:.3}x | {:.0} | {:.1} | {} | {note} |",
            self.trace,
            self.memory_mib,
            self.server,
            outcome.requests,
            outcome.miss_ratio,
            self.miss_ratio_to_base,
            outcome.byte_miss_ratio,
            outcome.byte_miss_ratio / base.byte_miss_ratio,
            self.cpu_ns_per_request,
            self.resident_bytes as f64 / f64::from(1 << 20),
            outcome.refused,
        )
    }
}

impl Window<'_, '_> {
    fn bytes(&self, id: u64) -> u64 {
        (self.terms.items.key_length(id) + self.terms.items.value_length(id)) as u64
    }
}

impl Sink for Window<'_, '_> {
    fn hit(&mut self, id: u64) {
        self.outcome.requests += 1;
        self.outcome.bytes += self.bytes(id);
    }

    fn miss(&mut self, id: u64) {
        self.hit(id);
        self.outcome.misses += 1;
        self.outcome.missed_bytes += self.bytes(id);
        self.missed.push(id);
    }

    fn refused(&mut self, _id: u64) {
        self.outcome.refused += 1;
    }

    fn done(&mut self, _request: Request) {}
}

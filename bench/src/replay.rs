//! `bench replay`: a trace against each server, get, and set on a miss; how often each of them missed.
//!
//! One connection. The requests of a window go out together: gets of different keys, cut short before a key
//! would repeat. The sets for those that missed go out next, before the gets of the following window. So
//! every get of a key sees every earlier set of it, as with one client that waits for each reply, at a
//! fraction of the round trips.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::address::Address;
use crate::checker::{Request, Sink, Terms};
use crate::compare;
use crate::dialogue::Dialogue;
use crate::error::Result;
use crate::lengths::Lengths;
use crate::results::Results;
use crate::trace::Trace;
use crate::wire::Protocol;

/// Memory of each server in MiB, unless said otherwise.
const LIMIT: u32 = 64;

/// Silence of a server that ends a replay.
const PATIENCE: Duration = Duration::from_secs(10);

/// Replay a trace against servers, side by side: miss ratios.
#[derive(Debug, clap::Args)]
pub struct Replay {
    #[command(flatten)]
    common: compare::Common,
    /// Traces: ARC (.lis), or lines of key and size; either may be .zst.
    #[arg(long = "trace", required = true)]
    traces: Vec<PathBuf>,
    /// Only so many requests of each trace.
    #[arg(long)]
    requests: Option<u64>,
    /// Bytes of values where the trace has none.
    #[arg(long, default_value = "lognormal:500:1")]
    value_size: Lengths,
    /// Requests that go out together.
    #[arg(long, default_value_t = 32)]
    window: usize,
    #[arg(long, value_enum, default_value = "classic")]
    protocol: Protocol,
}

/// What a replay yielded.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub misses: u64,
    pub refused: u64,
    /// Bytes of key and value asked for, and not found.
    pub bytes: u64,
    pub missed_bytes: u64,
    pub miss_ratio: f64,
    pub byte_miss_ratio: f64,
    pub seconds: f64,
}

/// One line of the results.
#[derive(Debug, Serialize)]
struct Line<'a> {
    kind: &'static str,
    trace: &'a str,
    server: &'a str,
    version: &'a str,
    memory_mib: u32,
    #[serde(flatten)]
    outcome: &'a Outcome,
    cpu_ns_per_request: f64,
    resident_bytes: u64,
}

/// Learns what a window missed.
struct Window<'a, 'b> {
    terms: &'a Terms<'b>,
    missed: Vec<u64>,
    outcome: Outcome,
}

/// Replays each trace against each server and prints a table.
pub fn run(replay: &Replay) -> Result<()> {
    replay.common.prepare()?;
    let mut results = Results::create(replay.common.results.as_ref())?;
    println!(
        "| trace | server | requests | miss ratio | to base | byte miss ratio | to base | CPU ns/request | RSS MiB | refused |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for path in &replay.traces {
        let trace = Trace::read(path, replay.requests)?;
        let items = trace.items(&replay.value_size);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut base: Option<Outcome> = None;
        for spec in replay.common.servers.iter().filter(|spec| spec.stores()) {
            let settings = replay.common.settings(LIMIT);
            let server = spec.start(&settings)?;
            let terms = Terms { items: &items, protocol: replay.protocol, check: spec.check() };
            let before = server.cpu()?;
            let outcome = self::replay(&server.address, &terms, trace.requests(), replay.window)?;
            let cpu = server.cpu()?.saturating_sub(before).as_secs_f64() * 1e9 / outcome.requests as f64;
            let resident = server.resident()?;
            let base = base.get_or_insert_with(|| outcome.clone());
            println!(
                "| {name} | {} | {} | {:.4} | {:.3}x | {:.4} | {:.3}x | {cpu:.0} | {:.1} | {} |",
                spec.name,
                outcome.requests,
                outcome.miss_ratio,
                outcome.miss_ratio / base.miss_ratio,
                outcome.byte_miss_ratio,
                outcome.byte_miss_ratio / base.byte_miss_ratio,
                resident as f64 / f64::from(1 << 20),
                outcome.refused,
            );
            results.write(&Line {
                kind: "replay",
                trace: &name,
                server: &spec.name,
                version: &server.version,
                memory_mib: settings.memory,
                outcome: &outcome,
                cpu_ns_per_request: cpu,
                resident_bytes: resident,
            })?;
        }
    }
    Ok(())
}

/// Replays `requests` on one connection, up to `window` at a time.
pub fn replay(address: &Address, terms: &Terms, requests: &[u64], window: usize) -> Result<Outcome> {
    let mut dialogue = Dialogue::connect(address, terms, PATIENCE)?;
    let mut learned = Window { terms, missed: Vec::new(), outcome: Outcome::default() };
    let mut distinct = HashSet::with_capacity(window);
    let began = Instant::now();
    let mut rest = requests;
    while !rest.is_empty() || !learned.missed.is_empty() {
        for id in learned.missed.drain(..) {
            dialogue.set(id);
        }
        distinct.clear();
        let fresh = rest.iter().take(window.max(1)).take_while(|&&id| distinct.insert(id)).count();
        let (now, later) = rest.split_at(fresh);
        for &id in now {
            dialogue.get(id);
        }
        rest = later;
        dialogue.exchange(&mut learned)?;
    }
    let mut outcome = learned.outcome;
    outcome.seconds = began.elapsed().as_secs_f64();
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

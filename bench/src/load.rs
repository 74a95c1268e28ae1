//! `bench load`: one load on one server, measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::address::Address;
use crate::checker::{Check, Terms};
use crate::driver::{Driver, Pace, Span};
use crate::error::{Error, Result};
use crate::items::{Items, KEY_LENGTH};
use crate::lengths::Lengths;
use crate::measurement::Measurement;
use crate::replay;
use crate::trace::Trace;
use crate::wire::Protocol;
use crate::workload::{Choice, Mix, Workload};
use crate::{launch, usage};

/// Run one load on one server.
#[derive(Debug, clap::Args)]
pub struct Load {
    /// Address of the server: host:port, or the path of a Unix socket.
    #[arg(long, default_value = "127.0.0.1:11211")]
    address: Address,
    /// Number of connections, up to 10000 and more.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests outstanding on each connection.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    #[arg(long, value_enum, default_value = "classic")]
    protocol: Protocol,
    #[arg(long, value_enum, default_value = "get")]
    workload: Kind,
    /// Share of gets in the mixed workload.
    #[arg(long, default_value_t = 0.9)]
    gets: f64,
    /// Number of keys in a request of the multiget workload.
    #[arg(long, default_value_t = 50)]
    multiget: u32,
    /// Trace for the replay workload: ARC (.lis), or lines of key, size and time to live. Either
    /// may be .zst.
    #[arg(long, required_if_eq("workload", "replay"))]
    trace: Option<PathBuf>,
    /// Bytes of a value: 100, 4k, or lognormal:MEAN:SIGMA.
    #[arg(long, default_value = "100")]
    value_size: Lengths,
    /// Bytes of a key.
    #[arg(long, default_value_t = KEY_LENGTH)]
    key_size: u32,
    /// Number of keys.
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Choice of keys: uniform or zipf:THETA.
    #[arg(long, default_value = "uniform")]
    distribution: Distribution,
    /// Time to live of the stored items, in seconds. With 0 they never expire.
    #[arg(long, default_value_t = 0)]
    ttl: u32,
    /// Requests per second, in an open loop. Without it, a new request follows each reply.
    #[arg(long)]
    rate: Option<f64>,
    /// Never sleep, so that no reply has to wake the load.
    #[arg(long)]
    eager: bool,
    /// Length of the measurement, in seconds.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// Number of requests to measure, instead of a duration.
    #[arg(long)]
    requests: Option<u64>,
    /// Length of the load before the measurement, in seconds.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Do not store all keys first.
    #[arg(long)]
    no_fill: bool,
    /// Which parts of replies to check.
    #[arg(long, value_enum, default_value = "full")]
    check: Check,
    /// Core to run the load on.
    #[arg(long)]
    core: Option<usize>,
    /// Process ID of the server, to measure its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// The workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Get,
    Set,
    Mixed,
    Multiget,
    /// Gets the keys of a trace in order, and sets them after a miss, on one connection.
    Replay,
}

/// The choice of keys.
#[derive(Debug, Clone, Copy)]
enum Distribution {
    Uniform,
    Zipf(f64),
}

/// The output of `load`.
#[derive(Debug, Serialize)]
struct Report {
    address: String,
    protocol: Protocol,
    connections: usize,
    pipeline: usize,
    #[serde(flatten)]
    measured: Measurement,
    hit_ratio: f64,
    cpu_ns_per_request: Option<f64>,
    server_busy: Option<f64>,
}

impl std::str::FromStr for Distribution {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("zipf:").map(str::parse) {
            None if text == "uniform" => Ok(Self::Uniform),
            Some(Ok(theta)) if (0.01..10.0).contains(&theta) => Ok(Self::Zipf(theta)),
            _ => Err(Error::Usage(format!("--distribution must be uniform or zipf:THETA, got {text}"))),
        }
    }
}

/// Runs the load and prints the measurements.
pub fn run(load: &Load) -> Result<()> {
    load.validate()?;
    launch::raise_open_files()?;
    if let Some(core) = load.core {
        launch::pin(core)?;
    }
    if let (Kind::Replay, Some(path)) = (load.workload, &load.trace) {
        let trace = Trace::read(path, load.requests)?;
        let items = trace.items(&load.value_size);
        let terms = Terms { items: &items, protocol: load.protocol, check: load.check };
        let plan = replay::ReplayPlan { trace: &trace, window: load.pipeline, rate: load.rate };
        let outcome = replay::replay(&load.address, &terms, plan)?;
        replay::print(&outcome, load.json)?;
        return none_refused(outcome.refused);
    }
    let count = u64::from(load.keys);
    let items = Items::new(count, Lengths::Fixed(load.key_size), load.value_size.clone().tabulated(count));
    let terms = Terms { items: &items, protocol: load.protocol, check: load.check };
    if !load.no_fill {
        fill(&load.address, &terms, count, load.ttl)?;
    }
    let mut driver = Driver::connect(&load.address, load.connections, load.pipeline, load.ttl, &terms)?;
    let mut workload = load.workload();
    let pace = match load.rate {
        Some(rate) => Pace::Rate(rate),
        None if load.eager => Pace::Eager,
        None => Pace::Closed,
    };
    if load.warmup > 0.0 {
        let warm = Duration::from_secs_f64(load.warmup);
        // A count is exact only if no request of the warm-up is outstanding.
        let drain = load.requests.is_some();
        driver.run(&mut workload, pace, Span { duration: Some(warm), requests: None, drain })?;
    }
    let span = Span {
        duration: load.requests.is_none().then(|| Duration::from_secs_f64(load.duration)),
        requests: load.requests,
        drain: true,
    };
    let before = load.pid.map(usage::cpu).transpose()?;
    let measured = driver.run(&mut workload, pace, span)?;
    let used = match (before, load.pid) {
        (Some(before), Some(pid)) => Some((usage::cpu(pid)?.saturating_sub(before)).as_secs_f64()),
        _ => None,
    };
    let report = Report {
        address: load.address.to_string(),
        protocol: load.protocol,
        connections: load.connections,
        pipeline: load.pipeline,
        hit_ratio: measured.hit_ratio(),
        cpu_ns_per_request: used.map(|seconds| seconds * 1e9 / measured.counts.requests as f64),
        server_busy: used.map(|seconds| seconds / measured.seconds),
        measured,
    };
    report.print(load.json)?;
    none_refused(report.measured.counts.refused)
}

fn none_refused(sets: u64) -> Result<()> {
    if sets == 0 { Ok(()) } else { Err(Error::Refused(sets)) }
}

/// Stores every item below `count` once.
pub fn fill(address: &Address, terms: &Terms, count: u64, ttl: u32) -> Result<Measurement> {
    let mut driver = Driver::connect(address, 4, 16, ttl, terms)?;
    let all = Span { duration: None, requests: None, drain: true };
    driver.run(&mut Workload::fill(count), Pace::Closed, all)
}

impl Load {
    fn validate(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Usage(what.to_owned()));
        match () {
            () if self.connections == 0 || self.keys == 0 || self.multiget == 0 => {
                usage("--connections, --keys and --multiget must be at least 1")
            }
            () if !(self.duration > 0.0 && self.duration < 1e6 && (0.0..1e6).contains(&self.warmup)) => {
                usage("--duration must be above 0 and --warmup at least 0, and both below 1e6")
            }
            () if self.rate.is_some_and(|rate| !(rate > 0.0 && rate < 1e9)) => {
                usage("--rate must be above 0 and below 1e9")
            }
            () if !(0.0..=1.0).contains(&self.gets) => usage("--gets must be from 0 to 1"),
            () => Ok(()),
        }
    }

    fn workload(&self) -> Workload {
        let choice = match self.distribution {
            Distribution::Uniform => Choice::Uniform(u64::from(self.keys)),
            Distribution::Zipf(theta) => Choice::zipf(self.keys, theta),
        };
        match self.workload {
            Kind::Get | Kind::Replay => Workload::new(Mix::Get, 1, choice),
            Kind::Set => Workload::new(Mix::Set, 1, choice),
            Kind::Mixed => Workload::new(Mix::Share(self.gets), 1, choice),
            Kind::Multiget => Workload::new(Mix::Get, self.multiget, choice),
        }
    }
}

impl Report {
    fn print(&self, json: bool) -> Result<()> {
        if json {
            return crate::print_json(self);
        }
        let measured = &self.measured;
        let counts = &measured.counts;
        println!(
            "{:.0} requests/s ({} in {:.3} s), {} connections, pipeline {}",
            measured.requests_per_second, counts.requests, measured.seconds, self.connections, self.pipeline
        );
        println!(
            "latency us  p50 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}  mean {:.1}",
            measured.p50_us, measured.p99_us, measured.p999_us, measured.max_us, measured.mean_us
        );
        println!(
            "{} hits, {} misses (hit ratio {:.4}), {} refused, {} unsent; load core {:.0}% busy",
            counts.hits,
            counts.misses,
            self.hit_ratio,
            counts.refused,
            measured.unsent,
            measured.load_busy * 100.0
        );
        if let (Some(cpu), Some(busy)) = (self.cpu_ns_per_request, self.server_busy) {
            println!("server {cpu:.0} ns CPU a request, core {:.0}% busy", busy * 100.0);
        }
        Ok(())
    }
}

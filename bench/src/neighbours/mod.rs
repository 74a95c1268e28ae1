//! `bench neighbours`: how long a client waits while others keep the server busy.
//!
//! A probe sends one get at a time and waits for each reply. The clients of a scenario, the
//! neighbours, run beside it. Each scenario starts each server in turn, with the items that it
//! needs.

mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::address::Address;
use crate::error::{Error, Result};
use crate::results::Results;
use crate::server::{Settings, Spec};
use crate::{dialogue, launch};

use load::{Fill, Load, Ports};

/// Longest latency that is recorded exactly, in microseconds.
const LONGEST: u64 = 60_000_000;

/// Time for the neighbours to start before the probe measures.
const WARM: Duration = Duration::from_millis(300);

/// Measure a client's latency while others keep the server busy.
#[derive(Debug, clap::Args)]
pub struct Neighbours {
    /// A server, name=path[:extra arguments]. Can be repeated. The first is the base of all ratios.
    #[arg(long = "server", required_unless_present = "list")]
    servers: Vec<Spec>,
    /// Scenarios to run, by name or by the beginning of a name. The default is all. See --list.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Print the scenarios and exit.
    #[arg(long)]
    list: bool,
    /// Rounds. Results are medians of the rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of the measurement in each round, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Number of items in the scenarios that list or dump the cache.
    #[arg(long, default_value_t = 3_000_000)]
    items: u64,
    /// Certificate chain and key for the scenario `handshakes`, in one PEM file.
    #[arg(long)]
    pem: Option<PathBuf>,
    /// Scheduling priority of the servers, the neighbours and the probe.
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// File to append results to, one line of JSON each.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Show the output of the servers.
    #[arg(short, long)]
    verbose: bool,
}

/// The latency of the probe on one server. One line of the results file.
#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    scenario: &'static str,
    server: String,
    /// In microseconds; medians of the rounds, as are the next two.
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    /// Units of the neighbours' work per second: exchanges, datagrams, handshakes, or MiB or KiB
    /// read.
    neighbours_per_second: f64,
    p50_ratio: f64,
    p99_ratio: f64,
}

/// One way to keep a server busy.
#[derive(Debug)]
struct Scenario {
    name: &'static str,
    about: &'static str,
    /// Additional arguments of the server.
    extra: &'static str,
    threads: u32,
    memory: u32,
    fill: Fill,
    load: Load,
}

const SCENARIOS: &[Scenario] = &[
    Scenario::new("quiet", "no neighbours", Load::None),
    Scenario {
        threads: 2,
        fill: Fill::Values(10_000, 100),
        ..Scenario::new(
            "saturated",
            "48 clients with 64 outstanding gets each, -t 2",
            Load::Pipelines(48, 64),
        )
    },
    Scenario {
        fill: Fill::Values(64, 4_000),
        ..Scenario::new("unread", "64 clients that request 16 MB each and read late", Load::Unread(64))
    },
    Scenario {
        extra: "-I 32m",
        memory: 2048,
        fill: Fill::Values(20, 30 << 20),
        ..Scenario::new("huge-values", "a fast reader of 20 values of 30 MiB, -I 32m", Load::Huge(20))
    },
    Scenario {
        fill: Fill::Values(1, 900_000),
        ..Scenario::new("udp", "128 datagrams at a time that request 900 KB", Load::Datagrams(128))
    },
    Scenario {
        ..Scenario::new("handshakes", "4 clients that do nothing but TLS handshakes", Load::Handshakes(4))
    },
    Scenario::dump("metadump", "20 clients that dump all keys", Load::Dumps(20)),
    Scenario::commands("cachedump", "stats cachedump of an empty class", "stats cachedump 20 0"),
    Scenario::commands("cachedump-full", "stats cachedump of a full class", "stats cachedump 2 0"),
    Scenario::commands("stats", "stats", "stats"),
    Scenario::commands("stats-items", "stats items", "stats items"),
    Scenario::commands("stats-slabs", "stats slabs", "stats slabs"),
    Scenario::commands("stats-settings", "stats settings", "stats settings"),
    Scenario::commands("stats-conns", "stats conns", "stats conns"),
    Scenario {
        extra: "-o track_sizes",
        ..Scenario::commands("stats-sizes", "stats sizes, with all items counted", "stats sizes")
    },
    Scenario {
        extra: "-D :",
        ..Scenario::commands("stats-detail", "stats detail dump, 65,536 prefixes", "stats detail dump")
    },
    Scenario::commands("stats-reset", "stats reset", "stats reset"),
    Scenario::commands("crawl", "lru_crawler crawl", "lru_crawler crawl all"),
    Scenario::commands("long-get", "gets of 1,000 keys that are not stored", Load::MISSES),
    Scenario {
        fill: Fill::Values(1, 1_000_000),
        ..Scenario::commands("append", "appends to a value of 1 MB", Load::APPEND)
    },
    Scenario::commands("flush", "flush_all", "flush_all"),
];

impl Scenario {
    const fn new(name: &'static str, about: &'static str, load: Load) -> Self {
        Self { name, about, extra: "", threads: 1, memory: 1024, fill: Fill::Nothing, load }
    }

    const fn dump(name: &'static str, about: &'static str, load: Load) -> Self {
        Self { fill: Fill::Many, ..Self::new(name, about, load) }
    }

    /// Makes a scenario that sends 200 of one command at a time.
    const fn commands(name: &'static str, about: &'static str, command: &'static str) -> Self {
        Self::dump(name, about, Load::Commands(command, 200))
    }
}

/// Runs the scenarios and prints a table.
pub fn run(neighbours: &Neighbours) -> Result<()> {
    if neighbours.list {
        for Scenario { name, about, .. } in SCENARIOS {
            println!("{name:16} {about}");
        }
        return Ok(());
    }
    let wanted = &neighbours.scenario;
    if let Some(unknown) = wanted.iter().find(|w| !SCENARIOS.iter().any(|s| s.name.starts_with(w.as_str()))) {
        return Err(Error::Usage(format!("unknown scenario {unknown}; see --list")));
    }
    if !(neighbours.seconds > 0.0 && neighbours.seconds < 1e6) {
        return Err(Error::Usage("--seconds must be above 0 and below 1e6".to_owned()));
    }
    launch::raise_open_files()?;
    neighbours.nice.map_or(Ok(()), launch::set_nice)?;
    let mut results = Results::create(neighbours.results.as_ref())?;
    println!("| scenario | server | p50 µs | ratio | p99 µs | ratio | max µs | neighbours/s |");
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    let chosen = SCENARIOS
        .iter()
        .filter(|s| wanted.is_empty() || wanted.iter().any(|w| s.name.starts_with(w.as_str())));
    for scenario in chosen {
        let mut base: Option<(f64, f64)> = None;
        for spec in &neighbours.servers {
            let mut row = match measure(neighbours, scenario, spec) {
                Ok(row) => row,
                Err(error) => {
                    println!("| {} | {} | {error} |", scenario.name, spec.name);
                    continue;
                }
            };
            let (p50, p99) = *base.get_or_insert((row.p50_us, row.p99_us));
            (row.p50_ratio, row.p99_ratio) = (row.p50_us / p50, row.p99_us / p99);
            println!(
                "| {} | {} | {:.0} | {:.2}x | {:.0} | {:.2}x | {:.0} | {:.0} |",
                row.scenario,
                row.server,
                row.p50_us,
                row.p50_ratio,
                row.p99_us,
                row.p99_ratio,
                row.max_us,
                row.neighbours_per_second,
            );
            results.write(&row)?;
        }
    }
    Ok(())
}

/// Measures one scenario on one server.
fn measure(neighbours: &Neighbours, scenario: &Scenario, spec: &Spec) -> Result<Row> {
    let other = load::free_port()?;
    let plain = load::free_port()?;
    let mut extra: Vec<String> = scenario.extra.split_whitespace().map(str::to_owned).collect();
    let certificate = match scenario.load {
        Load::Datagrams(_) => {
            extra.extend(["-U".to_owned(), other.port().to_string()]);
            None
        }
        Load::Handshakes(_) => {
            let file = load::Certificate::make(neighbours.pem.as_deref())?;
            let path = file.path().display();
            extra.extend(["-Z".to_owned(), "-o".to_owned()]);
            extra.push(format!("ssl_chain_cert={path},ssl_key={path}"));
            extra.extend(["-l".to_owned(), format!("notls:{plain}")]);
            Some(file)
        }
        _ => None,
    };
    let settings = Settings {
        memory: scenario.memory,
        threads: scenario.threads,
        connections: 1000,
        core: None,
        nice: neighbours.nice,
        unix: false,
        value_size: 100,
        verbose: neighbours.verbose,
    };
    let spec = spec.with(&extra, if certificate.is_some() { Some(plain) } else { None });
    let server = spec.start(&settings)?;
    let Address::Tcp(listed) = server.address else {
        return Err(Error::Usage("neighbours needs a server on TCP".to_owned()));
    };
    let ports = if certificate.is_some() {
        Ports { tcp: plain, other: listed }
    } else {
        Ports { tcp: listed, other }
    };
    load::fill(ports.tcp, scenario.fill, neighbours.items)?;
    server.settle(Duration::from_secs(20))?;
    let mut rounds = Vec::new();
    for _ in 0..neighbours.rounds.max(1) {
        rounds.push(round(scenario, &ports, Duration::from_secs_f64(neighbours.seconds))?);
    }
    let median = |pick: fn(&(Histogram<u64>, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Ok(Row {
        kind: "neighbours",
        scenario: scenario.name,
        server: spec.name,
        p50_us: median(|(latency, _)| latency.value_at_quantile(0.5) as f64),
        p99_us: median(|(latency, _)| latency.value_at_quantile(0.99) as f64),
        max_us: median(|(latency, _)| latency.max() as f64),
        neighbours_per_second: median(|(_, work)| *work),
        p50_ratio: 1.0,
        p99_ratio: 1.0,
    })
}

/// Starts the neighbours and measures the probe. Returns its latencies, and their work per second.
fn round(scenario: &Scenario, ports: &Ports, time: Duration) -> Result<(Histogram<u64>, f64)> {
    let (stop, work) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let running = scenario.load.start(scope, ports, &stop, &work);
        std::thread::sleep(WARM);
        let before = work.load(Relaxed);
        let began = Instant::now();
        let latency = probe(ports.tcp, time);
        let work = (work.load(Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        for thread in running {
            thread.join().map_err(|_| Error::Failed)??;
        }
        Ok((latency?, work))
    })
}

/// Gets one item at a time for `time`.
fn probe(address: SocketAddr, time: Duration) -> Result<Histogram<u64>> {
    let mut stream = Address::Tcp(address).connect()?;
    let mut latency =
        Histogram::new_with_max(LONGEST, 3).map_err(|error| Error::Malformed(error.to_string()))?;
    let began = Instant::now();
    while began.elapsed() < time {
        let sent = Instant::now();
        dialogue::get_nothing(&mut stream)?;
        let took = sent.elapsed();
        latency.saturating_record(took.as_micros() as u64);
        // Many clients pause between requests. A probe without pauses would measure its own load.
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(latency)
}

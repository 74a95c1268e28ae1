//! `bench proxy`: several proxies before the same backends, in turns.
//!
//! Each case starts its backends, and before them each proxy with the same routes. The rest is a
//! comparison as in `compare`.

mod case;
pub mod configuration;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::Common;
use crate::compare::compare_run::{Game, Report};
use crate::compare::effort::{Effort, Length};
use crate::compare::scenario;
use crate::directory::Directory;
use crate::error::{Doing, Result};
use crate::results::Results;
use crate::server::{Server, Settings, Spec, free_address};

use case::{CASES, Case, Fault};
use configuration::{FORMATS, Plan};

/// Number of backends of the pool `main`. The pool `spare` has one more.
const MAIN: usize = 3;

/// Longest time for a killed backend to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run the same loads through several proxies, side by side.
///
/// A word in the arguments of a server stands for the file with its routes: TOML for memcached-rs,
/// LUA and ROUTELIB for it and for memcached, YML for twemproxy. Examples:
/// `--server 'native=target/release/memcached-rs:-o proxy_config=TOML'`,
/// `--server 'memcached=PATH:-o proxy_config=routelib,proxy_arg=ROUTELIB'`,
/// `--server 'twemproxy=nutcracker:-c YML'`.
#[derive(Debug, clap::Args)]
pub struct Proxy {
    #[command(flatten)]
    common: Common,
    /// The backends, name=path[:extra arguments], such as memcached=/usr/bin/memcached.
    #[arg(long, required_unless_present = "list")]
    backend: Option<Spec>,
    /// Cases to run, by name or by the beginning of a name. The default is all. See --list.
    #[arg(long, value_delimiter = ',')]
    case: Vec<String>,
    /// Print the cases and exit.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    length: Length,
}

/// Runs the cases and prints tables.
pub fn run(proxy: &Proxy) -> Result<()> {
    let cases = scenario::choose_from(CASES, |case| case.scenario.name, &proxy.case)?;
    let Some(backend) = proxy.backend.as_ref().filter(|_| !proxy.list) else {
        scenario::print_list(cases.map(|case| &case.scenario));
        return Ok(());
    };
    proxy.common.prepare()?;
    let effort = proxy.length.effort(5, 1.0)?;
    let mut results = Results::create(proxy.common.results.as_ref())?;
    let mut report = Report::begin(&mut results);
    let directory = Directory::create()?;
    for case in cases {
        play(&proxy.common, backend, case, effort, &directory, &mut report)?;
    }
    report.end(&proxy.common)
}

/// Runs one case to its end.
fn play(
    common: &Common,
    backend: &Spec,
    case: &Case,
    effort: Effort,
    directory: &Directory,
    report: &mut Report,
) -> Result<()> {
    let settings = Settings { core: Some(common.cores.load), ..common.settings(case.scenario.memory) };
    let backends = (0..=MAIN).map(|_| backend.start(&settings)).collect::<Result<Vec<_>>>()?;
    let (main, spare) = backends.split_at(MAIN);
    let specs = common.servers.iter().map(|spec| configured(spec, case, main, spare, directory));
    let specs: Vec<_> = specs.filter_map(Result::transpose).collect::<Result<_>>()?;
    let game = Game::new(&case.scenario, common.cores, &backends);
    if case.fault == Fault::AllDead {
        main.iter().try_for_each(|backend| backend.stop(Signal::KILL, PATIENCE).map(drop))?;
    }
    let mut contestants = game.enter(&specs, common);
    match (case.fault, main.first()) {
        (Fault::Dead, Some(backend)) => backend.stop(Signal::KILL, PATIENCE).map(drop)?,
        (Fault::Stopped, Some(backend)) => backend.pause()?,
        _ => {}
    }
    game.play(&mut contestants, effort, report)
}

/// Writes the configuration of a proxy for a case. Returns the proxy with it, or `None` if the
/// proxy has no such routes.
fn configured(
    spec: &Spec,
    case: &Case,
    main: &[Server],
    spare: &[Server],
    directory: &Directory,
) -> Result<Option<Spec>> {
    let listen = free_address(false)?;
    let addresses = |servers: &[Server]| servers.iter().map(|server| server.address.to_string()).collect();
    let plan = Plan {
        listen: listen.to_string(),
        main: addresses(main),
        spare: addresses(spare),
        failover: case.failover,
    };
    let mut configured = spec.at(listen);
    for format in FORMATS.iter().filter(|format| spec.mentions(format.word)) {
        if case.failover && !format.failover {
            return Ok(None);
        }
        let path = directory.path().join(format!("{}.{}", spec.name, format.ending));
        fs::write(&path, (format.text)(&plan)).doing(|| format!("writing {}", path.display()))?;
        configured = configured.replacing(format.word, &path.display().to_string());
    }
    Ok(Some(configured))
}

//! Kills and stops of a server that saves, under load. At the next start, it must load values that
//! clients had stored.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::client::{Client, Connection, History};
use super::{Directory, Length};
use crate::Outcome;
use crate::rng::Rng;
use crate::server::{Server, Target};

/// Number of clients.
const CLIENTS: u64 = 3;

/// Longest time for a stop, with its save.
const STOP: Duration = Duration::from_mins(1);

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL. Changes since the last save are lost.
    Killed,
    /// By SIGTERM, SIGINT or SIGUSR1. No change that was answered is lost.
    Stopped,
}

/// How to run the check.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The daemon.
    pub daemon: &'a Path,
    /// More of its arguments.
    pub arguments: &'a [String],
    /// Where the snapshot is.
    pub directory: &'a Path,
    /// When it ends.
    pub length: Length,
    /// How each server ends.
    pub end: End,
    /// Seed of all decisions.
    pub seed: u64,
}

/// Counts of a check.
#[derive(Debug, Default)]
pub struct Report {
    rounds: u64,
    answered: u64,
    /// Items that were found after a start.
    pub found: u64,
    /// Answered changes that were lost.
    pub lost: u64,
    /// For each round with a loss: the age of the oldest lost change, at the kill.
    ages: Vec<Duration>,
    /// The longest time from a start to the first answer, and from the last signal to the end.
    start: Duration,
    stop: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ages = self.ages.clone();
        ages.sort();
        let age = |percent: usize| {
            let place = (ages.len() * percent / 100).min(ages.len().saturating_sub(1));
            ages.get(place).copied().unwrap_or_default().as_secs_f64()
        };
        writeln!(
            f,
            "{} rounds, {} requests answered, {} items found after starts: none is wrong",
            self.rounds, self.answered, self.found
        )?;
        writeln!(
            f,
            "{} answered changes lost in {} rounds; age of the oldest of a round: median {:.2} s, 99% {:.2} s, \
             most {:.2} s",
            self.lost,
            ages.len(),
            age(50),
            age(99),
            age(100)
        )?;
        write!(
            f,
            "longest start {:.2} s, longest end {:.2} s",
            self.start.as_secs_f64(),
            self.stop.as_secs_f64()
        )
    }
}

/// Runs the check.
///
/// # Errors
/// A start fails, a reply is wrong, or an item is in a state that it must not have.
pub fn run(settings: &Settings<'_>) -> Outcome<Report> {
    let directory = Directory::create(settings.directory, "kill-server")?;
    let mut check = Check {
        settings,
        file: directory.file("server.mcrs"),
        rng: Rng::new(settings.seed),
        clients: (0..CLIENTS).map(|number| Client::new(number, settings.seed)).collect(),
        report: Report::default(),
    };
    let began = Instant::now();
    let mut server = check.start()?;
    while settings.length.goes_on(check.report.rounds, began) {
        check.report.rounds += 1;
        let next = check.use_and_end(&mut server).and_then(|ended| check.compare(ended));
        server = next.map_err(|fault| format!("round {}: {fault}", check.report.rounds))?;
    }
    Ok(check.report)
}

struct Check<'a> {
    settings: &'a Settings<'a>,
    file: PathBuf,
    rng: Rng,
    clients: Vec<Client>,
    report: Report,
}

impl Check<'_> {
    /// Starts a server, which loads the file if there is one.
    fn start(&mut self) -> Outcome<Server> {
        let mut arguments: Vec<String> =
            ["-m", "512", "-t", "2", "--persist-interval", "1", "--persist"].map(str::to_owned).to_vec();
        arguments.push(self.file.display().to_string());
        arguments.extend_from_slice(self.settings.arguments);
        let began = Instant::now();
        let server = Server::start(&Target::Program(self.settings.daemon.to_owned(), arguments))?;
        self.report.start = self.report.start.max(began.elapsed());
        Ok(server)
    }

    /// Uses the server until it has ended. Returns when the last signal was sent.
    fn use_and_end(&mut self, server: &mut Server) -> Outcome<Instant> {
        let signals = self.signals();
        let (settings, report) = (self.settings, &mut self.report);
        let address = server.address().to_owned();
        thread::scope(|scope| {
            let address = address.as_str();
            let uses: Vec<_> = self
                .clients
                .iter_mut()
                .map(|client| scope.spawn(move || client.use_until_closed(address)))
                .collect();
            let signalled = signals
                .iter()
                .try_for_each(|&(wait, signal)| {
                    thread::sleep(wait);
                    server.signal(signal)
                })
                .map(|()| Instant::now());
            let ended = server.wait(STOP);
            // A client ends when the server does.
            server.kill();
            for answered in uses.into_iter().map(ScopedJoinHandle::join) {
                report.answered += answered.map_err(|_| "a client panicked".to_owned())??;
            }
            let (signalled, ended) = (signalled?, ended?);
            report.stop = report.stop.max(signalled.elapsed());
            if settings.end == End::Stopped && !ended.success() {
                return Err(format!("the server ended with {ended}"));
            }
            Ok(signalled)
        })
    }

    /// Returns the signals of a round, and the time before each of them.
    fn signals(&mut self) -> Vec<(Duration, Signal)> {
        let rng = &mut self.rng;
        let last = match self.settings.end {
            End::Killed => Signal::KILL,
            End::Stopped => [Signal::TERM, Signal::INT, Signal::USR1][rng.below(3)],
        };
        let saves = rng.chance(1, 2);
        let mut within = |most| Duration::from_millis(rng.below(most) as u64);
        if saves {
            // So the last signal often comes during a save.
            vec![(within(300), Signal::USR2), (within(80), last)]
        } else {
            // The server saves once a second.
            vec![(within(1600), last)]
        }
    }

    /// Starts a server, and compares what it has loaded with what the clients had stored. They go
    /// on from there.
    fn compare(&mut self, ended: Instant) -> Outcome<Server> {
        let server = self.start()?;
        let mut connection = Connection::open(server.address())?;
        let mut oldest = None;
        for client in &mut self.clients {
            for (key, history) in client.histories() {
                let found = connection.get(key)?;
                self.report.found += u64::from(found.is_some());
                let is_stopped = self.settings.end == End::Stopped;
                let kept = history.place(found, is_stopped).map_err(|fault| format!("key {key}: {fault}"))?;
                let lost = history.answered_after(kept);
                self.report.lost += lost.clone().count() as u64;
                oldest = oldest.max(lost.map(|at| ended.saturating_duration_since(at)).max());
                *history = History::new(found);
            }
        }
        self.report.ages.extend(oldest);
        Ok(server)
    }
}

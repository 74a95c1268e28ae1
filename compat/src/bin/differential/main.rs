//! Sends the same random commands to two memcached servers and compares every reply.
//!
//! Ends with the line `N passed, N failed`, counted in commands, and with status 1 if any reply
//! differed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers, which prints its results"
)]

mod admin;
mod binary;
mod binary_words;
mod check;
mod generate;
mod group;
mod line;
mod meta;
mod odd;
mod proxy;
mod request;
mod run;
mod shrink;
mod side;
mod spoil;
mod statistics;
mod text;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use memcache_compat::Outcome;
use memcache_compat::server::Target;

use crate::generate::{Generator, Mode};
use crate::proxy::{EXCUSES, Pairing};
use crate::run::{Batch, Pair};
use crate::side::Subject;

const USAGE: &str = "\
usage: differential [options] LEFT RIGHT
       differential [options] --proxy NAME RIGHT

LEFT is the memcached to agree with, RIGHT the server under test; each is a program or a host:port.

  --count N           commands to send (default 20000)
  --seed N            seed of the random choices (default: from the clock)
  --mode MODE         text, meta, both of these (the default), or binary
  --batch N           commands that are sent together (default 40)
  --args 'FLAGS'      further flags for both programs, as one word
  --left-args 'FLAGS' further flags for LEFT alone
  --right-args 'FLAGS' further flags for RIGHT alone
  --background        leave the servers' background threads on, and leave out arithmetic and flush_all.
                      Otherwise both programs get `-o no_lru_maintainer,no_lru_crawler`. memcached's
                      threads pin items and reorder them. Then the moment decides which items flush_all
                      finds, and how incr and decr change an item (in place or not, padded or not, the
                      CAS of ma's E)
  --agree VERSION     leave out the known differences of that version of memcached to 1.6.45; 1.6.18 only
  --keep-going N      after a difference, empty both servers and continue, up to N differences; print
                      each without the commands before it
  --proxy NAME        compare two proxies, each before three backends of its own, which die and come
                      back. NAME is a configuration, such as direct, or all of them with the name all. LEFT is the program that
                      MEMCACHED_PROXY names, a memcached with its proxy
  --backend PROGRAM   the backends of both proxies (default RIGHT)
  --no-checks         skip the comparison of counters, settings and key dumps at the end
  --no-shrink         print the commands before a difference as they were sent
";

/// The arguments.
struct Options {
    names: Vec<String>,
    left_flags: Vec<String>,
    right_flags: Vec<String>,
    count: usize,
    seed: u64,
    mode: Mode,
    batch: usize,
    agree: bool,
    background: bool,
    keep_going: usize,
    checks: bool,
    shrink: bool,
    pairings: Vec<&'static Pairing>,
    backend: Option<PathBuf>,
}

/// Two servers to compare.
struct Run {
    left: Subject,
    right: Subject,
    batch: usize,
    background: bool,
    pairing: Option<&'static Pairing>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, runs) = match parse(&arguments).and_then(|options| Ok((options.runs()?, options))) {
        Ok((runs, options)) => (options, runs),
        Err(fault) => {
            eprintln!("differential: {fault}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    for run in &runs {
        match differ(&options, run) {
            Ok(true) => {}
            Ok(false) => return ExitCode::FAILURE,
            Err(fault) => {
                eprintln!("differential: {fault}");
                println!("0 passed, 1 failed");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn differ(options: &Options, run: &Run) -> Outcome<bool> {
    let begin = Instant::now();
    println!("seed {}", options.seed);
    if let Some(pairing) = run.pairing {
        println!("proxies: {}", pairing.name);
    }
    let mut pair = Pair::start(&run.left, &run.right)?;
    let proxies = run.pairing.is_some();
    let mut generator = Generator::new(options.seed, options.mode, options.agree, run.background, proxies);
    generator.kills = run.pairing.is_some_and(|pairing| pairing.kills);
    let mut history = Vec::new();
    let (mut sent, mut differences) = (0, 0);
    while sent < options.count {
        let batch = Batch::take(&mut generator, run.batch.min(options.count - sent));
        let before = history.len();
        history.extend(batch.groups.iter().cloned());
        match pair.exchange(&batch, &mut generator) {
            Ok(()) => sent += batch.groups.len(),
            Err(difference) if options.keep_going > 0 => {
                differences += 1;
                shrink::show(&history[before + difference.at..=before + difference.at], &difference);
                if differences >= options.keep_going {
                    break;
                }
                sent += batch.groups.len();
                pair.start_over()?;
            }
            Err(difference) => {
                println!(
                    "difference in command {} of {}: {}",
                    before + difference.at + 1,
                    options.count,
                    difference.what
                );
                history.truncate(before + difference.at + 1);
                drop(pair);
                shrink::report(&run.left, &run.right, &history, &difference, options.shrink);
                println!("{} passed, 1 failed", before + difference.at);
                return Ok(false);
            }
        }
    }
    if differences > 0 {
        println!("{} passed, {differences} failed", sent - differences);
        return Ok(false);
    }
    println!("{sent} commands compared in {:.1} s", begin.elapsed().as_secs_f64());
    for (excuse, count) in EXCUSES.iter().zip(&pair.excused).filter(|(_, count)| **count > 0) {
        println!("{count} replies differ with a reason: {}", excuse.reason);
    }
    if options.checks && !options.agree {
        let found = match run.pairing {
            Some(_) => check::compare_backends(&mut pair)?,
            None => check::compare_state(&mut pair, options.mode == Mode::Binary)?,
        };
        for line in &found {
            println!("state differs: {line}");
        }
        if !found.is_empty() {
            println!("{sent} passed, {} failed", found.len());
            return Ok(false);
        }
    }
    println!("{sent} passed, 0 failed");
    Ok(true)
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    let mut options = Options {
        names: Vec::new(),
        left_flags: Vec::new(),
        right_flags: Vec::new(),
        count: 20_000,
        seed: since.as_millis() as u64 % 1_000_000_000,
        mode: Mode::Both,
        batch: 40,
        agree: false,
        background: false,
        keep_going: 0,
        checks: true,
        shrink: true,
        pairings: Vec::new(),
        backend: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match argument.as_str() {
            "--count" => options.count = number(value()?)? as usize,
            "--seed" => options.seed = number(value()?)?,
            "--batch" => options.batch = number(value()?)?.max(1) as usize,
            "--mode" => {
                options.mode = match value()? {
                    "text" => Mode::Text,
                    "meta" => Mode::Meta,
                    "both" => Mode::Both,
                    "binary" => Mode::Binary,
                    other => return Err(format!("unknown mode {other}")),
                }
            }
            "--args" => {
                let flags = words(value()?);
                options.left_flags.extend(flags.clone());
                options.right_flags.extend(flags);
            }
            "--left-args" => options.left_flags.extend(words(value()?)),
            "--right-args" => options.right_flags.extend(words(value()?)),
            "--agree" => match value()? {
                "1.6.18" => options.agree = true,
                other => return Err(format!("unknown version {other}")),
            },
            "--background" => options.background = true,
            "--proxy" => options.pairings = proxy::named(value()?)?,
            "--backend" => options.backend = Some(PathBuf::from(value()?)),
            "--keep-going" => options.keep_going = number(value()?)? as usize,
            "--no-checks" => options.checks = false,
            "--no-shrink" => options.shrink = false,
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            name => options.names.push(name.to_owned()),
        }
    }
    Ok(options)
}

/// Flags without which memcached's threads make replies depend on the moment.
const NO_THREADS: [&str; 2] = ["-o", "no_lru_maintainer,no_lru_crawler"];

impl Options {
    /// Returns the runs: one, or one for each pairing of proxies.
    fn runs(&self) -> Outcome<Vec<Run>> {
        if !self.pairings.is_empty() {
            return self.runs_of_proxies();
        }
        let [left, right] = self.names.as_slice() else { return Err("two servers are needed".to_owned()) };
        let subject = |name: &str, flags: &[String]| {
            let threads = NO_THREADS.map(str::to_owned);
            let flags = [flags, if self.background { &[] } else { &threads[..] }].concat();
            Subject { target: Target::parse(name, &flags), behind: None }
        };
        let (left, right) = (subject(left, &self.left_flags), subject(right, &self.right_flags));
        Ok(vec![Run { left, right, batch: self.batch, background: self.background, pairing: None }])
    }

    fn runs_of_proxies(&self) -> Outcome<Vec<Run>> {
        let [right] = self.names.as_slice() else { return Err("--proxy needs one server, RIGHT".to_owned()) };
        if self.mode == Mode::Binary || self.agree {
            return Err("proxies speak text protocols alone: leave out --mode binary and --agree".to_owned());
        }
        let Some(left) = std::env::var_os("MEMCACHED_PROXY").filter(|path| !path.is_empty()) else {
            println!("skipped: MEMCACHED_PROXY does not name a memcached with its proxy");
            return Ok(Vec::new());
        };
        let backend = self.backend.clone().unwrap_or_else(|| PathBuf::from(right));
        // One worker, so that all requests to a backend use one connection.
        let flags: Vec<String> = ["-t", "1"].iter().chain(&NO_THREADS).map(|flag| (*flag).into()).collect();
        let subject = |path: PathBuf, own: &[String], config| Subject {
            // The proxies have caches of their own, too.
            target: Target::Program(path, [own, &NO_THREADS.map(str::to_owned)].concat()),
            behind: Some((config, backend.clone(), flags.clone())),
        };
        let run = |pairing: &'static Pairing| Run {
            left: subject(PathBuf::from(&left), &self.left_flags, pairing.left),
            right: subject(PathBuf::from(right), &self.right_flags, pairing.right),
            batch: if pairing.is_pipelined { self.batch } else { 1 },
            background: self.background || !pairing.arithmetic,
            pairing: Some(pairing),
        };
        Ok(self.pairings.iter().map(|pairing| run(pairing)).collect())
    }
}

fn number(text: &str) -> Outcome<u64> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

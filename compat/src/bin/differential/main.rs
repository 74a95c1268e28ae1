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
mod request;
mod run;
mod shrink;
mod spoil;
mod statistics;
mod text;
mod words;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use memcache_compat::Outcome;
use memcache_compat::server::Target;

use crate::generate::{Generator, Mode};
use crate::run::{Batch, Pair};

const USAGE: &str = "\
usage: differential [options] LEFT RIGHT

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
  --no-checks         skip the comparison of counters, settings and key dumps at the end
  --no-shrink         print the commands before a difference as they were sent
";

struct Options {
    left: Target,
    right: Target,
    count: usize,
    seed: u64,
    mode: Mode,
    batch: usize,
    agree: bool,
    background: bool,
    keep_going: usize,
    checks: bool,
    shrink: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("differential: {fault}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match differ(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("differential: {fault}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn differ(options: &Options) -> Outcome<bool> {
    let begin = Instant::now();
    println!("seed {}", options.seed);
    let mut pair = Pair::start(&options.left, &options.right)?;
    let mut generator = Generator::new(options.seed, options.mode, options.agree, options.background);
    let mut history = Vec::new();
    let (mut sent, mut differences) = (0, 0);
    while sent < options.count {
        let batch = Batch::take(&mut generator, options.batch.min(options.count - sent));
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
                shrink::report(&options.left, &options.right, &history, &difference, options.shrink);
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
    if options.checks && !options.agree {
        let found = check::compare_state(&mut pair, options.mode == Mode::Binary)?;
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
    let mut names = Vec::new();
    let (mut left_flags, mut right_flags) = (Vec::new(), Vec::new());
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    let (mut count, mut seed, mut batch) = (20_000, since.as_millis() as u64 % 1_000_000_000, 40);
    let mut keep_going = 0;
    let (mut mode, mut agree, mut background, mut checks, mut shrink) =
        (Mode::Both, false, false, true, true);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--count" => count = number(value()?)? as usize,
            "--seed" => seed = number(value()?)?,
            "--batch" => batch = number(value()?)?.max(1) as usize,
            "--mode" => {
                mode = match value()? {
                    "text" => Mode::Text,
                    "meta" => Mode::Meta,
                    "both" => Mode::Both,
                    "binary" => Mode::Binary,
                    other => return Err(format!("unknown mode {other}")),
                }
            }
            "--args" => {
                let flags: Vec<String> = value()?.split_whitespace().map(str::to_owned).collect();
                left_flags.extend(flags.clone());
                right_flags.extend(flags);
            }
            "--left-args" => left_flags.extend(value()?.split_whitespace().map(str::to_owned)),
            "--right-args" => right_flags.extend(value()?.split_whitespace().map(str::to_owned)),
            "--agree" => match value()? {
                "1.6.18" => agree = true,
                other => return Err(format!("unknown version {other}")),
            },
            "--background" => background = true,
            "--keep-going" => keep_going = number(value()?)? as usize,
            "--no-checks" => checks = false,
            "--no-shrink" => shrink = false,
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            name => names.push(name.to_owned()),
        }
    }
    let [left, right] = names.as_slice() else { return Err("two servers are needed".to_owned()) };
    if !background {
        for flags in [&mut left_flags, &mut right_flags] {
            flags.extend(["-o", "no_lru_maintainer,no_lru_crawler"].map(str::to_owned));
        }
    }
    let (left, right) = (Target::parse(left, &left_flags), Target::parse(right, &right_flags));
    Ok(Options { left, right, count, seed, mode, batch, agree, background, keep_going, checks, shrink })
}

fn number(text: &str) -> Outcome<u64> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

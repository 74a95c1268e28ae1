//! Records the replies of a memcached to the requests of transcript files, or checks a server
//! against them.
//!
//! Ends with the line `N passed, N failed`, counted in exchanges.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers, which prints its results"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

use memcache_compat::Outcome;
use memcache_compat::escape::shorten;
use memcache_compat::link::{Link, Received};
use memcache_compat::server::{Server, Target};
use memcache_compat::transcript::{Bindings, Entry, Transcript, shortest};

const USAGE: &str = "\
usage: record [options] SERVER FILE.transcript ...

Starts SERVER anew for every case, sends the requests, and replaces the replies in the files. Files
with `advance` need a server with `debugtime`: memcached-debug.

  --check           write nothing; compare the replies with those in the files
  --flags 'FLAGS'   further flags for SERVER
  --case TEXT       only the cases whose name contains this (with --check)
";

/// A reply is complete after this time without further bytes. There is no marker command, because
/// it would change the effect of some requests.
const QUIET: Duration = Duration::from_millis(80);

/// Time in which a known reply must arrive.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a command is sent again if memcached's crawler is at work.
const RETRIES: usize = 20;

struct Options {
    server: PathBuf,
    files: Vec<PathBuf>,
    flags: Vec<String>,
    check: bool,
    only: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("record: {fault}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for file in &options.files {
        match run(file, &options) {
            Ok((good, bad)) => {
                println!("{}: {good} exchanges, {bad} differ", file.display());
                passed += good;
                failed += bad;
            }
            Err(fault) => {
                println!("{}: {fault}", file.display());
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A server with its connections.
struct Open {
    _server: Server,
    link: Link,
    /// For the clock. The other connection may use the binary protocol.
    control: Link,
}

/// One file, as far as it has been read.
struct Run<'a> {
    options: &'a Options,
    case: Case,
    /// The entries to write.
    recorded: Vec<Entry>,
    passed: usize,
    failed: usize,
}

/// A server with a connection, for one case.
#[derive(Default)]
struct Case {
    name: String,
    flags: Vec<String>,
    open: Option<Open>,
    bindings: Bindings,
    failed: bool,
    /// The last step of the clock, in a case with such steps.
    step: Option<i64>,
}

impl Case {
    fn open(&mut self, options: &Options) -> Outcome<&mut Open> {
        if self.open.is_none() {
            let flags = [self.flags.clone(), options.flags.clone()].concat();
            let server = Server::start(&Target::Program(options.server.clone(), flags))?;
            let (link, mut control) = (server.connect()?, server.connect()?);
            if self.step.is_some() {
                debugtime(&mut control, "p").map_err(|fault| self.fault(&fault))?;
            }
            self.open = Some(Open { _server: server, link, control });
        }
        self.open.as_mut().ok_or("no connection".to_owned())
    }

    fn fault(&self, fault: &str) -> String {
        format!("case {}: {fault}", self.name)
    }
}

fn debugtime(link: &mut Link, argument: &str) -> Outcome<()> {
    link.send(format!("debugtime {argument}\r\n").as_bytes(), &[], Duration::ZERO);
    match link.read_until(b"OK\r\n", PATIENCE) {
        Received::Reply(reply) if reply.is_empty() => Ok(()),
        other => Err(format!("the server has no debugtime: {other:?}")),
    }
}

/// Moves a clock that stands still. memcached's clock moves by the sum of all arguments so far.
/// Another server's may move by the argument alone, which the uptime shows.
fn advance(link: &mut Link, seconds: i64, last: i64) -> Outcome<()> {
    let wanted = uptime(link)? + seconds;
    debugtime(link, &(seconds - last).to_string())?;
    let missing = wanted - uptime(link)?;
    if missing != 0 {
        debugtime(link, &missing.to_string())?;
    }
    if uptime(link)? == wanted { Ok(()) } else { Err("the clock cannot be moved".to_owned()) }
}

fn uptime(link: &mut Link) -> Outcome<i64> {
    link.send(b"stats\r\n", &[], Duration::ZERO);
    let Received::Reply(stats) = link.read_until(b"END\r\n", PATIENCE) else {
        return Err("no stats".to_owned());
    };
    let stats = String::from_utf8_lossy(&stats);
    let value = stats.lines().find_map(|stat| stat.strip_prefix("STAT uptime "));
    value.and_then(|seconds| seconds.parse().ok()).ok_or("no uptime in stats".to_owned())
}

fn run(file: &Path, options: &Options) -> Outcome<(usize, usize)> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut run = Run { options, case: Case::default(), recorded: Vec::new(), passed: 0, failed: 0 };
    let mut entries = Transcript::parse(&text)?.entries.into_iter().peekable();
    while let Some(entry) = entries.next() {
        run.recorded.push(entry.clone());
        let skipped = run.case.failed || !run.case.name.contains(&options.only);
        match entry {
            Entry::Case(name) => {
                // A clock that stands still makes the steps exact.
                let mut timed = entries.clone().take_while(|entry| !matches!(entry, Entry::Case(_)));
                let step = timed.any(|entry| matches!(entry, Entry::Advance(_))).then_some(0);
                run.case = Case { name, step, ..Case::default() };
            }
            Entry::Flags(flags) => run.case.flags = flags,
            _ if skipped => {}
            Entry::Advance(seconds) => run.advance(seconds)?,
            Entry::Request(lines) => {
                let expected = match entries.next_if(|entry| matches!(entry, Entry::Reply(_))) {
                    Some(Entry::Reply(lines)) => lines,
                    _ => Vec::new(),
                };
                let closes = entries.next_if_eq(&Entry::Closed).is_some();
                run.exchange(&lines, &expected, closes)?;
            }
            Entry::Reply(_) | Entry::Closed | Entry::Remark(_) => {}
        }
    }
    if !options.check {
        let text = Transcript { entries: run.recorded }.print();
        fs::write(file, text).map_err(|error| error.to_string())?;
    }
    Ok((run.passed, run.failed))
}

impl Run<'_> {
    fn advance(&mut self, seconds: u64) -> Outcome<()> {
        let seconds = i64::try_from(seconds).map_err(|error| error.to_string())?;
        let last = self.case.step.replace(seconds).unwrap_or(0);
        let control = &mut self.case.open(self.options)?.control;
        advance(control, seconds, last).map_err(|fault| self.case.fault(&fault))
    }

    /// Sends a request, and checks or records its reply.
    fn exchange(&mut self, request: &[String], expected: &[String], closes: bool) -> Outcome<()> {
        let check = self.options.check;
        let bytes = self.case.bindings.request(request).map_err(|fault| self.case.fault(&fault))?;
        let length = if check { shortest(expected) } else { usize::MAX };
        let link = &mut self.case.open(self.options)?.link;
        let (reply, ended) = send(link, &bytes, length, closes && check);
        if check {
            self.check(&bytes, expected, &reply, ended == closes);
            return Ok(());
        }
        if !reply.is_empty() {
            self.recorded.push(Entry::Reply(self.case.bindings.record(&reply)));
        }
        if ended {
            self.recorded.push(Entry::Closed);
            self.case.open = None;
        }
        self.passed += 1;
        Ok(())
    }

    fn check(&mut self, request: &[u8], expected: &[String], reply: &[u8], closed_as_expected: bool) {
        let verdict = self.case.bindings.check(expected, reply);
        let closed = if closed_as_expected { Ok(()) } else { Err("only one side closes".to_owned()) };
        match verdict.and(closed) {
            Ok(()) => self.passed += 1,
            Err(fault) => {
                self.failed += 1;
                println!("case {}: {}\n    {fault}", self.case.name, shorten(request, 200));
                // The following replies would differ as well.
                self.case.failed = true;
            }
        }
    }
}

/// Sends a request, again while memcached's crawler is at work, and returns the reply and whether
/// the server closed.
fn send(link: &mut Link, request: &[u8], length: usize, closes: bool) -> (Vec<u8>, bool) {
    let wait = if request.len() > 10_000 { 10 * QUIET } else { QUIET };
    let mut exchange = || {
        link.send(request, &[], Duration::ZERO);
        receive(link, length, closes, wait)
    };
    let mut answer = exchange();
    for _ in 0..RETRIES {
        if !answer.0.starts_with(b"BUSY ") {
            break;
        }
        thread::sleep(QUIET);
        answer = exchange();
    }
    answer
}

/// Reads until `length` bytes have arrived and then a moment longer, or until the server closes.
/// Without a known length, reads until the time `wait` passes without a byte.
fn receive(link: &mut Link, length: usize, closes: bool, wait: Duration) -> (Vec<u8>, bool) {
    if closes {
        return match link.read_until_closed(PATIENCE) {
            Received::Closed(bytes) => (bytes, true),
            Received::Reply(bytes) | Received::Silence(bytes) => (bytes, false),
        };
    }
    let mut bytes = Vec::new();
    let patience = if length == usize::MAX { wait } else { PATIENCE };
    loop {
        let patience = if bytes.len() >= length { wait / 8 } else { patience };
        match link.read_some(patience) {
            Received::Reply(more) => bytes.extend(more),
            Received::Closed(_) => return (bytes, true),
            Received::Silence(_) => return (bytes, false),
        }
    }
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        server: PathBuf::new(),
        files: Vec::new(),
        flags: Vec::new(),
        check: false,
        only: String::new(),
    };
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--check" => options.check = true,
            "--flags" => options.flags = value()?.split_whitespace().map(str::to_owned).collect(),
            "--case" => value()?.clone_into(&mut options.only),
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            name => names.push(PathBuf::from(name)),
        }
    }
    if !options.check && !options.only.is_empty() {
        return Err("--case needs --check".to_owned());
    }
    let mut names = names.into_iter();
    options.server = names.next().ok_or("a server is needed")?;
    options.files = names.collect();
    if options.files.is_empty() { Err("a transcript is needed".to_owned()) } else { Ok(options) }
}

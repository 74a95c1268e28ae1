//! A conversation with one server that waits for each reply.
//!
//! It is for requests about the server's version and counters, and for work in which the next
//! request depends on the last reply.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::checker::{Checker, Flight, Sink, Terms, Verb};
use crate::error::{Doing, Error, Result};
use crate::stream::Blocking;

const READ: usize = 256 << 10;

/// Longest time to wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection. Requests are gathered, sent together, and answered before the next are gathered.
#[derive(Debug)]
pub struct Dialogue<'a> {
    stream: Blocking,
    terms: &'a Terms<'a>,
    flight: Flight,
    checker: Checker,
    output: Vec<u8>,
    input: Box<[u8]>,
}

impl<'a> Dialogue<'a> {
    /// Connects. Replies may take up to `patience`.
    pub fn connect(address: &Address, terms: &'a Terms<'a>, patience: Duration) -> Result<Self> {
        let stream = address.connect()?;
        stream.set_patience(patience).doing(|| "setting a timeout".to_owned())?;
        Ok(Self {
            stream,
            terms,
            flight: Flight::default(),
            checker: Checker::default(),
            output: Vec::new(),
            input: vec![0; READ].into_boxed_slice(),
        })
    }

    /// Adds a get to the requests.
    pub fn get(&mut self, id: u64) {
        self.terms.protocol.get(self.terms.items, &[id], &mut self.output);
        self.flight.push(Verb::Get, &[id], 0);
    }

    /// Adds a set to the requests. The item lives for `ttl` seconds, or never expires if it is 0.
    pub fn set(&mut self, id: u64, ttl: u32) {
        self.terms.protocol.set(self.terms.items, id, ttl, &mut self.output);
        self.flight.push(Verb::Set, &[id], 0);
    }

    /// Sends the gathered requests and reads all replies.
    pub fn exchange(&mut self, sink: &mut impl Sink) -> Result<()> {
        self.stream.write_all(&self.output).doing(|| "sending requests".to_owned())?;
        self.output.clear();
        let mut held = 0;
        while !self.flight.is_empty() {
            let got = self.stream.read(&mut self.input[held..]).doing(|| "reading replies".to_owned())?;
            if got == 0 {
                return Err(Error::Closed);
            }
            let whole = held + got;
            let used = self.checker.advance(&self.input[..whole], self.terms, &mut self.flight, sink)?;
            self.input.copy_within(used..whole, 0);
            held = whole - used;
        }
        Ok(())
    }
}

/// Returns the server's version.
pub fn version(stream: &mut Blocking) -> Result<String> {
    stream.set_patience(PATIENCE).doing(|| "setting a timeout".to_owned())?;
    let reply = ask(stream, "version", |text| text.ends_with("\r\n"))?;
    let version = reply.strip_prefix("VERSION ").unwrap_or(&reply);
    Ok(version.trim_end().to_owned())
}

/// Gets a key that is not stored.
pub fn get_nothing(stream: &mut Blocking) -> Result<()> {
    stream.set_patience(PATIENCE).doing(|| "setting a timeout".to_owned())?;
    ask(stream, "get nothing", |text| text.ends_with("END\r\n")).map(drop)
}

/// Waits until the server answers, at most `patience`. Returns its version.
pub fn wait_ready(address: &Address, patience: Duration) -> Result<String> {
    let began = Instant::now();
    loop {
        match address.connect().and_then(|mut stream| version(&mut stream)) {
            Err(error) if began.elapsed() > patience => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
            Ok(version) => return Ok(version),
        }
    }
}

/// Returns the server's `stats`, empty if it has none.
pub fn stats(address: &Address) -> Result<BTreeMap<String, String>> {
    let mut stream = address.connect()?;
    stream.set_patience(PATIENCE).doing(|| "setting a timeout".to_owned())?;
    let reply = ask(&mut stream, "stats", |text| text.ends_with("END\r\n") || text.starts_with("ERROR"))?;
    let pairs = reply.lines().filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Sends one command line and reads until `whole` returns `true` for the reply.
fn ask(stream: &mut Blocking, command: &str, whole: impl Fn(&str) -> bool) -> Result<String> {
    let doing = || format!("asking for {command}");
    stream.write_all(format!("{command}\r\n").as_bytes()).doing(doing)?;
    let mut reply = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let got = stream.read(&mut piece).doing(doing)?;
        if got == 0 {
            return Err(Error::Closed);
        }
        reply.extend_from_slice(&piece[..got]);
        let text = String::from_utf8_lossy(&reply);
        if whole(&text) {
            return Ok(text.into_owned());
        }
    }
}

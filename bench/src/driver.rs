//! Drives the load: one thread, one epoll instance, any number of connections.
//!
//! A closed loop keeps `depth` requests outstanding on every connection. It replaces the requests
//! that one read completes by new ones, in one write. An open loop sends on a schedule, on the
//! connection that has been free longest. It counts latency from the scheduled time, so that
//! waiting for a slow server counts. An open loop never sleeps, so that it is never late itself.
//!
//! Connections are registered once, edge-triggered. A read that does not fill the buffer has
//! drained the socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::address::Address;
use crate::checker::{Checker, Flight, Terms, Verb};
use crate::error::{Doing, Error, Result};
use crate::measurement::{Measurement, Recorder};
use crate::stream::Stream;
use crate::usage::own_cpu;
use crate::workload::Workload;

/// Size of the read buffer, which all connections share.
const READ: usize = 256 << 10;

/// Longest silence of a server that owes replies.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections opened before waiting until the server has accepted them. Less than any backlog.
const CONNECT_GROUP: usize = 256;

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Sends a new request for each reply.
    Closed,
    /// Like `Closed`, but the load never sleeps, so that no reply has to wake it. Waking an idle
    /// core may cost the server more than the request, and the cost varies. With several
    /// connections, the load would read replies one by one that otherwise arrive together.
    Eager,
    /// Sends this many requests a second, independent of the replies.
    Rate(f64),
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub duration: Option<Duration>,
    pub requests: Option<u64>,
    /// Whether to wait for the replies outstanding at the end of `duration`. If not, the next run
    /// reads them, which measures a steady state. An open loop always waits.
    pub drain: bool,
}

/// The connections to one server, and the requests outstanding on them.
#[derive(Debug)]
pub struct Driver<'a> {
    poll: Poll,
    connections: Vec<Connection>,
    terms: &'a Terms<'a>,
    /// Requests that may be outstanding on one connection.
    depth: usize,
    /// Time to live of the stored items, in seconds.
    ttl: u32,
    epoch: Instant,
    recorder: Recorder<'a>,
    /// Requests outstanding on all connections.
    outstanding: u64,
    input: Box<[u8]>,
    output: Vec<u8>,
    ids: Vec<u64>,
    /// Connections with room, once for each request that they have room for. The connection that
    /// has been free longest comes first. Used by open loops only.
    free: VecDeque<usize>,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    flight: Flight,
    checker: Checker,
    /// The beginning of a reply line that has not arrived completely.
    partial: Vec<u8>,
    /// Bytes that the socket has not accepted yet, after `sent` bytes that it has.
    unsent: Vec<u8>,
    sent: usize,
}

/// The requests that a run may still send.
#[derive(Debug)]
struct Allowance {
    requests: u64,
}

impl<'a> Driver<'a> {
    /// Opens `count` connections.
    pub fn connect(
        address: &Address,
        count: usize,
        depth: usize,
        ttl: u32,
        terms: &'a Terms<'a>,
    ) -> Result<Self> {
        let poll = Poll::new().doing(|| "opening an epoll instance".to_owned())?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let mut blocking = address.connect()?;
            if index % CONNECT_GROUP == CONNECT_GROUP - 1 {
                crate::dialogue::version(&mut blocking)?;
            }
            let mut stream = blocking.into_stream().doing(|| "preparing a socket".to_owned())?;
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)
                .doing(|| "registering a socket".to_owned())?;
            connections.push(Connection {
                stream,
                flight: Flight::default(),
                checker: Checker::default(),
                partial: Vec::new(),
                unsent: Vec::new(),
                sent: 0,
            });
        }
        Ok(Self {
            poll,
            connections,
            terms,
            depth: depth.max(1),
            ttl,
            epoch: Instant::now(),
            recorder: Recorder::new(terms.items)?,
            outstanding: 0,
            input: vec![0; READ].into_boxed_slice(),
            output: Vec::with_capacity(READ),
            ids: Vec::new(),
            free: VecDeque::new(),
        })
    }

    /// Drives `workload` for `span` and returns the measurements.
    pub fn run(&mut self, workload: &mut Workload, pace: Pace, span: Span) -> Result<Measurement> {
        self.recorder.reset();
        let before = own_cpu();
        let began = Instant::now();
        let mut allowance = Allowance { requests: span.requests.unwrap_or(u64::MAX) };
        let unsent = match pace {
            Pace::Closed | Pace::Eager => {
                self.closed(workload, &mut allowance, began, span, pace).map(|()| 0)
            }
            Pace::Rate(rate) => self.open(workload, &mut allowance, began, span, rate),
        }?;
        let seconds = began.elapsed().as_secs_f64();
        let busy = own_cpu().saturating_sub(before).as_secs_f64() / seconds;
        Ok(self.recorder.measurement(seconds, busy, unsent))
    }

    fn closed(
        &mut self,
        workload: &mut Workload,
        allowance: &mut Allowance,
        began: Instant,
        span: Span,
        pace: Pace,
    ) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut heard = Instant::now();
        for index in 0..self.connections.len() {
            self.ask(index, workload, allowance)?;
        }
        loop {
            let now = Instant::now();
            let left = match span.duration {
                Some(duration) => duration.saturating_sub(now - began),
                None => PATIENCE,
            };
            if left.is_zero() {
                allowance.requests = 0;
                if !span.drain {
                    return Ok(());
                }
            }
            if allowance.requests == 0 && self.outstanding == 0 {
                return Ok(());
            }
            let wait = match pace {
                Pace::Closed if left.is_zero() => PATIENCE,
                Pace::Closed => left.min(PATIENCE),
                Pace::Eager | Pace::Rate(_) => Duration::ZERO,
            };
            self.wait(&mut events, wait)?;
            if !events.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() >= PATIENCE {
                return Err(Error::Stalled(heard.elapsed()));
            }
            for event in &events {
                let Token(index) = event.token();
                if event.is_readable() {
                    self.listen(index)?;
                }
                self.ask(index, workload, allowance)?;
            }
        }
    }

    /// Runs an open loop. Returns the number of requests that were due and never sent.
    fn open(
        &mut self,
        workload: &mut Workload,
        allowance: &mut Allowance,
        began: Instant,
        span: Span,
        rate: f64,
    ) -> Result<u64> {
        let mut events = Events::with_capacity(1024);
        let depth = self.depth;
        self.free.clear();
        for _ in 0..depth {
            self.free.extend(
                self.connections.iter().enumerate().filter(|(_, c)| c.flight.is_empty()).map(|(i, _)| i),
            );
        }
        let total = match (span.duration, span.requests) {
            (_, Some(requests)) => requests,
            (Some(duration), None) => (duration.as_secs_f64() * rate) as u64,
            (None, None) => u64::MAX,
        };
        // A server that cannot keep up gets as long again to catch up.
        let limit = Duration::from_secs_f64(2.0 * total as f64 / rate + 1.0);
        let start = (began - self.epoch).as_nanos() as u64;
        let interval = 1e9 / rate;
        let mut asked = 0;
        let mut looked = Duration::ZERO;
        while asked < total || self.outstanding > 0 {
            let elapsed = began.elapsed();
            if elapsed > limit {
                return Ok(total - asked);
            }
            self.recorder.set_pause(elapsed.saturating_sub(looked));
            looked = elapsed;
            let due = ((elapsed.as_secs_f64() * rate) as u64 + 1).min(total);
            while asked < due && allowance.requests > 0 {
                let Some(index) = self.free.pop_front() else { break };
                let intended = start + (asked as f64 * interval) as u64;
                self.output.clear();
                self.append(index, workload, allowance, intended);
                self.send(index)?;
                asked += 1;
            }
            if allowance.requests == 0 {
                asked = total;
            }
            self.wait(&mut events, Duration::ZERO)?;
            for event in &events {
                let Token(index) = event.token();
                if event.is_writable() {
                    self.flush(index)?;
                }
                if event.is_readable() {
                    let before = self.connections[index].flight.len();
                    self.listen(index)?;
                    let answered = before - self.connections[index].flight.len();
                    self.free.extend(std::iter::repeat_n(index, answered));
                }
            }
        }
        Ok(0)
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) -> Result<()> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                Err(error).doing(|| "waiting for replies".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Reads and checks the replies that a connection has received.
    #[inline]
    fn listen(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        loop {
            let held = connection.partial.len();
            self.input[..held].copy_from_slice(&connection.partial);
            let got = match connection.stream.read(&mut self.input[held..]) {
                Ok(0) => return Err(Error::Closed),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).doing(|| "reading replies".to_owned()),
            };
            let whole = held + got;
            self.recorder.set_now(self.epoch.elapsed().as_nanos() as u64);
            let before = connection.flight.len();
            let input = &self.input[..whole];
            let used =
                connection.checker.advance(input, self.terms, &mut connection.flight, &mut self.recorder)?;
            self.outstanding -= (before - connection.flight.len()) as u64;
            connection.partial.clear();
            connection.partial.extend_from_slice(&input[used..]);
            if whole < self.input.len() {
                return Ok(());
            }
        }
    }

    /// Fills a connection's pipeline, unless earlier requests still wait for the socket.
    #[inline]
    fn ask(&mut self, index: usize, workload: &mut Workload, allowance: &mut Allowance) -> Result<()> {
        self.flush(index)?;
        let connection = &self.connections[index];
        if allowance.requests == 0 || !connection.unsent.is_empty() || connection.flight.len() >= self.depth {
            return Ok(());
        }
        let now = self.epoch.elapsed().as_nanos() as u64;
        self.output.clear();
        while allowance.requests > 0 && self.connections[index].flight.len() < self.depth {
            self.append(index, workload, allowance, now);
        }
        self.send(index)
    }

    /// Appends the next request to the output.
    #[inline]
    fn append(&mut self, index: usize, workload: &mut Workload, allowance: &mut Allowance, sent: u64) {
        let Some(verb) = workload.next(&mut self.ids) else {
            allowance.requests = 0;
            return;
        };
        let Terms { items, protocol, .. } = self.terms;
        match verb {
            Verb::Get => protocol.get(items, &self.ids, &mut self.output),
            Verb::Set => protocol.set(items, self.ids[0], self.ttl, &mut self.output),
        }
        self.connections[index].flight.push(verb, &self.ids, sent);
        self.outstanding += 1;
        allowance.requests -= 1;
    }

    /// Sends the output. Keeps the part that the socket does not accept.
    #[inline]
    fn send(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        if connection.unsent.is_empty() {
            let taken = write(&mut connection.stream, &self.output)?;
            connection.unsent.extend_from_slice(&self.output[taken..]);
        } else {
            connection.unsent.extend_from_slice(&self.output);
        }
        Ok(())
    }

    /// Sends the bytes that the socket did not accept before.
    #[inline]
    fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        if !connection.unsent.is_empty() {
            connection.sent += write(&mut connection.stream, &connection.unsent[connection.sent..])?;
            if connection.sent == connection.unsent.len() {
                connection.unsent.clear();
                connection.sent = 0;
            }
        }
        Ok(())
    }
}

/// Writes until the socket accepts no more. Returns the number of bytes written.
#[inline]
fn write(stream: &mut Stream, bytes: &[u8]) -> Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(0) => return Err(Error::Closed),
            Ok(more) => taken += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing(|| "sending requests".to_owned()),
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::{Driver, Pace, Span};
    use crate::address::Address;
    use crate::checker::{Check, Terms};
    use crate::error::Error;
    use crate::floor::{Can, serve};
    use crate::items::Items;
    use crate::lengths::Lengths;
    use crate::measurement::Counts;
    use crate::wire::Protocol;
    use crate::workload::{Choice, Mix, Workload};
    use std::time::Duration;

    /// Sends 1,000 requests to a floor, which answers every get with a hit.
    fn ask(name: &str, check: Check, mix: Mix, batch: u32, pace: Pace) -> Result<Counts, Error> {
        let socket = std::env::temp_dir().join(format!("bench-test-{}-{name}.sock", std::process::id()));
        let address = Address::Unix(socket.clone());
        let listening = address.clone();
        std::thread::spawn(move || serve(&listening, &Can::new(16, 20_000)));
        crate::dialogue::wait_ready(&address, Duration::from_secs(10))?;
        let items = Items::new(100, Lengths::Fixed(16), Lengths::Fixed(20_000));
        let terms = Terms { items: &items, protocol: Protocol::Classic, check };
        let mut driver = Driver::connect(&address, 3, 4, 0, &terms)?;
        let mut workload = Workload::new(mix, batch, Choice::Uniform(100));
        let span = Span { duration: None, requests: Some(1_000), drain: true };
        let measured = driver.run(&mut workload, pace, span);
        // Leaving the socket file behind does no harm.
        let _ = std::fs::remove_file(socket);
        measured.map(|measured| measured.counts)
    }

    #[test]
    fn every_request_is_answered_once() {
        for (name, pace) in [("closed", Pace::Closed), ("eager", Pace::Eager), ("rate", Pace::Rate(1e6))] {
            let counts = ask(name, Check::Frame, Mix::Get, 3, pace).unwrap_or_default();
            assert_eq!((counts.requests, counts.hits, counts.misses), (1_000, 3_000, 0), "{name}");
        }
        let counts = ask("sets", Check::Frame, Mix::Share(0.5), 1, Pace::Closed).unwrap_or_default();
        assert_eq!((counts.requests, counts.refused), (1_000, 0));
        assert!((400..600).contains(&counts.hits), "{counts:?}");
    }

    #[test]
    fn a_full_check_sees_through_canned_replies() {
        let told = ask("full", Check::Full, Mix::Get, 1, Pace::Closed);
        assert!(matches!(told, Err(Error::Wrong(_))), "{told:?}");
    }
}

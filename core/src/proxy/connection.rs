//! A connection to a backend as a state machine: bytes in, bytes out, and a clock that the caller
//! moves.
//!
//! ```text
//!   Connecting --on_connected--> Validating --VERSION--> Ready --.
//!       ^                            |                     |     | fault
//!       |          fault             v                     v     |
//!       +---- the limit is kept ---- fail: all requests fail <---'
//!       |                            | the limit is passed
//!       +---- on_tick, later ------ Bad: requests fail at once
//! ```
//!
//! The caller owns the socket. It calls a method for each event, writes [`Connection::output`], and
//! follows [`Connection::take_order`]. Requests are pipelined: replies have their order. Each
//! request gets exactly one outcome, by [`Outcomes`].

use std::collections::VecDeque;
use std::mem;

use super::response::{Code, Head, ResponseFault};

/// The number that the caller gives to a request.
pub type Ticket = u64;

/// Sent before any request. Its reply shows that the backend is a memcached.
const VALIDATE: &[u8] = b"version\r\n";

/// Rules of a connection. Times are in milliseconds.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Time to connect.
    pub connect_timeout: u64,
    /// Time without a byte while a reply is due.
    pub read_timeout: u64,
    /// Time until a bad backend is tried again.
    pub retry: u64,
    /// Failures in a row before the backend is bad.
    pub failure_limit: u32,
    /// Requests on the way before further ones fail at once. 0: no limit.
    pub depth_limit: usize,
    /// A connection that breaks within this time of the last failure flaps. 0: never.
    pub flap_time: u64,
    /// Factor of `retry` for each flap.
    pub flap_ramp: f64,
    /// `retry` of a flapping backend at most.
    pub flap_max: u64,
    /// Bytes of a reply at most.
    pub max_reply: usize,
    /// The backend is never connected.
    pub is_down: bool,
}

impl Default for Rules {
    /// Those of memcached's proxy. `max_reply` is above its largest item limit.
    fn default() -> Self {
        Self {
            connect_timeout: 5000,
            read_timeout: 3000,
            retry: 3000,
            failure_limit: 3,
            depth_limit: 0,
            flap_time: 0,
            flap_ramp: 1.5,
            flap_max: 3_600_000,
            max_reply: 1 << 30,
            is_down: false,
        }
    }
}

/// A cause of a failure. The texts are those of memcached's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No byte came in time.
    Timeout,
    /// The backend closed the connection while replies were due.
    Disconnected,
    /// The connection was refused.
    Connecting,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The reply to `version` did not come in time, or is not a reply.
    ReadValidate,
    /// The reply to `version` is another one.
    BadValidate,
    /// A write failed.
    Writing,
    /// A read failed.
    Reading,
    /// A line is not that of a reply.
    Parsing,
    /// The backend closed the connection, or sent bytes, although no reply was due.
    ClosedSocket,
    /// The reply belongs to another kind of request.
    UnhandledReply,
    /// The reply is larger than allowed.
    OutOfMemory,
    /// A value lacks its end.
    MissingEnd,
    /// Bytes follow the last reply that was due.
    TrailingData,
    /// The backend did not understand a request.
    InvalidProtocol,
}

impl Reason {
    /// Returns its text in memcached's log.
    pub fn text(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::ConnectTimeout => "conntimeout",
            Self::ReadValidate => "readvalidate",
            Self::BadValidate => "badvalidate",
            Self::Writing => "writing",
            Self::Reading => "reading",
            Self::Parsing => "parsing",
            Self::ClosedSocket => "closedsock",
            Self::UnhandledReply => "unhandledres",
            Self::OutOfMemory => "outofmemory",
            Self::MissingEnd => "missingend",
            Self::TrailingData => "trailingdata",
            Self::InvalidProtocol => "invalidprotocol",
        }
    }

    /// Returns whether a failure of this kind counts as a flap.
    fn is_of_the_network(self) -> bool {
        matches!(self, Self::Timeout | Self::Disconnected | Self::Writing | Self::Reading)
    }
}

/// Takes the outcomes of requests, and what is to be logged and counted.
pub trait Outcomes {
    /// Takes a whole reply.
    fn reply(&mut self, ticket: Ticket, head: &Head, bytes: &[u8]);
    /// Takes a request that gets no reply.
    fn fail(&mut self, ticket: Ticket);
    /// Takes a change of the backend.
    fn note(&mut self, note: Note);
}

/// A change of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The connection failed with this number of requests on the way. Not noted while it is bad.
    Failed(Reason, usize),
    /// The backend is bad, and is tried again after this time. Whether it flaps.
    MarkedBad(u64, bool),
    /// The backend is no longer bad.
    Recovered,
    /// A request failed because of the limit of depth.
    TooDeep,
}

/// A task for the owner of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Close the socket, if there is one, and connect a new one.
    Connect,
    /// Close the socket.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Validating,
    Ready,
    Bad,
}

/// A connection to a backend.
#[derive(Debug)]
pub struct Connection {
    rules: Rules,
    state: State,
    order: Option<Order>,
    /// When `on_tick` has something to do.
    deadline: Option<u64>,
    /// Requests without a reply, each with the position of its first byte in the stream.
    due: VecDeque<(Ticket, u64)>,
    /// Bytes to write, of which `written` are written. `position` is that of the first byte.
    output: Vec<u8>,
    written: usize,
    position: u64,
    /// Bytes of `VALIDATE` that are not written yet.
    validate: &'static [u8],
    input: Vec<u8>,
    is_bad: bool,
    failures: u32,
    flaps: u32,
    last_failure: u64,
}

impl Connection {
    /// Starts to connect, unless the rules forbid it.
    pub fn new(rules: Rules, now: u64) -> Self {
        let is_down = rules.is_down;
        let mut new = Self {
            rules,
            state: State::Bad,
            order: None,
            deadline: None,
            due: VecDeque::new(),
            output: Vec::new(),
            written: 0,
            position: 0,
            validate: &[],
            input: Vec::new(),
            is_bad: is_down,
            failures: 0,
            flaps: 0,
            last_failure: 0,
        };
        if !is_down {
            new.connect(now);
        }
        new
    }

    /// Returns what the owner of the socket has to do, once.
    pub fn take_order(&mut self) -> Option<Order> {
        self.order.take()
    }

    /// Returns the time at which `on_tick` is to be called.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// Returns the number of requests without an outcome.
    pub fn depth(&self) -> usize {
        self.due.len()
    }

    /// Returns whether requests fail at once.
    pub fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// Returns the bytes to write now.
    pub fn output(&self) -> &[u8] {
        match self.state {
            State::Validating => self.validate,
            State::Ready => self.output.get(self.written..).unwrap_or_default(),
            State::Connecting | State::Bad => &[],
        }
    }

    /// Takes a request, which gets its outcome now or later.
    pub fn submit(&mut self, ticket: Ticket, request: &[u8], now: u64, outcomes: &mut impl Outcomes) {
        if self.is_bad {
            return outcomes.fail(ticket);
        }
        if self.rules.depth_limit != 0 && self.due.len() > self.rules.depth_limit {
            outcomes.note(Note::TooDeep);
            return outcomes.fail(ticket);
        }
        if self.state == State::Ready && self.due.is_empty() {
            self.deadline = Some(now.saturating_add(self.rules.read_timeout));
        }
        self.due.push_back((ticket, self.position + self.output.len() as u64));
        self.output.extend_from_slice(request);
    }

    /// The socket is connected.
    pub fn on_connected(&mut self, now: u64) {
        if self.state == State::Connecting {
            self.state = State::Validating;
            self.validate = VALIDATE;
            self.last_failure = now;
            self.deadline = Some(now.saturating_add(self.rules.read_timeout));
        }
    }

    /// This number of bytes of the output is written.
    pub fn on_written(&mut self, count: usize) {
        match self.state {
            State::Validating => self.validate = self.validate.get(count..).unwrap_or_default(),
            State::Ready => {
                self.written = self.written.saturating_add(count).min(self.output.len());
                // Moves each byte at most once on average.
                if self.written >= self.output.len() / 2 {
                    self.position += self.written as u64;
                    self.output.drain(..mem::take(&mut self.written));
                }
            }
            State::Connecting | State::Bad => {}
        }
    }

    /// The socket could not be connected.
    pub fn on_connect_error(&mut self, now: u64, outcomes: &mut impl Outcomes) {
        self.fail(Reason::Connecting, now, outcomes);
    }

    /// A write failed.
    pub fn on_write_error(&mut self, now: u64, outcomes: &mut impl Outcomes) {
        self.fail(Reason::Writing, now, outcomes);
    }

    /// A read failed.
    pub fn on_read_error(&mut self, now: u64, outcomes: &mut impl Outcomes) {
        self.fail(Reason::Reading, now, outcomes);
    }

    /// The backend closed the connection.
    pub fn on_closed(&mut self, now: u64, outcomes: &mut impl Outcomes) {
        let idle = self.state == State::Ready && self.due.is_empty();
        self.fail(if idle { Reason::ClosedSocket } else { Reason::Disconnected }, now, outcomes);
    }

    /// The time is that of the deadline, or later.
    pub fn on_tick(&mut self, now: u64, outcomes: &mut impl Outcomes) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Connecting => self.fail(Reason::ConnectTimeout, now, outcomes),
            State::Validating => self.fail(Reason::ReadValidate, now, outcomes),
            State::Ready => self.fail(Reason::Timeout, now, outcomes),
            State::Bad => self.connect(now),
        }
    }

    /// Takes bytes of the backend.
    pub fn on_bytes(&mut self, bytes: &[u8], now: u64, outcomes: &mut impl Outcomes) {
        self.input.extend_from_slice(bytes);
        let done = match self.state {
            State::Connecting | State::Bad => {
                self.input.clear();
                return;
            }
            State::Validating => self.read_version(outcomes),
            State::Ready => self.read_replies(outcomes),
        };
        match done {
            Err(reason) => self.fail(reason, now, outcomes),
            Ok(()) if self.state == State::Ready && self.due.is_empty() => self.deadline = None,
            Ok(()) if self.state == State::Ready => {
                self.deadline = Some(now.saturating_add(self.rules.read_timeout));
            }
            Ok(()) => {}
        }
    }

    fn read_version(&mut self, outcomes: &mut impl Outcomes) -> Result<(), Reason> {
        match Head::parse(&self.input) {
            Ok(None) => return Ok(()),
            Err(ResponseFault::Unhandled) => {}
            Err(_) => return Err(Reason::ReadValidate),
            Ok(Some(_)) => return Err(Reason::BadValidate),
        }
        let line = self.input.split(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
        if !self.input.starts_with(b"VERSION") || line + 1 != self.input.len() {
            return Err(Reason::BadValidate);
        }
        self.input.clear();
        self.state = State::Ready;
        self.failures = 0;
        if mem::take(&mut self.is_bad) {
            outcomes.note(Note::Recovered);
        }
        Ok(())
    }

    fn read_replies(&mut self, outcomes: &mut impl Outcomes) -> Result<(), Reason> {
        let sent = self.position + self.written as u64;
        let mut read = 0;
        let mut is_first = true;
        while read < self.input.len() {
            // A backend may reject a request before it has all of it.
            let Some((ticket, _)) = self.due.front().copied().filter(|(_, start)| *start < sent) else {
                return Err(if is_first { Reason::ClosedSocket } else { Reason::TrailingData });
            };
            let rest = self.input.get(read..).unwrap_or_default();
            let Some(head) = Head::parse(rest).map_err(reason)? else { break };
            if head.length() > self.rules.max_reply {
                return Err(Reason::OutOfMemory);
            }
            let Some(reply) = rest.get(..head.length()) else { break };
            head.check_end(reply).map_err(reason)?;
            self.due.pop_front();
            outcomes.reply(ticket, &head, reply);
            if matches!(head.code, Code::Error | Code::ClientError) {
                return Err(Reason::InvalidProtocol);
            }
            read += reply.len();
            is_first = false;
        }
        self.input.drain(..read);
        Ok(())
    }

    /// Starts to connect.
    fn connect(&mut self, now: u64) {
        self.state = State::Connecting;
        self.order = Some(Order::Connect);
        self.deadline = Some(now.saturating_add(self.rules.connect_timeout));
    }

    /// Fails all requests, and connects again now or later.
    fn fail(&mut self, reason: Reason, now: u64, outcomes: &mut impl Outcomes) {
        if self.state == State::Bad {
            return;
        }
        if !self.is_bad {
            outcomes.note(Note::Failed(reason, self.due.len()));
        }
        for (ticket, _) in self.due.drain(..) {
            outcomes.fail(ticket);
        }
        (self.output, self.input) = (Vec::new(), Vec::new());
        (self.written, self.position) = (0, 0);
        self.failures = self.failures.saturating_add(1);
        if self.rules.flap_time != 0 && reason.is_of_the_network() {
            let is_flap = now.saturating_sub(self.last_failure) <= self.rules.flap_time;
            self.flaps = if is_flap { self.flaps.saturating_add(1) } else { 0 };
            self.last_failure = now;
        }
        let flaps = self.flaps > self.rules.failure_limit;
        if !flaps && self.failures <= self.rules.failure_limit {
            return self.connect(now);
        }
        let wait = if flaps { self.backoff() } else { self.rules.retry };
        if !mem::replace(&mut self.is_bad, true) {
            outcomes.note(Note::MarkedBad(wait, flaps));
        }
        self.state = State::Bad;
        self.order = Some(Order::Close);
        self.deadline = Some(now.saturating_add(wait));
    }

    /// Returns the wait of a backend that flaps.
    fn backoff(&self) -> u64 {
        let wait = self.rules.retry as f64 * self.rules.flap_ramp.powf(self.flaps.into());
        (wait.min(self.rules.flap_max as f64)) as u64
    }
}

fn reason(fault: ResponseFault) -> Reason {
    match fault {
        ResponseFault::Unknown => Reason::Parsing,
        ResponseFault::Unhandled => Reason::UnhandledReply,
        ResponseFault::MissingEnd => Reason::MissingEnd,
    }
}

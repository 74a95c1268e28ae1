//! One connection to a backend, without its socket.
//!
//! ```text
//!   Closed ──connect──▶ Connecting ──▶ Validating ──VERSION──▶ Open
//!     ▲  ▲                  │              │                     │
//!     │  └── a failure ─────┴──────────────┴─────────────────────┤
//!     └───── the pause is over ◀──── Paused ◀── too many failures
//! ```
//!
//! A backend that closes connections which have no requests is connected to again, but not in a
//! loop: after too many such ends, the connection pauses until a request comes.
//!
//! After too many failures a connection is *bad*, until the backend has told its version again. A
//! bad connection refuses all requests.
//!
//! The owner has the socket. It asks [`Connection::wants_socket`], moves bytes in and out, and
//! calls [`Connection::expired`] at [`Connection::deadline`]. Each failure goes through
//! [`Connection::fail`], which returns the requests that get no reply.
//!
//! Replies come in the order of the requests. A request is written once: if its connection ends, it
//! fails, because the backend may have carried it out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::failure::Reason;
use super::reply::{Meaning, Scan, scan, scan_item, unread};

/// The request that a new connection begins with.
const HELLO: &[u8] = b"version\r\n";

/// The refusal of an `incr`. It depends on the item, so that the backend has read the request.
const NOT_A_NUMBER: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

/// Bytes of a buffer that a connection without requests keeps.
const KEEP: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Without a socket. The owner connects.
    Closed,
    /// The socket is not connected yet.
    Connecting,
    /// The version was asked for. Requests wait.
    Validating,
    /// Requests are sent.
    Open,
    /// Without a socket until the deadline.
    Paused,
}

/// The reason for which a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The backend has failed too often.
    Bad,
    /// Too many requests wait for replies.
    Depth,
}

/// The end of a connection.
#[derive(Debug)]
pub struct Failure<T> {
    /// The requests that get no reply, in their order.
    pub lost: VecDeque<T>,
    /// The pause before the next attempt, if the connection has become bad, and whether it has
    /// because it flapped.
    pub pause: Option<(Duration, bool)>,
}

/// The requests that still belong to the socket of a connection.
#[derive(Debug)]
struct Leaving {
    /// Those without a reply.
    replies: usize,
    /// The end of their bytes in the output.
    bytes: usize,
}

/// A request without a reply.
#[derive(Debug)]
struct Waiting<T> {
    name: T,
    /// Whether the reply may have several values.
    takes_values: bool,
}

/// A connection to a backend. `T` names a request.
#[derive(Debug)]
pub struct Connection<T> {
    bounds: Bounds,
    state: State,
    is_bad: bool,
    /// Requests without a reply, in their order.
    waiting: VecDeque<Waiting<T>>,
    /// Requests that are not written.
    output: Vec<u8>,
    /// Bytes of `output`, or of the hello, that were written.
    written: usize,
    /// The part of a reply.
    input: Vec<u8>,
    /// Least length of `input` at which it is looked at again. 0 if the input ends with a reply.
    needed: usize,
    /// Set once the connection has to end, such as after the backend refused a request: it may take
    /// the rest of it for another one. The lengths of `waiting` and of `output` at that time. Later
    /// requests wait for the next connection, such as the same request that another route sends
    /// again.
    ends: Option<(usize, usize)>,
    /// Set while the connection waits for its last replies before it gets another socket.
    leaving: Option<Leaving>,
    deadline: Option<Instant>,
    /// Whether the next write to the open connection begins the time of the reply.
    write_begins: bool,
    /// Failures since the last reply to a hello.
    failures: u32,
    /// Flaps in a row.
    flaps: u32,
    /// Connections in a row that ended soon, without a request.
    idle_ends: u32,
    /// The time at which the connection opened or failed.
    changed: Option<Instant>,
}

impl<T: Copy> Connection<T> {
    /// Returns a connection that waits for a socket.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: State::Closed,
            is_bad: false,
            waiting: VecDeque::new(),
            output: Vec::new(),
            written: 0,
            input: Vec::new(),
            needed: 0,
            ends: None,
            leaving: None,
            deadline: None,
            write_begins: false,
            failures: 0,
            flaps: 0,
            idle_ends: 0,
            changed: None,
        }
    }

    /// Returns whether the owner has to open a socket. It then calls [`Self::connecting`].
    pub fn wants_socket(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns whether requests are refused.
    pub fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// Returns whether too many requests wait for one more.
    pub fn is_too_deep(&self) -> bool {
        self.bounds.depth_limit > 0 && self.waiting.len() > self.bounds.depth_limit
    }

    /// Returns the number of requests without a reply.
    pub fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// Returns whether requests are sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns the bytes of requests in the buffer, written or not.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Returns the bytes of buffers held.
    pub fn held(&self) -> usize {
        self.output.capacity() + self.input.capacity()
    }

    /// Returns the input that was not understood, for the log.
    pub fn unread(&self) -> &[u8] {
        unread(&self.input)
    }

    /// Returns the length of the part of a reply that has arrived.
    pub fn kept(&self) -> usize {
        self.input.len()
    }

    /// Takes a request that `push` appends to the output, if a reply to it can come. With
    /// `takes_values`, it is a get of several keys.
    ///
    /// # Errors
    /// The reason for which it is not taken.
    pub fn submit(
        &mut self,
        name: T,
        takes_values: bool,
        now: Instant,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        if self.is_bad {
            return Err(Refusal::Bad);
        }
        if self.is_too_deep() {
            return Err(Refusal::Depth);
        }
        match self.state {
            // The write begins the time anew. Until then it ends a wait for room in the socket.
            State::Open if self.waiting.is_empty() => {
                self.deadline = after(now, self.bounds.read_timeout);
                self.write_begins = true;
            }
            // It pauses for a lack of requests.
            State::Paused => (self.state, self.deadline) = (State::Closed, None),
            _ => {}
        }
        self.waiting.push_back(Waiting { name, takes_values });
        push(&mut self.output);
        Ok(())
    }

    /// Records that the owner opens a socket.
    pub fn connecting(&mut self, now: Instant) {
        self.state = State::Connecting;
        self.deadline = after(now, self.bounds.connect_timeout);
    }

    /// Begins to leave the socket, because the backend has another address. Requests so far get
    /// their replies, and later ones wait for the next socket.
    pub fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = match self.state {
            State::Open => Some(Leaving { replies: self.waiting.len(), bytes: self.output.len() }),
            State::Connecting | State::Validating => Some(Leaving { replies: 0, bytes: 0 }),
            State::Closed | State::Paused => None,
        };
    }

    /// Returns whether nothing is expected from the socket that the connection leaves. The owner
    /// then closes it, and calls [`Self::left`].
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.replies == 0)
    }

    /// Records that the owner has closed the socket. A backend may reply before it has got a whole
    /// request. The next socket must not get the rest.
    pub fn left(&mut self) {
        if let Some(Leaving { bytes, .. }) = self.leaving.take() {
            self.output.drain(..bytes.min(self.output.len()));
        }
        self.state = State::Closed;
        self.deadline = None;
        self.input = Vec::new();
        (self.written, self.needed, self.ends) = (0, 0, None);
    }

    /// Returns whether the owner waits for its socket to be connected.
    pub fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Records that the socket is connected.
    pub fn connected(&mut self, now: Instant) {
        self.state = State::Validating;
        self.written = 0;
        self.deadline = after(now, self.bounds.read_timeout);
    }

    /// Returns the bytes to write next.
    pub fn unwritten(&self) -> &[u8] {
        let bytes = match self.state {
            State::Validating => HELLO,
            State::Open => match &self.leaving {
                None => &self.output,
                Some(leaving) => self.output.get(..leaving.bytes).unwrap_or_default(),
            },
            State::Closed | State::Connecting | State::Paused => &[],
        };
        bytes.get(self.written..).unwrap_or_default()
    }

    /// Records that bytes were written. `now` is asked for the time if a wait begins.
    pub fn wrote(&mut self, n: usize, now: impl FnOnce() -> Instant) {
        self.written += n;
        if self.state != State::Open {
            return;
        }
        if std::mem::take(&mut self.write_begins) {
            self.deadline = after(now(), self.bounds.read_timeout);
        }
        if let Some(leaving) = &mut self.leaving {
            if self.written >= leaving.bytes {
                self.output.drain(..leaving.bytes.min(self.output.len()));
                (self.written, leaving.bytes) = (0, 0);
            }
            return;
        }
        if self.written >= self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEEP);
            self.written = 0;
        } else if self.written > KEEP && self.written > self.output.len() / 2 {
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// Takes out the part of a reply that has arrived. The owner appends what the backend sent,
    /// calls [`Self::next_reply`] until there is none, and gives the rest to
    /// [`Self::keep_input`].
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Returns the next reply of `input`: the name of its request, its length and its meaning. The
    /// items of a reply to a get of several keys come one by one.
    /// Returns `None` if the rest of the input is not a whole reply.
    ///
    /// # Errors
    /// The reason for which the connection has to end. The owner then calls [`Self::fail`].
    pub fn next_reply(&mut self, input: &[u8], now: Instant) -> Result<Option<(T, usize, Meaning)>, Reason> {
        if self.ends.is_some() {
            return Err(Reason::Refused);
        }
        if input.is_empty() || input.len() < self.needed {
            return Ok(None);
        }
        self.needed = 0;
        let scan = match self.waiting.front() {
            Some(Waiting { takes_values: true, .. }) => scan_item,
            _ => scan,
        };
        let (length, meaning) = match scan(input, self.bounds.value_max) {
            _ if self.state == State::Open && self.waiting.is_empty() => return Err(Reason::TrailingData),
            // The next requests are not sent yet.
            _ if self.has_left() => return Err(Reason::TrailingData),
            Scan::Whole(length, meaning) => (length, meaning),
            Scan::Part(needed) => {
                self.needed = needed;
                return Ok(None);
            }
            Scan::Bad(_) if self.state == State::Validating => return Err(Reason::BadValidate),
            Scan::Bad(reason) => return Err(reason),
        };
        if self.state == State::Validating {
            if meaning != Meaning::Version || length < input.len() {
                return Err(Reason::BadValidate);
            }
            self.opened(now);
            return Ok(None);
        }
        if meaning == Meaning::Version {
            return Err(Reason::Unexpected);
        }
        if meaning == Meaning::Item {
            return Ok(self.waiting.front().map(|waiting| (waiting.name, length, meaning)));
        }
        let Some(Waiting { name, .. }) = self.waiting.pop_front() else { return Err(Reason::TrailingData) };
        if meaning == Meaning::Refused && !input.starts_with(NOT_A_NUMBER) {
            self.end();
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.replies = leaving.replies.saturating_sub(1);
        }
        Ok(Some((name, length, meaning)))
    }

    /// Keeps the input that was not used when [`Self::next_reply`] failed, for [`Self::unread`].
    pub fn keep_unread(&mut self, mut input: Vec<u8>, used: usize) {
        input.drain(..used.min(input.len()));
        self.input = input;
    }

    /// Takes back the input, without the replies that were used.
    pub fn keep_input(&mut self, mut input: Vec<u8>, used: usize, now: Instant) {
        // The reply to the hello is the whole input.
        input.drain(..if self.needed == 0 { input.len() } else { used.min(input.len()) });
        if input.is_empty() {
            input.shrink_to(KEEP);
        }
        self.input = input;
        let waits = !self.waiting.is_empty() || self.state != State::Open;
        self.deadline = if waits { after(now, self.bounds.read_timeout) } else { None };
    }

    fn opened(&mut self, now: Instant) {
        self.state = State::Open;
        self.is_bad = false;
        (self.written, self.failures) = (0, 0);
        self.changed = Some(now);
    }

    /// Returns the time at which the owner calls [`Self::expired`].
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Handles the time `now`. Returns the reason if the connection has to end.
    pub fn expired(&mut self, now: Instant) -> Option<Reason> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.deadline = None;
        match self.state {
            State::Connecting => Some(Reason::ConnectTimeout),
            State::Validating => Some(Reason::ReadValidate),
            State::Open => Some(Reason::Timeout),
            State::Paused => {
                self.state = State::Closed;
                None
            }
            State::Closed => None,
        }
    }

    /// Forgets failures, and connects again if the connection is not open. Returns whether the
    /// owner has to close the socket.
    pub fn retry(&mut self) -> bool {
        if self.state == State::Open {
            return false;
        }
        self.left();
        self.is_bad = false;
        (self.failures, self.flaps) = (0, 0);
        true
    }

    /// Keeps later requests for the next connection. The owner then calls [`Self::fail`].
    pub fn end(&mut self) {
        self.ends = Some((self.waiting.len(), self.output.len()));
    }

    /// Ends the connection. The owner closes the socket.
    pub fn fail(&mut self, reason: Reason, now: Instant) -> Failure<T> {
        let pause = self.count_failure(reason, now);
        self.is_bad = pause.is_some();
        let pause_until = match pause {
            Some((pause, _)) => after(now, pause),
            None if self.idle_ends > self.bounds.failure_limit => after(now, self.bounds.retry),
            None => None,
        };
        self.state = if pause_until.is_some() { State::Paused } else { State::Closed };
        self.deadline = pause_until;
        self.input = Vec::new();
        (self.written, self.needed, self.leaving) = (0, 0, None);
        Failure { lost: self.take_lost(), pause }
    }

    /// Counts a failure. Returns the pause if the connection becomes bad, and whether it does
    /// because it flapped.
    fn count_failure(&mut self, reason: Reason, now: Instant) -> Option<(Duration, bool)> {
        let bounds = &self.bounds;
        let lasted = self.changed.map(|changed| now.saturating_duration_since(changed));
        if let Some(flap_time) = bounds.flap_time
            && reason.is_flap()
        {
            self.flaps = if lasted.is_some_and(|lasted| lasted <= flap_time) { self.flaps + 1 } else { 0 };
        }
        self.failures = self.failures.saturating_add(1);
        let is_idle = self.state == State::Open && self.waiting.is_empty();
        let soon = lasted.is_some_and(|lasted| lasted < bounds.retry);
        self.idle_ends = if is_idle && soon { self.idle_ends.saturating_add(1) } else { 0 };
        self.changed = Some(now);
        if self.flaps > bounds.failure_limit {
            let factor = bounds.flap_ramp.powi(self.flaps.try_into().unwrap_or(i32::MAX));
            let pause = Duration::try_from_secs_f64(bounds.retry.as_secs_f64() * factor);
            return Some((pause.unwrap_or(bounds.flap_max).min(bounds.flap_max), true));
        }
        (self.failures > bounds.failure_limit).then_some((bounds.retry, false))
    }

    /// Takes the requests that get no reply. Later ones wait for the next connection, unless this
    /// one is bad.
    fn take_lost(&mut self) -> VecDeque<T> {
        let kept = self.ends.take().filter(|_| !self.is_bad);
        let (lost, unsent) = kept.unwrap_or((self.waiting.len(), self.output.len()));
        self.output.drain(..unsent.min(self.output.len()));
        self.output.shrink_to(KEEP);
        let rest = self.waiting.split_off(lost.min(self.waiting.len()));
        let lost = std::mem::replace(&mut self.waiting, rest);
        lost.into_iter().map(|waiting| waiting.name).collect()
    }
}

/// Returns the time `after` `now`, or `None` if it never comes.
fn after(now: Instant, after: Duration) -> Option<Instant> {
    now.checked_add(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { depth_limit: 3, flap_time: Some(Duration::from_secs(10)), ..Bounds::default() }
    }

    /// A connection, the time, and what came of it.
    struct Bench {
        connection: Connection<u32>,
        now: Instant,
        replies: Vec<(u32, String, Meaning)>,
    }

    impl Bench {
        fn closed() -> Self {
            Self { connection: Connection::new(bounds()), now: Instant::now(), replies: Vec::new() }
        }

        fn open() -> Self {
            let mut bench = Self::closed();
            bench.opens();
            bench
        }

        fn opens(&mut self) {
            assert!(self.connection.wants_socket());
            self.connection.connecting(self.now);
            assert!(self.connection.is_connecting());
            self.connection.connected(self.now);
            assert_eq!(self.writes(), "version\r\n");
            assert_eq!(self.receives("VERSION 1.6.45\r\n"), Ok(()));
        }

        fn submits(&mut self, name: u32) -> Result<(), Refusal> {
            let line = format!("get k{name}\r\n");
            self.connection.submit(name, false, self.now, |out| out.extend_from_slice(line.as_bytes()))
        }

        fn writes(&mut self) -> String {
            let bytes = String::from_utf8_lossy(self.connection.unwritten()).into_owned();
            self.connection.wrote(bytes.len(), || self.now);
            bytes
        }

        fn receives(&mut self, bytes: &str) -> Result<(), Reason> {
            let mut input = self.connection.take_input();
            input.extend_from_slice(bytes.as_bytes());
            let mut used = 0;
            loop {
                match self.connection.next_reply(&input[used..], self.now) {
                    Ok(Some((name, length, meaning))) => {
                        let reply = String::from_utf8_lossy(&input[used..used + length]).into_owned();
                        self.replies.push((name, reply, meaning));
                        used += length;
                    }
                    Ok(None) => {
                        self.connection.keep_input(input, used, self.now);
                        return Ok(());
                    }
                    Err(reason) => {
                        self.connection.keep_unread(input, used);
                        return Err(reason);
                    }
                }
            }
        }

        fn later(&mut self, seconds: u64) -> Option<Reason> {
            self.now += Duration::from_secs(seconds);
            self.connection.expired(self.now)
        }
    }

    #[test]
    fn the_log_sees_the_input_that_was_not_understood() {
        for (input, reason, unread) in [
            ("VALUE k 0 2\r\nhi\r\nEN", Reason::Timeout, "EN"),
            ("VALUE k 0 2\r\nhi", Reason::Timeout, ""),
            ("VA 2 t1\r\nh", Reason::Timeout, ""),
            ("VALUE k 0", Reason::Timeout, "VALUE k 0"),
            ("END\r\ngarbage", Reason::TrailingData, "garbage"),
            ("nonsense\r\n", Reason::Parsing, "nonsense\r\n"),
        ] {
            let mut bench = Bench::open();
            assert_eq!(bench.submits(1), Ok(()));
            bench.writes();
            match bench.receives(input) {
                Ok(()) => assert_eq!(bench.later(60), Some(reason), "{input}"),
                Err(found) => assert_eq!(found, reason, "{input}"),
            }
            assert_eq!(String::from_utf8_lossy(bench.connection.unread()), unread, "{input}");
        }
    }

    #[test]
    fn a_bad_backend_is_tried_again_on_request() {
        let mut bench = Bench::open();
        assert!(!bench.connection.retry());
        while !bench.connection.is_bad() {
            bench.connection.fail(Reason::Connecting, bench.now);
        }
        assert_eq!(bench.submits(1), Err(Refusal::Bad));
        assert!(bench.connection.retry());
        assert_eq!((bench.submits(2), bench.later(60)), (Ok(()), None));
        bench.opens();
        assert_eq!(bench.writes(), "get k2\r\n");
    }

    #[test]
    fn requests_wait_for_the_version_and_are_answered_in_order() {
        let mut bench = Bench::closed();
        assert_eq!(bench.submits(1), Ok(()));
        bench.connection.connecting(bench.now);
        assert_eq!(bench.writes(), "");
        bench.connection.connected(bench.now);
        assert_eq!(bench.submits(2), Ok(()));
        assert_eq!(bench.writes(), "version\r\n");
        assert_eq!(bench.receives("VERS"), Ok(()));
        assert_eq!(bench.writes(), "");
        assert_eq!(bench.receives("ION 1\r\n"), Ok(()));
        assert_eq!(bench.writes(), "get k1\r\nget k2\r\n");
        assert_eq!(bench.receives("VALUE k1 0 1\r\nx\r\nEND\r\nEN"), Ok(()));
        assert_eq!(bench.receives("D\r\n"), Ok(()));
        let value = "VALUE k1 0 1\r\nx\r\nEND\r\n".to_owned();
        assert_eq!(bench.replies, [(1, value, Meaning::Value), (2, "END\r\n".into(), Meaning::Miss)]);
        assert_eq!(bench.connection.deadline(), None);
        assert_eq!(bench.connection.depth(), 0);
    }

    /// Cutting the input anywhere changes nothing.
    #[test]
    fn input_in_any_pieces() {
        let input = "VALUE k1 0 3\r\nEND\r\nEND\r\nSTORED\r\nEND\r\n";
        for size in 1..input.len() {
            let mut bench = Bench::open();
            (1..=3).for_each(|name| assert_eq!(bench.submits(name), Ok(())));
            for piece in input.as_bytes().chunks(size) {
                assert_eq!(bench.receives(&String::from_utf8_lossy(piece)), Ok(()), "{size}");
            }
            let meanings: Vec<_> = bench.replies.iter().map(|(name, _, meaning)| (*name, *meaning)).collect();
            assert_eq!(meanings, [(1, Meaning::Value), (2, Meaning::Done), (3, Meaning::Miss)], "{size}");
        }
    }

    #[test]
    fn too_many_requests_are_refused() {
        let mut bench = Bench::open();
        (1..=4).for_each(|name| assert_eq!(bench.submits(name), Ok(())));
        assert_eq!(bench.submits(5), Err(Refusal::Depth));
    }

    #[test]
    fn each_reason_ends_the_connection() {
        let ends = |bench: &mut Bench, reason, lost: &[u32]| {
            let failure = bench.connection.fail(reason, bench.now);
            assert_eq!(failure.lost, lost, "{reason:?}");
            assert!(bench.connection.wants_socket(), "{reason:?}");
            assert_eq!(bench.connection.deadline(), None, "{reason:?}");
        };
        let mut bench = Bench::closed();
        assert_eq!(bench.submits(1), Ok(()));
        bench.connection.connecting(bench.now);
        assert_eq!(bench.later(4), None);
        assert_eq!(bench.later(1), Some(Reason::ConnectTimeout));
        ends(&mut bench, Reason::ConnectTimeout, &[1]);
        bench.connection.connecting(bench.now);
        bench.connection.connected(bench.now);
        assert_eq!(bench.later(3), Some(Reason::ReadValidate));
        for hello in ["ERROR\r\n", "VERSION 1\r\nEND\r\n", "HTTP/1.1 400\r\n", "STORED\r\n"] {
            let mut bench = Bench::closed();
            bench.connection.connecting(bench.now);
            bench.connection.connected(bench.now);
            assert_eq!(bench.receives(hello), Err(Reason::BadValidate), "{hello}");
            ends(&mut bench, Reason::BadValidate, &[]);
        }
        let cases = [
            ("END\r\nEND\r\nEND\r\n", Reason::TrailingData, &[][..]),
            ("VERSION 1\r\n", Reason::Unexpected, &[1, 2]),
            ("STAT a 1\r\n", Reason::Unexpected, &[1, 2]),
            ("END\r\nnonsense\r\n", Reason::Parsing, &[2]),
            ("VALUE k1 0 1\r\nx\r\nSTORED\r\n", Reason::MissingEnd, &[1, 2]),
            ("CLIENT_ERROR no\r\n", Reason::Refused, &[2]),
        ];
        for (input, reason, lost) in cases {
            let mut bench = Bench::open();
            assert_eq!((bench.submits(1), bench.submits(2)), (Ok(()), Ok(())));
            assert_eq!(bench.receives(input), Err(reason), "{input}");
            ends(&mut bench, reason, lost);
        }
        let mut bench = Bench::open();
        assert_eq!(bench.submits(1), Ok(()));
        assert_eq!(bench.later(2), None);
        // A part of the reply starts the time anew.
        assert_eq!(bench.receives("VALUE k 0 100\r\n"), Ok(()));
        assert_eq!(bench.later(2), None);
        assert_eq!(bench.later(1), Some(Reason::Timeout));
        ends(&mut bench, Reason::Timeout, &[1]);
    }

    /// A route may ask the same backend again because of an error line.
    #[test]
    fn a_request_after_a_refusal_waits_for_the_next_socket() {
        let mut bench = Bench::open();
        assert_eq!((bench.submits(1), bench.submits(2)), (Ok(()), Ok(())));
        let mut input = bench.connection.take_input();
        input.extend_from_slice(b"CLIENT_ERROR no\r\n");
        let refusal = bench.connection.next_reply(&input, bench.now);
        assert_eq!(refusal, Ok(Some((1, input.len(), Meaning::Refused))));
        assert_eq!(bench.submits(3), Ok(()));
        assert_eq!(bench.connection.next_reply(b"", bench.now), Err(Reason::Refused));
        assert_eq!(bench.connection.fail(Reason::Refused, bench.now).lost, [2]);
        bench.opens();
        assert_eq!(bench.writes(), "get k3\r\n");
        assert_eq!(bench.receives("END\r\n"), Ok(()));
        assert_eq!(bench.replies, [(3, "END\r\n".into(), Meaning::Miss)]);
    }

    /// Requests before the move are answered by the old socket, and later ones by the new.
    #[test]
    fn a_backend_that_moves_loses_no_request() {
        let mut bench = Bench::open();
        assert_eq!((bench.submits(1), bench.submits(2)), (Ok(()), Ok(())));
        let all = bench.connection.unwritten().len();
        bench.connection.wrote(3, || bench.now);
        bench.connection.leave();
        assert_eq!(bench.submits(3), Ok(()));
        assert_eq!(bench.writes().len(), all - 3);
        assert_eq!(bench.writes(), "");
        assert_eq!(bench.receives("END\r\n"), Ok(()));
        assert!(!bench.connection.has_left());
        assert_eq!(bench.receives("END\r\n"), Ok(()));
        assert!(bench.connection.has_left());
        bench.connection.left();
        bench.opens();
        assert_eq!(bench.writes(), "get k3\r\n");
        assert_eq!(bench.receives("END\r\n"), Ok(()));
        let names: Vec<u32> = bench.replies.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, [1, 2, 3]);
        // Without requests it leaves at once, and so does one that is not open yet.
        bench.connection.leave();
        assert!(bench.connection.has_left());
        bench.connection.left();
        bench.connection.connecting(bench.now);
        bench.connection.leave();
        assert!(bench.connection.has_left());
        // A reply too many is a fault.
        let mut bench = Bench::open();
        assert_eq!(bench.submits(1), Ok(()));
        bench.connection.leave();
        assert_eq!(bench.submits(2), Ok(()));
        assert_eq!(bench.receives("END\r\nEND\r\n"), Err(Reason::TrailingData));
        assert_eq!(bench.connection.fail(Reason::TrailingData, bench.now).lost, [2]);
    }

    /// The backend refuses a store before it has got all of it, and moves.
    #[test]
    fn a_backend_that_moves_gets_no_request_twice() {
        // The second length makes the buffer drop its written part.
        for length in [100, 4 * KEEP] {
            let mut bench = Bench::open();
            let store = format!("set k 0 0 {length}\r\n{}\r\n", "x".repeat(length));
            let push = |out: &mut Vec<u8>| out.extend_from_slice(store.as_bytes());
            assert_eq!(bench.connection.submit(1, false, bench.now, push), Ok(()));
            bench.connection.wrote(length * 3 / 4, || bench.now);
            bench.connection.leave();
            assert_eq!(bench.submits(2), Ok(()));
            assert_eq!(bench.receives("SERVER_ERROR object too large for cache\r\n"), Ok(()));
            assert!(bench.connection.has_left());
            bench.connection.left();
            bench.opens();
            assert_eq!(bench.writes(), "get k2\r\n", "{length}");
        }
    }

    /// An error of the backend itself does not end the connection.
    #[test]
    fn a_server_error_is_a_reply() {
        let mut bench = Bench::open();
        assert_eq!(bench.submits(1), Ok(()));
        assert_eq!(bench.receives("SERVER_ERROR busy\r\n"), Ok(()));
        assert_eq!(bench.replies, [(1, "SERVER_ERROR busy\r\n".into(), Meaning::ServerError)]);
    }

    /// A request of one client does not end those of others.
    #[test]
    fn an_incr_of_a_text_keeps_the_connection() {
        let mut bench = Bench::open();
        assert_eq!((bench.submits(1), bench.submits(2)), (Ok(()), Ok(())));
        let refusal = str::from_utf8(NOT_A_NUMBER).unwrap_or_default();
        assert_eq!(bench.receives(&format!("{refusal}END\r\n")), Ok(()));
        assert_eq!(
            bench.replies,
            [(1, refusal.into(), Meaning::Refused), (2, "END\r\n".into(), Meaning::Miss)]
        );
    }

    #[test]
    fn a_backend_that_fails_is_bad_until_it_answers() {
        let mut bench = Bench::closed();
        for _ in 0..3 {
            bench.connection.connecting(bench.now);
            assert_eq!(bench.connection.fail(Reason::Connecting, bench.now).pause, None);
        }
        assert_eq!(bench.submits(1), Ok(()));
        let failure = bench.connection.fail(Reason::Connecting, bench.now);
        assert_eq!((failure.pause, failure.lost.len()), (Some((Duration::from_secs(3), false)), 1));
        assert_eq!(bench.submits(2), Err(Refusal::Bad));
        assert!(!bench.connection.wants_socket());
        assert_eq!(bench.later(2), None);
        assert!(!bench.connection.wants_socket());
        assert_eq!(bench.later(1), None);
        assert!(bench.connection.wants_socket() && bench.connection.is_bad());
        assert_eq!(bench.submits(3), Err(Refusal::Bad));
        bench.connection.connecting(bench.now);
        // One more failure makes one more pause.
        assert!(bench.connection.fail(Reason::Connecting, bench.now).pause.is_some());
        assert_eq!(bench.later(3), None);
        bench.opens();
        assert!(!bench.connection.is_bad());
        assert_eq!(bench.submits(4), Ok(()));
    }

    /// A backend that closes each connection after its version is not connected to in a loop. A
    /// request ends the pause.
    #[test]
    fn a_backend_that_closes_idle_connections_is_left_alone() {
        let mut bench = Bench { connection: Connection::new(Bounds::default()), ..Bench::closed() };
        for _ in 0..4 {
            bench.opens();
            assert_eq!(bench.connection.fail(Reason::Disconnected, bench.now).pause, None);
        }
        assert!(!bench.connection.wants_socket() && !bench.connection.is_bad());
        assert_eq!(bench.submits(1), Ok(()));
        bench.opens();
        assert_eq!(bench.writes(), "get k1\r\n");
        assert_eq!(bench.connection.fail(Reason::Disconnected, bench.now).lost, [1]);
        for _ in 0..4 {
            bench.opens();
            bench.connection.fail(Reason::Disconnected, bench.now);
        }
        assert!(!bench.connection.wants_socket());
        assert_eq!(bench.later(3), None);
        // An end after a long time is none of these.
        bench.opens();
        assert_eq!(bench.later(4), None);
        bench.connection.fail(Reason::Disconnected, bench.now);
        assert!(bench.connection.wants_socket());
    }

    /// Each open connection ends at once. The pauses grow, up to the limit.
    #[test]
    fn a_backend_that_flaps_pauses_longer_and_longer() {
        let mut bench = Bench::closed();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            bench.opens();
            let failure = bench.connection.fail(Reason::Disconnected, bench.now);
            if let Some((pause, flapped)) = failure.pause {
                assert!(flapped);
                pauses.push(pause);
                // The time since the connection opened counts, not the pause.
                bench.now += pause;
                assert_eq!(bench.connection.expired(bench.now), None);
            }
        }
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
        assert_eq!(pauses.first(), Some(&Duration::from_secs_f64(3.0 * 1.5f64.powi(4))));
        assert_eq!(pauses.last(), Some(&Duration::from_hours(1)));
        bench.opens();
        bench.now += Duration::from_secs(11);
        assert_eq!(bench.connection.fail(Reason::Disconnected, bench.now).pause, None);
    }
}

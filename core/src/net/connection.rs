//! One client: a socket, a session, and what is partial between them.
//!
//! A worker calls [`Connection::visit`] when the socket may have something or
//! can take something, or when it is the connection's turn. One visit reads
//! (at most 64 KiB, large values straight into their item), runs the commands
//! that came (at most `requests_per_event`), and writes their replies at once,
//! all as far as its [`Turn`] goes. While a reply is not fully written, requests
//! wait: what a client does not read is bounded by what one visit may produce,
//! as in memcached.
//!
//! The socket is registered edge-triggered, so `readable` remembers that it
//! may still hold input. A read that returns less than was asked for clears
//! it, unless the peer has closed its half: that edge is not repeated, so
//! reading goes on until the end of the stream is seen.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use super::buffers::{Input, Leftover, SCRATCH};
use super::stream::{Peer, Stream};
use super::tls::TlsStream;
use super::worker::Mailbox;
use super::would_block;
use crate::config::Protocol;
use crate::context::{ConnState, ServerState, WorkerStats};
use crate::output::Output;
use crate::session::{CloseReason, Env, Next, Session, TIGHT};
use crate::turn::Turn;
use crate::watch::{Watcher, kind};

/// Most bytes that one read takes straight into a value.
const DIRECT_READ: usize = 256 * 1024;

/// Missing bytes that make a value large.
const LARGE_VALUE: usize = 16 * 1024;

/// Bytes read behind a large value: the next command's line, not its value.
const LINE_READ: usize = 2 * 1024;

/// Reads that throw input away before others get their turn.
const DISCARDS: usize = 16;

/// Where a visit takes place.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Shared by the whole server.
    pub(crate) context: &'a ServerState,
    /// The worker's counters.
    pub(crate) stats: &'a WorkerStats,
    /// The worker's event queue.
    pub(crate) registry: &'a Registry,
    /// The connection's number in it.
    pub(crate) token: Token,
}

/// What a worker lends to the connection it visits.
pub(crate) struct Scratch {
    /// Where input is read to; empty between visits.
    pub(crate) input: Input,
    /// Where replies gather; empty between visits.
    pub(crate) output: Output,
    /// Where watchers ring.
    pub(crate) mailbox: Arc<Mailbox>,
    /// Output memory that is kept for the next visit.
    pub(crate) keep: usize,
}

impl Scratch {
    /// After a visit that did not come to its end.
    pub(crate) fn reset(&mut self) {
        self.input.clear();
        self.output = Output::new();
    }

    /// Takes back the buffer of a connection that has sent everything.
    fn give_back(&mut self, sent: Output) {
        if self.output.capacity() < sent.capacity() {
            self.output = sent;
        }
        self.trim();
    }

    fn trim(&mut self) {
        if self.output.capacity() > self.keep {
            self.output.clear(self.keep);
        }
    }
}

/// What the worker does with a connection after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Wait for an event.
    Wait,
    /// Visit again when the others had their turn.
    Again,
    /// Visit again after this time; call [`Connection::awake`] first.
    Sleep(Duration),
    /// Give the stream to the handshake thread, unless it has it; visit again after
    /// [`Connection::put_back`].
    Handshake,
    /// Wait for the client to read its last replies, not for ever.
    Linger,
    /// Close at once.
    Close(CloseReason),
}

/// How often a connection has to be found without input until it is settled.
///
/// The second time is after its input was acknowledged. A client's system holds a
/// small segment back while an earlier one is not acknowledged (Nagle's algorithm),
/// which takes up to 40 milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// It is settled.
    No,
    /// Its input was acknowledged.
    Once,
    /// Its worker was asked to settle.
    Twice,
}

/// An open connection. All of it that is not on the heap is counted: an idle
/// connection costs this structure and two words in the worker.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    /// Input that is not used.
    leftover: Leftover,
    /// Replies that the client has not read yet.
    unsent: Option<Box<Output>>,
    /// The connection streams events and reads no commands.
    watcher: Option<Arc<Watcher>>,
    peer: Peer,
    /// Second of the last command.
    last_command: u32,
    /// Set when everything left is to be sent, then to close.
    closing: Option<CloseReason>,
    /// The socket may hold input.
    readable: bool,
    /// The peer sends no more: `readable` stays until the end is read.
    hangup: bool,
    /// The session can go on without further input.
    rerun: bool,
    /// An injected delay.
    sleeping: bool,
    /// The last read was of a large value.
    large: bool,
    /// The last visit was of a client that asks for much at once.
    was_long: bool,
    /// Input was read since the last [`Connection::acknowledge`].
    unacknowledged: bool,
    /// In the worker's ready list.
    pub(crate) queued: bool,
    /// How often it has to be found without input until the worker is settled.
    pub(crate) unsettled: Unsettled,
}

enum Sent {
    All,
    /// The socket is full.
    Part,
    /// It is the others' turn.
    Cut,
    Failed,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(crate) fn new(stream: Stream, peer: Peer, protocol: Protocol, now: u32) -> Self {
        Self {
            stream,
            session: Session::new(protocol),
            leftover: Leftover::default(),
            unsent: None,
            watcher: None,
            peer,
            last_command: now,
            closing: None,
            readable: false,
            hangup: false,
            rerun: false,
            sleeping: false,
            large: false,
            was_long: false,
            unacknowledged: false,
            queued: false,
            unsettled: Unsettled::No,
        }
    }

    /// Says hello to watchers, logs and the table.
    pub(crate) fn opened(&self, context: &ServerState, protocol: Protocol) {
        let fd = self.fd();
        context.connections.set(fd, ConnState::Read, self.last_command);
        context.log(2, || match protocol {
            Protocol::Negotiating => format!("<{fd} new auto-negotiating client connection"),
            Protocol::Ascii => format!("<{fd} new ascii client connection."),
            Protocol::Binary => format!("<{fd} new binary client connection."),
        });
        self.event(context, |line, peer| write!(line, "type=conn_new {peer} cfd={fd}"));
    }

    /// Says goodbye to the same. Call before dropping the connection.
    pub(crate) fn closed(&mut self, context: &ServerState, reason: CloseReason) {
        let fd = self.fd();
        if let Some(watcher) = self.watcher.take() {
            context.cache.watch_hub().remove(&watcher);
        }
        self.session.closing(context, fd, reason == CloseReason::Shutdown);
        context.log(2, || format!("<{fd} connection closed."));
        self.session.closed(context, fd);
        let reason = match reason {
            CloseReason::Error => "error",
            CloseReason::Normal => "normal",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Shutdown => "shutdown",
        };
        self.event(context, |line, peer| write!(line, "type=conn_close {peer} reason={reason} cfd={fd}"));
        context.connections.clear(fd);
        self.stream.close();
    }

    /// As memcached, tells watchers what was wrong with a TLS connection.
    #[cold]
    fn read_failed(&self, context: &ServerState, error: &io::Error) {
        if self.stream.is_tls() {
            let fd = self.fd();
            self.event(context, |line, _| write!(line, "type=conntlserr fd={fd} msg={error}"));
        }
    }

    fn event(&self, context: &ServerState, fill: impl FnOnce(&mut String, Peer) -> std::fmt::Result) {
        let hub = context.cache.watch_hub();
        if hub.wants(kind::CONNEVENTS) {
            hub.event(kind::CONNEVENTS, |line| {
                // Writing to a String cannot fail.
                let _ = fill(line, self.peer);
            });
        }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.stream.fd()
    }

    /// The socket, to register it.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Notes that input may have come; returns whether that calls for a visit.
    pub(crate) fn input_came(&mut self, hangup: bool) -> bool {
        self.readable = true;
        self.hangup |= hangup;
        self.unsent.is_none() && !self.sleeping
    }

    /// Whether the next visit is likely to cost more than most.
    pub(crate) fn is_dear(&self) -> bool {
        self.unsent.is_some() || self.was_long
    }

    /// Takes the stream back from the handshake thread. Returns `false` if it is not
    /// the stream of this connection.
    pub(crate) fn put_back(&mut self, stream: Box<TlsStream>) -> bool {
        if !self.stream.put_back(stream) {
            return false;
        }
        self.readable |= self.stream.may_hold_more(0, 0);
        self.unacknowledged = true;
        // No visit that reads sends the rest.
        if !self.readable && self.stream.unsent() > 0 && self.unsent.is_none() {
            self.unsent = Some(Box::new(Output::new()));
        }
        true
    }

    /// Acknowledges what was read, and notes that this may make more come.
    pub(crate) fn acknowledge(&mut self) {
        self.stream.acknowledge();
        self.unacknowledged = false;
        self.readable = true;
    }

    /// Sets how often the connection has to be found without input until it is settled.
    /// `told`: there is no event of it that was not told, so a socket that was drained
    /// is not looked at again.
    pub(crate) fn begin_settling(&mut self, told: bool) {
        let drained = told && !self.readable && !self.queued && !self.rerun && !self.stream.is_away();
        if !drained || self.unsettled != Unsettled::No {
            self.readable = true;
            self.unsettled = Unsettled::Twice;
        } else if self.unacknowledged {
            self.acknowledge();
            self.unsettled = Unsettled::Once;
        }
    }

    /// Whether the client has replies to read.
    pub(crate) fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Bytes that wait for the client to read them.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, |o| o.len()) + self.stream.unsent()
    }

    /// The injected delay is over.
    pub(crate) fn awake(&mut self) {
        self.sleeping = false;
    }

    /// Bytes of buffers held.
    pub(crate) fn held(&self) -> usize {
        self.session.held()
            + self.leftover.held()
            + self.unsent.as_ref().map_or(0, |o| o.capacity())
            + self.stream.held()
    }

    /// Whether nothing is under way: no command, no reply.
    pub(crate) fn is_quiet(&self) -> bool {
        self.watcher.is_some() && self.unsent.is_none()
            || self.leftover.is_empty() && self.waits_for_command()
    }

    /// Whether `idle_timeout` closes it. As in memcached, an incomplete line
    /// does not keep a connection alive, an incomplete value does.
    pub(crate) fn is_idle_since(&self, second: u32) -> bool {
        self.stream.is_tcp()
            && self.last_command < second
            && self.watcher.is_none()
            && self.waits_for_command()
            && self.session.state() == ConnState::Read
    }

    fn waits_for_command(&self) -> bool {
        self.unsent.is_none() && !self.rerun && !self.sleeping && self.session.is_idle()
    }

    /// Serves the client as far as it goes without waiting.
    pub(crate) fn visit(&mut self, place: Place<'_>, scratch: &mut Scratch) -> NextAction {
        let was_blocked = self.unsent.is_some();
        let after = self.serve(place, scratch);
        if let NextAction::Close(_) = after {
            return after;
        }
        let is_blocked = self.unsent.is_some();
        if was_blocked != is_blocked {
            let turned = if is_blocked {
                self.stream.blocked(place.registry, place.token)
            } else {
                self.stream.unblocked(place.registry, place.token)
            };
            if turned.is_err() {
                return NextAction::Close(CloseReason::Error);
            }
        }
        let state = if is_blocked {
            ConnState::Mwrite
        } else if self.watcher.is_some() {
            ConnState::Watch
        } else {
            self.session.state()
        };
        place.context.connections.set(self.fd(), state, self.last_command);
        after
    }

    fn serve(&mut self, place: Place<'_>, scratch: &mut Scratch) -> NextAction {
        let Place { context, stats, .. } = place;
        let mut env = Env::new(context, stats, self.fd(), context.config.requests_per_event);
        if let Some(mut unsent) = self.unsent.take() {
            match self.send(&mut unsent, stats, &mut env.turn) {
                Sent::All => scratch.give_back(*unsent),
                Sent::Cut => {
                    stats.conn_yields.add(1);
                    self.unsent = Some(unsent);
                    return NextAction::Again;
                }
                Sent::Part => {
                    self.unsent = Some(unsent);
                    return if self.closing.is_some() { NextAction::Linger } else { NextAction::Wait };
                }
                Sent::Failed => return NextAction::Close(self.closing.unwrap_or(CloseReason::Error)),
            }
        }
        if let Some(reason) = self.closing {
            return self.finish(scratch, reason);
        }
        if self.sleeping {
            return NextAction::Wait;
        }
        let after = if self.watcher.is_some() {
            self.pass_events(place, scratch)
        } else if self.readable && self.stream.is_handshaking() {
            // An event that comes while the stream is away may be of input that comes after
            // the thread's last read.
            if !self.stream.is_away() {
                self.readable = self.hangup;
            }
            return NextAction::Handshake;
        } else if self.rerun || self.readable {
            scratch.input.load(&mut self.leftover);
            self.converse(place, scratch, &mut env)
        } else {
            return NextAction::Wait;
        };
        let after = self.answer(scratch, after, &mut env);
        self.was_long = env.turn.was_long();
        // While memory is short nothing but the input itself is kept.
        if !scratch.input.save(&mut self.leftover, after == NextAction::Again && !env.is_tight) {
            scratch.input.clear();
            return NextAction::Close(CloseReason::Error);
        }
        after
    }

    /// Sends the replies of this visit and decides how it goes on.
    fn answer(&mut self, scratch: &mut Scratch, after: NextAction, env: &mut Env<'_>) -> NextAction {
        let sent = self.send(&mut scratch.output, env.stats, &mut env.turn);
        match sent {
            Sent::All => {
                scratch.trim();
                match after {
                    NextAction::Close(reason) => self.finish(scratch, reason),
                    other => other,
                }
            }
            Sent::Part | Sent::Cut => {
                self.unsent = Some(Box::new(scratch.output.take()));
                let waits = matches!(sent, Sent::Part);
                match after {
                    // An injected fault. What is cut off goes out when it ends.
                    NextAction::Sleep(_) => return after,
                    NextAction::Close(reason) => self.closing = Some(reason),
                    _ => {}
                }
                match self.closing {
                    _ if !waits => {
                        env.stats.conn_yields.add(1);
                        NextAction::Again
                    }
                    Some(_) => NextAction::Linger,
                    None => NextAction::Wait,
                }
            }
            Sent::Failed => {
                scratch.output.clear(scratch.keep);
                scratch.input.clear();
                match after {
                    NextAction::Close(_) => after,
                    _ => NextAction::Close(CloseReason::Error),
                }
            }
        }
    }

    /// Reads and runs commands until there is nothing to do or it is the
    /// others' turn; replies gather in the scratch's output. [`NextAction::Close`]
    /// here means: send those replies first.
    #[inline]
    fn converse(&mut self, place: Place<'_>, scratch: &mut Scratch, env: &mut Env<'_>) -> NextAction {
        let Place { context, stats, token, .. } = place;
        let Scratch { input, output, mailbox, .. } = scratch;
        context.connections.set(env.fd, ConnState::ParseCmd, self.last_command);
        let most = if env.is_tight { TIGHT } else { usize::MAX };
        let mut taken = 0;
        let after = loop {
            if !self.rerun {
                if !self.readable {
                    break NextAction::Wait;
                }
                if taken >= SCRATCH.min(most) {
                    stats.conn_yields.add(1);
                    break NextAction::Again;
                }
                // No session waits for so long a command.
                if input.is_full() {
                    break NextAction::Close(CloseReason::Error);
                }
                match self.receive(input, most) {
                    Ok(0) => break NextAction::Close(CloseReason::Normal),
                    Ok(n) => {
                        taken += n;
                        env.turn.spend(n);
                        stats.bytes_read.add(n as u64);
                    }
                    Err(e) if would_block(&e) => {
                        self.readable = false;
                        break NextAction::Wait;
                    }
                    Err(e) => {
                        self.read_failed(context, &e);
                        break NextAction::Close(CloseReason::Error);
                    }
                }
            }
            let step = self.session.advance(env, input.unused(), output);
            input.consume(step.consumed);
            self.rerun = false;
            match step.next {
                Next::Input => {}
                Next::Yield => {
                    self.rerun = true;
                    if env.turn.is_over() {
                        stats.conn_yields.add(1);
                    }
                    break NextAction::Again;
                }
                Next::Close(reason) => {
                    input.clear();
                    break NextAction::Close(reason);
                }
                Next::Abort(reason) => {
                    input.clear();
                    output.clear(usize::MAX);
                    break NextAction::Close(reason);
                }
                Next::Watch(kinds) => {
                    let mailbox = Arc::clone(mailbox);
                    let wake = move || mailbox.watcher_has_lines(token);
                    let limit = context.config.watcher_buffer;
                    self.watcher = context.cache.watch_hub().add(kinds, limit, wake);
                    if self.watcher.is_some() {
                        input.clear();
                        output.push(b"OK\r\n");
                        break NextAction::Again;
                    }
                    output.push(b"WATCHER_TOO_MANY log watcher limit reached\r\n");
                    self.session.watch_refused();
                    self.rerun = !input.is_empty();
                }
                Next::Sleep(time) => {
                    self.rerun = true;
                    self.sleeping = true;
                    break NextAction::Sleep(time);
                }
            }
        };
        if env.turn.has_served() {
            self.last_command = context.cache.clock().now();
        }
        after
    }

    /// One read: into the value in flight if there is one, else at most `most`
    /// bytes to the scratch.
    /// Clears `readable` if the socket is drained.
    fn receive(&mut self, input: &mut Input, most: usize) -> io::Result<usize> {
        let mut asked = 0;
        let mut direct = None;
        if input.is_empty()
            && let Some(target) = self.session.value_target()
        {
            let most = target.len().min(DIRECT_READ);
            if let Some(target) = target.get_mut(..most) {
                self.large = most >= LARGE_VALUE;
                let space = first(input.space(), if self.large { LINE_READ } else { usize::MAX });
                asked = most + space.len();
                let n = self.stream.read_two(target, space)?;
                direct = Some((n, n.min(most)));
            }
        }
        let n = if let Some((n, into_value)) = direct {
            self.session.value_filled(into_value);
            input.filled(n - into_value);
            n
        } else {
            // What comes after one large value may be another: little more than
            // its line is read here, so that little of it has to be copied.
            let most = if std::mem::take(&mut self.large) { LINE_READ } else { most };
            let space = first(input.space(), most);
            asked = space.len();
            let n = self.stream.read(space)?;
            input.filled(n);
            n
        };
        self.readable = self.stream.may_hold_more(asked, n) || self.hangup;
        self.unacknowledged = true;
        Ok(n)
    }

    /// A watcher: input is thrown away, buffered lines go out. Called only
    /// when everything before is sent, so a client that does not read leaves
    /// its lines in the watcher's buffer, which is bounded and counts losses.
    fn pass_events(&mut self, place: Place<'_>, scratch: &mut Scratch) -> NextAction {
        if let Some(reason) = self.discard(&mut scratch.input, place) {
            return NextAction::Close(reason);
        }
        if let Some(watcher) = &self.watcher {
            watcher.drain(scratch.output.bytes());
        }
        if self.readable { NextAction::Again } else { NextAction::Wait }
    }

    /// Throws input away; the reason to close if it has ended.
    fn discard(&mut self, input: &mut Input, place: Place<'_>) -> Option<CloseReason> {
        let Place { context, stats, .. } = place;
        for _ in 0..DISCARDS {
            if !self.readable {
                break;
            }
            let space = input.space();
            let asked = space.len();
            match self.stream.read(space) {
                Ok(0) => return Some(CloseReason::Normal),
                Ok(n) => {
                    stats.bytes_read.add(n as u64);
                    self.readable = self.stream.may_hold_more(asked, n) || self.hangup;
                }
                Err(e) if would_block(&e) => self.readable = false,
                Err(e) => {
                    self.read_failed(context, &e);
                    return Some(CloseReason::Error);
                }
            }
        }
        None
    }

    /// Everything is sent. Closing a socket that holds unread input resets the
    /// connection, and the reset overtakes the reply that says what was wrong;
    /// so what has come is read first.
    fn finish(&mut self, scratch: &mut Scratch, reason: CloseReason) -> NextAction {
        scratch.input.clear();
        if reason == CloseReason::Error && self.readable {
            for _ in 0..DISCARDS {
                let space = scratch.input.space();
                let asked = space.len();
                if !self.stream.discard(space).is_ok_and(|n| n == asked) {
                    break;
                }
            }
        }
        NextAction::Close(reason)
    }

    /// Writes until everything is sent, the socket is full or the turn is over;
    /// at least once. A write may also fall short because it takes a limited
    /// number of slices, so only the socket's own word counts.
    fn send(&mut self, output: &mut Output, stats: &WorkerStats, turn: &mut Turn) -> Sent {
        let mut sink = self.stream.sink();
        let mut cut = false;
        while !output.is_empty() {
            if cut {
                return Sent::Cut;
            }
            match output.write_some(&mut sink, turn.write_share()) {
                Ok(0) => return Sent::Failed,
                Ok(n) => {
                    stats.bytes_written.add(n as u64);
                    turn.spend(n);
                    cut = turn.is_over();
                }
                Err(e) if would_block(&e) => return Sent::Part,
                Err(_) => return Sent::Failed,
            }
        }
        match sink.flush() {
            Ok(()) => Sent::All,
            Err(e) if would_block(&e) => Sent::Part,
            Err(_) => Sent::Failed,
        }
    }
}

/// The first `most` bytes of `space`.
fn first(space: &mut [u8], most: usize) -> &mut [u8] {
    let length = space.len().min(most);
    &mut space[..length]
}

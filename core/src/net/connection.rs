//! One client: a socket, a session, and the partial input and output between them.
//!
//! A worker calls [`Connection::visit`] when the socket may have input or room for output, or when
//! it is the connection's turn. One visit reads at most 64 KiB, and large values straight into
//! their item. It carries out at most `requests_per_event` of the received commands and writes
//! their replies at once. Its [`Turn`] limits all of this.
//!
//! While a reply is not fully written, or is still to come, the socket is not read. So the unread
//! output of a client is at most the output of one visit, as in memcached.
//!
//! While reply slots are open, the connection carries out the commands that it has read, and sends
//! the replies before the first open slot. It ends only when all slots are filled, unless the
//! server stops or the memory for buffers is short.
//!
//! The socket is registered edge-triggered, so `readable` records that it may still hold input. A
//! read that returns fewer bytes than it asked for clears `readable`, unless the peer has closed
//! its half. That edge is not repeated, so reading goes on until the end of the stream.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::sync::Arc;

use super::buffers::{Input, Leftover, SCRATCH};
use super::mailbox::Mailbox;
use super::per_address::Counted;
use super::socket::would_block;
use super::stream::{Peer, Stream};
use super::timers::TimerId;
use super::tls::TlsStream;
use super::visit::{NextAction, Place, Scratch};
use crate::base::turn::Turn;
use crate::base::watch::{Watcher, kind};
use crate::config::{Protocol, Tag};
use crate::protocol::output::Output;
use crate::session::slots::{Deferred, Routing};
use crate::session::{Env, Next, Session, TIGHT};
use crate::state::CloseReason;
use crate::state::{ConnState, ServerState, WorkerStats};

/// Most bytes that one read takes straight into a value.
const DIRECT_READ: usize = 256 * 1024;

/// Number of missing bytes from which a value is large.
const LARGE_VALUE: usize = 16 * 1024;

/// Bytes read behind a large value: the next command's line without its value.
const LINE_READ: usize = 2 * 1024;

/// Discarding reads in one turn.
const DISCARDS: usize = 16;

/// How often a connection must be found without input before it is settled.
///
/// The second time is after its input was acknowledged. A client's system holds back a small
/// segment while an earlier one is not acknowledged (Nagle's algorithm). That takes up to 40
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// The connection is settled.
    No,
    /// Its input was acknowledged.
    Once,
    /// Its worker was asked to settle, and has not visited it yet.
    Twice,
}

/// An open connection. An idle connection costs this structure and two words in the worker.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    routing: Routing,
    /// Unused input.
    leftover: Leftover,
    /// Replies that the client has not read yet, or that are still to come.
    unsent: Option<Box<Output>>,
    /// Set if the connection streams events and reads no commands.
    watcher: Option<Arc<Watcher>>,
    peer: Peer,
    /// Ends with the connection.
    _counted: Option<Box<Counted>>,
    /// Second of the last command.
    last_command: u32,
    /// Set if the connection closes after its output is sent.
    closing: Option<CloseReason>,
    /// Whether the socket may hold input.
    readable: bool,
    /// Whether the peer sends no more. `readable` then stays set until the end is read.
    hangup: bool,
    /// Whether the session can go on without further input.
    rerun: bool,
    /// Whether an injected delay is under way.
    sleeping: bool,
    /// Whether the last read was of a large value.
    large: bool,
    /// Whether the last visit took long (see [`Turn::was_long`]).
    was_long: bool,
    /// Whether the client has replies to read, so that the socket reports when it takes more.
    blocked: bool,
    /// Whether input was read since the last [`Connection::acknowledge`].
    unacknowledged: bool,
    /// The timers of the connection. Most have none.
    pub(crate) timers: Option<Box<OwnTimers>>,
    /// Whether the connection is in the worker's ready list.
    pub(crate) queued: bool,
    /// How often the connection must be found without input before it is settled.
    pub(crate) unsettled: Unsettled,
}

/// The timers that a worker has set for a connection, which cancels them when it closes.
#[derive(Default)]
pub(crate) struct OwnTimers {
    /// In the order in which they were set.
    pub(crate) ids: Vec<TimerId>,
    /// Whether one of them checks that the client reads its last replies.
    pub(crate) lingers: bool,
}

enum Sent {
    All,
    /// The socket is full.
    Part,
    /// The next reply is still to come.
    Waiting,
    /// The turn is over.
    Cut,
    Failed,
}

impl Connection {
    /// Returns the connection of an accepted socket.
    pub(crate) fn new(
        stream: Stream,
        peer: Peer,
        counted: Option<Box<Counted>>,
        (protocol, tag): (Protocol, Option<Tag>),
        now: u32,
    ) -> Self {
        Self {
            stream,
            session: Session::new(protocol),
            routing: if protocol == Protocol::Negotiating { Routing::Of(tag) } else { Routing::Off },
            leftover: Leftover::default(),
            unsent: None,
            watcher: None,
            peer,
            _counted: counted,
            last_command: now,
            closing: None,
            readable: false,
            hangup: false,
            rerun: false,
            sleeping: false,
            large: false,
            was_long: false,
            blocked: false,
            unacknowledged: false,
            timers: None,
            queued: false,
            unsettled: Unsettled::No,
        }
    }

    /// Returns whether a proxy routes its commands.
    pub(crate) fn routing(&self) -> Routing {
        self.routing
    }

    /// Returns the first common name in the certificate of its client.
    pub(crate) fn common_name(&self) -> Option<Arc<[u8]>> {
        self.stream.common_name()
    }

    /// Reports the new connection to the table, the log and watchers.
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

    /// Reports the end of the connection to the table, the log and watchers. Call before dropping
    /// the connection.
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

    /// Reports an error of TLS to watchers, as memcached does.
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

    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.stream.fd()
    }

    /// Returns the socket, to register it.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Records that input may have come. Returns whether that calls for a visit.
    pub(crate) fn input_came(&mut self, hangup: bool) -> bool {
        self.readable = true;
        self.hangup |= hangup;
        self.unsent.is_none() && !self.sleeping
    }

    /// Returns whether the next visit is likely to be expensive.
    pub(crate) fn is_dear(&self) -> bool {
        self.unsent.is_some() || self.was_long
    }

    /// Takes the stream back from the handshake thread. Returns `false` if it is not
    /// the stream of this connection.
    pub(crate) fn put_back(&mut self, context: &ServerState, stream: Box<TlsStream>) -> bool {
        if !self.stream.put_back(stream) {
            return false;
        }
        if let Some(users) = context.users.as_ref().filter(|_| !self.stream.is_handshaking()) {
            let names = self.stream.names();
            match users.identify(&names) {
                Some(access) => self.session.identify(access),
                None if names.is_empty() => {}
                None => context.log(1, || format!("<{} certificate of no user: {names:?}", self.fd())),
            }
        }
        // During a handshake, its thread meets the end of the input itself.
        self.readable |= self.stream.may_hold_more(0, 0) || (self.hangup && !self.stream.is_handshaking());
        self.unacknowledged = true;
        // Without a visit that reads, these bytes would not be sent.
        if !self.readable && self.stream.unsent() > 0 && self.unsent.is_none() {
            self.unsent = Some(Box::new(Output::new()));
        }
        true
    }

    /// Acknowledges the bytes that were read. The client may send more because of that.
    pub(crate) fn acknowledge(&mut self) {
        self.stream.acknowledge();
        self.unacknowledged = false;
        self.readable = true;
    }

    /// Sets how often the connection must be found without input before it is settled.
    ///
    /// With `polled`, the worker has taken all events of the connection. A drained socket is then
    /// not read again.
    pub(crate) fn begin_settling(&mut self, polled: bool) {
        let drained = polled && !self.readable && !self.queued && !self.rerun && !self.stream.is_away();
        if !drained || self.unsettled != Unsettled::No {
            self.readable = true;
            self.unsettled = Unsettled::Twice;
        } else if self.unacknowledged {
            self.acknowledge();
            self.unsettled = Unsettled::Once;
        }
    }

    /// Returns whether the client has replies to read.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Returns whether replies are still to come.
    pub(crate) fn awaits_replies(&self) -> bool {
        self.unsent.as_ref().is_some_and(|output| output.open_slots() > 0)
    }

    /// Fills a reply slot in second `now`. `fill` returns `false` if it is not open in the output.
    /// Returns whether that calls for a visit: if it was the last open slot or, with `eager`, if it
    /// was the first.
    pub(crate) fn fill(&mut self, now: u32, eager: bool, fill: impl FnOnce(&mut Output) -> bool) -> bool {
        let Some(output) = &mut self.unsent else { return false };
        let was_waiting = output.is_waiting();
        if !fill(output) {
            return false;
        }
        if output.open_slots() > 0 {
            return eager && was_waiting && !output.is_waiting();
        }
        // The client waited for the server until now.
        self.last_command = now;
        self.rerun = self.watcher.is_none();
        true
    }

    /// Returns the bytes that wait for the client to read them.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, |o| o.len()) + self.stream.unsent()
    }

    /// Ends an injected delay.
    pub(crate) fn awake(&mut self) {
        self.sleeping = false;
    }

    /// Returns the bytes of buffers held.
    pub(crate) fn held(&self) -> usize {
        self.session.held()
            + self.leftover.held()
            + self.unsent.as_ref().map_or(0, |o| o.held())
            + self.stream.held()
    }

    /// Returns whether no command and no reply is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.watcher.is_some() && self.unsent.is_none()
            || self.leftover.is_empty() && self.waits_for_command()
    }

    /// Returns whether `idle_timeout` closes the connection. As in memcached, an incomplete value
    /// keeps a connection alive, but an incomplete line does not.
    /// While the handshake thread has the stream, the client is not the one that waits.
    pub(crate) fn is_idle_since(&self, second: u32) -> bool {
        self.stream.is_tcp()
            && !self.stream.is_away()
            && self.last_command < second
            && self.watcher.is_none()
            && self.waits_for_command()
            && self.session.state() == ConnState::Read
    }

    fn waits_for_command(&self) -> bool {
        self.unsent.is_none() && !self.rerun && !self.sleeping && self.session.is_idle()
    }

    /// Serves the client as far as possible without waiting.
    pub(crate) fn visit(
        &mut self,
        place: Place<'_>,
        scratch: &mut Scratch,
        deferred: &mut Deferred,
    ) -> NextAction {
        let after = self.serve(place, scratch, deferred);
        if let NextAction::Close(_) = after {
            return after;
        }
        let unsent = self.unsent.as_ref();
        let is_blocked = unsent.is_some_and(|output| !output.is_waiting() || self.stream.unsent() > 0);
        if is_blocked != std::mem::replace(&mut self.blocked, is_blocked) {
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
        } else if self.awaits_replies() {
            ConnState::IoPending
        } else if self.watcher.is_some() {
            ConnState::Watch
        } else {
            self.session.state()
        };
        place.context.connections.set(self.fd(), state, self.last_command);
        after
    }

    fn serve(&mut self, place: Place<'_>, scratch: &mut Scratch, deferred: &mut Deferred) -> NextAction {
        let Place { context, stats, .. } = place;
        let mut env = Env::new(context, stats, self.fd(), context.config.requests_per_event);
        env.deferred = Some(deferred);
        if let Some(mut unsent) = self.unsent.take() {
            match self.send(&mut unsent, stats, &mut env.turn) {
                Sent::All => scratch.give_back(unsent),
                Sent::Cut => {
                    stats.conn_yields.add(1);
                    self.unsent = Some(unsent);
                    return NextAction::Again;
                }
                Sent::Part => {
                    self.unsent = Some(unsent);
                    return if self.closing.is_some() { NextAction::Linger } else { NextAction::Wait };
                }
                // The session goes on with input that it has.
                Sent::Waiting if self.rerun && !self.sleeping => scratch.output = *unsent,
                Sent::Waiting => {
                    self.unsent = Some(unsent);
                    return NextAction::Wait;
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
            // An event that comes now may report input that arrived after the handshake thread's
            // last read.
            if !self.stream.is_away() {
                self.readable = false;
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
        // While memory is short, only the input itself is kept.
        if !scratch.input.save(&mut self.leftover, after == NextAction::Again && !env.is_tight) {
            scratch.input.clear();
            return NextAction::Close(CloseReason::Error);
        }
        after
    }

    /// Sends the replies of this visit and decides about the next action.
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
            Sent::Part | Sent::Cut | Sent::Waiting => {
                self.unsent = Some(scratch.hand_over());
                match after {
                    // An injected fault. Replies that it truncates go out when it ends.
                    NextAction::Sleep(_) => return after,
                    NextAction::Close(reason) => self.closing = Some(reason),
                    _ => {}
                }
                match (sent, self.closing) {
                    (Sent::Cut, _) => {
                        env.stats.conn_yields.add(1);
                        NextAction::Again
                    }
                    (Sent::Waiting, None) => after,
                    (Sent::Part, Some(_)) => NextAction::Linger,
                    _ => NextAction::Wait,
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

    /// Reads and carries out commands until there are none or the turn is over. Appends replies to
    /// the scratch output.
    ///
    /// [`NextAction::Close`] here means to close after those replies are sent.
    #[inline]
    fn converse(&mut self, place: Place<'_>, scratch: &mut Scratch, env: &mut Env<'_>) -> NextAction {
        let Place { context, stats, .. } = place;
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
                // A session never waits for such a long command.
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
                    if self.watch(kinds, place, mailbox) {
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
                // The last slot that is filled causes the next visit.
                Next::Pending => break NextAction::Wait,
            }
        };
        if env.turn.has_served() {
            self.last_command = context.cache.clock().now();
        }
        after
    }

    /// Makes the connection a watcher of these kinds of events. Returns whether there was room for
    /// another one.
    fn watch(&mut self, kinds: u32, place: Place<'_>, mailbox: &Arc<Mailbox>) -> bool {
        let (mailbox, token) = (Arc::clone(mailbox), place.token);
        let wake = move || mailbox.watcher_has_lines(token);
        let limit = place.context.config.watcher_buffer;
        self.watcher = place.context.cache.watch_hub().add(kinds, limit, wake);
        self.watcher.is_some()
    }

    /// Reads once: into the value in flight if there is one, else at most `most` bytes into the
    /// scratch buffer. Clears `readable` if the socket is drained.
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
            // After a large value, the next one may be large, too. Reading little more than its
            // line leaves little of it to copy.
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

    /// Serves a watcher: discards input and sends buffered lines.
    ///
    /// Call only when all earlier output is sent. So a client that does not read leaves its lines
    /// in the watcher's buffer, which is bounded and counts losses.
    fn pass_events(&mut self, place: Place<'_>, scratch: &mut Scratch) -> NextAction {
        if let Some(reason) = self.discard(&mut scratch.input, place) {
            return NextAction::Close(reason);
        }
        if let Some(watcher) = &self.watcher {
            watcher.drain(scratch.output.bytes());
        }
        if self.readable { NextAction::Again } else { NextAction::Wait }
    }

    /// Discards input. Returns the reason to close if the input has ended.
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

    /// Closes the connection after all output is sent.
    ///
    /// Closing a socket with unread input resets the connection, and the reset overtakes the reply
    /// that names the error. So the input is read first.
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

    /// Writes until everything is sent, the socket is full or the turn is over, but at least once.
    ///
    /// A write may also fall short because it takes a limited number of slices. So only
    /// `WouldBlock` means that the socket is full.
    fn send(&mut self, output: &mut Output, stats: &WorkerStats, turn: &mut Turn) -> Sent {
        let mut sink = self.stream.sink();
        let (mut cut, mut sent) = (false, Sent::All);
        while !output.is_empty() {
            if output.is_waiting() {
                sent = Sent::Waiting;
                break;
            }
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
            Ok(()) => sent,
            Err(e) if would_block(&e) => Sent::Part,
            Err(_) => Sent::Failed,
        }
    }
}

/// Returns the first `most` bytes of `space`.
fn first(space: &mut [u8], most: usize) -> &mut [u8] {
    let length = space.len().min(most);
    &mut space[..length]
}

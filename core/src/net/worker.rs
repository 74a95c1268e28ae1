//! The event loop: one thread, one event queue, and the connections that the listener gave it.
//!
//! A round has four steps: wait for events and visit their connections, empty the mailbox, handle
//! timers, and carry out turns. The mailbox holds new connections, watchers with lines, streams
//! after their handshake, and requests to stop. While a connection waits for a turn, the queue is
//! polled without waiting. A panic in a visit costs that connection only.
//!
//! Some events do not lead to a visit at once. A connection waits for a turn if its last visit was
//! cut off or took long, or if its client reads slowly. All turns of a round together take as long
//! as the other visits of it did, or [`TURNS`] if that is longer. Connections that got no turn in
//! this round are the first of the next.
//!
//! A filled reply slot also leads to a turn, so the slots that a round fills cost one visit.
//!
//! So a client with small requests waits for a part of the large ones only, and clients with large
//! requests share the rest.
//!
//! The worker does not carry out TLS handshakes. [`super::handshake`] has the stream until the
//! handshake is done.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

use super::backends::{Around, Backends};
use super::buffers::Input;
use super::clients::{Clients, SPARED, held_changes};
use super::connection::{Connection, OwnTimers, Unsettled};
use super::connection_limit::ConnectionLimit;
use super::deadline::Deadline;
use super::handshake::{Job, Jobs};
use super::mailbox::Accepted;
use super::ticket::Ticket;
use super::timers::Timers;
use super::tls::TlsStream;
use super::tokens::{WAKE, udp_index, udp_token};
use super::udp::Udp;
use super::unstarted::Unstarted;
use super::visit::{NextAction, Place, Scratch};
use crate::config::TlsMode;
use crate::protocol::output::{Output, SlotId};
use crate::session::slots::{Deferred, Work};
use crate::state::CloseReason;
use crate::state::{ServerState, Stop, WorkerStats};

/// Events taken from the queue in one call.
const EVENTS: usize = 1024;

/// Time in which a client must read something of its last replies.
const LINGER: Duration = Duration::from_secs(30);

/// Output memory that a worker keeps beyond `output_limit`.
const OUTPUT_SLACK: usize = 64 * 1024;

/// Least time for all turns of a round. One turn is always taken. A client with a small request
/// waits about as long.
const TURNS: Duration = Duration::from_micros(50);

/// Interval between checks for idle connections.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// Receives the error of a worker that cannot start, or the number of its connections to backends.
pub(crate) type Started = mpsc::Sender<Result<usize, String>>;

enum Timer {
    /// An injected delay of a connection or socket ends.
    Awake,
    /// A closing connection had this many bytes to send at the last check.
    Linger(usize),
    /// A delayed reply is due.
    Reply(SlotId, Output),
}

/// A worker on its thread.
pub(crate) struct Worker {
    poll: Poll,
    context: Arc<ServerState>,
    stats: Arc<WorkerStats>,
    scratch: Scratch,
    limit: Arc<ConnectionLimit>,
    deadline: Arc<Deadline>,
    /// The queue for handshakes, if the server uses TLS.
    handshakes: Option<Jobs>,
    /// Connections by token. They are boxed, so a connection's memory is freed when it closes, and
    /// growing the table moves pointers only.
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    live: usize,
    udp: Vec<Udp>,
    ready: VecDeque<Token>,
    /// A time before the last poll. It is taken if there are turns or deadlines.
    polled: Instant,
    /// Work that the sessions ask for. Empty between visits.
    deferred: Deferred,
    /// The backends, if the server is a proxy.
    backends: Option<Box<Backends>>,
    /// The timers of connections and UDP sockets. A connection that closes cancels its own.
    timers: Timers<(Token, Timer)>,
    /// Second of the last check for idle connections.
    idle_looked: u32,
    /// Set during a graceful stop: its deadline.
    draining: Option<Instant>,
    woken: Vec<Token>,
    arrived: Vec<Accepted>,
    handshaken: Vec<(Token, Box<TlsStream>)>,
    /// Callers that asked since the queue was polled. It may hold events for input that came
    /// before.
    asked: Vec<Ticket>,
    /// Callers that wait until `unsettled` is 0.
    settling: Vec<Ticket>,
    /// Connections and sockets that were not found without input since the last caller asked.
    unsettled: usize,
}

impl Worker {
    /// Takes a worker over to its thread.
    fn new(unstarted: Unstarted) -> Self {
        let Unstarted { poll, context, stats, mailbox, limit, deadline, handshakes, udp, .. } = unstarted;
        Self {
            poll,
            scratch: Scratch {
                input: Input::new(),
                output: Output::new(),
                spares: Vec::new(),
                mailbox,
                keep: context.config.output_limit.saturating_add(OUTPUT_SLACK),
            },
            context,
            stats,
            limit,
            deadline,
            handshakes,
            slots: Vec::new(),
            free: Vec::new(),
            live: 0,
            udp,
            ready: VecDeque::new(),
            polled: Instant::now(),
            deferred: Deferred::default(),
            backends: None,
            timers: Timers::new(),
            idle_looked: 0,
            draining: None,
            woken: Vec::new(),
            arrived: Vec::new(),
            handshaken: Vec::new(),
            asked: Vec::new(),
            settling: Vec::new(),
            unsettled: 0,
        }
    }

    /// Serves until the server stops. Reports to `started` when the proxy is ready, or why it
    /// cannot be.
    pub(crate) fn run(mut unstarted: Unstarted, started: Started) {
        // A caller that has given up does not wait for the report.
        match unstarted.backends() {
            Ok(backends) => {
                let mut worker = Self::new(unstarted);
                worker.backends = backends;
                worker.read_hooks();
                let sockets = worker.backends.as_ref().map_or(0, |backends| backends.counted());
                let _ = started.send(Ok(sockets));
                // The caller waits until all workers have dropped it.
                drop(started);
                worker.serve();
            }
            Err(line) => {
                let _ = started.send(Err(line));
            }
        }
    }

    fn serve(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while self.goes_on() {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.context.fail(format!("worker: event queue failed: {e}"));
                    break;
                }
            }
            // Without turns, nothing has to be timed.
            let began = (!self.ready.is_empty()).then_some(self.polled);
            let mut rung = false;
            for event in &events {
                if event.token() == WAKE {
                    rung = true;
                } else if !self.backends.as_mut().is_some_and(|backends| backends.on_event(event)) {
                    self.on_event(event);
                }
            }
            if !self.asked.is_empty() {
                self.settle(events.iter().count() < EVENTS);
            }
            if rung {
                self.read_mail();
                self.wake_backends();
            }
            if self.timers.len() > 0 {
                self.run_timers();
            }
            self.serve_backends();
            if !self.ready.is_empty() {
                self.take_turns(began);
                self.serve_backends();
            }
            if self.context.config.idle_timeout > 0 {
                self.close_idle();
            }
            if self.unsettled == 0 {
                self.settling.clear();
            }
        }
    }

    /// Moves bytes to and from backends, and fills the slots that they answer.
    fn serve_backends(&mut self) {
        let polled = self.polled;
        if let (Some(backends), mut clients) = self.backends_and_clients() {
            backends.serve(polled, clients.around, &mut clients);
        }
    }

    /// Tells the proxy of a wake-up, which may change what it routes.
    fn wake_backends(&mut self) {
        if let (Some(backends), mut clients) = self.backends_and_clients() {
            backends.woken(clients.around, &mut clients);
            self.read_hooks();
        }
    }

    /// Returns the backends, if the server is a proxy, apart from the clients that they answer.
    fn backends_and_clients(&mut self) -> (Option<&mut Backends>, Clients<'_>) {
        let Self { backends, context, stats, poll, slots, ready, .. } = self;
        let around = Around { context, stats, registry: poll.registry() };
        (backends.as_deref_mut(), Clients { around, slots, ready })
    }

    fn read_hooks(&mut self) {
        self.deferred.hooks = self.backends.as_ref().map(|backends| backends.hooks()).unwrap_or_default();
    }

    /// Visits connections that wait for a turn, while there is time. `began` is the start of this
    /// round's other visits.
    fn take_turns(&mut self, began: Option<Instant>) {
        let now = Instant::now();
        let time = began.map_or(TURNS, |began| now.duration_since(began).max(TURNS));
        // Connections that join the list now have their turn in the next round.
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { break };
            if let Some(connection) = self.connection(token) {
                connection.queued = false;
            } else if let Some(socket) = self.udp(token) {
                socket.queued = false;
            }
            self.visit(token);
            if now.elapsed() >= time {
                break;
            }
        }
    }

    /// Handles a request to stop, if there is one. Returns whether the worker goes on.
    fn goes_on(&mut self) -> bool {
        match self.context.control.stopping() {
            None => true,
            Some(Stop::Now) => false,
            Some(Stop::Graceful) => {
                if self.draining.is_none() {
                    self.draining = Some(self.deadline.get());
                    self.read_mail();
                    self.close_udp();
                    // Input that came before the stop is carried out. Quiet connections are closed.
                    for token in (0..self.slots.len()).map(Token) {
                        let Some(connection) = self.connection(token) else { continue };
                        if connection.input_came(false) && !connection.queued {
                            self.visit(token);
                        }
                    }
                    self.serve_backends();
                }
                self.live > 0 && self.draining.is_some_and(|at| Instant::now() < at)
            }
        }
    }

    fn timeout(&mut self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.asked.is_empty() {
            self.polled = Instant::now();
            return Some(Duration::ZERO);
        }
        let backends = self.backends.as_mut().and_then(|backends| backends.deadline());
        let nearest = self.timers.next().into_iter().chain(self.draining).chain(backends).min();
        let nearest = nearest.map(|at| {
            self.polled = Instant::now();
            at.saturating_duration_since(self.polled)
        });
        if self.context.config.idle_timeout > 0 && self.live > 0 {
            return Some(nearest.map_or(IDLE_CHECK, |n| n.min(IDLE_CHECK)));
        }
        nearest
    }

    fn connection(&mut self, token: Token) -> Option<&mut Box<Connection>> {
        self.slots.get_mut(token.0)?.as_mut()
    }

    /// An event may concern a connection that has just closed, and reach the next one with its
    /// token. That one finds no input.
    fn on_event(&mut self, event: &Event) {
        let token = event.token();
        let Some(connection) = self.connection(token) else { return self.on_udp_event(event) };
        let failed = event.is_error() || event.is_write_closed();
        let ended = event.is_read_closed() || failed;
        let mut visit = connection.is_blocked() && (event.is_writable() || failed);
        if event.is_readable() || ended {
            visit |= connection.input_came(ended);
        }
        if !visit || connection.queued {
            return;
        }
        if connection.is_dear() {
            connection.queued = true;
            self.ready.push_back(token);
        } else {
            self.visit(token);
        }
    }

    fn visit(&mut self, token: Token) {
        let Some(Some(connection)) = self.slots.get_mut(token.0) else { return self.visit_udp(token) };
        let stats = &*self.stats;
        let place = Place { context: &self.context, stats, registry: self.poll.registry(), token };
        let (scratch, deferred) = (&mut self.scratch, &mut self.deferred);
        deferred.client = token.0;
        deferred.routing = connection.routing();
        deferred.common_name = connection.common_name();
        let before = connection.held();
        let after = catch_unwind(AssertUnwindSafe(|| connection.visit(place, scratch, deferred)));
        let held = connection.held();
        let beside = self.context.cache.store().beside();
        held_changes(stats, beside, before, held);
        let after = after.unwrap_or_else(|_| {
            let fd = connection.fd();
            scratch.reset();
            connection.stream().give_up();
            self.context.log(0, || format!("<{fd} internal error, connection closed"));
            NextAction::Close(CloseReason::Error)
        });
        let after = match after {
            // A connection that waits for a turn gives the buffer back soon, and a part of a line
            // is small.
            NextAction::Wait | NextAction::Linger
                if held.max(connection.unsent()) > SPARED && beside.is_exceeded() =>
            {
                let of = if connection.is_blocked() { &stats.response_obj_oom } else { &stats.read_buf_oom };
                of.add(1);
                NextAction::Close(CloseReason::Error)
            }
            other => other,
        };
        let after = match (after, connection.unsettled) {
            // Its commands are not all carried out.
            (NextAction::Wait, _) if connection.awaits_replies() && !connection.is_blocked() => after,
            (_, Unsettled::No) | (NextAction::Again | NextAction::Handshake, _) => after,
            (NextAction::Wait, Unsettled::Twice) => {
                connection.unsettled = Unsettled::Once;
                connection.acknowledge();
                NextAction::Again
            }
            _ => {
                connection.unsettled = Unsettled::No;
                self.unsettled -= 1;
                after
            }
        };
        match after {
            NextAction::Wait => {
                if self.draining.is_some() && connection.is_quiet() {
                    self.close(token, CloseReason::Shutdown);
                }
            }
            NextAction::Again => {
                connection.queued = true;
                self.ready.push_back(token);
            }
            NextAction::Sleep(time) => self.set_timer(token, time, Timer::Awake),
            NextAction::Handshake => self.shake_hands(token),
            NextAction::Linger => {
                let timers = connection.timers.get_or_insert_default();
                if !std::mem::replace(&mut timers.lingers, true) {
                    let unsent = connection.unsent();
                    self.set_timer(token, LINGER, Timer::Linger(unsent));
                }
            }
            NextAction::Close(reason) => self.close(token, reason),
        }
        if !self.deferred.work.is_empty() {
            self.begin_work();
        }
    }

    /// Begins the work that the last visit asked for.
    fn begin_work(&mut self) {
        let mut work = std::mem::take(&mut self.deferred.work);
        let mut time = None;
        for work in work.drain(..) {
            match work {
                // The visit may have ended with the connection.
                Work::Delay { slot, time, reply } => {
                    if self.connection(Token(slot.client)).is_some() {
                        self.set_timer(Token(slot.client), time, Timer::Reply(slot, reply));
                    }
                }
                Work::Route { client, requests } => {
                    if let (Some(backends), mut clients) = self.backends_and_clients() {
                        // The requests of a visit have one time: a clock costs as much as a hash.
                        let time = *time.get_or_insert_with(|| clients.around.time());
                        backends.begin(client, requests, time, clients.around, &mut clients);
                    }
                }
            }
        }
        self.deferred.work = work;
    }

    fn udp(&mut self, token: Token) -> Option<&mut Udp> {
        self.udp.get_mut(udp_index(token)?)
    }

    fn on_udp_event(&mut self, event: &Event) {
        let token = event.token();
        let Some(socket) = self.udp(token) else { return };
        if socket.is_waiting_for(event.is_readable(), event.is_writable()) && !socket.queued {
            self.visit_udp(token);
        }
    }

    fn visit_udp(&mut self, token: Token) {
        let Some(socket) = udp_index(token).and_then(|index| self.udp.get_mut(index)) else { return };
        let registry = self.poll.registry();
        let place = Place { context: &self.context, stats: &self.stats, registry, token };
        let after = catch_unwind(AssertUnwindSafe(|| socket.visit(place)));
        let after = after.unwrap_or_else(|_| {
            let fd = socket.fd();
            socket.reset();
            self.context.log(0, || format!("<{fd} internal error, datagram dropped"));
            NextAction::Again
        });
        if after != NextAction::Again && std::mem::take(&mut socket.unsettled) {
            self.unsettled -= 1;
        }
        match after {
            NextAction::Wait | NextAction::Handshake | NextAction::Linger | NextAction::Close(_) => {}
            NextAction::Again => {
                if !socket.queued {
                    socket.queued = true;
                    self.ready.push_back(token);
                }
            }
            NextAction::Sleep(time) => self.set_timer(token, time, Timer::Awake),
        }
    }

    fn close_udp(&mut self) {
        for socket in self.udp.drain(..) {
            self.unsettled -= usize::from(socket.unsettled);
            self.context.connections.clear(socket.fd());
            self.stats.connections.sub(1);
        }
    }

    fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(mut connection) = self.slots.get_mut(token.0).and_then(Option::take) else { return };
        self.free.push(token.0);
        self.live -= 1;
        self.unsettled -= usize::from(connection.unsettled != Unsettled::No);
        for timer in connection.timers.take().into_iter().flat_map(|timers| timers.ids) {
            self.timers.cancel(timer);
        }
        if connection.queued {
            self.ready.retain(|t| *t != token);
        }
        held_changes(&self.stats, self.context.cache.store().beside(), connection.held(), 0);
        self.stats.connections.sub(1);
        connection.closed(&self.context, reason);
        drop(connection);
        self.limit.leave();
    }

    fn read_mail(&mut self) {
        let mut mail = self.scratch.mailbox.mail.lock();
        std::mem::swap(&mut self.arrived, &mut mail.accepted);
        std::mem::swap(&mut self.woken, &mut mail.watchers);
        std::mem::swap(&mut self.handshaken, &mut mail.handshaken);
        self.asked.append(&mut mail.settling);
        let retrying = std::mem::take(&mut mail.retrying);
        drop(mail);
        if let (Some(backends), false) = (&mut self.backends, retrying.is_empty()) {
            backends.retry(self.poll.registry());
        }
        drop(retrying);
        let mut arrived = std::mem::take(&mut self.arrived);
        for accepted in arrived.drain(..) {
            self.adopt(accepted);
        }
        self.arrived = arrived;
        let mut handshaken = std::mem::take(&mut self.handshaken);
        for (token, stream) in handshaken.drain(..) {
            self.put_back(token, stream);
        }
        self.handshaken = handshaken;
        let mut woken = std::mem::take(&mut self.woken);
        for token in woken.drain(..) {
            // A client that still has output to read gets the lines later.
            let Some(connection) = self.connection(token) else { continue };
            if !connection.is_blocked() && !connection.queued {
                self.visit(token);
            }
        }
        self.woken = woken;
    }

    /// Gives the stream of a connection to the handshake thread, unless it has it.
    fn shake_hands(&mut self, token: Token) {
        let stream = self.connection(token).and_then(|connection| connection.stream().take_away());
        let Some(stream) = stream else { return };
        let job = Job { stream, token, worker: Arc::clone(&self.scratch.mailbox) };
        // That thread ends after the workers, unless it panicked.
        if self.handshakes.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            self.close(token, CloseReason::Error);
        }
    }

    /// Takes a stream back from the handshake thread. Closes it if its connection is closed.
    fn put_back(&mut self, token: Token, stream: Box<TlsStream>) {
        let Some(Some(connection)) = self.slots.get_mut(token.0) else { return };
        let before = connection.held();
        if !connection.put_back(&self.context, stream) {
            return;
        }
        held_changes(&self.stats, self.context.cache.store().beside(), before, connection.held());
        if !connection.queued {
            self.visit(token);
        }
    }

    /// Visits every connection and socket that may have input. With `polled`, the queue holds no
    /// events for input that came before the callers asked.
    fn settle(&mut self, polled: bool) {
        self.settling.append(&mut self.asked);
        for token in (0..self.slots.len()).map(Token) {
            let Some(connection) = self.connection(token) else { continue };
            let before = connection.unsettled;
            connection.begin_settling(polled);
            if connection.unsettled == Unsettled::No {
                continue;
            }
            let queued = connection.queued;
            self.unsettled += usize::from(before == Unsettled::No);
            if !queued {
                self.visit(token);
            }
        }
        for token in (0..self.udp.len()).map(udp_token) {
            let Some(socket) = self.udp(token) else { continue };
            let queued = socket.queued;
            let before = std::mem::replace(&mut socket.unsettled, true);
            self.unsettled += usize::from(!before);
            if !queued {
                self.visit_udp(token);
            }
        }
    }

    /// Takes a connection and registers it, once for its life.
    fn adopt(&mut self, accepted: Accepted) {
        let Accepted { stream, peer, counted, protocol, tls, tag } = accepted;
        let context = &self.context;
        let stream = match context.tls.as_ref().and_then(|shared| Some((shared.rules(tls)?, shared))) {
            Some((rules, shared)) => stream.over_tls(rules, shared),
            None if tls == TlsMode::Off => Ok(stream),
            None => Err(io::Error::other("there is no certificate")),
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(e) => {
                context.log(1, || format!("failed to begin TLS: {e}"));
                self.limit.leave();
                return;
            }
        };
        if self.slots.try_reserve(1).is_err() || self.free.try_reserve(1).is_err() {
            context.log(1, || "Failed to allocate connection object".to_owned());
            self.limit.leave();
            return;
        }
        let mut connection =
            Connection::new(stream, peer, counted, (protocol, tag), context.cache.clock().now());
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Err(e) = connection.stream().register(self.poll.registry(), Token(index)) {
            context.log(1, || format!("failed to register a connection: {e}"));
            self.free.push(index);
            drop(connection);
            self.limit.leave();
            return;
        }
        connection.opened(context, protocol);
        self.stats.connections.add(1);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Box::new(connection));
            self.live += 1;
        }
    }

    fn set_timer(&mut self, token: Token, after: Duration, timer: Timer) {
        let now = Instant::now();
        // A time beyond the clock's range never comes.
        let at = now.checked_add(after).or_else(|| now.checked_add(Duration::from_secs(100_000)));
        let id = self.timers.add(at.unwrap_or(now), (token, timer));
        if let Some(connection) = self.connection(token) {
            connection.timers.get_or_insert_default().ids.push(id);
        }
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some((id, (token, timer))) = self.timers.expire(now) {
            let Some(connection) = self.connection(token) else {
                if let Some(socket) = self.udp(token) {
                    socket.awake();
                    self.visit_udp(token);
                }
                continue;
            };
            if let Some(OwnTimers { ids, .. }) = connection.timers.as_deref_mut()
                && let Some(index) = ids.iter().position(|own| *own == id)
            {
                ids.remove(index);
            }
            match timer {
                Timer::Awake => {
                    connection.awake();
                    if !connection.queued {
                        self.visit(token);
                    }
                }
                Timer::Linger(before) => {
                    let unsent = connection.unsent();
                    // A client cannot read a reply that is not there yet.
                    if unsent < before || !connection.is_blocked() {
                        self.set_timer(token, LINGER, Timer::Linger(unsent));
                    } else {
                        self.close(token, CloseReason::Error);
                    }
                }
                Timer::Reply(slot, reply) => {
                    self.backends_and_clients().1.fill(slot, true, |output| output.fill(slot, reply));
                }
            }
        }
    }

    /// Closes idle connections by memcached's rule: more than `idle_timeout` seconds since the last
    /// command.
    fn close_idle(&mut self) {
        let context = &self.context;
        let now = context.cache.clock().now();
        if now == self.idle_looked {
            return;
        }
        self.idle_looked = now;
        let Some(since) = now.checked_sub(context.config.idle_timeout) else { return };
        for token in (0..self.slots.len()).map(Token) {
            let Some(connection) = self.connection(token) else { continue };
            if !connection.is_idle_since(since) {
                continue;
            }
            let fd = connection.fd();
            self.context.log(2, || format!("Closing idle fd {fd}"));
            self.stats.idle_kicks.add(1);
            self.close(token, CloseReason::IdleTimeout);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for accepted in self.scratch.mailbox.close().accepted {
            drop(accepted);
            self.limit.leave();
        }
        for token in (0..self.slots.len()).map(Token) {
            self.close(token, CloseReason::Shutdown);
        }
        self.close_udp();
    }
}

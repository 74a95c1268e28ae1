//! The sockets of one worker to the backends of a proxy.
//!
//! An [`Engine`] decides what is sent and answered. This module moves bytes, and reports to the log
//! and to watchers. A round of the worker serves each socket once, however many requests it has: so
//! the requests of a round leave in one write.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;
use mio::event::Event;

use super::limits::OpenFiles;
use super::probes::Probes;
use super::remote::Remote;
use super::tokens::{backend_index, backend_token};
use crate::base::watch::{kind, push_uri_encoded};
use crate::cache::Cache;
use crate::protocol::output::Output;
use crate::proxy::backend::Named;
use crate::proxy::engine::{self, Answers, Client, Engine, Host, Surroundings};
use crate::proxy::exchange::WorkerEnd;
use crate::proxy::failure::Reason;
use crate::proxy::hooks::Hooks;
use crate::proxy::links::{Link, Links};
use crate::proxy::program::{AnyEngine, Program, Seat};
use crate::proxy::request::Requests;
use crate::session::{Env, Next, Session};
use crate::state::{ServerState, WorkerStats};

/// Bytes of one read.
const READ: usize = 64 * 1024;

/// Reads of one socket in a round.
const READS: usize = 16;

/// Bytes of a backend's input that watchers see.
const SHOWN: usize = 100;

/// An engine of the proxy, mostly that of a worker, and the sockets of its backends.
pub(crate) struct Backends<E = AnyEngine> {
    engine: E,
    links: Links,
    /// By the number of the link.
    remotes: Vec<Remote>,
    /// The probes of all workers, which the first one carries out.
    probes: Option<Probes>,
    scratch: Box<[u8]>,
    /// A time before the earliest deadline of a connection.
    wake: Option<Instant>,
    /// Sockets that may have more input.
    more: Vec<usize>,
    /// The version of the names that the sockets follow.
    names: u64,
    files: Arc<OpenFiles>,
    /// The number of sockets that `files` knows of. It does not fall.
    counted: usize,
}

/// The server and the thread around an engine.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) context: &'a ServerState,
    /// The counters of the thread.
    pub(crate) stats: &'a WorkerStats,
    /// The event queue of the thread.
    pub(crate) registry: &'a Registry,
}

impl Surroundings for Around<'_> {
    fn cache(&self) -> &Cache {
        &self.context.cache
    }

    fn carry_out(&self, request: &[u8], fd: i32) -> Vec<u8> {
        let (mut session, mut out, mut reply) = (Session::of_proxy(), Output::new(), Vec::new());
        let mut used = 0;
        loop {
            let mut env = Env::new(self.context, self.stats, fd, usize::MAX);
            env.is_of_proxy = true;
            let step = session.advance(&mut env, request.get(used..).unwrap_or_default(), &mut out);
            used += step.consumed;
            // Writing to memory cannot fail.
            while !out.is_empty() && out.write_to(&mut reply).is_ok() {}
            let ends = matches!(step.next, Next::Close(_) | Next::Abort(_) | Next::Watch(_));
            if ends || used >= request.len() && step.next == Next::Input {
                return reply;
            }
        }
    }

    fn log(&self, level: u8, line: &dyn Fn() -> String) {
        self.context.log(level, line);
    }
}

impl Backends {
    /// Makes the engine of a worker. `end` leads to the shared connections. The caller tells
    /// `files` of [`Self::counted`].
    pub(crate) fn of_worker(
        program: &dyn Program,
        seat: Seat,
        end: Option<WorkerEnd>,
        around: Around<'_>,
        files: Arc<OpenFiles>,
    ) -> Result<Self, String> {
        let mut links = around.links();
        links.share(end);
        let mut no_clients = ();
        let mut host = around.host(&mut links, around.time(), &mut no_clients);
        let probes = (seat.worker == 0).then(|| Probes::new(host.now));
        let engine = program.engine(seat, &mut host)?;
        let routes = probes.as_ref().and(engine.routes());
        let counted = links.sockets() + routes.map_or(0, |routes| routes.probed());
        Ok(Self { probes, counted, ..Self::with(engine, links, around, files) })
    }
}

impl<E: Engine> Backends<E> {
    /// Returns an engine without links.
    pub(crate) fn new(engine: E, around: Around<'_>, files: Arc<OpenFiles>) -> Self {
        Self::with(engine, around.links(), around, files)
    }

    fn with(engine: E, links: Links, around: Around<'_>, files: Arc<OpenFiles>) -> Self {
        Self {
            engine,
            links,
            remotes: Vec::new(),
            probes: None,
            scratch: vec![0; READ].into_boxed_slice(),
            wake: None,
            more: Vec::new(),
            names: around.context.names.version(),
            files,
            counted: 0,
        }
    }

    /// Returns the engine.
    pub(crate) fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Returns the number of sockets that the engine has needed so far.
    pub(crate) fn counted(&self) -> usize {
        self.counted
    }

    /// Returns the commands that are routed.
    pub(crate) fn hooks(&self) -> Hooks {
        self.engine.hooks()
    }

    /// Begins a request of a client.
    pub(crate) fn begin(
        &mut self,
        client: Client,
        requests: Requests,
        time: (Instant, u64),
        around: Around<'_>,
        answers: &mut dyn Answers,
    ) {
        let counters = &around.stats.proxy;
        counters.active.add(1);
        counters.requests.add(requests.len() as u64);
        for request in &requests {
            if let Some(counter) = counters.commands.get(request.routed_as().index()) {
                counter.add(1);
            }
        }
        self.engine.begin(client, requests, &mut around.host(&mut self.links, time, answers));
    }

    /// Handles a wake-up of the worker.
    pub(crate) fn woken(&mut self, around: Around<'_>, answers: &mut dyn Answers) {
        let mut host = around.host(&mut self.links, around.time(), answers);
        self.engine.woken(&mut host);
        engine::receive_shared(&mut self.engine, &mut host);
        let version = around.context.names.version();
        if std::mem::replace(&mut self.names, version) != version {
            self.follow_names();
        }
    }

    /// Goes on where a name was waited for, and leaves addresses that a name has no longer.
    fn follow_names(&mut self) {
        self.probes.iter_mut().for_each(Probes::follow_names);
        for (index, remote) in self.remotes.iter().enumerate() {
            let Some(link) = self.links.get_mut(index).filter(|_| remote.has_name()) else { continue };
            if remote.has_moved() {
                link.connection.leave();
            }
            self.links.touch(index);
        }
    }

    /// Returns the time at which [`Self::serve`] must be called.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        if !self.more.is_empty() {
            return Some(Instant::now());
        }
        let probes = self.probes.as_ref().and_then(Probes::deadline);
        self.wake.into_iter().chain(self.engine.deadline()).chain(probes).min()
    }

    /// Handles an event. Returns `false` if it is not of a backend.
    pub(crate) fn on_event(&mut self, event: &Event) -> bool {
        if self.probes.as_mut().is_some_and(|probes| probes.on_event(event)) {
            return true;
        }
        let Some(index) = backend_index(event.token()) else { return false };
        let Some(remote) = self.remotes.get_mut(index) else { return false };
        remote.on_event(event);
        self.more.push(index);
        true
    }

    /// Forgets the failures of backends, and connects again to those without a connection.
    pub(crate) fn retry(&mut self, registry: &Registry) {
        for index in 0..self.links.end() {
            if !self.links.get_mut(index).is_some_and(Link::retry) {
                continue;
            }
            if let Some(remote) = self.remotes.get_mut(index) {
                remote.close(registry);
            }
            self.more.push(index);
        }
    }

    /// Serves each socket that has something to do. The events of all that came before `polled`
    /// have been handled.
    pub(crate) fn serve(&mut self, polled: Instant, around: Around<'_>, answers: &mut dyn Answers) {
        let mut due = std::mem::take(&mut self.more);
        // The backend that was readable first is served first.
        due.reverse();
        let engine = &mut self.engine;
        let time = around.time();
        let now = time.0;
        if let Some(probes) = &mut self.probes {
            probes.serve(engine.routes(), around.registry, around.context, &mut self.scratch, now);
        }
        let is_due = engine.deadline().is_some_and(|deadline| deadline <= now);
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            due.extend(0..self.links.end());
        }
        for &index in &due {
            if let Some(remote) = self.remotes.get_mut(index) {
                remote.reads = 0;
            }
        }
        let mut round = Round { around, time, answers };
        while let Some((index, reason)) = self.links.take_ending() {
            self.fail(index, reason, &mut round);
        }
        if is_due {
            // A reply that has come counts before the end of the wait for it.
            while let Some(index) = due.pop() {
                self.serve_link(index, &mut round);
            }
            self.engine.expire(polled, &mut round.host(&mut self.links));
        }
        loop {
            while let Some(changed) = self.links.take_changed() {
                due.push(changed);
            }
            let Some(index) = due.pop() else { break };
            self.serve_link(index, &mut round);
        }
        self.links.end_round();
        self.links.counters().held.set(self.engine.held() as u64);
        self.count(around.context);
    }

    /// Tells the limit of open files if there are more sockets than ever, such as after a reload.
    fn count(&mut self, context: &ServerState) {
        let sockets = self.links.sockets() + self.probes.as_ref().map_or(0, Probes::count);
        if let Some(more) = sockets.checked_sub(self.counted).filter(|more| *more > 0) {
            self.counted = sockets;
            if let Err(line) = self.files.add_backends(more) {
                context.log(0, || format!("proxy: {line}"));
            }
        }
    }

    /// Closes the socket of a link that is not used any more.
    fn close(&mut self, index: usize, registry: &Registry) {
        self.links.remove(index);
        if let Some(remote) = self.remotes.get_mut(index) {
            std::mem::take(remote).close(registry);
        }
    }

    fn serve_link(&mut self, index: usize, round: &mut Round<'_>) {
        if self.remotes.len() < self.links.end() {
            self.remotes.resize_with(self.links.end(), Remote::default);
        }
        if self.links.is_unused(index) {
            return self.close(index, round.around.registry);
        }
        if let Err(reason) = self.serve_one(index, round) {
            self.fail(index, reason, round);
        }
        let deadline = self.links.get(index).and_then(|link| link.connection.deadline());
        self.wake = self.wake.into_iter().chain(deadline).min();
    }

    fn serve_one(&mut self, index: usize, round: &mut Round<'_>) -> Result<(), Reason> {
        let (now, Around { context, registry, .. }) = (round.time.0, round.around);
        let Some(remote) = self.remotes.get_mut(index) else { return Ok(()) };
        let Some(link) = self.links.get_mut(index).filter(|link| !link.is_shared()) else { return Ok(()) };
        if link.connection.has_left() {
            link.left();
            remote.close(registry);
        }
        let connection = &mut link.connection;
        // This worker may be late: input that has come counts before the time does.
        if !remote.has_socket()
            && let Some(reason) = connection.expired(now)
        {
            return Err(reason);
        }
        if connection.wants_socket() {
            connection.connecting(now);
        }
        if connection.is_connecting() {
            remote.open(&link.place, &context.names, registry, backend_token(index))?;
        }
        if !remote.is_open(connection, now)? {
            return connection.expired(now).map_or(Ok(()), Err);
        }
        let is_due = connection.deadline().is_some_and(|deadline| deadline <= now);
        remote.try_again(is_due);
        loop {
            // The rest is read in the next round.
            if remote.reads >= READS {
                if remote.readable && !self.more.contains(&index) {
                    self.more.push(index);
                }
                break;
            }
            remote.reads += 1;
            let Some(n) = remote.read(&mut self.scratch)? else { break };
            let Some(link) = self.links.get_mut(index) else { return Ok(()) };
            let mut input = link.connection.take_input();
            input.extend_from_slice(self.scratch.get(..n).unwrap_or_default());
            engine::receive(&mut self.engine, index, input, &mut round.host(&mut self.links))?;
        }
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        // A request that is written now, because this worker was late, has its time before it.
        remote.write(&mut link.connection)?;
        link.connection.expired(now).map_or(Ok(()), Err)
    }

    fn fail(&mut self, index: usize, reason: Reason, round: &mut Round<'_>) {
        let Around { context, registry, .. } = round.around;
        let Some(remote) = self.remotes.get_mut(index) else { return };
        let words = remote.fail(registry);
        remote.hurry(&context.names);
        let Some(link) = self.links.get(index) else { return };
        let (place, was_bad) = (Arc::clone(&link.place), link.connection.is_bad());
        let hub = context.cache.watch_hub();
        let is_watched = !was_bad && hub.wants(kind::PROXYEVENTS);
        let end = is_watched.then(|| describe_end(link, reason));
        let pause = engine::fail(&mut self.engine, index, reason, &mut round.host(&mut self.links));
        if let Some(end) = end {
            hub.event(kind::PROXYEVENTS, |line| line.push_str(&end));
        }
        let Some((pause, flapped)) = pause.filter(|_| !was_bad) else { return };
        context.log(1, || format!("proxy: backend {place} is bad: {}{words}", reason.word()));
        if hub.wants(kind::PROXYEVENTS) {
            let word = if flapped { "markedbadflap" } else { "markedbad" };
            hub.event(kind::PROXYEVENTS, |line| {
                // Writing to a String cannot fail.
                let _ = write!(
                    line,
                    "type=proxy_backend error={word} {} label={place} retry={}",
                    Named(&place.address),
                    pause.as_secs(),
                );
            });
        }
    }
}

/// Returns the line for watchers about the end of a connection, before that.
fn describe_end(link: &Link, reason: Reason) -> String {
    let Link { place, connection, .. } = link;
    let unread = connection.unread();
    let mut shown = String::new();
    push_uri_encoded(&mut shown, unread.get(..SHOWN).unwrap_or(unread));
    let (word, named, depth) = (reason.word(), Named(&place.address), connection.depth());
    format!("type=proxy_backend error={word} {named} label={place} depth={depth} rbuf={shown}")
}

/// The context that all steps of one call share.
struct Round<'a> {
    around: Around<'a>,
    time: (Instant, u64),
    answers: &'a mut dyn Answers,
}

impl Round<'_> {
    fn host<'h>(&'h mut self, links: &'h mut Links) -> Host<'h> {
        self.around.host(links, self.time, self.answers)
    }
}

impl Around<'_> {
    /// Returns the time, and the Unix time in milliseconds.
    pub(crate) fn time(&self) -> (Instant, u64) {
        (Instant::now(), self.context.cache.clock().unix_millis())
    }

    /// Returns no links yet.
    fn links(&self) -> Links {
        Links::new(Arc::clone(&self.stats.proxy), *self.context.cache.sampler())
    }

    /// Returns the worker for one call of an engine.
    fn host<'h>(
        &'h self,
        links: &'h mut Links,
        (now, millis): (Instant, u64),
        answers: &'h mut dyn Answers,
    ) -> Host<'h> {
        Host { links, now, millis, server: self, answers }
    }
}

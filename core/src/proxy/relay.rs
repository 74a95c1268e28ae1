//! The requests of one worker on their way to backends and back. It knows no socket.
//!
//! ```text
//!   client ── begin ──▶ Run ── sends ──▶ Connection ── bytes ──▶ socket
//!      ◀── answers ◀── Run ◀── marks ◀── Connection ◀── bytes ── socket
//! ```
//!
//! The owner moves bytes between connections and their sockets, and takes the answers. `N` names a
//! client's request for it. Each request has exactly one answer, though it may be empty.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::Address;
use super::bucket::Bucket;
use super::connection::{Connection, Failure};
use super::failure::Reason;
use super::item::Item;
use super::pool::Pool;
use super::reply::Meaning;
use super::request::{ClientRequest, Quiet};
use super::route::{Route, Routes};
use super::run::{Action, Mark, Outcome, Request, Run, Send, Source, Turn, Work};
use super::slots::Slots;

/// The reply if requests and replies under way hold too much memory.
const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";

/// The end of a get.
const END: &[u8] = b"END\r\n";

/// memcached's line for a backend that does not answer.
const BACKEND_FAILURE: &[u8] = b"SERVER_ERROR backend failure\r\n";

/// The place of a send: the request under way, and the number of the send in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    id: usize,
    number: usize,
}

/// The receiver of an answer.
#[derive(Debug)]
enum Asker<N> {
    /// A client.
    Client(N),
    /// A get of several keys, and the place of this key.
    Get(usize, usize),
}

/// A get of several keys. It is answered when all keys are, and fails if one of them does.
#[derive(Debug)]
struct Gathering<N> {
    name: N,
    parts: Vec<Vec<u8>>,
    /// Keys without an answer.
    left: usize,
    /// The first error.
    error: Option<Vec<u8>>,
}

/// A request under way. It ends when all its sends have their replies, which may be later than its
/// answer.
#[derive(Debug)]
struct Active<N> {
    /// `None` once it is answered.
    asker: Option<Asker<N>>,
    request: ClientRequest,
    draw: u64,
    run: Run,
    /// The work of each send.
    works: Vec<Work>,
    /// Replies that may still become the answer, by the number of their send.
    replies: Vec<(usize, Vec<u8>)>,
}

impl<N> Active<N> {
    /// Hands the mark of a reply to the run.
    fn resume(
        &mut self,
        number: usize,
        mark: Mark,
        (routes, millis, buckets, actions): (&Routes, u64, &mut [Bucket], &mut Vec<Action>),
    ) {
        let Self { request, draw, run, .. } = self;
        let request = Request { key: request.key(), command: request.command, draw: *draw };
        run.on_reply(number, mark, &mut Turn { routes, request, millis, buckets, actions });
    }
}

/// Requests and the connections to all backends.
#[derive(Debug)]
pub struct Relay<N> {
    routes: Arc<Routes>,
    pools: PoolLinks,
    connections: Vec<Connection<Ask>>,
    active: Slots<Active<N>>,
    gets: Slots<Gathering<N>>,
    /// Bytes that requests and replies under way hold.
    held: usize,
    /// Most of these.
    limit: usize,
    buckets: Vec<Bucket>,
    /// Empty between calls.
    actions: Vec<Action>,
    answers: Vec<(N, Vec<u8>)>,
    /// Connections with bytes to write, or that want a socket. One may occur twice.
    changed: Vec<usize>,
    draw: u64,
}

impl<N> Relay<N> {
    /// Returns a relay without sockets. `seed` decides what nodes draw.
    ///
    /// Requests and replies under way hold about `limit` bytes at most, beside the buffers of
    /// connections.
    pub fn new(routes: Arc<Routes>, limit: usize, seed: u64) -> Self {
        let (pools, links) = links(&routes);
        let connections: Vec<_> =
            links.into_iter().map(|link| Connection::new(link.pool.bounds.clone())).collect();
        let changed = (0..connections.len()).collect();
        let buckets = (0..routes.limits).map(|_| Bucket::default()).collect();
        Self {
            routes,
            pools,
            connections,
            active: Slots::default(),
            gets: Slots::default(),
            held: 0,
            limit,
            buckets,
            actions: Vec::new(),
            answers: Vec::new(),
            changed,
            draw: seed | 1,
        }
    }

    /// Returns the connection with this number.
    pub fn connection(&mut self, number: usize) -> Option<&mut Connection<Ask>> {
        self.connections.get_mut(number)
    }

    /// Takes a connection that has bytes to write, or wants a socket.
    pub fn take_changed(&mut self) -> Option<usize> {
        self.changed.pop()
    }

    /// Takes an answer: the name of its request, and its bytes.
    pub fn take_answer(&mut self) -> Option<(N, Vec<u8>)> {
        self.answers.pop()
    }

    /// Begins a request of a client, or the parts of a get.
    pub fn begin(&mut self, name: N, mut requests: Vec<ClientRequest>, millis: u64, now: Instant) {
        let held: usize = requests.iter().map(ClientRequest::held).sum();
        if self.held.saturating_add(held) > self.limit {
            return self.answers.push((name, NO_MEMORY.to_vec()));
        }
        self.held += held;
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            return self.run(Asker::Client(name), request, millis, now);
        }
        if requests.is_empty() {
            return self.answers.push((name, END.to_vec()));
        }
        let left = requests.len();
        let get = self.gets.add(Gathering { name, parts: vec![Vec::new(); left], left, error: None });
        for (index, request) in requests.into_iter().enumerate() {
            self.run(Asker::Get(get, index), request, millis, now);
        }
    }

    fn run(&mut self, asker: Asker<N>, request: ClientRequest, millis: u64, now: Instant) {
        // Xorshift.
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        let draw = self.draw;
        let about = Request { key: request.key(), command: request.command, draw };
        let (buckets, actions) = (&mut self.buckets, &mut self.actions);
        let run = Run::start(&mut Turn { routes: &self.routes, request: about, millis, buckets, actions });
        let asker = Some(asker);
        let active = Active { asker, request, draw, run, works: Vec::new(), replies: Vec::new() };
        let id = self.active.add(active);
        self.carry_out(id, None, millis, now);
    }

    /// Handles the input of a connection, which the owner has taken out and extended.
    ///
    /// # Errors
    /// The reason for which the connection has to end. The owner then calls [`Self::fail`].
    pub fn receive(
        &mut self,
        number: usize,
        input: Vec<u8>,
        millis: u64,
        now: Instant,
    ) -> Result<(), Reason> {
        let mut used = 0;
        let ended = loop {
            let rest = input.get(used..).unwrap_or_default();
            let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
            match connection.next_reply(rest, now) {
                Ok(Some((ask, length, meaning))) => {
                    used += length;
                    self.reply(ask, rest.get(..length).map(|reply| (reply, meaning)), millis, now);
                }
                Ok(None) => break Ok(()),
                Err(reason) => break Err(reason),
            }
        };
        if let Some(connection) = self.connections.get_mut(number) {
            connection.keep_input(input, used, now);
        }
        self.changed.push(number);
        ended
    }

    /// Ends a connection. The owner has closed its socket. Returns the pause before the next
    /// attempt, if the backend is bad now, and whether that is because it flaps.
    pub fn fail(
        &mut self,
        number: usize,
        reason: Reason,
        millis: u64,
        now: Instant,
    ) -> Option<(Duration, bool)> {
        let Failure { lost, pause } = self.connections.get_mut(number)?.fail(reason, now);
        self.changed.push(number);
        for ask in lost {
            self.reply(ask, None, millis, now);
        }
        pause
    }

    /// Hands a reply, or its absence, to its run.
    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, millis: u64, now: Instant) {
        let Some(active) = self.active.get_mut(ask.id) else { return };
        let mark = match reply {
            Some((_, Meaning::Value | Meaning::Done)) => Mark::Good,
            Some((_, Meaning::Miss)) => Mark::Miss,
            Some((_, Meaning::ServerError | Meaning::Refused | Meaning::Version)) | None => Mark::Error,
        };
        let world = (&*self.routes, millis, &mut *self.buckets, &mut self.actions);
        active.resume(ask.number, mark, world);
        let current = reply.map(|(bytes, _)| (ask.number, bytes));
        self.carry_out(ask.id, current, millis, now);
    }

    /// Carries out the actions of a run. `current` is the reply that led to them.
    fn carry_out(&mut self, id: usize, current: Option<(usize, &[u8])>, millis: u64, now: Instant) {
        let mut at = 0;
        let mut finished = false;
        while let Some(&action) = self.actions.get(at) {
            at += 1;
            match action {
                Action::Finish(outcome) => {
                    finished = true;
                    self.answer(id, outcome, current);
                }
                Action::Send(send) => {
                    if !self.send(id, send, current, millis, now) {
                        let Some(active) = self.active.get_mut(id) else { continue };
                        let world = (&*self.routes, millis, &mut *self.buckets, &mut self.actions);
                        active.resume(send.number, Mark::Error, world);
                    }
                }
            }
        }
        self.actions.clear();
        let Some(active) = self.active.get_mut(id) else { return };
        if active.run.is_over() {
            let replies: usize = active.replies.iter().map(|(_, bytes)| bytes.len()).sum();
            self.held = self.held.saturating_sub(active.request.held() + replies);
            self.active.remove(id);
        } else if let Some((number, bytes)) = current
            && !finished
            && !active.run.is_finished()
        {
            // Beyond the limit, the reply counts and its bytes are lost.
            if self.held.saturating_add(bytes.len()) <= self.limit {
                self.held += bytes.len();
                active.replies.push((number, bytes.to_vec()));
            }
        }
    }

    /// Sends a request of a run. Returns `false` if the backend takes none.
    fn send(
        &mut self,
        id: usize,
        send: Send,
        current: Option<(usize, &[u8])>,
        millis: u64,
        now: Instant,
    ) -> bool {
        let Send { number, pool, work, ttl } = send;
        let Some(active) = self.active.get_mut(id) else { return false };
        active.works.resize(number.max(active.works.len()), Work::Client);
        active.works.push(work);
        let Some((chosen, backends)) = self.routes.pools.get(pool).zip(self.pools.get(pool)) else {
            return false;
        };
        let Some(numbers) = backends.get(chosen.choose(active.request.key())) else { return false };
        let place = least_busy(&self.connections, numbers);
        let Some(connection) = self.connections.get_mut(place) else { return false };
        let item = match work {
            Work::Fill(of) => reply_of(&active.replies, current, of).and_then(Item::read),
            _ => None,
        };
        if matches!(work, Work::Fill(_)) && item.is_none() {
            return false;
        }
        let request = &active.request;
        let taken = connection.submit(Ask { id, number }, now, |out| {
            request.push(work, ttl, item.as_ref(), millis / 1000, out);
        });
        self.changed.extend(taken.is_ok().then_some(place));
        taken.is_ok()
    }

    /// Makes the answer to the client.
    fn answer(&mut self, id: usize, outcome: Outcome, current: Option<(usize, &[u8])>) {
        let Some(active) = self.active.get(id) else { return };
        let Active { request, works, replies, .. } = active;
        let mut answer = Vec::new();
        match outcome.source {
            Source::Null => answer.extend_from_slice(request.miss()),
            Source::Error(node) => {
                let text = match self.routes.nodes.get(node) {
                    Some(Route::Error(text)) => text.as_str(),
                    _ => "internal error",
                };
                answer.extend_from_slice(format!("SERVER_ERROR {text}\r\n").as_bytes());
            }
            Source::Reply(number) => match reply_of(replies, current, number) {
                None => answer.extend_from_slice(BACKEND_FAILURE),
                Some(reply) if works.get(number) == Some(&Work::Item) && request.command.word != "me" => {
                    match Item::read(reply) {
                        Some(item) => request.push_item(&item, &mut answer),
                        None => answer.extend_from_slice(request.miss()),
                    }
                }
                Some(reply) => answer.extend_from_slice(reply),
            },
        }
        if is_unwanted(request, outcome.mark, &answer) {
            answer.clear();
        }
        let is_error = outcome.mark == Mark::Error;
        match self.active.get_mut(id).and_then(|active| active.asker.take()) {
            Some(Asker::Client(name)) => self.answers.push((name, answer)),
            Some(Asker::Get(get, index)) => self.gather(get, index, answer, is_error),
            None => {}
        }
    }

    /// Takes the answer of one key of a get.
    fn gather(&mut self, get: usize, index: usize, mut answer: Vec<u8>, is_error: bool) {
        let Some(gathering) = self.gets.get_mut(get) else { return };
        gathering.left -= 1;
        // One `END` follows the last key.
        let end = answer.len().saturating_sub(END.len());
        if is_error || !answer.ends_with(END) {
            gathering.error.get_or_insert(answer);
        } else if self.held.saturating_add(end) > self.limit {
            gathering.error.get_or_insert(NO_MEMORY.to_vec());
        } else if let Some(part) = gathering.parts.get_mut(index) {
            answer.truncate(end);
            self.held += end;
            *part = answer;
        }
        if gathering.left > 0 {
            return;
        }
        let Some(Gathering { name, parts, error, .. }) = self.gets.remove(get) else { return };
        self.held = self.held.saturating_sub(parts.iter().map(Vec::len).sum());
        let whole = error.unwrap_or_else(|| {
            let mut whole = parts.concat();
            whole.extend_from_slice(END);
            whole
        });
        self.answers.push((name, whole));
    }
}

/// A connection to a backend of a pool. Other pools may share it.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The address of the backend.
    pub address: &'a Address,
    /// The pool, or the first one of those that share the connection.
    pub pool: &'a Pool,
}

/// For each pool, the numbers of the connections of each backend.
type PoolLinks = Vec<Vec<Range<usize>>>;

/// Returns the connections of a worker. Pools with equal bounds share those to one address.
pub fn links(routes: &Routes) -> (PoolLinks, Vec<Link<'_>>) {
    let mut known: HashMap<&Address, Vec<Range<usize>>> = HashMap::new();
    let mut links: Vec<Link<'_>> = Vec::new();
    let mut pools = PoolLinks::new();
    for pool in &routes.pools {
        let mut numbers = Vec::new();
        for address in pool.backends.iter().map(|backend| &backend.address) {
            let known = known.entry(address).or_default();
            let equal = |range: &&Range<usize>| {
                links.get(range.start).is_some_and(|link| link.pool.bounds == pool.bounds)
            };
            let range = known.iter().find(equal).cloned().unwrap_or_else(|| {
                let range = links.len()..links.len() + pool.bounds.connections;
                links.resize(range.end, Link { address, pool });
                known.push(range.clone());
                range
            });
            numbers.push(range);
        }
        pools.push(numbers);
    }
    (pools, links)
}

/// Returns the connection to use: as in memcached, the first one of those that wait for the fewest
/// replies. A bad one comes last.
fn least_busy<T>(connections: &[Connection<T>], numbers: &Range<usize>) -> usize {
    if numbers.len() == 1 {
        return numbers.start;
    }
    let worth = |number: &usize| connections.get(*number).map(|one| (one.is_bad(), one.depth()));
    numbers.clone().min_by_key(worth).unwrap_or(numbers.start)
}

/// Returns the reply to a send.
fn reply_of<'a>(
    replies: &'a [(usize, Vec<u8>)],
    current: Option<(usize, &'a [u8])>,
    number: usize,
) -> Option<&'a [u8]> {
    let current = current.filter(|(of, _)| *of == number).map(|(_, bytes)| bytes);
    current.or_else(|| replies.iter().find(|(of, _)| *of == number).map(|(_, bytes)| bytes.as_slice()))
}

/// Returns whether the client does not want an answer.
fn is_unwanted(request: &ClientRequest, mark: Mark, answer: &[u8]) -> bool {
    match request.quiet {
        Quiet::No => false,
        Quiet::Classic => mark != Mark::Error,
        Quiet::Meta => match mark {
            Mark::Miss => true,
            Mark::Good => {
                request.command.word != "mg" && (answer.starts_with(b"HD") || answer.starts_with(b"VA"))
            }
            Mark::Error => false,
        },
    }
}

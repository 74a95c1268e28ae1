//! The native engine: the requests of one worker on their way through routes to backends and back.
//!
//! ```text
//!   client ── begin ──▶ Run ── sends ──▶ Links ──▶ backend
//!      ◀── answers ◀── Run ◀── marks ◀── Links ◀── backend
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::batches::{Batches, World};
use super::command::Kind;
use super::engine::{Client, Engine, Host};
use super::failure::Reason;
use super::generations::{Generation, Generations};
use super::gets::{END, Gets};
use super::health::Eject;
use super::held::{BACKEND_FAILURE, Held, NO_MEMORY, cost};
use super::hooks::Hooks;
use super::hot::{HotCache, Look};
use super::item::Item;
use super::links::{Ask, Links};
use super::loaded::Shared;
use super::log::Logged;
use super::reply::{Meaning, Scan, scan};
use super::request::{ClientRequest, Quiet, Requests};
use super::route::{LOCAL, NodeId, Route, Routes};
use super::run::{Action, Mark, Outcome, Request, Run, Send, Source, Turn, Work};
use super::slots::Slots;
use crate::base::watch::{WatchHub, kind};
use crate::protocol::output::SlotId;

/// The descriptor of a request that the proxy makes itself.
const NO_CLIENT: i32 = -1;

/// The receiver of an answer.
#[derive(Debug)]
enum Asker {
    /// A client.
    Client(SlotId),
    /// A get of several keys, and the place of this key.
    Get(usize, usize),
}

/// A request under way. It ends when all its sends have their replies, which may be later than its
/// answer.
#[derive(Debug)]
struct Active {
    /// `None` once it is answered.
    asker: Option<Asker>,
    /// Descriptor of the client.
    fd: i32,
    request: ClientRequest,
    draw: u64,
    run: Run,
    /// The number of its configuration.
    generation: u64,
    /// The times of the sends that may be logged, by their number.
    times: Vec<(usize, Instant)>,
    /// Replies that may still become the answer, by the number of their send.
    replies: Vec<(usize, Vec<u8>)>,
    /// Its time in [`Relay::timers`].
    deadline: Option<Instant>,
    /// The fetch for a local cache that it carries out.
    flight: Option<Box<Flight>>,
}

/// A fetch for a local cache.
#[derive(Debug)]
struct Flight {
    place: FlightPlace,
    stamp: u64,
    /// The looks of other requests that wait for it.
    waiters: Vec<Ask>,
}

/// A look whose fetch has ended, with the mark and the reply of that.
type Landed = (Ask, Mark, Option<Arc<[u8]>>);

/// The configuration, the node and the key of a fetch.
type FlightPlace = (u64, NodeId, Vec<u8>);

impl Active {
    /// Hands an event to the run.
    fn turn(
        &mut self,
        (generations, actions): (&mut Generations, &mut Vec<Action>),
        host: &Host<'_>,
        event: impl FnOnce(&mut Run, &mut Turn<'_>),
    ) {
        let Self { request, draw, run, generation, .. } = self;
        let request = Request { key: request.key(), command: request.routed_as(), draw: *draw };
        let Generation { routes, buckets, .. } = generations.get(*generation);
        let (now, millis) = (host.now, host.millis);
        event(run, &mut Turn { routes, request, now, millis, buckets, actions });
    }
}

impl Active {
    /// Writes a line about the reply to a send, if its pool wants one.
    #[inline]
    fn log(&self, own: &Generation, number: usize, reply: Option<&[u8]>, mark: Mark, host: &Host<'_>) {
        let hub = host.server.cache().watch_hub();
        if own.logs && hub.wants(kind::PROXYREQS) {
            self.write(own, number, reply, mark, hub);
        }
    }

    #[cold]
    fn write(&self, own: &Generation, number: usize, reply: Option<&[u8]>, mark: Mark, hub: &WatchHub) {
        let pool = self.run.pool(number).and_then(|pool| own.routes.pools.get(pool));
        let Some((pool, rules)) = pool.and_then(|pool| Some((pool, pool.log?))) else { return };
        let Some((_, begin)) = self.times.iter().find(|(of, _)| *of == number) else { return };
        let elapsed = begin.elapsed();
        if !rules.choose(elapsed, mark == Mark::Error, self.draw) {
            return;
        }
        let found = pool.find(self.request.key()).ok();
        let logged = Logged {
            elapsed,
            reply,
            result: mark.word(),
            client: self.fd,
            backend: found.and_then(|index| pool.backends.get(index)).map(|backend| &backend.address),
            detail: &pool.name,
            request: self.request.line(),
        };
        hub.event(kind::PROXYREQS, |line| logged.push(line));
    }
}

/// The requests of one worker, and its links to the backends of all pools.
#[derive(Debug)]
pub struct Relay {
    generations: Generations,
    active: Slots<Active>,
    gets: Gets,
    batches: Batches,
    /// The times at which requests go on without replies, and their numbers.
    timers: BTreeSet<(Instant, usize)>,
    /// Bytes that requests and replies under way hold.
    held: Held,
    /// Empty between calls.
    actions: Vec<Action>,
    /// The requests that fetch for local caches. The newest one of a key counts.
    flights: HashMap<FlightPlace, usize>,
    /// Looks whose fetch has ended. Empty between calls.
    landed: Vec<Landed>,
    draw: u64,
}

impl Relay {
    /// Returns a relay with links to the backends of all pools. `seed` decides what nodes draw.
    ///
    /// Requests and replies under way hold about `limit` bytes at most, beside the buffers of
    /// connections.
    pub fn new(shared: Arc<Shared>, limit: usize, seed: u64, links: &mut Links) -> Self {
        Self {
            generations: Generations::new(shared, links),
            active: Slots::default(),
            gets: Gets::default(),
            batches: Batches::default(),
            timers: BTreeSet::new(),
            held: Held::new(limit),
            actions: Vec::new(),
            flights: HashMap::new(),
            landed: Vec::new(),
            draw: seed | 1,
        }
    }

    /// Returns the routes.
    pub fn routes(&self) -> &Arc<Routes> {
        self.generations.routes()
    }

    fn run(&mut self, asker: Asker, client: &Client, request: ClientRequest, host: &mut Host<'_>) {
        // Xorshift.
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        let draw = self.draw;
        let about = Request { key: request.key(), command: request.routed_as(), draw };
        let (now, millis, actions) = (host.now, host.millis, &mut self.actions);
        let (generation, Generation { routes, buckets, .. }) = self.generations.begin();
        let root = routes.root_of(client.tag);
        let run = Run::start_at(root, &mut Turn { routes, request: about, now, millis, buckets, actions });
        let (asker, times, replies, fd) = (Some(asker), Vec::new(), Vec::new(), client.fd);
        let (deadline, flight) = (None, None);
        let active = Active { asker, fd, request, draw, run, generation, times, replies, deadline, flight };
        let id = self.active.add(active);
        self.carry_out(id, None, host);
        self.land(host);
    }

    /// Returns the pool that all keys of a get go to, if they can be sent in batches.
    fn only_pool(&self, client: &Client, requests: &[ClientRequest]) -> Option<usize> {
        let routes = self.generations.routes();
        let Some(Route::Pool(pool)) = routes.nodes.get(routes.root_of(client.tag)) else { return None };
        // Lines of a log are about one key.
        let is_logged = routes.pools.get(*pool)?.log.is_some();
        let is_plain = requests.first().is_some_and(|first| matches!(first.command.word, "get" | "gets"));
        (is_plain && !is_logged).then_some(*pool)
    }

    /// Returns the batches, and what they share with other requests.
    fn batches(&mut self) -> (&mut Batches, World<'_>) {
        let Self { batches, generations, gets, held, .. } = self;
        (batches, World { generations, gets, held })
    }

    /// Looks into the local cache of a node, for a send of a run that the item is the reply to.
    fn look(&mut self, id: usize, number: usize, node: NodeId, host: &Host<'_>) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(cache) = cache(&mut self.generations, active.generation, node) else { return };
        let key = active.request.key();
        let mut fetches = false;
        // Keys in base64 are other keys. A request carries out one fetch.
        if active.flight.is_none() && active.request.wants_item_alone() && !active.request.is_base64() {
            match cache.look(key, host.now) {
                Look::Hit(reply) => {
                    self.held.force(reply.len());
                    active.replies.push((number, reply.to_vec()));
                    let world = (&mut self.generations, &mut self.actions);
                    return active.turn(world, host, |run, turn| run.on_reply(number, Mark::Good, turn));
                }
                Look::Fetch(stamp) => {
                    let place = (active.generation, node, key.to_vec());
                    let leader =
                        self.flights.get(&place).copied().and_then(|leader| self.active.get_mut(leader));
                    if let Some(flight) = leader.and_then(|leader| leader.flight.as_mut())
                        && flight.stamp == stamp
                    {
                        return flight.waiters.push(Ask { id, number });
                    }
                    self.flights.insert(place.clone(), id);
                    if let Some(active) = self.active.get_mut(id) {
                        active.flight = Some(Box::new(Flight { place, stamp, waiters: Vec::new() }));
                    }
                    fetches = true;
                }
                Look::Pass => {}
            }
        }
        if let Some(active) = self.active.get_mut(id) {
            let world = (&mut self.generations, &mut self.actions);
            active.turn(world, host, |run, turn| run.on_look(number, fetches, turn));
        }
    }

    /// Ends the fetch of a request: fills the local cache, and notes the looks that wait.
    fn fetched(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        current: Option<(usize, &[u8])>,
        now: Instant,
    ) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(flight) = active.flight.take() else { return };
        let Flight { place, stamp, waiters } = *flight;
        let reply: Option<Arc<[u8]>> = match outcome.source {
            Source::Reply(number) => reply_of(&active.replies, current, number).map(Arc::from),
            Source::Null | Source::Error(_) | Source::Late => None,
        };
        if let Some(cache) = cache(&mut self.generations, active.generation, node)
            && let Some(reply) = reply.as_ref().filter(|_| outcome.mark == Mark::Good)
        {
            cache.fill(&place.2, stamp, reply, now);
        }
        if self.flights.get(&place) == Some(&id) {
            self.flights.remove(&place);
        }
        self.landed.extend(waiters.into_iter().map(|ask| (ask, outcome.mark, reply.clone())));
    }

    /// Hands the results of fetches to the requests that wait for them.
    fn land(&mut self, host: &mut Host<'_>) {
        while let Some((ask, mark, reply)) = self.landed.pop() {
            let Some(active) = self.active.get_mut(ask.id) else { continue };
            let world = (&mut self.generations, &mut self.actions);
            active.turn(world, host, |run, turn| run.on_reply(ask.number, mark, turn));
            self.carry_out(ask.id, reply.as_deref().map(|reply| (ask.number, reply)), host);
        }
    }

    /// Carries out the actions of a run. `current` is the reply that led to them.
    fn carry_out(&mut self, id: usize, current: Option<(usize, &[u8])>, host: &mut Host<'_>) {
        let mut at = 0;
        let mut finished = false;
        while let Some(&action) = self.actions.get(at) {
            at += 1;
            match action {
                Action::Finish(outcome) => {
                    finished = true;
                    self.answer(id, outcome, current, host);
                }
                Action::Look(number, node) => self.look(id, number, node, host),
                Action::Fetched(node, outcome) => self.fetched(id, node, outcome, current, host.now),
                Action::Remove(node) => {
                    if let Some(active) = self.active.get(id)
                        && let Some(cache) = cache(&mut self.generations, active.generation, node)
                    {
                        active.request.decoded_key().iter().for_each(|key| cache.remove(key));
                    }
                }
                Action::Send(send) if send.pool == LOCAL => self.carry_out_here(id, send, current, host),
                Action::Send(send) => {
                    if let Err(mark) = self.send(id, send, current, host) {
                        let Some(active) = self.active.get_mut(id) else { continue };
                        if mark == Mark::Error
                            && let Some(counters) =
                                self.generations.get(active.generation).counters.get(send.pool)
                        {
                            counters.errors.add(1);
                        }
                        active.log(self.generations.get(active.generation), send.number, None, mark, host);
                        let world = (&mut self.generations, &mut self.actions);
                        active.turn(world, host, |run, turn| run.on_reply(send.number, mark, turn));
                    }
                }
            }
        }
        self.actions.clear();
        let Some(active) = self.active.get_mut(id) else { return };
        let is_over = active.run.is_over();
        let deadline = if is_over { None } else { active.run.deadline() };
        if active.deadline != deadline {
            let earlier = std::mem::replace(&mut active.deadline, deadline);
            earlier.map(|time| self.timers.remove(&(time, id)));
            self.timers.extend(deadline.map(|time| (time, id)));
        }
        if is_over {
            let replies: usize = active.replies.iter().map(|(_, bytes)| bytes.len()).sum();
            self.held.release(cost(&active.request) + replies);
            let generation = active.generation;
            self.active.drop(id);
            self.generations.end(generation, host.links);
        } else if let Some((number, bytes)) = current
            && !finished
            && !active.run.is_finished()
        {
            // Beyond the limit, the reply counts and its bytes are lost.
            if self.held.take(bytes.len()) {
                active.replies.push((number, bytes.to_vec()));
            }
        }
    }

    /// Carries out a request on the cache of this server. As in memcached's proxy, its errors are
    /// answers.
    #[cold]
    fn carry_out_here(
        &mut self,
        id: usize,
        send: Send,
        current: Option<(usize, &[u8])>,
        host: &mut Host<'_>,
    ) {
        let Send { number, work, ttl, .. } = send;
        let Some(active) = self.active.get_mut(id) else { return };
        let mut request = Vec::new();
        let item = match work {
            Work::Fill(of) => reply_of(&active.replies, current, of).and_then(Item::read),
            _ => None,
        };
        active.request.push(work, ttl, item.as_ref(), host.millis / 1000, &mut request);
        let reply = host.server.carry_out(&request, NO_CLIENT);
        let mark = match scan(&reply, usize::MAX) {
            Scan::Whole(_, Meaning::Miss) => Mark::Miss,
            Scan::Whole(..) => Mark::Good,
            Scan::Part(_) | Scan::Bad(_) => Mark::Error,
        };
        // An answer needs the bytes at once, so the limit on them counts for requests to come.
        self.held.force(reply.len());
        active.replies.push((number, reply));
        let world = (&mut self.generations, &mut self.actions);
        active.turn(world, host, |run, turn| run.on_reply(number, mark, turn));
    }

    /// Sends a request of a run.
    ///
    /// # Errors
    /// The mark of the missing reply, if the backend takes no request.
    fn send(
        &mut self,
        id: usize,
        send: Send,
        current: Option<(usize, &[u8])>,
        host: &mut Host<'_>,
    ) -> Result<(), Mark> {
        let Send { number, pool, work, ttl } = send;
        let active = self.active.get_mut(id).ok_or(Mark::Error)?;
        let Generation { routes, links, counters, logs, .. } = self.generations.get(active.generation);
        if let Some(counters) = counters.get(pool) {
            counters.requests.add(1);
        }
        if *logs {
            active.times.push((number, host.now));
        }
        let (chosen, backends) = routes.pools.get(pool).zip(links.get(pool)).ok_or(Mark::Error)?;
        let request = &active.request;
        let found = chosen.find(request.key()).map_err(|eject| match eject {
            Eject::Miss if work.kind(request.command) == Kind::Read => Mark::Miss,
            _ => Mark::Error,
        })?;
        let among = backends.get(found).ok_or(Mark::Error)?;
        let link = host.links.choose(among).ok_or(Mark::Error)?;
        let item = match work {
            Work::Fill(of) => {
                Some(reply_of(&active.replies, current, of).and_then(Item::read).ok_or(Mark::Error)?)
            }
            _ => None,
        };
        let second = host.millis / 1000;
        let push = |out: &mut Vec<u8>| request.push(work, ttl, item.as_ref(), second, out);
        host.links.submit(link, Ask { id, number }, host.now, push).map_err(|_| Mark::Error)
    }

    /// Hands the answer to the client, or to its get.
    fn answer(&mut self, id: usize, outcome: Outcome, current: Option<(usize, &[u8])>, host: &mut Host<'_>) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(asker) = active.asker.take() else { return };
        let Active { request, run, replies, generation, .. } = active;
        let mut made = Vec::new();
        let mut answer: &[u8] = match outcome.source {
            Source::Null => request.miss(),
            Source::Late => BACKEND_FAILURE,
            Source::Error(node) => {
                let text = match self.generations.get(*generation).routes.nodes.get(node) {
                    Some(Route::Error(text)) => text.as_str(),
                    _ => "internal error",
                };
                made.extend_from_slice(format!("SERVER_ERROR {text}\r\n").as_bytes());
                &made
            }
            Source::Reply(number) => match reply_of(replies, current, number) {
                // Reads of a backend that is down may miss.
                None if outcome.mark == Mark::Miss => request.miss(),
                None => BACKEND_FAILURE,
                // The work asked for an item, in place of the client's request.
                Some(reply)
                    if run.work(number) == Some(Work::Item)
                        && request.command.word != "me"
                        && outcome.mark != Mark::Error =>
                {
                    match Item::read(reply) {
                        Some(item) => {
                            request.push_item(&item, &mut made);
                            &made
                        }
                        None => request.miss(),
                    }
                }
                Some(reply) => reply,
            },
        };
        let refusal = request.refusal.map(|refusal| format!("{}\r\n", refusal.reply));
        if let Some(refusal) = &refusal {
            answer = refusal.as_bytes();
        } else if is_unwanted(request, outcome.mark, answer) {
            answer = &[];
        }
        match asker {
            Asker::Client(slot) => host.answers.answer(slot, answer),
            Asker::Get(get, key) => {
                // One `END` follows the last key.
                let item = answer.strip_suffix(END).filter(|_| outcome.mark != Mark::Error);
                self.gets.take(get, key, item.ok_or(answer), &mut self.held, host.answers);
            }
        }
    }
}

impl Engine for Relay {
    fn hooks(&self) -> Hooks {
        Hooks::all()
    }

    fn begin(&mut self, client: Client, mut requests: Requests, host: &mut Host<'_>) {
        let slot = client.slot;
        let held: usize = requests.iter().map(cost).sum();
        if !self.held.take(held) {
            host.links.counters().no_memory.add(1);
            return host.answers.answer(slot, NO_MEMORY);
        }
        self.generations.update(host.links);
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            return self.run(Asker::Client(slot), &client, request, host);
        }
        if requests.is_empty() {
            return host.answers.answer(slot, END);
        }
        if let Some(pool) = self.only_pool(&client, &requests) {
            let (batches, mut world) = self.batches();
            return batches.begin(slot, requests, pool, &mut world, host);
        }
        let get = self.gets.begin(slot, requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            self.run(Asker::Get(get, index), &client, request, host);
        }
    }

    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        if ask.is_batch() {
            let (batches, mut world) = self.batches();
            return batches.reply(ask.id, reply, &mut world, host);
        }
        let Some(active) = self.active.get_mut(ask.id) else { return };
        let mark = match reply {
            Some((_, Meaning::Value | Meaning::Item | Meaning::Done)) => Mark::Good,
            Some((_, Meaning::Miss)) => Mark::Miss,
            Some((_, Meaning::ServerError | Meaning::Refused | Meaning::Version)) | None => Mark::Error,
        };
        active.log(
            self.generations.get(active.generation),
            ask.number,
            reply.map(|(bytes, _)| bytes),
            mark,
            host,
        );
        if mark == Mark::Error
            && let Some(pool) = active.run.pool(ask.number)
            && let Some(counters) = self.generations.get(active.generation).counters.get(pool)
        {
            counters.errors.add(1);
        }
        // Each child of a `failover` would refuse the store, so each deletes its item.
        let mark = if active.request.refusal.is_some() { Mark::Error } else { mark };
        let world = (&mut self.generations, &mut self.actions);
        active.turn(world, host, |run, turn| run.on_reply(ask.number, mark, turn));
        let current = reply.map(|(bytes, _)| (ask.number, bytes));
        self.carry_out(ask.id, current, host);
        self.land(host);
    }

    fn check_reply(&self, ask: Ask, reply: &[u8], meaning: Meaning) -> Result<(), Reason> {
        if ask.is_batch() {
            return self.batches.check(ask.id, &self.gets, reply, meaning);
        }
        let Some(active) = self.active.get(ask.id) else { return Ok(()) };
        let Some(work) = active.run.work(ask.number) else { return Ok(()) };
        let is_answer = active.request.is_answered_by(work, reply, meaning);
        if is_answer { Ok(()) } else { Err(Reason::WrongReply) }
    }

    fn held(&self) -> usize {
        self.held.bytes()
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn expire(&mut self, until: Instant, host: &mut Host<'_>) {
        while let Some(&(time, id)) = self.timers.first().filter(|(time, _)| *time <= until) {
            self.timers.remove(&(time, id));
            let Some(active) = self.active.get_mut(id) else { continue };
            active.deadline = None;
            let world = (&mut self.generations, &mut self.actions);
            active.turn(world, host, |run, turn| run.expire(until, turn));
            self.carry_out(id, None, host);
            self.land(host);
        }
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        self.generations.update(host.links);
    }
}

/// Returns the local cache of a node.
fn cache(generations: &mut Generations, generation: u64, node: NodeId) -> Option<Arc<HotCache>> {
    match generations.get(generation).routes.nodes.get(node) {
        Some(Route::Hot(_, cache)) => Some(Arc::clone(cache)),
        _ => None,
    }
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

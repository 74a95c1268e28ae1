//! The native engine: the requests of one worker on their way through routes to backends and back.
//!
//! ```text
//!   client ── begin ──▶ Run ── sends ──▶ Links ──▶ backend
//!      ◀── answers ◀── Run ◀── marks ◀── Links ◀── backend
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::active::{Active, Asker, Current, Fetch, FetchKey};
use super::batches::Batches;
use super::command::Kind;
use super::engine::{Client, Engine, Host};
use super::failure::Reason;
use super::generations::{Generation, Generations};
use super::gets::{END, Gets};
use super::health::Eject;
use super::held::{Held, NO_MEMORY, cost};
use super::hooks::Hooks;
use super::hot::Look;
use super::links::{Ask, Links};
use super::loaded::Shared;
use super::relay_state::RelayState;
use super::reply::{Meaning, Scan, scan};
use super::request::{ClientRequest, Requests};
use super::route::{LOCAL, NodeId, Route, Routes};
use super::run::{Action, Mark, Outcome, Send, Source, Work};
use super::slots::Slots;

/// The descriptor of a request that the proxy makes itself.
const NO_CLIENT: i32 = -1;

/// A look that has waited for the fetch of another request, with the mark and the reply of that.
type Waited = (Ask, Mark, Option<Arc<[u8]>>);

/// The requests of one worker, and its links to the backends of all pools.
#[derive(Debug)]
pub struct Relay {
    state: RelayState,
    active: Slots<Active>,
    batches: Batches,
    /// The times at which requests go on without replies, and their numbers.
    timers: BTreeSet<(Instant, usize)>,
    /// The requests that fetch for local caches. The newest one of a key counts.
    fetches: HashMap<FetchKey, usize>,
    /// Looks whose fetch has ended. Empty between calls.
    waited: Vec<Waited>,
    draw: u64,
}

impl Relay {
    /// Returns a relay with links to the backends of all pools. `seed` decides what nodes draw.
    ///
    /// Requests and replies under way hold about `limit` bytes at most, beside the buffers of
    /// connections.
    pub fn new(shared: Arc<Shared>, limit: usize, seed: u64, links: &mut Links) -> Self {
        let state = RelayState {
            generations: Generations::new(shared, links),
            gets: Gets::default(),
            held: Held::new(limit),
            actions: Vec::new(),
        };
        Self {
            state,
            active: Slots::default(),
            batches: Batches::default(),
            timers: BTreeSet::new(),
            fetches: HashMap::new(),
            waited: Vec::new(),
            draw: seed | 1,
        }
    }

    /// Returns the routes.
    pub fn routes(&self) -> &Arc<Routes> {
        self.state.generations.routes()
    }

    fn run(&mut self, asker: Asker, client: &Client, request: ClientRequest, host: &mut Host<'_>) {
        // Xorshift.
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        let active = Active::start(asker, client, request, self.draw, &mut self.state, host);
        let id = self.active.add(active);
        self.carry_out(id, None, host);
        self.answer_waiters(host);
    }

    /// Returns the pool that all keys of a get go to, if they can be sent in batches.
    fn only_pool(&self, client: &Client, requests: &[ClientRequest]) -> Option<usize> {
        let routes = self.routes();
        let Some(Route::Pool(pool)) = routes.nodes.get(routes.root_of(client.tag)) else { return None };
        // Lines of a log are about one key.
        let is_logged = routes.pools.get(*pool)?.log.is_some();
        let is_plain = requests.first().is_some_and(|first| matches!(first.command.word, "get" | "gets"));
        (is_plain && !is_logged).then_some(*pool)
    }

    /// Looks into the local cache of a node, for a send of a run that the item is the reply to.
    fn look(&mut self, id: usize, number: usize, node: NodeId, host: &Host<'_>) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(cache) = self.state.generations.get(active.generation).cache(node) else { return };
        let request = &active.request;
        // Keys in base64 are other keys. A request carries out one fetch.
        let may_fetch = active.fetch.is_none() && request.wants_item_alone() && !request.is_base64();
        let look = if may_fetch { cache.look(request.key(), host.now) } else { Look::Pass };
        let fetches = match look {
            Look::Hit(reply) => {
                self.state.held.force(reply.len());
                active.replies.push((number, reply.to_vec()));
                active.turn(&mut self.state, host, |run, turn| run.on_reply(number, Mark::Good, turn));
                return;
            }
            Look::Fetch(stamp) => {
                let key = (active.generation, node, request.key().to_vec());
                let leader = self.fetches.get(&key).and_then(|leader| self.active.get_mut(*leader));
                if let Some(fetch) = leader.and_then(|leader| leader.fetch.as_mut())
                    && fetch.stamp == stamp
                {
                    return fetch.waiters.push(Ask { id, number });
                }
                self.fetches.insert(key.clone(), id);
                if let Some(active) = self.active.get_mut(id) {
                    active.fetch = Some(Box::new(Fetch { key, stamp, waiters: Vec::new() }));
                }
                true
            }
            Look::Pass => false,
        };
        if let Some(active) = self.active.get_mut(id) {
            active.turn(&mut self.state, host, |run, turn| run.on_look(number, fetches, turn));
        }
    }

    /// Ends the fetch of a request: fills the local cache, and notes the looks that wait.
    fn fetched(&mut self, id: usize, node: NodeId, outcome: Outcome, current: Current<'_>, now: Instant) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(fetch) = active.fetch.take() else { return };
        let Fetch { key, stamp, waiters } = *fetch;
        let reply: Option<Arc<[u8]>> = match outcome.source {
            Source::Reply(number) => active.reply(current, number).map(Arc::from),
            Source::Null | Source::Error(_) | Source::Late => None,
        };
        if let Some(cache) = self.state.generations.get(active.generation).cache(node)
            && let Some(reply) = reply.as_ref().filter(|_| outcome.mark == Mark::Good)
        {
            cache.fill(&key.2, stamp, reply, now);
        }
        if self.fetches.get(&key) == Some(&id) {
            self.fetches.remove(&key);
        }
        self.waited.extend(waiters.into_iter().map(|ask| (ask, outcome.mark, reply.clone())));
    }

    /// Hands the results of fetches to the requests that wait for them.
    fn answer_waiters(&mut self, host: &mut Host<'_>) {
        while let Some((ask, mark, reply)) = self.waited.pop() {
            let Some(active) = self.active.get_mut(ask.id) else { continue };
            active.turn(&mut self.state, host, |run, turn| run.on_reply(ask.number, mark, turn));
            self.carry_out(ask.id, reply.as_deref().map(|reply| (ask.number, reply)), host);
        }
    }

    /// Hands the reply to a send, or its absence, to the run.
    #[expect(clippy::inline_always, reason = "as for `Active::turn`")]
    #[inline(always)]
    fn take_reply(&mut self, ask: Ask, reply: Option<&[u8]>, mark: Mark, host: &Host<'_>) {
        let Some(active) = self.active.get_mut(ask.id) else { return };
        let own = self.state.generations.get(active.generation);
        active.log(own, ask.number, reply, mark, host);
        if mark == Mark::Error
            && let Some(counters) = active.run.pool(ask.number).and_then(|pool| own.counters.get(pool))
        {
            counters.errors.add(1);
        }
        // Each child of a `failover` would refuse the store, so each deletes its item.
        let mark = if active.request.refusal.is_some() { Mark::Error } else { mark };
        active.turn(&mut self.state, host, |run, turn| run.on_reply(ask.number, mark, turn));
    }

    /// Carries out the actions of a run. `current` is the reply that led to them.
    fn carry_out(&mut self, id: usize, current: Current<'_>, host: &mut Host<'_>) {
        let mut at = 0;
        let mut finished = false;
        while let Some(&action) = self.state.actions.get(at) {
            at += 1;
            match action {
                Action::Finish(outcome) => {
                    finished = true;
                    self.answer(id, outcome, current, host);
                }
                Action::Look(number, node) => self.look(id, number, node, host),
                Action::Fetched(node, outcome) => self.fetched(id, node, outcome, current, host.now),
                Action::Remove(node) => self.remove(id, node),
                Action::Send(send) if send.pool == LOCAL => self.carry_out_here(id, send, current, host),
                Action::Send(send) => {
                    if let Err(mark) = self.send(id, send, current, host) {
                        self.take_reply(Ask { id, number: send.number }, None, mark, host);
                    }
                }
            }
        }
        self.state.actions.clear();
        self.wait_or_end(id, current.filter(|_| !finished), host);
    }

    /// Ends a request that is over. Another one waits on, and keeps the reply that it may still
    /// choose.
    fn wait_or_end(&mut self, id: usize, current: Current<'_>, host: &mut Host<'_>) {
        let Some(active) = self.active.get_mut(id) else { return };
        let is_over = active.run.is_over();
        let deadline = if is_over { None } else { active.run.deadline() };
        if active.deadline != deadline {
            let earlier = std::mem::replace(&mut active.deadline, deadline);
            earlier.map(|time| self.timers.remove(&(time, id)));
            self.timers.extend(deadline.map(|time| (time, id)));
        }
        if is_over {
            self.state.held.release(active.held());
            let generation = active.generation;
            self.active.drop(id);
            self.state.generations.end(generation, host.links);
        } else if let Some((number, bytes)) = current
            && !active.run.is_finished()
        {
            // Beyond the limit, the reply counts and its bytes are lost.
            if self.state.held.take(bytes.len()) {
                active.replies.push((number, bytes.to_vec()));
            }
        }
    }

    /// Removes the key of a request from the local cache of a node.
    fn remove(&mut self, id: usize, node: NodeId) {
        let Some(active) = self.active.get(id) else { return };
        if let Some(cache) = self.state.generations.get(active.generation).cache(node)
            && let Some(key) = active.request.decoded_key()
        {
            cache.remove(&key);
        }
    }

    /// Carries out a request on the cache of this server. As in memcached's proxy, its errors are
    /// answers.
    #[cold]
    fn carry_out_here(&mut self, id: usize, send: Send, current: Current<'_>, host: &mut Host<'_>) {
        let Send { number, work, ttl, .. } = send;
        let Some(active) = self.active.get_mut(id) else { return };
        let mut request = Vec::new();
        let item = active.item(current, work);
        active.request.push(work, ttl, item.as_ref(), host.millis / 1000, &mut request);
        let reply = host.server.carry_out(&request, NO_CLIENT);
        let mark = match scan(&reply, usize::MAX) {
            Scan::Whole(_, Meaning::Miss) => Mark::Miss,
            Scan::Whole(..) => Mark::Good,
            Scan::Part(_) | Scan::Bad(_) => Mark::Error,
        };
        // An answer needs the bytes at once, so the limit on them counts for requests to come.
        self.state.held.force(reply.len());
        active.replies.push((number, reply));
        active.turn(&mut self.state, host, |run, turn| run.on_reply(number, mark, turn));
    }

    /// Sends a request of a run.
    ///
    /// # Errors
    /// The mark of the missing reply, if the backend takes no request.
    fn send(&mut self, id: usize, send: Send, current: Current<'_>, host: &mut Host<'_>) -> Result<(), Mark> {
        let Send { number, pool, work, ttl } = send;
        let active = self.active.get_mut(id).ok_or(Mark::Error)?;
        let Generation { routes, links, counters, logs, .. } = self.state.generations.get(active.generation);
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
        let item = active.item(current, work);
        if matches!(work, Work::Fill(_)) && item.is_none() {
            return Err(Mark::Error);
        }
        let second = host.millis / 1000;
        let push = |out: &mut Vec<u8>| request.push(work, ttl, item.as_ref(), second, out);
        host.links.submit(link, Ask { id, number }, host.now, push).map_err(|_| Mark::Error)
    }

    /// Hands the answer to the client, or to its get.
    fn answer(&mut self, id: usize, outcome: Outcome, current: Current<'_>, host: &mut Host<'_>) {
        let Some(active) = self.active.get_mut(id) else { return };
        let Some(asker) = active.asker.take() else { return };
        let RelayState { generations, gets, held, .. } = &mut self.state;
        let answer = active.answer(outcome, current, generations);
        match asker {
            Asker::Client(slot) => host.answers.answer(slot, &answer),
            Asker::Get(get, number) => {
                // One `END` follows the last key.
                let item = answer.strip_suffix(END).filter(|_| outcome.mark != Mark::Error);
                gets.take(get, number, item.ok_or(&*answer), held, host.answers);
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
        if !self.state.held.take(held) {
            host.links.counters().no_memory.add(1);
            return host.answers.answer(slot, NO_MEMORY);
        }
        self.state.generations.update(host.links);
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            return self.run(Asker::Client(slot), &client, request, host);
        }
        if requests.is_empty() {
            return host.answers.answer(slot, END);
        }
        if let Some(pool) = self.only_pool(&client, &requests) {
            return self.batches.begin(slot, requests, pool, &mut self.state, host);
        }
        let get = self.state.gets.begin(slot, requests.len());
        for (number, request) in requests.into_iter().enumerate() {
            self.run(Asker::Get(get, number), &client, request, host);
        }
    }

    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        if ask.is_batch() {
            return self.batches.reply(ask.id, reply, &mut self.state, host);
        }
        let mark = match reply {
            Some((_, Meaning::Value | Meaning::Item | Meaning::Done)) => Mark::Good,
            Some((_, Meaning::Miss)) => Mark::Miss,
            Some((_, Meaning::ServerError | Meaning::Refused | Meaning::Version)) | None => Mark::Error,
        };
        let reply = reply.map(|(bytes, _)| bytes);
        self.take_reply(ask, reply, mark, host);
        self.carry_out(ask.id, reply.map(|bytes| (ask.number, bytes)), host);
        self.answer_waiters(host);
    }

    fn check_reply(&self, ask: Ask, reply: &[u8], meaning: Meaning) -> Result<(), Reason> {
        if ask.is_batch() {
            return self.batches.check(ask.id, &self.state.gets, reply, meaning);
        }
        let Some(active) = self.active.get(ask.id) else { return Ok(()) };
        let Some(work) = active.run.work(ask.number) else { return Ok(()) };
        let is_answer = active.request.is_answered_by(work, reply, meaning);
        if is_answer { Ok(()) } else { Err(Reason::WrongReply) }
    }

    fn held(&self) -> usize {
        self.state.held.bytes()
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn expire(&mut self, until: Instant, host: &mut Host<'_>) {
        while let Some(&(time, id)) = self.timers.first().filter(|(time, _)| *time <= until) {
            self.timers.remove(&(time, id));
            let Some(active) = self.active.get_mut(id) else { continue };
            active.deadline = None;
            active.turn(&mut self.state, host, |run, turn| run.expire(until, turn));
            self.carry_out(id, None, host);
            self.answer_waiters(host);
        }
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        self.state.generations.update(host.links);
    }
}

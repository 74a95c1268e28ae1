//! A request under way in a relay, and its answer.

use std::borrow::Cow;
use std::time::Instant;

use super::engine::{Client, Host};
use super::generations::{Generation, Generations};
use super::held::{BACKEND_FAILURE, cost};
use super::item::Item;
use super::links::Ask;
use super::log::Logged;
use super::relay_state::RelayState;
use super::request::{ClientRequest, Quiet};
use super::route::{NodeId, Route};
use super::run::{Mark, Outcome, Request, Run, Source, Turn, Work};
use crate::base::watch::{WatchHub, kind};
use crate::protocol::output::SlotId;

/// The receiver of an answer.
#[derive(Debug)]
pub enum Asker {
    /// A client.
    Client(SlotId),
    /// A get of several keys, and the number of this key.
    Get(usize, usize),
}

/// The reply that a run reacts to, and the number of its send.
pub type Current<'a> = Option<(usize, &'a [u8])>;

/// A request under way. It ends when all its sends have their replies, which may be later than its
/// answer.
#[derive(Debug)]
pub struct Active {
    /// `None` once it is answered.
    pub asker: Option<Asker>,
    /// Descriptor of the client.
    fd: i32,
    /// The request.
    pub request: ClientRequest,
    draw: u64,
    /// Its way through the routes.
    pub run: Run,
    /// The number of its configuration.
    pub generation: u64,
    /// The times of the sends that may be logged, by their number.
    pub times: Vec<(usize, Instant)>,
    /// Replies that may still become the answer, by the number of their send.
    pub replies: Vec<(usize, Vec<u8>)>,
    /// Its time among the timers of the relay.
    pub deadline: Option<Instant>,
    /// The fetch for a local cache that it carries out.
    pub fetch: Option<Box<Fetch>>,
}

/// A fetch for a local cache.
#[derive(Debug)]
pub struct Fetch {
    /// The item that is fetched.
    pub key: FetchKey,
    /// The stamp of the cache.
    pub stamp: u64,
    /// The looks of other requests that wait for it.
    pub waiters: Vec<Ask>,
}

/// The number of the configuration, the node of the cache, and the key of the item.
pub type FetchKey = (u64, NodeId, Vec<u8>);

impl Active {
    /// Starts a request where those of its listener begin.
    pub fn start(
        asker: Asker,
        client: &Client,
        request: ClientRequest,
        draw: u64,
        state: &mut RelayState,
        host: &Host<'_>,
    ) -> Self {
        let about = Request { key: request.key(), command: request.routed_as(), draw };
        let (now, millis, actions) = (host.now, host.millis, &mut state.actions);
        let (generation, Generation { routes, buckets, .. }) = state.generations.begin();
        let root = routes.root_of(client.tag);
        let run = Run::start_at(root, &mut Turn { routes, request: about, now, millis, buckets, actions });
        Self {
            asker: Some(asker),
            fd: client.fd,
            request,
            draw,
            run,
            generation,
            times: Vec::new(),
            replies: Vec::new(),
            deadline: None,
            fetch: None,
        }
    }

    /// Hands an event to the run.
    #[expect(clippy::inline_always, reason = "two calls are a percent of a request that fails over")]
    #[inline(always)]
    pub fn turn(
        &mut self,
        state: &mut RelayState,
        host: &Host<'_>,
        event: impl FnOnce(&mut Run, &mut Turn<'_>),
    ) {
        let request = Request { key: self.request.key(), command: self.request.routed_as(), draw: self.draw };
        let Generation { routes, buckets, .. } = state.generations.get(self.generation);
        let (now, millis, actions) = (host.now, host.millis, &mut state.actions);
        event(&mut self.run, &mut Turn { routes, request, now, millis, buckets, actions });
    }

    /// Returns the bytes that it holds.
    pub fn held(&self) -> usize {
        cost(&self.request) + self.replies.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Returns the reply to a send.
    pub fn reply<'a>(&'a self, current: Current<'a>, number: usize) -> Option<&'a [u8]> {
        let current = current.filter(|(of, _)| *of == number).map(|(_, bytes)| bytes);
        current
            .or_else(|| self.replies.iter().find(|(of, _)| *of == number).map(|(_, bytes)| bytes.as_slice()))
    }

    /// Returns the item that a fill stores.
    pub fn item<'a>(&'a self, current: Current<'a>, work: Work) -> Option<Item<'a>> {
        let Work::Fill(number) = work else { return None };
        self.reply(current, number).and_then(Item::read)
    }

    /// Returns the answer to the client. It is empty if the client does not want it.
    pub fn answer<'a>(
        &'a self,
        outcome: Outcome,
        current: Current<'a>,
        generations: &mut Generations,
    ) -> Cow<'a, [u8]> {
        if let Some(refusal) = &self.request.refusal {
            return Cow::Owned(format!("{}\r\n", refusal.reply).into_bytes());
        }
        let answer = match outcome.source {
            Source::Null => Cow::Borrowed(self.request.command.miss()),
            Source::Late => Cow::Borrowed(BACKEND_FAILURE),
            Source::Error(node) => {
                let text = match generations.get(self.generation).routes.nodes.get(node) {
                    Some(Route::Error(text)) => text.as_str(),
                    _ => "internal error",
                };
                Cow::Owned(format!("SERVER_ERROR {text}\r\n").into_bytes())
            }
            Source::Reply(number) => match self.reply(current, number) {
                // Reads of a backend that is down may miss.
                None if outcome.mark == Mark::Miss => Cow::Borrowed(self.request.command.miss()),
                None => Cow::Borrowed(BACKEND_FAILURE),
                Some(reply) if self.asked_for_item(number) && outcome.mark != Mark::Error => {
                    self.answer_with(reply)
                }
                Some(reply) => Cow::Borrowed(reply),
            },
        };
        if self.is_unwanted(outcome.mark, &answer) { Cow::Borrowed(&[]) } else { answer }
    }

    /// Returns whether a send asked for an item, in place of the client's request.
    fn asked_for_item(&self, number: usize) -> bool {
        self.run.work(number) == Some(Work::Item) && self.request.command.word != "me"
    }

    /// Returns the answer with the item of a reply.
    fn answer_with(&self, reply: &[u8]) -> Cow<'static, [u8]> {
        let Some(item) = Item::read(reply) else { return Cow::Borrowed(self.request.command.miss()) };
        let mut answer = Vec::new();
        self.request.push_item(&item, &mut answer);
        Cow::Owned(answer)
    }

    /// Returns whether the client does not want an answer.
    fn is_unwanted(&self, mark: Mark, answer: &[u8]) -> bool {
        match self.request.quiet {
            Quiet::No => false,
            Quiet::Classic => mark != Mark::Error,
            Quiet::Meta => match mark {
                Mark::Miss => true,
                Mark::Good => {
                    let is_plain = answer.starts_with(b"HD") || answer.starts_with(b"VA");
                    self.request.command.word != "mg" && is_plain
                }
                Mark::Error => false,
            },
        }
    }

    /// Writes a line about the reply to a send, if its pool wants one.
    #[inline]
    pub fn log(&self, own: &Generation, number: usize, reply: Option<&[u8]>, mark: Mark, host: &Host<'_>) {
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

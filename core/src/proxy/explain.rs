//! Explains a request: carries it through its routes with pretended replies.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use super::bucket::Bucket;
use super::command::Kind;
use super::health::Eject;
use super::route::{LOCAL, NodeId, Routes};
use super::run::{Action, Mark, Note, Outcome, Request, Run, Send, Turn};

/// How backends pretend to reply. The others have a hit.
#[derive(Debug, Default)]
pub struct Pretence {
    /// Names of backends and pools that are down.
    pub down: HashSet<String>,
    /// Names of backends and pools that do not have the item.
    pub missing: HashSet<String>,
    /// Unix time in seconds.
    pub time: u64,
}

/// An event of an explained request, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A node has decided.
    Decided(Note),
    /// Probes have found that the backend of the key is down: its index in the pool of the send,
    /// and that of the other one that gets the request, if one does.
    Ejected(Send, usize, Result<usize, Eject>),
    /// A backend, by its index in the pool of the send, has replied.
    Replied(Send, usize, Mark),
    /// The client has its answer.
    Answered(Outcome),
}

/// Carries a request from a node to its end. Backends reply in the order in which they were asked.
pub fn explain(routes: &Routes, root: NodeId, request: Request<'_>, pretence: &Pretence) -> Vec<Event> {
    let mut buckets = vec![Bucket::default(); routes.limits.len()];
    let (mut events, mut actions, mut waiting) = (Vec::new(), Vec::new(), VecDeque::new());
    let mut looks = Vec::new();
    let millis = pretence.time.saturating_mul(1000);
    let (buckets, actions) = (&mut buckets[..], &mut actions);
    let mut turn = Turn { routes, request, now: Instant::now(), millis, buckets, actions };
    let mut run = Run::start_noting(root, &mut turn);
    loop {
        events.extend(run.take_notes().into_iter().map(Event::Decided));
        for action in turn.actions.drain(..) {
            match action {
                Action::Finish(outcome) => events.push(Event::Answered(outcome)),
                Action::Send(send) => waiting.push_back(send),
                // Its key is asked for often, and not in the cache.
                Action::Look(number, _) => looks.push(number),
                Action::Fetched(..) | Action::Remove(_) => {}
            }
        }
        if let Some(number) = looks.pop() {
            run.on_look(number, true, &mut turn);
            continue;
        }
        let Some(send) = waiting.pop_front() else { return events };
        if send.pool == LOCAL {
            let is_missing =
                send.work.kind(request.command) == Kind::Read && pretence.missing.contains("local");
            let mark = if is_missing { Mark::Miss } else { Mark::Good };
            events.push(Event::Replied(send, 0, mark));
            run.on_reply(send.number, mark, &mut turn);
            continue;
        }
        let Some(pool) = routes.pools.get(send.pool) else { return events };
        let names = |set: &HashSet<String>, index: usize| {
            let backend = pool.backends.get(index).is_some_and(|backend| set.contains(&backend.to_string()));
            backend || set.contains(&pool.name)
        };
        let is_read = send.work.kind(request.command) == Kind::Read;
        let eject = pool.health.as_ref().map(|health| health.rules.eject);
        let own = pool.choose(request.key);
        let configured = |index: usize| pool.backends.get(index).is_some_and(|backend| backend.is_down);
        let up = |index: usize| !configured(index) && !names(&pretence.down, index);
        let found = pool.find_among(request.key, eject.unwrap_or(Eject::No), up);
        let (index, mark) = match found {
            Err(Eject::Miss) if is_read => (own, Mark::Miss),
            Err(_) => (own, Mark::Error),
            Ok(index) if is_read && names(&pretence.missing, index) => (index, Mark::Miss),
            Ok(index) => (index, Mark::Good),
        };
        if !up(own) && eject.is_some() {
            events.push(Event::Ejected(send, own, found));
        }
        if found.is_ok() || eject.is_none() {
            events.push(Event::Replied(send, index, mark));
        }
        run.on_reply(send.number, mark, &mut turn);
    }
}

//! Explains a request: carries it through its routes with pretended replies.

use std::collections::{HashSet, VecDeque};

use super::bucket::Bucket;
use super::command::Kind;
use super::route::Routes;
use super::run::{Action, Mark, Note, Outcome, Request, Run, Send, Turn, Work};

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
    /// A backend, by its index in the pool of the send, has replied.
    Replied(Send, usize, Mark),
    /// The client has its answer.
    Answered(Outcome),
}

/// Carries a request to its end. Backends reply in the order in which they were asked.
pub fn explain(routes: &Routes, request: Request<'_>, pretence: &Pretence) -> Vec<Event> {
    let mut buckets = vec![Bucket::default(); routes.limits];
    let (mut events, mut actions, mut waiting) = (Vec::new(), Vec::new(), VecDeque::new());
    let millis = pretence.time.saturating_mul(1000);
    let mut turn = Turn { routes, request, millis, buckets: &mut buckets, actions: &mut actions };
    let mut run = Run::start_noting(&mut turn);
    loop {
        events.extend(run.take_notes().into_iter().map(Event::Decided));
        for action in turn.actions.drain(..) {
            match action {
                Action::Finish(outcome) => events.push(Event::Answered(outcome)),
                Action::Send(send) => waiting.push_back(send),
            }
        }
        let Some(send) = waiting.pop_front() else { return events };
        let Some(pool) = routes.pools.get(send.pool) else { return events };
        let index = pool.choose(request.key);
        let names = |set: &HashSet<String>| {
            let backend = pool.backends.get(index).is_some_and(|backend| set.contains(&backend.to_string()));
            backend || set.contains(&pool.name)
        };
        let mark = if names(&pretence.down) {
            Mark::Error
        } else if reads(&request, send.work) && names(&pretence.missing) {
            Mark::Miss
        } else {
            Mark::Good
        };
        events.push(Event::Replied(send, index, mark));
        run.on_reply(send.number, mark, &mut turn);
    }
}

fn reads(request: &Request<'_>, work: Work) -> bool {
    match work {
        Work::Client => request.command.kind == Kind::Read,
        Work::Item => true,
        Work::Fill(_) | Work::Delete => false,
    }
}

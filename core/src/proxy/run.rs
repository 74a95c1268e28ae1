//! A request on its way through routes: a state machine that knows no socket and no clock.
//!
//! The caller starts a [`Run`] and carries out its [`Action`]s: it sends requests to pools, and
//! reports the [`Mark`] of each reply. The replies themselves stay with the caller. It also reports
//! the time of [`Run::deadline`]. The run answers the client exactly once. It may send more
//! afterwards, for replies that are dropped.
//!
//! A node that waits for replies has a *frame*. Other nodes only lead to the next one.

use std::slice;
use std::time::Instant;

use smallvec::SmallVec;

use super::bucket::Bucket;
use super::command::{Command, Kind};
use super::route::{LOCAL, NodeId, Route, Routes, group_of, part_of};
use super::ttl::TtlRule;

/// The worth of a reply to a route, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A hit, or any reply of a backend that is not a miss of a read and not an error.
    Good,
    /// The miss of a read.
    Miss,
    /// An error line, or no reply: the backend is down, or did not answer in time.
    Error,
}

impl Mark {
    /// Returns memcached's word for it in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Miss => "ok",
            Self::Error => "any",
        }
    }
}

/// A client's request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its command.
    pub command: &'static Command,
    /// Random bits, for the nodes that draw.
    pub draw: u64,
}

/// An event of a run: what it may use, and what comes of it.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The routes. The same in all turns of a run.
    pub routes: &'a Routes,
    /// The request. The same in all turns of a run.
    pub request: Request<'a>,
    /// The time, for nodes that wait.
    pub now: Instant,
    /// Unix time in milliseconds.
    pub millis: u64,
    /// A bucket for each rate limit of the routes. A limit without a bucket has no tokens.
    pub buckets: &'a mut [Bucket],
    /// Where the run pushes what to do.
    pub actions: &'a mut Vec<Action>,
}

/// The request that a backend gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// That of the client.
    Client,
    /// A read of value, client flags and TTL, so that the reply can fill another backend. The
    /// client's reply is made from it.
    Item,
    /// An add of the item that the send with this number returned.
    Fill(usize),
    /// A delete of the key.
    Delete,
}

impl Work {
    /// Returns what it does to the item, for a request with this command.
    pub fn kind(self, command: &Command) -> Kind {
        match self {
            Self::Client => command.kind,
            Self::Item => Kind::Read,
            Self::Fill(_) => Kind::Store,
            Self::Delete => Kind::Delete,
        }
    }

    /// Returns the command of the request that the backend gets, for a request with `own`.
    pub fn command(self, own: &'static Command) -> &'static Command {
        let other = match self {
            Self::Client => None,
            Self::Item => Command::named("mg"),
            Self::Fill(_) => Command::named("add"),
            Self::Delete => Command::named("delete"),
        };
        other.unwrap_or(own)
    }
}

/// A request to the backend of the key in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// Its number in the run, from 0.
    pub number: usize,
    /// The index of the pool, or [`LOCAL`].
    pub pool: usize,
    /// The request.
    pub work: Work,
    /// A rule for the TTLs of the request.
    pub ttl: Option<TtlRule>,
}

/// The source of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The reply to the send with this number.
    Reply(usize),
    /// The miss of the command.
    Null,
    /// The text of this node, which is a [`Route::Error`].
    Error(NodeId),
    /// No reply came in time.
    Late,
}

/// An answer and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The mark of the reply, or of the source.
    pub mark: Mark,
    /// Where it comes from.
    pub source: Source,
}

/// A task of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a request, and report its reply by [`Run::on_reply`].
    Send(Send),
    /// Answer the client.
    Finish(Outcome),
    /// Look for the key in the cache of this node, which is a [`Route::Hot`]. Report the item as
    /// the reply to the send with this number, at once or when a fetch ends, or else call
    /// [`Run::on_look`].
    Look(usize, NodeId),
    /// The fetch for the cache of this node has ended.
    Fetched(NodeId, Outcome),
    /// Remove the key from the cache of this node, because it is written.
    Remove(NodeId),
}

/// A step of a run with its reason, for an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The node that decided.
    pub node: NodeId,
    /// The decision.
    pub choice: Choice,
}

/// A decision of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Asks its first child, or a frame asks the child with this index because of the mark of the
    /// one before.
    Ask(usize, Option<Mark>),
    /// Asks all its children.
    AskAll,
    /// Took the child with this index of its list, or the default.
    Match(Option<usize>),
    /// Drew the child with this index.
    Drew(usize),
    /// Whether a copy is sent as well.
    Copy(bool),
    /// Applies its rule to the TTL.
    Ttl,
    /// Whether there was a token.
    Token(bool),
    /// The child that answers, 0 or 1, and whether the other one gets a delete.
    Phase(usize, bool),
    /// Also deletes the key from the old node.
    DeleteOld,
    /// Adds the item of the old node to the new one.
    Fill,
    /// Fetches the item for the local cache and for all requests that wait.
    Fetch,
    /// Removes the key from the local cache.
    Remove,
    /// Answers without a backend.
    Answer,
    /// Its answer has this mark.
    Done(Mark),
}

/// The children of a frame of a [`Route::Hot`]: its child in three roles.
const PASS: usize = 0;
const FETCH: usize = 1;
const WRITE: usize = 2;

/// A request on its way.
#[derive(Debug)]
pub struct Run {
    frames: Vec<Frame>,
    /// By their number. Most runs have one.
    sends: SmallVec<[Sent; 1]>,
    /// Sends without a reply.
    waiting: usize,
    is_finished: bool,
    /// The time of the next call of [`Self::expire`].
    deadline: Option<Instant>,
    /// Filled if the caller wants an explanation.
    notes: Option<Vec<Note>>,
}

/// A request that a run has sent, or a look into a local cache.
#[derive(Debug)]
struct Sent {
    work: Work,
    /// The index of its pool, or [`LOCAL`]. `None` for a look.
    pool: Option<usize>,
    /// The receiver of the reply. `None` once that has come.
    parent: Option<Parent>,
}

/// A node that waits for replies.
#[derive(Debug)]
struct Frame {
    node: NodeId,
    parent: Parent,
    context: Context,
    /// Children that have been asked and not answered. Zero once the frame has answered.
    waiting: usize,
    /// The child that it waits for, if it asks one after another. Earlier ones are too late.
    asked: usize,
    /// The outcome so far, with the index of its child.
    kept: Option<(usize, Outcome)>,
    /// The time until which it waits.
    until: Option<Instant>,
}

/// The receiver of an outcome.
#[derive(Debug, Clone, Copy)]
enum Parent {
    Client,
    /// A frame, and the index of the child.
    Frame(usize, usize),
    /// It is dropped.
    None,
}

/// The first thing that a node does.
enum Step<'a> {
    /// Sends the request to a pool.
    Send(usize),
    /// Answers.
    Answer(Mark, Source),
    /// Asks these children, and waits for them in a frame.
    Wait(&'a [NodeId]),
    /// Leaves the request to a child.
    Go(NodeId),
    /// Looks into the local cache.
    Look,
    /// Asks the child, whose write the local cache must notice at its begin and at its end.
    Write(NodeId),
    /// Leaves it to a child, and then asks another one, whose answer is dropped.
    GoAndDrop(NodeId, NodeId, Context),
}

/// How a request differs from the client's.
#[derive(Debug, Clone, Copy)]
struct Context {
    work: Work,
    ttl: Option<TtlRule>,
}

impl Run {
    /// Starts a request at the root. Pushes what to do.
    pub fn start(turn: &mut Turn<'_>) -> Self {
        Self::start_at(turn.routes.root, turn)
    }

    /// Starts a request at a node.
    pub fn start_at(root: NodeId, turn: &mut Turn<'_>) -> Self {
        Self::start_with(root, None, turn)
    }

    /// Starts a request at a node, and takes notes.
    pub fn start_noting(root: NodeId, turn: &mut Turn<'_>) -> Self {
        Self::start_with(root, Some(Vec::new()), turn)
    }

    fn start_with(root: NodeId, notes: Option<Vec<Note>>, turn: &mut Turn<'_>) -> Self {
        let (frames, sends) = (Vec::new(), SmallVec::new());
        let mut run = Self { frames, sends, waiting: 0, is_finished: false, deadline: None, notes };
        let context = Context { work: Work::Client, ttl: None };
        run.ask(root, Parent::Client, context, turn);
        run
    }

    /// Takes the reply to a send. Pushes what to do, which may be nothing. A second reply to the
    /// same send counts for nothing.
    pub fn on_reply(&mut self, number: usize, mark: Mark, turn: &mut Turn<'_>) {
        if let Some(parent) = self.take_parent(number) {
            self.answer(parent, Outcome { mark, source: Source::Reply(number) }, turn);
        }
    }

    /// Takes the result of a look into a local cache that has no item: whether to fetch it for all
    /// requests, or to ask as without the cache.
    pub fn on_look(&mut self, number: usize, fetches: bool, turn: &mut Turn<'_>) {
        let Some(Parent::Frame(at, _)) = self.take_parent(number) else { return };
        let Some(Frame { node, context, .. }) = self.frames.get(at) else { return };
        let (node, mut context) = (*node, *context);
        let Some(Route::Hot(child, _)) = turn.routes.nodes.get(node) else { return };
        if fetches {
            context.work = Work::Item;
            self.note(node, Choice::Fetch);
        } else {
            self.note(node, Choice::Ask(0, None));
        }
        self.ask(*child, Parent::Frame(at, if fetches { FETCH } else { PASS }), context, turn);
    }

    /// Returns the time at which the caller calls [`Self::expire`], if it is not over by then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the waits that end at `until` or before it. Their nodes go on without the answers.
    pub fn expire(&mut self, until: Instant, turn: &mut Turn<'_>) {
        let due = |frame: &Frame| frame.waiting > 0 && frame.until.is_some_and(|end| end <= until);
        // A node that goes on may end the wait of another one.
        while let Some(at) = self.frames.iter().position(due) {
            self.on_time(at, turn);
        }
        let waits = self.frames.iter().filter(|frame| frame.waiting > 0);
        self.deadline = waits.filter_map(|frame| frame.until).min();
    }

    /// Ends the wait of a frame.
    fn on_time(&mut self, at: usize, turn: &mut Turn<'_>) {
        let Some(frame) = self.frames.get_mut(at) else { return };
        let late = Outcome { mark: Mark::Error, source: Source::Late };
        match turn.routes.nodes.get(frame.node) {
            Some(Route::Failover { .. }) => {
                let child = frame.asked;
                self.on_child(at, child, late, turn);
            }
            _ => {
                let outcome = frame.kept.map_or(late, |(_, outcome)| outcome);
                self.done(at, outcome, turn);
            }
        }
    }

    /// Returns whether the client has its answer.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Returns whether all sends have their replies.
    pub fn is_over(&self) -> bool {
        self.waiting == 0
    }

    /// Returns the request of a send or a look.
    pub fn work(&self, number: usize) -> Option<Work> {
        self.sends.get(number).map(|sent| sent.work)
    }

    /// Returns the index of the pool of a send, or [`LOCAL`].
    pub fn pool(&self, number: usize) -> Option<usize> {
        self.sends.get(number)?.pool
    }

    fn take_parent(&mut self, number: usize) -> Option<Parent> {
        let parent = self.sends.get_mut(number)?.parent.take()?;
        self.waiting -= 1;
        Some(parent)
    }

    /// Adds a send. Returns its number.
    fn add(&mut self, work: Work, pool: Option<usize>, parent: Parent) -> usize {
        self.sends.push(Sent { work, pool, parent: Some(parent) });
        self.waiting += 1;
        self.sends.len() - 1
    }

    /// Returns the notes since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, node: NodeId, choice: Choice) {
        if let Some(notes) = &mut self.notes {
            notes.push(Note { node, choice });
        }
    }

    /// Returns a number below `count` for a node that draws.
    fn draw(request: &Request<'_>, node: NodeId, count: u64) -> u64 {
        let mut bits = request.draw ^ (node as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31).checked_rem(count).unwrap_or(0)
    }

    /// Carries a request to a node and on, as far as it gets without a reply.
    fn ask(&mut self, mut node: NodeId, parent: Parent, mut context: Context, turn: &mut Turn<'_>) {
        loop {
            match self.step(node, &mut context, turn) {
                Step::Send(pool) => {
                    let Context { work, ttl } = context;
                    let number = self.add(work, Some(pool), parent);
                    return turn.actions.push(Action::Send(Send { number, pool, work, ttl }));
                }
                Step::Answer(mark, source) => return self.answer(parent, Outcome { mark, source }, turn),
                Step::Wait(children) => return self.ask_some(node, children, parent, context, turn),
                Step::Go(child) => node = child,
                Step::Look => {
                    let frame = self.frame(node, parent, context, 1, turn);
                    let number = self.add(Work::Item, None, Parent::Frame(frame, PASS));
                    return turn.actions.push(Action::Look(number, node));
                }
                Step::Write(child) => {
                    let frame = self.frame(node, parent, context, 1, turn);
                    turn.actions.push(Action::Remove(node));
                    return self.ask(child, Parent::Frame(frame, WRITE), context, turn);
                }
                Step::GoAndDrop(child, other, with) => {
                    self.ask(child, parent, context, turn);
                    return self.ask(other, Parent::None, with, turn);
                }
            }
        }
    }

    /// Decides what a node does first.
    fn step<'a>(&mut self, node: NodeId, context: &mut Context, turn: &mut Turn<'a>) -> Step<'a> {
        let Turn { routes, request, .. } = *turn;
        let kind = context.work.kind(request.command);
        let delete = Context { work: Work::Delete, ttl: None };
        let (choice, step) = match routes.nodes.get(node) {
            Some(Route::Pool(pool)) => return Step::Send(*pool),
            Some(Route::Local) => return Step::Send(LOCAL),
            Some(Route::Null) | None => (Choice::Answer, Step::Answer(null(kind), Source::Null)),
            Some(Route::Error(_)) => (Choice::Answer, Step::Answer(Mark::Error, Source::Error(node))),
            Some(Route::Failover { children, .. }) => {
                (Choice::Ask(0, None), Step::Wait(children.get(..1).unwrap_or_default()))
            }
            Some(Route::AllSync { children, .. } | Route::AllFastest { children, .. }) => {
                (Choice::AskAll, Step::Wait(children))
            }
            Some(Route::WarmUp { new, old }) => match (kind, context.work) {
                (Kind::Read, _) => (Choice::Ask(0, None), Step::Wait(slice::from_ref(new))),
                // An item that fills this node is not newer than that of `old`.
                (Kind::Change | Kind::Server, _) | (_, Work::Fill(_)) => {
                    (Choice::Ask(0, None), Step::Go(*new))
                }
                (Kind::Store | Kind::Delete, _) => (Choice::DeleteOld, Step::GoAndDrop(*new, *old, delete)),
            },
            Some(Route::Random(children)) => {
                let drawn = Self::draw(&request, node, children.len() as u64) as usize;
                (Choice::Drew(drawn), go(children.get(drawn)))
            }
            Some(Route::Ttl(child, rule)) => {
                context.ttl = Some(rule.inside(context.ttl));
                let takes = context.work.command(request.command).takes_ttl();
                (if takes { Choice::Ttl } else { Choice::Ask(0, None) }, Step::Go(*child))
            }
            Some(Route::Shadow { child, to, percent }) => {
                let copied = Self::draw(&request, node, 100) < u64::from(*percent);
                let step = if copied { Step::GoAndDrop(*child, *to, *context) } else { Step::Go(*child) };
                (Choice::Copy(copied), step)
            }
            // Others change the item, or want more of it than a value.
            Some(Route::Hot(child, _)) => match kind {
                Kind::Read if matches!(context.work.command(request.command).word, "get" | "gets" | "mg") => {
                    return Step::Look;
                }
                Kind::Read | Kind::Server => (Choice::Ask(0, None), Step::Go(*child)),
                Kind::Store | Kind::Delete | Kind::Change => (Choice::Remove, Step::Write(*child)),
            },
            Some(Route::Migrate { from, to, start, interval }) => {
                let (time, moved) = (turn.millis / 1000, start.saturating_add(*interval));
                let (answers, other) = if time < moved { (*from, *to) } else { (*to, *from) };
                let both = (*start..moved.saturating_add(*interval)).contains(&time) && kind == Kind::Delete;
                let step = if both { Step::GoAndDrop(answers, other, delete) } else { Step::Go(answers) };
                (Choice::Phase(usize::from(time >= moved), both), step)
            }
            Some(Route::RateLimit { child, over, tokens, every_ms, burst, limit, counter }) => {
                let take = |bucket: &mut Bucket| bucket.take(turn.millis, *tokens, *every_ms, *burst);
                let token = match routes.limits.get(*limit).and_then(|limit| limit.shared.as_ref()) {
                    Some(shared) => take(&mut shared.lock()),
                    None => turn.buckets.get_mut(*limit).is_some_and(take),
                };
                routes.count(counter.filter(|_| !token));
                (Choice::Token(token), Step::Go(if token { *child } else { *over }))
            }
            Some(Route::ByPrefix { prefixes, default }) => {
                let key = request.key;
                let found = prefixes.iter().position(|(prefix, _)| key.starts_with(prefix.as_bytes()));
                let child = found.and_then(|at| prefixes.get(at)).map_or(default, |(_, child)| child);
                (Choice::Match(found), Step::Go(*child))
            }
            Some(Route::ByPart { start, stop, parts, default }) => {
                let part = part_of(request.key, start, stop);
                let found = part.and_then(|part| parts.iter().position(|(name, _)| name.as_bytes() == part));
                let child = found.and_then(|at| parts.get(at)).map_or(default, |(_, child)| child);
                (Choice::Match(found), Step::Go(*child))
            }
            Some(Route::ByCommand { groups, default }) => {
                let found = group_of(groups, context.work.command(request.command));
                let child = found.and_then(|at| groups.get(at)).map_or(default, |(_, child)| child);
                (Choice::Match(found), Step::Go(*child))
            }
        };
        self.note(node, choice);
        step
    }

    /// Makes a frame that waits for some children. Returns its index.
    fn frame(
        &mut self,
        node: NodeId,
        parent: Parent,
        context: Context,
        waiting: usize,
        turn: &Turn<'_>,
    ) -> usize {
        let until = self.until(node, turn);
        self.frames.push(Frame { node, parent, context, waiting, asked: 0, kept: None, until });
        self.frames.len() - 1
    }

    /// Returns the time until which a node waits if it asks now. Sees to it that the caller comes
    /// back by then.
    fn until(&mut self, node: NodeId, turn: &Turn<'_>) -> Option<Instant> {
        let until = turn.now.checked_add(turn.routes.nodes.get(node)?.wait()?)?;
        self.deadline = Some(self.deadline.map_or(until, |earlier| earlier.min(until)));
        Some(until)
    }

    /// Makes a frame that waits for these children, and asks them.
    fn ask_some(
        &mut self,
        node: NodeId,
        children: &[NodeId],
        parent: Parent,
        context: Context,
        turn: &mut Turn<'_>,
    ) {
        let frame = self.frame(node, parent, context, children.len(), turn);
        for (index, child) in children.iter().enumerate() {
            self.ask(*child, Parent::Frame(frame, index), context, turn);
        }
    }

    /// Hands an outcome to its receiver.
    fn answer(&mut self, parent: Parent, outcome: Outcome, turn: &mut Turn<'_>) {
        match parent {
            Parent::None => {}
            Parent::Client => {
                self.is_finished = true;
                turn.actions.push(Action::Finish(outcome));
            }
            Parent::Frame(frame, child) => self.on_child(frame, child, outcome, turn),
        }
    }

    /// Takes the outcome of a child of a frame.
    fn on_child(&mut self, at: usize, child: usize, outcome: Outcome, turn: &mut Turn<'_>) {
        let routes = turn.routes;
        let Some(frame) = self.frames.get_mut(at) else { return };
        let (node, context) = (frame.node, frame.context);
        // The frame has answered, or waits for another child.
        if frame.waiting == 0 || child < frame.asked {
            return;
        }
        frame.waiting -= 1;
        let next = match routes.nodes.get(node) {
            Some(Route::Failover { children, until_hit, tries, counter, .. }) => {
                if !fails(outcome, *until_hit) {
                    return self.done(at, outcome, turn);
                }
                frame.keep(child, outcome, |new, kept| kept.mark == Mark::Error || new.mark < kept.mark);
                let next = children.get(child + 1).filter(|_| child + 1 < *tries);
                next.map(|next| {
                    routes.count(*counter);
                    (*next, context)
                })
            }
            Some(Route::AllSync { last: true, .. }) => {
                let is_error = |outcome: Outcome| outcome.mark == Mark::Error;
                let takes =
                    frame.kept.is_none_or(|(before, kept)| match (is_error(outcome), is_error(kept)) {
                        (true, true) => child < before,
                        (false, false) => child > before,
                        (new, _) => new,
                    });
                if takes {
                    frame.kept = Some((child, outcome));
                }
                None
            }
            Some(Route::AllSync { .. }) => {
                frame.keep(child, outcome, |new, kept| new.mark > kept.mark);
                None
            }
            Some(Route::AllFastest { until_hit, .. }) => {
                if !fails(outcome, *until_hit) {
                    return self.done(at, outcome, turn);
                }
                frame.keep(child, outcome, |new, kept| new.mark < kept.mark);
                None
            }
            Some(Route::WarmUp { new, old }) => match (child, outcome) {
                (0, Outcome { mark: Mark::Miss, .. }) => {
                    frame.kept = Some((child, outcome));
                    Some((*old, Context { work: Work::Item, ttl: context.ttl }))
                }
                (0, _) => return self.done(at, outcome, turn),
                (_, Outcome { mark: Mark::Good, source: Source::Reply(number) }) => {
                    self.done(at, outcome, turn);
                    self.note(node, Choice::Fill);
                    let fill = Context { work: Work::Fill(number), ttl: context.ttl };
                    return self.ask(*new, Parent::None, fill, turn);
                }
                // The miss of the new node stands.
                _ => None,
            },
            Some(Route::Hot(..)) => {
                match child {
                    FETCH => turn.actions.push(Action::Fetched(node, outcome)),
                    WRITE => turn.actions.push(Action::Remove(node)),
                    _ => {}
                }
                return self.done(at, outcome, turn);
            }
            _ => None,
        };
        let until = next.and_then(|_| self.until(node, turn));
        match (next, self.frames.get_mut(at)) {
            (Some((next, context)), Some(frame)) => {
                (frame.waiting, frame.asked, frame.until) = (1, child + 1, until);
                self.note(node, Choice::Ask(child + 1, Some(outcome.mark)));
                self.ask(next, Parent::Frame(at, child + 1), context, turn);
            }
            (None, Some(Frame { waiting: 0, kept, .. })) => {
                let outcome = kept.map_or(outcome, |(_, outcome)| outcome);
                self.done(at, outcome, turn);
            }
            _ => {}
        }
    }

    /// Hands the outcome of a frame to its parent. Later outcomes of its children are dropped.
    fn done(&mut self, at: usize, outcome: Outcome, turn: &mut Turn<'_>) {
        let Some(frame) = self.frames.get_mut(at) else { return };
        frame.waiting = 0;
        let (node, parent) = (frame.node, frame.parent);
        self.note(node, Choice::Done(outcome.mark));
        self.answer(parent, outcome, turn);
    }
}

impl Frame {
    /// Keeps an outcome if there is none yet, or if it is better than the one that is kept. Of
    /// equal ones that of the first child counts, in the order of the configuration.
    fn keep(&mut self, child: usize, outcome: Outcome, is_better: impl Fn(Outcome, Outcome) -> bool) {
        let takes = self.kept.is_none_or(|(first, kept)| {
            is_better(outcome, kept) || outcome.mark == kept.mark && child < first
        });
        if takes {
            self.kept = Some((child, outcome));
        }
    }
}

/// Leaves the request to a child. A node without one has a miss.
fn go(child: Option<&NodeId>) -> Step<'static> {
    child.map_or(Step::Answer(Mark::Miss, Source::Null), |child| Step::Go(*child))
}

/// Returns the mark of the answer of `null`. A write gets `NOT_STORED` or `NOT_FOUND`, which is
/// good, as from a backend.
fn null(kind: Kind) -> Mark {
    if kind == Kind::Read { Mark::Miss } else { Mark::Good }
}

/// Returns whether an outcome makes its node look further.
fn fails(outcome: Outcome, until_hit: bool) -> bool {
    outcome.mark == Mark::Error || until_hit && outcome.mark == Mark::Miss
}

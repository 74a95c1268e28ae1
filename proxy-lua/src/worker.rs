//! The state of one virtual machine of a worker: function generators, request contexts, and the
//! routes that programs attach.
//!
//! ```text
//!   route of a command ──▶ Generator ── free contexts ──▶ Context: coroutine, handles, waits
//! ```
//!
//! Functions of the API and the engine share it. Neither keeps it borrowed while Lua runs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use memcache_core::Tag;
use memcache_core::internal::base::watch::{WatchHub, kind};
use memcache_core::internal::protocol::output::SlotId;
use memcache_core::internal::proxy::command::COMMANDS;
use memcache_core::internal::proxy::hooks::Hooks;
use memcache_core::internal::proxy::request::{Quiet, Refusal};
use memcache_core::internal::proxy::slots::Slots;
use mlua::{AnyUserData, Function, Value};

use crate::coroutine::Coroutine;
use crate::easing::Easing;
use crate::functions::Functions;
use crate::line;
use crate::object::{Object, Outcome, Request};
use crate::pool::Pool;
use crate::response::Response;
use crate::router::Router;
use crate::wait::{End, Waits};

/// The state that the API and the engine share.
pub type Shared = Rc<RefCell<Worker>>;

/// Commands by number.
const NUMBERS: usize = 21;

/// The target of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A generator.
    Generator(usize),
    /// A router.
    Router(usize),
}

/// A router to generators.
#[derive(Debug)]
pub struct RouterSlot {
    /// The router.
    pub router: Router<usize>,
    /// Routes that use it.
    pub users: usize,
    /// Whether all of them were replaced. It is not used again.
    pub is_closed: bool,
}

/// A pool, and the links of a worker to each of its backends.
#[derive(Debug)]
pub struct LinkedPool {
    /// The pool.
    pub pool: Arc<Pool>,
    /// For each backend, its links.
    pub links: Vec<Vec<usize>>,
    /// For each backend, its host and port.
    pub names: Vec<Rc<str>>,
}

/// Where a handle leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// To the backends of a pool.
    Pool(Rc<LinkedPool>),
    /// To the cache of this server.
    Internal,
    /// To another function.
    Generator(usize),
}

/// A function that makes the functions of requests.
#[derive(Debug, Default)]
pub struct Generator {
    /// Name in statistics.
    pub name: String,
    /// The function, once the generator is ready.
    pub function: Option<Function>,
    /// Its second argument.
    pub argument: Option<Value>,
    /// Where the handles of its contexts lead.
    pub targets: Vec<Target>,
    /// Most objects that a context may own.
    pub objects: usize,
    /// Levels of functions that its handles lead to.
    pub levels: usize,
    /// Routes and handles that use it.
    pub users: usize,
    /// Whether all its users were replaced. It is not used again.
    pub is_closed: bool,
    /// Whether the program has no object of it any more.
    pub is_lost: bool,
    /// Contexts without a request.
    pub free: Vec<usize>,
    /// All contexts.
    pub total: usize,
    /// Frees contexts that are not needed.
    pub easing: Easing,
}

/// A handle of a context.
#[derive(Debug)]
pub struct Handle {
    /// The result.
    pub result: Option<Outcome>,
    /// The object for responses of backends, which is used again.
    pub response: Rc<Object<Response>>,
    /// The request.
    pub request: Option<Rc<Object<Request>>>,
    /// Called with the result.
    pub callback: Option<Function>,
    /// The context of the function that it leads to.
    pub child: Option<usize>,
    /// When the request was sent.
    pub sent: Instant,
    /// The pool, and the number of the backend in it.
    pub to: Option<(Rc<LinkedPool>, usize)>,
}

/// The client of a context.
#[derive(Debug)]
pub struct Caller {
    /// Where the answer goes.
    pub asker: Asker,
    /// The replies that the client does not want.
    pub quiet: Quiet,
    /// Number of its command.
    pub command: u8,
    /// The answer in place of that of the program.
    pub refusal: Option<Refusal>,
}

/// The receiver of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    /// A client.
    Client(SlotId),
    /// A get of several keys, and the place of this key.
    Get(usize, usize),
}

/// A function with its coroutine and handles. It serves one request at a time.
#[derive(Debug)]
pub struct Context {
    /// Its generator.
    pub generator: usize,
    /// The coroutine that runs the function. `None` while the generator makes that.
    pub coroutine: Option<Rc<Coroutine>>,
    /// The context and the handle that it belongs to.
    pub parent: Option<(usize, usize)>,
    /// The request. A context without a parent uses the object again.
    pub request: Option<Rc<Object<Request>>>,
    /// The client, until it has its answer.
    pub caller: Option<Caller>,
    /// Descriptor of the client.
    pub fd: i32,
    /// The first common name in its certificate.
    pub common_name: Option<Arc<[u8]>>,
    /// The handles.
    pub handles: Vec<Handle>,
    /// Their states, and the wait.
    pub waits: Waits,
    /// The time of the timer that ends the wait.
    pub timer: Option<Instant>,
    /// Objects that are emptied after each request.
    pub objects: Vec<AnyUserData>,
    /// Bytes of values of the request and of its replies.
    pub held: usize,
}

/// The step of the engine after a coroutine has yielded.
#[derive(Debug)]
pub enum After {
    /// Sends queued requests, and waits.
    Wait,
    /// Sends queued requests, and goes on at once.
    Send,
    /// Waits for a timer.
    Sleep,
    /// Carries out a request on the cache of this server.
    Internal(Rc<Object<Request>>),
}

/// A step of the engine.
#[derive(Debug)]
pub enum Event {
    /// A handle of a context has a response in its object.
    Reply { context: usize, handle: usize },
    /// The function of a handle has returned. With `is_over`, its context has no requests left.
    Returned { context: usize, handle: usize, result: Outcome, is_over: bool },
    /// A wait has ended.
    Resume { context: usize, end: End, late: bool },
    /// A coroutine goes on with a value.
    Go { context: usize, value: Value },
}

/// Most lines for watchers of one run of a function. Each takes a lock that all workers share.
const LINES_MAX: usize = 1000;

/// The state of a virtual machine.
#[derive(Debug, Default)]
pub struct Worker {
    /// Function generators.
    pub generators: Slots<Generator>,
    /// Routers.
    pub routers: Slots<RouterSlot>,
    /// Generators that may have neither users nor an object.
    pub lost: Vec<usize>,
    /// Request contexts.
    pub contexts: Slots<Context>,
    /// The context whose function, callback or generator runs. Its object works only now.
    pub current: Option<usize>,
    /// Further steps, in their order.
    pub events: VecDeque<Event>,
    /// Steps for the next turn of the engine. A function may ask for such steps without end.
    pub later: VecDeque<Event>,
    /// The watchers of the server. There are none while the program is loaded.
    pub watchers: Arc<WatchHub>,
    /// Lines of the function that runs.
    pub lines: Cell<usize>,
    /// Counts the functions of all workers.
    pub functions: Arc<Functions>,
    draw: u64,
    /// Bytes of objects that programs have made outside of the memory of Lua, since the last
    /// collection of garbage.
    pub made: usize,
    /// Bytes of values that all contexts hold.
    pub held: usize,
    /// Beyond this, no further values are taken. 0 for no limit.
    pub held_limit: usize,
    routes: Routes,
    tagged: Vec<(String, Routes)>,
    /// The timers of contexts, by time.
    timers: BTreeSet<(Instant, usize)>,
}

/// The functions of a machine that has ended, or could not load, are not counted.
impl Drop for Worker {
    fn drop(&mut self) {
        for generator in self.generators.iter().filter(|generator| generator.function.is_some()) {
            let contexts = i64::try_from(generator.total).unwrap_or(i64::MAX);
            self.functions.add(&generator.name, -1, -contexts);
        }
    }
}

/// The target of each command, by its number.
type Routes = [Option<Route>; NUMBERS];

impl Worker {
    /// Attaches a target to a command. Returns the one that it replaces.
    pub fn attach(&mut self, command: usize, target: Route, tag: Option<&str>) -> Option<Route> {
        let routes = match tag {
            None => &mut self.routes,
            Some(tag) => {
                let at = self.tagged.iter().position(|(own, _)| own == tag).unwrap_or_else(|| {
                    self.tagged.push((tag.to_owned(), Routes::default()));
                    self.tagged.len() - 1
                });
                &mut self.tagged.get_mut(at)?.1
            }
        };
        routes.get_mut(command)?.replace(target)
    }

    /// Returns the generator of a request.
    pub fn route(&self, command: u8, key: &[u8], tag: Option<Tag>) -> Option<usize> {
        let of = |routes: &Routes| routes.get(usize::from(command)).copied().flatten();
        let tagged = tag.and_then(|_| self.tagged.iter().find(|(own, _)| Tag::new(own) == tag));
        match tagged.and_then(|(_, routes)| of(routes)).or_else(|| of(&self.routes))? {
            Route::Generator(generator) => Some(generator),
            Route::Router(router) => self.routers.get(router)?.router.target(command, key).copied(),
        }
    }

    /// Returns the commands with a route.
    pub fn hooks(&self) -> Hooks {
        let commands = |routes: &Routes| {
            let mut commands = memcache_core::internal::proxy::hooks::Commands::NONE;
            for command in &COMMANDS {
                if routes.get(usize::from(command.number)).copied().flatten().is_some() {
                    commands.add(command.word);
                }
            }
            commands
        };
        let tagged = self.tagged.iter().filter_map(|(tag, routes)| Some((Tag::new(tag)?, commands(routes))));
        Hooks { common: commands(&self.routes), tagged: tagged.collect(), is_lenient: true }
    }

    /// Writes a line if a watcher wants its kind.
    pub fn event(&self, kind: u32, line: impl FnOnce() -> String) {
        if self.watchers.wants(kind) {
            self.watchers.event(kind, |out| out.push_str(&line()));
        }
    }

    /// Like [`Self::event`], for a line that a program asks for. Lines beyond [`LINES_MAX`] are
    /// lost.
    pub fn line(&self, kind: u32, line: impl FnOnce() -> String) {
        if self.lines.get() < LINES_MAX {
            self.event(kind, || {
                self.lines.set(self.lines.get() + 1);
                line()
            });
        }
    }

    /// Writes a line about a fault of a program.
    pub fn report(&self, text: &str) {
        self.event(kind::PROXYEVENTS, || line::fault(text));
    }

    /// Returns `true` once in `rate` calls, at random. Never if `rate` is 0.
    pub fn draw(&mut self, rate: u64) -> bool {
        // Splitmix.
        self.draw = self.draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.draw;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31).checked_rem(rate) == Some(0)
    }

    /// Adds bytes to those that a context holds.
    pub fn hold(&mut self, context: usize, bytes: usize) {
        if let Some(context) = self.contexts.get_mut(context) {
            context.held += bytes;
            self.held += bytes;
        }
    }

    /// Returns whether contexts hold more bytes than the limit allows. As in memcached, the value
    /// that exceeds the limit is kept, and later ones are refused.
    pub fn is_full(&self) -> bool {
        self.held_limit > 0 && self.held > self.held_limit
    }

    /// Adds a user to a generator.
    pub fn retain(&mut self, generator: usize) {
        if let Some(generator) = self.generators.get_mut(generator) {
            generator.users += 1;
        }
    }

    /// Removes a user of a generator. Without users it is closed.
    pub fn release(&mut self, number: usize) {
        if let Some(generator) = self.generators.get_mut(number) {
            generator.users = generator.users.saturating_sub(1);
            generator.is_closed = generator.users == 0;
            if generator.is_closed && generator.is_lost {
                self.lost.push(number);
            }
        }
    }

    /// Records that the program has no object of a generator any more.
    pub fn lose(&mut self, number: usize) {
        if let Some(generator) = self.generators.get_mut(number) {
            generator.is_lost = true;
            if generator.users == 0 {
                self.lost.push(number);
            }
        }
    }

    /// Adds a route to the users of its target.
    pub fn retain_target(&mut self, target: Route) {
        match target {
            Route::Generator(generator) => self.retain(generator),
            Route::Router(router) => {
                if let Some(slot) = self.routers.get_mut(router) {
                    slot.users += 1;
                }
            }
        }
    }

    /// Removes a route from the users of its target.
    pub fn release_target(&mut self, target: Route) {
        let router = match target {
            Route::Generator(generator) => return self.release(generator),
            Route::Router(router) => router,
        };
        let Some(slot) = self.routers.get_mut(router) else { return };
        slot.users = slot.users.saturating_sub(1);
        slot.is_closed = slot.users == 0;
        let targets: Vec<usize> =
            if slot.is_closed { slot.router.targets().copied().collect() } else { Vec::new() };
        targets.into_iter().for_each(|generator| self.release(generator));
    }

    /// Sets the timer of a context, unless it has one.
    pub fn set_timer(&mut self, context: usize, at: Instant) {
        if let Some(one) = self.contexts.get_mut(context)
            && one.timer.is_none()
        {
            one.timer = Some(at);
            self.timers.insert((at, context));
        }
    }

    /// Removes the timer of a context.
    pub fn clear_timer(&mut self, context: usize) {
        if let Some(at) = self.contexts.get_mut(context).and_then(|one| one.timer.take()) {
            self.timers.remove(&(at, context));
        }
    }

    /// Returns the time of the next timer.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes a context whose timer is due.
    pub fn expire(&mut self, now: Instant) -> Option<usize> {
        let &(at, context) = self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        self.contexts.get_mut(context)?.timer = None;
        Some(context)
    }

    /// Lets the function of a context go on after its wait.
    pub fn end_wait(&mut self, context: usize, end: End) {
        self.clear_timer(context);
        self.events.push_back(Event::Resume { context, end, late: false });
    }
}

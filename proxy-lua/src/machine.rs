//! One virtual machine of a worker, with the requests that run in it.

use std::time::Instant;

use std::rc::Rc;

use memcache_core::internal::base::watch::kind;
use memcache_core::internal::proxy::engine::{Client, Host};
use memcache_core::internal::proxy::links::Ask;
use memcache_core::internal::proxy::request::{ClientRequest, Quiet};
use mlua::{AnyUserData, Lua, Thread, Value};

use crate::api::constants::wait;
use crate::api::context::{Call, coroutine};
use crate::api::error;
use crate::api::errors::{message, summary};
use crate::api::log;
use crate::loaded::Loaded;
use crate::object::{Held, Object, Request, value_of};
use crate::response::{Response, code};
use crate::slot;
use crate::vm::{self, Budget, WorkerVm};
use crate::wait::{End, Rank, State};
use crate::worker::{After, Asker, Caller, Event, Shared, Target};

/// Longest text of a function that a client gets.
const TEXT_MAX: usize = 1024;

/// Bits of the number of a machine in the name of an ask.
pub const MACHINE_BITS: u32 = 16;

/// Number of `mg`.
const MG: u8 = 1;

const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";
const START_FAILURE: &[u8] = b"SERVER_ERROR lua start failure\r\n";
const FAILURE: &[u8] = b"SERVER_ERROR lua failure\r\n";
const BAD_RESPONSE: &[u8] = b"SERVER_ERROR bad response\r\n";
const BAD_REQUEST: &[u8] = b"SERVER_ERROR bad request\r\n";
const BACKEND_FAILURE: &[u8] = b"SERVER_ERROR backend failure\r\n";

/// The kinds of watchers, by the number of a [`crate::worker::LineKind`].
const KINDS: [u32; 3] = [kind::PROXYREQS, kind::PROXYEVENTS, kind::PROXYUSER];

/// An answer: where it goes, and its bytes.
pub type Answers = Vec<(Asker, Vec<u8>)>;

/// A virtual machine and its requests.
#[derive(Debug)]
pub struct Machine {
    lua: Lua,
    shared: Shared,
    /// Steps of the function that runs.
    budget: Budget,
    /// Links to release with the machine.
    links: Vec<usize>,
    /// Number of the machine in its engine, which its asks contain.
    pub number: usize,
    /// Contexts with a request of a client. It may have its answer, and wait for backends still.
    pub active: usize,
    /// How much memory grows before garbage is collected.
    gc_ratio: f64,
    /// Bytes of memory at which garbage is collected.
    gc_at: usize,
}

/// The values with which a coroutine goes on.
enum Go {
    /// It begins with a request.
    Begin(AnyUserData),
    /// Its wait returns a value, and `true` if the time was over.
    On { value: Option<Value>, late: bool },
    /// Its wait fails.
    Fail(String),
}

impl Go {
    /// Resumes a coroutine. Returns the first values that it yields or returns.
    fn resume(self, thread: &Thread) -> mlua::Result<(Value, Value, Value, Value)> {
        match self {
            Self::Begin(request) => thread.resume(request),
            Self::On { value: None, late: false } => thread.resume(true),
            Self::On { value: Some(value), late: false } => thread.resume((true, value)),
            Self::On { value: None, late: true } => thread.resume((true, true)),
            Self::On { value: Some(value), late: true } => thread.resume((true, value, true)),
            Self::Fail(text) => thread.resume((false, text)),
        }
    }
}

/// The function of a context has ended.
enum Ended {
    Returned(Value),
    Failed,
    BadRequest,
}

impl Machine {
    /// Loads a configuration.
    ///
    /// # Errors
    /// The line that says what failed.
    pub fn load(loaded: &Loaded, host: &mut Host<'_>) -> Result<Self, String> {
        let WorkerVm { lua, shared, budget, links } = vm::worker(loaded, host.links)?;
        shared.borrow_mut().held_limit = usize::try_from(loaded.memory_limit()).unwrap_or(usize::MAX);
        lua.gc_stop();
        let gc_ratio = loaded.settings.gc_ratio;
        let mut machine = Self { lua, shared, budget, links, number: 0, active: 0, gc_ratio, gc_at: 0 };
        machine.set_gc(host);
        machine.log(host);
        Ok(machine)
    }

    /// Takes steps of the collection of garbage, if memory has grown enough. As in memcached, each
    /// fifth of the limit in excess of it is one step more.
    fn collect(&mut self, host: &Host<'_>) {
        let used = self.lua.used_memory().saturating_add(self.shared.borrow().made);
        let Some(excess) = used.checked_sub(self.gc_at) else { return };
        for _ in 0..=excess / (self.gc_at / 5).max(1) {
            if self.lua.gc_step().unwrap_or(true) {
                host.links.counters().vm_collections.add(1);
                self.shared.borrow_mut().made = 0;
                return self.set_gc(host);
            }
        }
    }

    fn set_gc(&mut self, host: &Host<'_>) {
        let used = self.lua.used_memory();
        self.gc_at = (used as f64 * self.gc_ratio) as usize;
        host.links.counters().vm_memory.set(used as u64 / 1024);
    }

    /// Returns the state that the API shares.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Releases the links of a machine that is not used any more.
    pub fn close(self, host: &mut Host<'_>) {
        self.links.iter().for_each(|link| host.links.release(*link));
    }

    /// Begins a request of a client. As in memcached, results that are there at once count when the
    /// requests that came with it have begun, too: the caller then calls [`Self::expire`].
    pub fn begin(
        &mut self,
        asker: Asker,
        client: &Client,
        request: ClientRequest,
        host: &mut Host<'_>,
        answers: &mut Answers,
    ) {
        self.watch(host);
        // A function that does not wait has no other step that does it.
        self.collect(host);
        self.budget.set(0);
        let command = request.command.number;
        if !request.value().is_empty() && self.shared.borrow().is_full() {
            host.links.counters().no_memory.add(1);
            return answers.push((asker, NO_MEMORY.to_vec()));
        }
        let route = self.shared.borrow().route(command, request.key(), client.tag);
        let taken = route.map(|generator| slot::take(&self.lua, &self.shared, generator));
        let context = match taken {
            Some(Ok(context)) => context,
            Some(Err(fault)) => {
                self.report(&summary(&fault));
                self.log(host);
                return answers.push((asker, START_FAILURE.to_vec()));
            }
            None => return answers.push((asker, START_FAILURE.to_vec())),
        };
        self.shared.borrow_mut().hold(context, request.value().len());
        let (quiet, refusal) = (request.quiet, request.refusal);
        let object = {
            let mut worker = self.shared.borrow_mut();
            let Some(one) = worker.contexts.get_mut(context) else { return };
            one.waits.add();
            one.caller = Some(Caller { asker, quiet, command, refusal });
            (one.fd, one.common_name) = (client.fd, client.common_name.clone());
            one.request.take()
        };
        let object = match object {
            Some(object) => object,
            None => match Object::new(&self.lua, Request(None)) {
                Ok(object) => object,
                Err(_) => {
                    slot::give_back(&self.shared, context);
                    return answers.push((asker, START_FAILURE.to_vec()));
                }
            },
        };
        object.value.borrow_mut().0 = Some(request);
        let lua = object.lua.clone();
        if let Some(one) = self.shared.borrow_mut().contexts.get_mut(context) {
            one.request = Some(object);
        }
        self.active += 1;
        self.start(context, lua, host, answers);
        self.log(host);
    }

    /// Returns whether [`Self::expire`] has something to do at once.
    pub fn has_events(&self) -> bool {
        let worker = self.shared.borrow();
        !worker.events.is_empty() || !worker.later.is_empty()
    }

    /// Takes the reply to a request of a handle, or its absence.
    pub fn reply(
        &mut self,
        context: usize,
        handle: usize,
        reply: Option<&[u8]>,
        host: &mut Host<'_>,
        answers: &mut Answers,
    ) {
        self.watch(host);
        let response = reply.map_or_else(Response::failed, |bytes| Response::parse(bytes.to_vec()));
        self.arrived(context, handle, response, host.now);
        self.run(host, answers);
    }

    /// Carries out the steps that were left for this turn, and ends waits that end at `until` or
    /// before it.
    pub fn expire(&mut self, until: Instant, host: &mut Host<'_>, answers: &mut Answers) {
        self.watch(host);
        {
            let worker = &mut *self.shared.borrow_mut();
            worker.events.append(&mut worker.later);
        }
        // An answer that has come is in time.
        self.run(host, answers);
        loop {
            let due = self.shared.borrow_mut().expire(until);
            let Some(context) = due else { break };
            let mut worker = self.shared.borrow_mut();
            let end = worker.contexts.get_mut(context).and_then(|context| context.waits.expire());
            worker.events.extend(end.map(|end| Event::Resume { context, end, late: true }));
        }
        self.run(host, answers);
    }

    /// Puts a response into the object of a handle.
    fn arrived(&self, context: usize, handle: usize, mut response: Response, now: Instant) {
        let mut worker = self.shared.borrow_mut();
        worker.hold(context, response.bytes().len());
        let Some(one) = worker.contexts.get_mut(context).and_then(|one| one.handles.get_mut(handle)) else {
            return;
        };
        response.elapsed = now.saturating_duration_since(one.sent).as_micros().try_into().unwrap_or(u64::MAX);
        response.backend = one.to.as_ref().and_then(|(pool, at)| pool.names.get(*at).cloned());
        *one.response.value.borrow_mut() = response;
        one.result = Value::UserData(one.response.lua.clone());
        worker.events.push_back(Event::Reply { context, handle });
    }

    /// Carries out events until there are none, except those for the next turn.
    fn run(&mut self, host: &mut Host<'_>, answers: &mut Answers) {
        loop {
            let event = self.shared.borrow_mut().events.pop_front();
            match event {
                None => break,
                Some(Event::Reply { context, handle }) => {
                    let rank = self.rank(context, handle);
                    let resume = self.call_back(context, handle, rank);
                    self.log_reply(context, handle);
                    self.remove(context);
                    self.check(context, handle, resume);
                }
                Some(Event::Returned { context, handle, value, is_over }) => {
                    let is_text = matches!(value, Value::String(_));
                    self.set_result(context, handle, value);
                    let resume = if is_text {
                        self.complete(context, handle, Rank::Text);
                        false
                    } else {
                        let rank = self.rank(context, handle);
                        self.call_back(context, handle, rank)
                    };
                    if is_over {
                        self.remove(context);
                    }
                    self.check(context, handle, resume);
                }
                Some(Event::Resume { context, end, late }) => {
                    let value = self.end_value(context, end);
                    self.resume(context, Go::On { value, late }, host, answers);
                }
                Some(Event::Go { context, value }) => {
                    self.resume(context, Go::On { value: Some(value), late: false }, host, answers);
                }
            }
        }
        self.log(host);
        self.collect(host);
    }

    /// Returns the rank of the response of a handle.
    fn rank(&self, context: usize, handle: usize) -> Rank {
        let worker = self.shared.borrow();
        let handle = worker.contexts.get(context).and_then(|context| context.handles.get(handle));
        let Some(Value::UserData(object)) = handle.map(|handle| &handle.result) else { return Rank::Error };
        value_of::<Response>(object).map_or(Rank::Error, |response| response.borrow().rank())
    }

    fn set_result(&self, context: usize, handle: usize, value: Value) {
        let mut worker = self.shared.borrow_mut();
        let handle = worker.contexts.get_mut(context).and_then(|one| one.handles.get_mut(handle));
        if let Some(handle) = handle {
            handle.result = value;
        }
    }

    fn complete(&self, context: usize, handle: usize, rank: Rank) {
        if let Some(one) = self.shared.borrow_mut().contexts.get_mut(context) {
            one.waits.complete(handle, rank);
        }
    }

    /// Completes a handle after its callback, if it has one. Returns whether the callback ends the
    /// wait.
    fn call_back(&mut self, context: usize, handle: usize, mut rank: Rank) -> bool {
        let call = {
            let worker = self.shared.borrow();
            let handle = worker.contexts.get(context).and_then(|one| one.handles.get(handle));
            handle.and_then(|handle| {
                let callback = handle.callback.clone()?;
                let request = handle.request.as_ref().map(|request| request.lua.clone());
                Some((callback, handle.result.clone(), request))
            })
        };
        let mut resume = false;
        if let Some((callback, result, request)) = call {
            self.budget.set(0);
            self.shared.borrow_mut().current = Some(context);
            let called = callback.call::<(Value, Value)>((result, request));
            self.shared.borrow_mut().current = None;
            match called {
                Ok((Value::Integer(mode), ends)) => {
                    match mode {
                        wait::GOOD => rank = Rank::Good,
                        wait::OK => rank = Rank::Ok,
                        _ => {}
                    }
                    resume = ends.as_boolean().unwrap_or(!ends.is_nil());
                }
                Ok(_) => {}
                Err(fault) => self.report(&summary(&fault)),
            }
        }
        self.complete(context, handle, rank);
        resume
    }

    /// Logs a reply by the rules of its backend.
    fn log_reply(&self, context: usize, handle: usize) {
        let mut worker = self.shared.borrow_mut();
        let Some(one) = worker.contexts.get(context) else { return };
        let (fd, rank) = (one.fd, one.waits.rank(handle).unwrap_or(Rank::Error));
        let Some(handle) = one.handles.get(handle) else { return };
        let Some((pool, at)) = &handle.to else { return };
        let Some(rules) = pool.pool.backends.get(*at).and_then(|backend| backend.log.clone()) else { return };
        let (Some(request), object) = (handle.request.clone(), handle.response.clone()) else { return };
        let (request, response) = (request.value.borrow(), object.value.borrow());
        let is_slow = rules.deadline > 0 && response.elapsed > rules.deadline.saturating_mul(1000);
        let is_error = rules.errors && !response.is_ok();
        if is_slow || is_error || worker.draw(rules.rate.into()) {
            log::log_reply(&mut worker, &request, &response, rank, fd, &rules.tag);
        }
    }

    /// Removes a request of a context that has its result.
    fn remove(&self, context: usize) {
        if let Some(one) = self.shared.borrow_mut().contexts.get_mut(context) {
            one.waits.remove();
        }
    }

    /// Counts the result of a handle, and ends the context if it was its last one.
    fn check(&mut self, context: usize, handle: usize, resume: bool) {
        let is_over = {
            let mut worker = self.shared.borrow_mut();
            let Some(one) = worker.contexts.get_mut(context) else { return };
            let end = one.waits.check(handle, resume);
            let is_over = one.waits.is_over();
            if let Some(end) = end {
                return worker.end_wait(context, end);
            }
            is_over
        };
        if is_over {
            self.over(context);
        }
    }

    /// Handles the end of a context: its function has returned, and all its requests have results.
    fn over(&mut self, mut context: usize) {
        loop {
            let parent = self.shared.borrow().contexts.get(context).and_then(|context| context.parent);
            let Some((parent, _)) = parent else {
                self.active = self.active.saturating_sub(1);
                return slot::give_back(&self.shared, context);
            };
            let mut worker = self.shared.borrow_mut();
            let Some(one) = worker.contexts.get_mut(parent) else { return };
            if !one.waits.remove() {
                // The parent may wait for more than the result of this function, which it has.
                if let Some(end) = one.waits.give_up() {
                    worker.end_wait(parent, end);
                }
                return;
            }
            context = parent;
        }
    }

    /// Returns the first value that a wait returns.
    fn end_value(&self, context: usize, end: End) -> Option<Value> {
        let result = |handle: usize| {
            let worker = self.shared.borrow();
            let handle = worker.contexts.get(context).and_then(|one| one.handles.get(handle));
            handle.map_or(Value::Nil, |handle| handle.result.clone())
        };
        match end {
            End::Count(count) => Some(Value::Integer(count.try_into().unwrap_or(i64::MAX))),
            End::Handle(handle) => Some(result(handle)),
            End::NoHandle => Some(Value::Nil),
            End::Slept => None,
        }
    }

    /// Starts the function of a context.
    fn start(&mut self, context: usize, request: AnyUserData, host: &mut Host<'_>, answers: &mut Answers) {
        match self.rewind(context) {
            Ok(()) => self.resume(context, Go::Begin(request), host, answers),
            Err(_) => self.ended(context, Ended::Failed, answers),
        }
    }

    /// Makes the coroutine of a context begin with its function.
    fn rewind(&self, context: usize) -> mlua::Result<()> {
        let parts = {
            let worker = self.shared.borrow();
            let one = worker.contexts.get(context);
            one.and_then(|one| Some((one.thread.clone()?, one.function.clone()?, one.object.clone()?)))
        };
        let Some((thread, function, object)) = parts else { return Err(error("there is no function")) };
        if thread.reset(function.clone()).is_ok() {
            return Ok(());
        }
        // A coroutine that ended with an error cannot begin again.
        let thread = coroutine(&self.lua, function, &object)?;
        if let Some(one) = self.shared.borrow_mut().contexts.get_mut(context) {
            one.thread = Some(thread);
        }
        Ok(())
    }

    /// Runs the function of a context until it waits or ends.
    fn resume(&mut self, context: usize, mut go: Go, host: &mut Host<'_>, answers: &mut Answers) {
        let thread = {
            let mut worker = self.shared.borrow_mut();
            worker.current = Some(context);
            worker.contexts.get(context).and_then(|context| context.thread.clone())
        };
        let Some(thread) = thread else { return };
        self.budget.set(0);
        let after = loop {
            let (first, second, third, fourth) = match go.resume(&thread) {
                Ok(values) => values,
                Err(fault) => {
                    host.server.log(1, &|| format!("proxy_lua_error: {}", message(&fault)));
                    self.report(&summary(&fault));
                    break Err(Ended::Failed);
                }
            };
            if !thread.is_resumable() {
                break Err(Ended::Returned(first));
            }
            let Some(call) = Call::of(&first) else {
                self.report("a function has yielded outside of a wait");
                break Err(Ended::Failed);
            };
            let mut worker = self.shared.borrow_mut();
            match call.begin(&self.lua, &mut worker, context, [second, third, fourth], host.now) {
                Ok(after) => break Ok(after),
                // The function may catch it.
                Err(fault) => go = Go::Fail(message(&fault)),
            }
        };
        self.shared.borrow_mut().current = None;
        match after {
            Ok(after) => self.wait(context, after, host, answers),
            Err(ended) => self.ended(context, ended, answers),
        }
    }

    /// Does what the function of a context waits for.
    fn wait(&mut self, context: usize, after: After, host: &mut Host<'_>, answers: &mut Answers) {
        match after {
            After::Sleep => {}
            After::Send => {
                self.dispatch_all(context, host, answers);
                let event = Event::Resume { context, end: End::Count(0), late: false };
                self.shared.borrow_mut().later.push_back(event);
            }
            After::Wait => {
                self.dispatch_all(context, host, answers);
                let mut worker = self.shared.borrow_mut();
                let Some(one) = worker.contexts.get_mut(context) else { return };
                // Results that came before this wait.
                let complete = (0..one.waits.len()).filter(|at| one.waits.state(*at) == State::Complete);
                let complete: Vec<usize> = complete.collect();
                let mut ends = complete.into_iter().filter_map(|at| one.waits.check(at, false));
                let end = ends.next();
                drop(ends);
                // A wait with a timer ends in any case.
                let end = end.or_else(|| if one.timer.is_none() { one.waits.give_up() } else { None });
                if let Some(end) = end {
                    worker.clear_timer(context);
                    worker.later.push_back(Event::Resume { context, end, late: false });
                }
            }
            After::Internal(request) => {
                let fd = self.shared.borrow().contexts.get(context).map_or(-1, |context| context.fd);
                let response = request.borrow().0.as_ref().and_then(|request| internal(request, fd, host));
                self.shared.borrow_mut().made +=
                    response.as_ref().map_or(0, |response| response.bytes().len());
                let object = response.map(|response| self.lua.create_userdata(Held::new(response)));
                match object {
                    Some(Ok(object)) => {
                        let event = Event::Go { context, value: Value::UserData(object) };
                        self.shared.borrow_mut().later.push_back(event);
                    }
                    _ => self.ended(context, Ended::BadRequest, answers),
                }
            }
        }
    }

    /// Sends the requests of all queued handles.
    fn dispatch_all(&mut self, context: usize, host: &mut Host<'_>, answers: &mut Answers) {
        let count = self.shared.borrow().contexts.get(context).map_or(0, |context| context.waits.len());
        for handle in 0..count {
            self.dispatch(context, handle, host, answers);
        }
    }

    fn dispatch(&mut self, context: usize, handle: usize, host: &mut Host<'_>, answers: &mut Answers) {
        let ask = Ask { id: context << MACHINE_BITS | self.number, number: handle };
        let (target, request, child, fd, common_name) = {
            let mut worker = self.shared.borrow_mut();
            let Some(one) = worker.contexts.get_mut(context) else { return };
            if one.waits.state(handle) != State::Queued {
                return;
            }
            one.waits.dispatch(handle);
            let (fd, generator, common_name) = (one.fd, one.generator, one.common_name.clone());
            let Some(place) = one.handles.get_mut(handle) else { return };
            (place.sent, place.to) = (host.now, None);
            let (request, child) = (place.request.clone(), place.child);
            let generator = worker.generators.get(generator);
            let target = generator.and_then(|generator| generator.targets.get(handle).cloned());
            (target, request, child, fd, common_name)
        };
        match (target, request, child) {
            (Some(Target::Pool(pool)), Some(request), _) => {
                let sent = request.value.borrow().0.as_ref().is_some_and(|request| {
                    let at = pool.pool.choose(request.key());
                    let among = pool.links.get(at);
                    let mut worker = self.shared.borrow_mut();
                    let one = worker.contexts.get_mut(context).and_then(|one| one.handles.get_mut(handle));
                    if let Some(one) = one {
                        one.to = Some((Rc::clone(&pool), at));
                    }
                    let link = among.and_then(|among| host.links.choose(among));
                    let push = |out: &mut Vec<u8>| out.extend_from_slice(request.bytes());
                    link.is_some_and(|link| host.links.submit(link, ask, host.now, push).is_ok())
                });
                if !sent {
                    self.arrived(context, handle, Response::failed(), host.now);
                }
            }
            (Some(Target::Internal), Some(request), _) => {
                let is_full = self.shared.borrow().is_full();
                let request = request.value.borrow();
                let request = request.0.as_ref().filter(|_| !is_full);
                let response = request.and_then(|request| internal(request, fd, host));
                self.arrived(context, handle, response.unwrap_or_else(Response::failed), Instant::now());
            }
            (Some(Target::Generator(_)), Some(request), Some(child)) => {
                if let Some(one) = self.shared.borrow_mut().contexts.get_mut(child) {
                    one.waits.add();
                    (one.fd, one.common_name) = (fd, common_name);
                }
                self.start(child, request.lua, host, answers);
            }
            _ => self.arrived(context, handle, Response::failed(), host.now),
        }
    }

    /// Handles the end of the function of a context.
    fn ended(&mut self, context: usize, ended: Ended, answers: &mut Answers) {
        let (parent, caller, is_over) = {
            let mut worker = self.shared.borrow_mut();
            worker.clear_timer(context);
            let Some(one) = worker.contexts.get_mut(context) else { return };
            one.waits.stop();
            (one.parent, one.caller.take(), one.waits.remove())
        };
        if let Some((parent, handle)) = parent {
            let value = match ended {
                Ended::Returned(value @ Value::String(_)) => Some(value),
                Ended::Returned(Value::UserData(object)) if object.is::<Held<Response>>() => {
                    Some(Value::UserData(object))
                }
                _ => self.lua.create_userdata(Held::new(Response::failed())).ok().map(Value::UserData),
            };
            let event =
                Event::Returned { context: parent, handle, value: value.unwrap_or(Value::Nil), is_over };
            self.shared.borrow_mut().events.push_back(event);
            return;
        }
        if let Some(caller) = caller {
            answers.push((caller.asker, answer(&caller, ended)));
        }
        if is_over {
            self.over(context);
        }
    }

    /// Keeps a line about a fault of a program.
    fn report(&self, text: &str) {
        self.shared.borrow_mut().report(text);
    }

    /// Notes which lines watchers want.
    fn watch(&self, host: &Host<'_>) {
        let hub = host.server.cache().watch_hub();
        self.shared.borrow_mut().wanted = KINDS.map(|kind| hub.wants(kind));
    }

    /// Hands lines to the watchers.
    fn log(&self, host: &mut Host<'_>) {
        let mut worker = self.shared.borrow_mut();
        if worker.lines.is_empty() {
            return;
        }
        let hub = host.server.cache().watch_hub();
        for (kind, line) in worker.lines.drain(..) {
            if let Some(kind) = KINDS.get(kind as usize) {
                hub.event(*kind, |out| out.push_str(&line));
            }
        }
    }
}

/// Carries out a request on the cache of this server. Returns `None` if it has no such command.
fn internal(request: &ClientRequest, fd: i32, host: &mut Host<'_>) -> Option<Response> {
    if matches!(request.command.word, "mn" | "me") || request.key().is_empty() {
        return None;
    }
    let mut response = Response::parse(host.server.carry_out(request.bytes(), fd));
    response.set_ok();
    Some(response)
}

/// Returns the answer to a client.
fn answer(caller: &Caller, ended: Ended) -> Vec<u8> {
    if let Some(refusal) = caller.refusal {
        return format!("{refusal}\r\n").into_bytes();
    }
    match ended {
        Ended::Failed => FAILURE.to_vec(),
        Ended::BadRequest => BAD_REQUEST.to_vec(),
        Ended::Returned(Value::String(text)) => {
            let text = text.as_bytes();
            text.get(..TEXT_MAX).unwrap_or(&text).to_vec()
        }
        Ended::Returned(Value::UserData(object)) => {
            let Ok(response) = value_of::<Response>(&object) else { return BAD_RESPONSE.to_vec() };
            let mut response = response.borrow_mut();
            let unwanted = match caller.quiet {
                Quiet::No => false,
                Quiet::Classic => response.is_ok(),
                Quiet::Meta => {
                    response.code() == code::END || caller.command != MG && response.code() == code::OK
                }
            };
            if !response.is_ok() && !response.is_error_line() {
                BACKEND_FAILURE.to_vec()
            } else if unwanted {
                Vec::new()
            } else {
                response.take()
            }
        }
        Ended::Returned(_) => BAD_RESPONSE.to_vec(),
    }
}

//! One virtual machine of a worker, with the requests that run in it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use memcache_core::internal::proxy::engine::{Client, Host};
use memcache_core::internal::proxy::links::Ask;
use memcache_core::internal::proxy::request::{ClientRequest, Quiet};
use mlua::{Lua, LuaString, Value};

use crate::api::constants::wait;
use crate::api::context::{self, Call};
use crate::api::error;
use crate::api::errors::{message, summary};
use crate::api::log;
use crate::coroutine::{Stack, Stop};
use crate::loaded::Loaded;
use crate::object::{Held, Object, Outcome, Request};
use crate::response::{Response, code};
use crate::slot;
use crate::vm::{self, Budget, WorkerVm};
use crate::wait::{End, Rank, State};
use crate::worker::{After, Asker, Caller, Event, Shared, Target, Worker};

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

/// The function of a context has ended.
enum Ended {
    Returned(Option<Outcome>),
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
        {
            let mut worker = shared.borrow_mut();
            worker.held_limit = usize::try_from(loaded.memory_limit()).unwrap_or(usize::MAX);
            worker.watchers = Arc::clone(host.server.cache().watch_hub());
        }
        lua.gc_stop();
        let gc_ratio = loaded.settings.gc_ratio;
        let mut machine = Self { lua, shared, budget, links, number: 0, active: 0, gc_ratio, gc_at: 0 };
        machine.set_gc(host);
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
        // A function that does not wait has no other step that does it.
        self.collect(host);
        self.budget.set(0);
        let command = request.routed_as().number;
        let route = {
            let worker = self.shared.borrow();
            worker.lines.set(0);
            if !request.value().is_empty() && worker.is_full() {
                host.links.counters().no_memory.add(1);
                return answers.push((asker, NO_MEMORY.to_vec()));
            }
            worker.route(command, request.key(), client.tag)
        };
        let taken = route.map(|generator| slot::take(&self.lua, &self.shared, generator));
        let context = match taken {
            Some(Ok(context)) => context,
            Some(Err(fault)) => {
                self.report(&summary(&fault));
                return answers.push((asker, START_FAILURE.to_vec()));
            }
            None => return answers.push((asker, START_FAILURE.to_vec())),
        };
        let object = self.shared.borrow().contexts.get(context).and_then(|one| one.request.clone());
        let object = object.map_or_else(|| Object::new(&self.lua, Request(None)), Ok);
        let mut worker = self.shared.borrow_mut();
        let Ok(object) = object else {
            slot::give_back(&mut worker, context);
            return answers.push((asker, START_FAILURE.to_vec()));
        };
        worker.hold(context, request.value().len());
        let Some(one) = worker.contexts.get_mut(context) else { return };
        one.waits.add();
        one.caller = Some(Caller { asker, quiet: request.quiet, command, refusal: request.refusal });
        (one.fd, one.common_name) = (client.fd, client.common_name.clone());
        object.value.borrow_mut().0 = Some(request);
        one.request = Some(Rc::clone(&object));
        drop(worker);
        self.active += 1;
        self.start(context, &object, host, answers);
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
        let response = reply.map_or_else(Response::failed, |bytes| Response::parse(bytes.to_vec()));
        self.arrived(context, handle, response, host.now);
        self.run(host, answers);
    }

    /// Carries out the steps that were left for this turn, and ends waits that end at `until` or
    /// before it.
    pub fn expire(&mut self, until: Instant, host: &mut Host<'_>, answers: &mut Answers) {
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
        one.result = Some(Outcome::Response(Rc::clone(&one.response)));
        worker.events.push_back(Event::Reply { context, handle });
    }

    /// Carries out events until there are none, except those for the next turn.
    fn run(&mut self, host: &mut Host<'_>, answers: &mut Answers) {
        loop {
            let event = self.shared.borrow_mut().events.pop_front();
            match event {
                None => break,
                Some(Event::Reply { context, handle }) => {
                    let resume = self.complete(context, handle);
                    self.log_reply(context, handle);
                    self.check(context, handle, resume, true);
                }
                Some(Event::Returned { context, handle, result, is_over }) => {
                    if let Some(one) = self.shared.borrow_mut().contexts.get_mut(context)
                        && let Some(handle) = one.handles.get_mut(handle)
                    {
                        handle.result = Some(result);
                    }
                    let resume = self.complete(context, handle);
                    self.check(context, handle, resume, is_over);
                }
                Some(Event::Resume { context, end, late }) => {
                    let prepared = self.waited(context, end, late);
                    self.resume(context, prepared, host, answers);
                }
                Some(Event::Go { context, value }) => {
                    let prepared = self.stack(context).and_then(|stack| {
                        stack.go_on(true)?;
                        stack.push(&value)?;
                        Ok(stack)
                    });
                    self.resume(context, prepared, host, answers);
                }
            }
        }
        self.collect(host);
    }

    /// Completes a handle that has its result, after its callback if it has one. Returns whether
    /// the callback ends the wait.
    fn complete(&mut self, context: usize, handle: usize) -> bool {
        let (mut rank, callback, result, request) = {
            let mut worker = self.shared.borrow_mut();
            let Some(one) = worker.contexts.get_mut(context) else { return false };
            let Some(place) = one.handles.get(handle) else { return false };
            let Some(result) = &place.result else { return false };
            let rank = result.rank();
            let callback = place.callback.as_ref().filter(|_| rank != Rank::Text);
            let Some(callback) = callback else {
                one.waits.complete(handle, rank);
                return false;
            };
            let request = place.request.as_ref().map(|request| request.lua.clone());
            (rank, callback.clone(), result.value().clone(), request)
        };
        self.enter(context);
        let called = callback.call::<(Value, Value)>((result, request));
        let mut worker = self.shared.borrow_mut();
        worker.current = None;
        let mut resume = false;
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
            Err(fault) => worker.report(&summary(&fault)),
        }
        if let Some(one) = worker.contexts.get_mut(context) {
            one.waits.complete(handle, rank);
        }
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
        let (Some(request), object) = (handle.request.clone(), Rc::clone(&handle.response)) else { return };
        let (request, response) = (request.value.borrow(), object.value.borrow());
        let is_slow = rules.deadline > 0 && response.elapsed > rules.deadline.saturating_mul(1000);
        let is_error = rules.errors && !response.is_ok();
        if is_slow || is_error || worker.draw(rules.rate.into()) {
            log::log_reply(&worker, &request, &response, rank, fd, &rules.tag);
        }
    }

    /// Counts the result of a handle. With `removes`, its request is over. A context ends with its
    /// last request.
    fn check(&mut self, context: usize, handle: usize, resume: bool, removes: bool) {
        let mut worker = self.shared.borrow_mut();
        let Some(one) = worker.contexts.get_mut(context) else { return };
        if removes {
            one.waits.remove();
        }
        if let Some(end) = one.waits.check(handle, resume).or_else(|| one.waits.give_up()) {
            worker.end_wait(context, end);
        } else if one.waits.is_over() {
            over(&mut worker, &mut self.active, context);
        }
    }

    /// Returns the stack of the coroutine of a context.
    fn stack(&self, context: usize) -> mlua::Result<Stack> {
        let worker = self.shared.borrow();
        let coroutine = worker.contexts.get(context).and_then(|one| one.coroutine.as_ref());
        coroutine.ok_or_else(|| error("there is no function"))?.stack()
    }

    /// Starts the function of a context.
    fn start(
        &mut self,
        context: usize,
        request: &Object<Request>,
        host: &mut Host<'_>,
        answers: &mut Answers,
    ) {
        let prepared = self.rewound(context).and_then(|stack| stack.push(&request.lua).map(|()| stack));
        self.resume(context, prepared, host, answers);
    }

    /// Makes the coroutine of a context begin with its function.
    fn rewound(&self, context: usize) -> mlua::Result<Stack> {
        let stack = self.stack(context)?;
        if stack.begin().is_ok() {
            return Ok(stack);
        }
        // A program has resumed it outside of a request, or there was no memory to renew it.
        self.renew(context)?;
        let stack = self.stack(context)?;
        stack.begin().map(|()| stack)
    }

    /// Ends the function of a context that has failed or does not go on, and closes its variables.
    fn renew(&self, context: usize) -> mlua::Result<()> {
        let stack = self.stack(context)?;
        self.enter(context);
        let renewed = stack.coroutine().renew();
        let mut worker = self.shared.borrow_mut();
        worker.current = None;
        if let Some(one) = worker.contexts.get_mut(context) {
            one.coroutine = Some(renewed?);
        }
        Ok(())
    }

    /// Prepares a run of a function of a context.
    fn enter(&self, context: usize) {
        self.budget.set(0);
        let mut worker = self.shared.borrow_mut();
        worker.lines.set(0);
        worker.current = Some(context);
    }

    /// Makes the coroutine of a context go on after its wait.
    fn waited(&self, context: usize, end: End, late: bool) -> mlua::Result<Stack> {
        let stack = self.stack(context)?;
        stack.go_on(true)?;
        match end {
            End::Count(count) => stack.push(&Value::Integer(count.try_into().unwrap_or(i64::MAX)))?,
            End::Handle(handle) => {
                let worker = self.shared.borrow();
                let handle = worker.contexts.get(context).and_then(|one| one.handles.get(handle));
                let result = handle.and_then(|handle| handle.result.as_ref());
                stack.push(result.map_or(&Value::Nil, Outcome::value))?;
            }
            End::NoHandle => stack.push(&Value::Nil)?,
            End::Slept => {}
        }
        if late {
            stack.push(&Value::Boolean(true))?;
        }
        Ok(stack)
    }

    /// Runs the function of a context until it waits or ends, and does what follows.
    fn resume(
        &mut self,
        context: usize,
        prepared: mlua::Result<Stack>,
        host: &mut Host<'_>,
        answers: &mut Answers,
    ) {
        self.enter(context);
        let after = prepared.and_then(|stack| self.run_function(context, &stack, host.now));
        self.shared.borrow_mut().current = None;
        match after {
            Ok(Ok(after)) => self.wait(context, after, host, answers),
            Ok(Err(ended)) => self.ended(context, ended, answers),
            Err(fault) => {
                host.server.log(1, &|| format!("proxy_lua_error: {}", message(&fault)));
                self.report(&summary(&fault));
                self.ended(context, Ended::Failed, answers);
            }
        }
    }

    /// Runs the function of a context until it waits or ends.
    fn run_function(
        &self,
        context: usize,
        stack: &Stack,
        now: Instant,
    ) -> mlua::Result<Result<After, Ended>> {
        loop {
            let stop = stack.run()?;
            let mut worker = self.shared.borrow_mut();
            let call = match stop {
                Stop::Returned => {
                    let result = worker.contexts.get(context).map(|one| context::result(one, stack));
                    stack.clear();
                    return Ok(Err(Ended::Returned(result.transpose()?.flatten())));
                }
                Stop::Yielded(number) => number.and_then(Call::of),
            };
            let Some(call) = call else {
                worker.report("a function has yielded outside of a wait");
                return Ok(Err(Ended::Failed));
            };
            match call.begin(&self.lua, &mut worker, context, stack, now) {
                Ok(after) => return Ok(Ok(after)),
                Err(fault) => {
                    drop(worker);
                    // The function may catch it.
                    let text = self.lua.create_string(message(&fault))?;
                    stack.go_on(false)?;
                    stack.push(&Value::String(text))?;
                }
            }
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
                let response =
                    request.value.borrow().0.as_ref().and_then(|request| internal(request, fd, host));
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
        let mut from = 0;
        loop {
            let queued = self.shared.borrow().contexts.get(context).and_then(|one| one.waits.queued(from));
            let Some(handle) = queued else { return };
            self.dispatch(context, handle, host, answers);
            from = handle + 1;
        }
    }

    fn dispatch(&mut self, context: usize, handle: usize, host: &mut Host<'_>, answers: &mut Answers) {
        let ask = Ask { id: context << MACHINE_BITS | self.number, number: handle };
        let mut shared = self.shared.borrow_mut();
        let worker = &mut *shared;
        let is_full = worker.is_full();
        let Some(one) = worker.contexts.get_mut(context) else { return };
        one.waits.dispatch(handle);
        let Some(place) = one.handles.get_mut(handle) else { return };
        (place.sent, place.to) = (host.now, None);
        let target = worker.generators.get(one.generator).and_then(|one| one.targets.get(handle));
        let failed = match (target, &place.request, place.child) {
            (Some(Target::Pool(pool)), Some(request), _) => {
                let sent = request.value.borrow().0.as_ref().is_some_and(|request| {
                    let at = pool.pool.choose(request.key());
                    place.to = Some((Rc::clone(pool), at));
                    let link = pool.links.get(at).and_then(|among| host.links.choose(among));
                    let push = |out: &mut Vec<u8>| out.extend_from_slice(request.bytes());
                    link.is_some_and(|link| host.links.submit(link, ask, host.now, push).is_ok())
                });
                if sent {
                    return;
                }
                Response::failed()
            }
            (Some(Target::Internal), Some(request), _) => {
                let (request, fd) = (Rc::clone(request), one.fd);
                drop(shared);
                let request = request.value.borrow();
                let request = request.0.as_ref().filter(|_| !is_full);
                let response = request.and_then(|request| internal(request, fd, host));
                let response = response.unwrap_or_else(Response::failed);
                return self.arrived(context, handle, response, Instant::now());
            }
            (Some(Target::Generator(_)), Some(request), Some(child)) => {
                let request = Rc::clone(request);
                let (fd, common_name) = (one.fd, one.common_name.clone());
                if let Some(one) = worker.contexts.get_mut(child) {
                    one.waits.add();
                    (one.fd, one.common_name) = (fd, common_name);
                    one.request = Some(Rc::clone(&request));
                }
                drop(shared);
                return self.start(child, &request, host, answers);
            }
            _ => Response::failed(),
        };
        drop(shared);
        self.arrived(context, handle, failed, host.now);
    }

    /// Handles the end of the function of a context.
    fn ended(&mut self, context: usize, ended: Ended, answers: &mut Answers) {
        // Variables are closed while the objects have this request.
        if !matches!(ended, Ended::Returned(_))
            && let Err(fault) = self.renew(context)
        {
            self.report(&summary(&fault));
        }
        let mut worker = self.shared.borrow_mut();
        worker.clear_timer(context);
        let Some(one) = worker.contexts.get_mut(context) else { return };
        one.waits.stop();
        let is_over = one.waits.remove();
        if let Some((parent, handle)) = one.parent {
            let Some(place) = worker.contexts.get(parent).and_then(|one| one.handles.get(handle)) else {
                return;
            };
            let result = match ended {
                Ended::Returned(Some(result)) => result,
                _ => {
                    *place.response.value.borrow_mut() = Response::failed();
                    Outcome::Response(Rc::clone(&place.response))
                }
            };
            worker.events.push_back(Event::Returned { context: parent, handle, result, is_over });
            return;
        }
        if let Some(caller) = one.caller.take() {
            answers.push((caller.asker, answer(&caller, ended)));
        }
        if is_over {
            over(&mut worker, &mut self.active, context);
        }
    }

    /// Writes a line about a fault of a program.
    fn report(&self, text: &str) {
        self.shared.borrow().report(text);
    }
}

/// Handles the end of a context: its function has returned, and all its requests have results.
/// `active` counts the contexts of clients.
fn over(worker: &mut Worker, active: &mut usize, mut context: usize) {
    loop {
        let parent = worker.contexts.get(context).and_then(|context| context.parent);
        let Some((parent, _)) = parent else {
            *active = active.saturating_sub(1);
            return slot::give_back(worker, context);
        };
        let Some(one) = worker.contexts.get_mut(parent) else { return };
        if !one.waits.remove() {
            return;
        }
        context = parent;
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
        return format!("{}\r\n", refusal.reply).into_bytes();
    }
    match ended {
        Ended::Failed => FAILURE.to_vec(),
        Ended::BadRequest => BAD_REQUEST.to_vec(),
        Ended::Returned(Some(Outcome::Text(text))) => {
            let text = text.as_string().map(LuaString::as_bytes);
            let text = text.as_deref().unwrap_or_default();
            text.get(..TEXT_MAX).unwrap_or(text).to_vec()
        }
        Ended::Returned(Some(Outcome::Response(response))) => {
            let mut response = response.value.borrow_mut();
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
        Ended::Returned(None) => BAD_RESPONSE.to_vec(),
    }
}

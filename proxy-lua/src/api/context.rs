//! Request contexts, the first argument of a generator.
//!
//! A method that waits has two parts. The Rust part checks its arguments and records what the
//! engine does next. The Lua part around it yields.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{
    AnyUserData, Function, IntoLua, Lua, Result, Table, UserData, UserDataFields, UserDataMethods,
    UserDataRef, Value, Variadic,
};

use super::constants::wait;
use super::error;
use super::request::Request;
use crate::response::Response;
use crate::wait::{Mode, Rank, State};
use crate::worker::{After, Context, Shared, Worker};

/// Longest time of a wait: a year.
const TIME_MAX: Duration = Duration::from_hours(365 * 24);

/// A request context.
#[derive(Debug)]
pub struct ContextObject {
    number: usize,
    shared: Shared,
}

impl ContextObject {
    /// Returns the object of a context.
    pub fn new(number: usize, shared: &Shared) -> Self {
        Self { number, shared: Rc::clone(shared) }
    }

    fn with<T>(&self, run: impl FnOnce(&mut Context) -> Result<T>) -> Result<T> {
        let mut worker = self.shared.borrow_mut();
        // A program may keep the object until the context serves another client.
        let is_current = worker.current == Some(self.number);
        let context = worker.contexts.get_mut(self.number).filter(|_| is_current);
        run(context.ok_or_else(|| error("a request context works only in its own functions"))?)
    }

    /// Records what the engine does after the yield.
    fn then(&self, after: After) {
        self.shared.borrow_mut().after = after;
    }

    fn set_timer(&self, lua: &Lua, seconds: Option<&Value>) -> Result<()> {
        let Some(seconds) = seconds else { return Ok(()) };
        let seconds = lua.coerce_number(seconds.clone())?;
        let seconds = seconds.ok_or_else(|| error("timeout argument to wait or sleep must be a number"))?;
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(TIME_MAX).min(TIME_MAX);
        if let Some(at) = Instant::now().checked_add(time) {
            self.shared.borrow_mut().set_timer(self.number, at);
        }
        Ok(())
    }

    /// Queues a request for a handle that is idle.
    fn queue(&self, request: &AnyUserData, handle: &Value) -> Result<()> {
        self.with(|context| {
            let handle =
                index(context, handle).ok_or_else(|| error("attempted to enqueue an invalid handle"))?;
            if context.waits.enqueue(handle)
                && let Some(handle) = context.handles.get_mut(handle)
            {
                handle.request = Some(request.clone());
            }
            Ok(())
        })
    }
}

impl UserData for ContextObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field("wait_cond", Yielding(wait_cond));
        fields.add_field("enqueue_and_wait", Yielding(enqueue_and_wait));
        fields.add_field("wait_handle", Yielding(wait_handle));
        fields.add_field("sleep", Yielding(sleep));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("enqueue", |_, this, (request, handles): (AnyUserData, Value)| {
            this.with(|context| {
                refuse_in_wait(context, "enqueue: cannot enqueue new requests while in a wait")
            })?;
            check_key(&request)?;
            match handles {
                Value::Table(list) => {
                    for handle in list.sequence_values::<Value>() {
                        let handle = handle?;
                        if !matches!(handle, Value::Integer(_) | Value::Number(_)) {
                            return Err(error("invalid handle passed to queue via array table"));
                        }
                        this.queue(&request, &handle)?;
                    }
                    Ok(())
                }
                Value::Integer(_) | Value::Number(_) => this.queue(&request, &handles),
                _ => Err(error("must pass a handle or a table to queue")),
            }
        });
        methods.add_method("handle_set_cb", |_, this, (handle, callback): (Value, Function)| {
            this.with(|context| {
                let handle = index(context, &handle).and_then(|handle| context.handles.get_mut(handle));
                handle.ok_or_else(|| error("invalid handle passed to queue_set_cb"))?.callback =
                    Some(callback);
                Ok(())
            })
        });
        for (name, worst) in [("res_good", Rank::Good), ("res_ok", Rank::Ok), ("res_any", Rank::Error)] {
            methods.add_method(name, move |_, this, handle: Value| {
                let (result, rank) = this.result(&handle)?;
                Ok(rank.filter(|rank| *rank <= worst).map_or(Value::Nil, |_| result))
            });
        }
        methods.add_method("result", |_, this, handle: Value| {
            let (result, rank) = this.result(&handle)?;
            Ok((result, rank.map(Rank::number)))
        });
        methods.add_method("best_result", |_, this, handles: Value| this.pick(&handles, "best_result", best));
        methods
            .add_method("worst_result", |_, this, handles: Value| this.pick(&handles, "worst_result", worst));
        methods.add_method("cfd", |_, this, ()| this.with(|context| Ok(context.fd)));
        methods.add_method("tls_peer_cn", |_, _, ()| Ok(Value::Nil));
        methods.add_method("request_new", |lua, this, ()| this.own(lua.create_userdata(Request(None))?));
        methods.add_method("response_new", |lua, this, ()| this.own(lua.create_userdata(Response::empty())?));
    }
}

impl ContextObject {
    /// Returns the result of a handle and its rank, if there is one.
    fn result(&self, handle: &Value) -> Result<(Value, Option<Rank>)> {
        self.with(|context| {
            let handle = index(context, handle);
            let handle = handle.ok_or_else(|| error("invalid queue handle passed to :good/:ok:/:any"))?;
            Ok(match (context.waits.rank(handle), context.handles.get(handle)) {
                (Some(rank), Some(handle)) => (handle.result.clone(), Some(rank)),
                _ => (Value::Nil, None),
            })
        })
    }

    /// Returns one of the results of several handles.
    fn pick(
        &self,
        handles: &Value,
        name: &str,
        is_better: fn(Rank, Rank) -> bool,
    ) -> Result<(Value, Option<i64>)> {
        let Value::Table(handles) = handles else {
            return Err(error(format!("must pass a table to :{name}")));
        };
        self.with(|context| {
            let mut picked: Option<(Rank, Value)> = None;
            for handle in handles.sequence_values::<Value>() {
                let handle = index(context, &handle?);
                let handle = handle.ok_or_else(|| error(format!("invalid queue handle passed to {name}")))?;
                let Some(rank) = context.waits.rank(handle) else { continue };
                if picked.as_ref().is_none_or(|(other, _)| is_better(rank, *other)) {
                    picked = context.handles.get(handle).map(|handle| (rank, handle.result.clone()));
                }
            }
            Ok(picked.map_or((Value::Nil, None), |(rank, result)| (result, Some(rank.number()))))
        })
    }

    /// Adds an object that the context owns.
    fn own(&self, object: AnyUserData) -> Result<AnyUserData> {
        let generator = self.with(|context| Ok(context.generator))?;
        let mut worker = self.shared.borrow_mut();
        let most = worker.generators.get(generator).map_or(0, |generator| generator.objects);
        let context = worker.contexts.get_mut(self.number);
        match context.filter(|context| context.objects.len() < most) {
            Some(context) => {
                context.objects.push(object.clone());
                Ok(object)
            }
            None => Err(error("rctx request new: object count limit reached")),
        }
    }
}

/// The first good result, else the last miss, else the last of the others.
fn best(rank: Rank, than: Rank) -> bool {
    match than {
        Rank::Good => false,
        Rank::Ok => rank <= Rank::Ok,
        Rank::Text | Rank::Error => true,
    }
}

/// The last one of the largest number.
fn worst(rank: Rank, than: Rank) -> bool {
    rank.number() >= than.number()
}

/// Returns the number of a handle of the context.
fn index(context: &Context, handle: &Value) -> Option<usize> {
    let number = match handle {
        Value::Integer(number) => usize::try_from(*number).ok()?,
        Value::Number(number) if number.fract() == 0.0 && *number >= 0.0 => *number as usize,
        _ => return None,
    };
    (number < context.waits.len()).then_some(number)
}

fn refuse_in_wait(context: &Context, text: &str) -> Result<()> {
    if context.waits.is_waiting() { Err(error(text)) } else { Ok(()) }
}

fn check_key(request: &AnyUserData) -> Result<()> {
    if request.borrow::<Request>()?.get()?.key().is_empty() {
        return Err(error("cannot queue requests without a key"));
    }
    Ok(())
}

type Prepare = fn(&Lua, &ContextObject, &[Value]) -> Result<()>;

/// A method that yields after a Rust function has prepared it.
struct Yielding(Prepare);

impl IntoLua for Yielding {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        let prepare =
            lua.create_function(
                move |lua,
                      (can_yield, context, arguments): (
                    bool,
                    UserDataRef<ContextObject>,
                    Variadic<Value>,
                )| {
                    context.with(|context| refuse_elsewhere(lua, can_yield, context))?;
                    (self.0)(lua, &context, &arguments)
                },
            )?;
        yielding(lua, &prepare).map(Value::Function)
    }
}

/// Returns a function that calls another one and then yields. The first argument of the other one
/// is whether a yield can succeed.
///
/// # Errors
/// If there is no memory.
pub fn yielding(lua: &Lua, prepare: &Function) -> Result<Function> {
    let coroutine: Table = lua.globals().get("coroutine")?;
    let wrapper = lua.load(
        "local prepare, yield, can_yield = ...
        return function(...) prepare(can_yield(), ...) return yield() end",
    );
    let (stop, can_stop): (Function, Function) = (coroutine.get("yield")?, coroutine.get("isyieldable")?);
    wrapper.set_name("=mcp").call((prepare, stop, can_stop))
}

/// Refuses a wait that the engine would not see: in a callback, in a function that C calls, or in
/// another coroutine.
fn refuse_elsewhere(lua: &Lua, can_yield: bool, context: &Context) -> Result<()> {
    let is_own = can_yield && context.thread.as_ref() == Some(&lua.current_thread());
    is_own.then_some(()).ok_or_else(|| error("a function waits only in its own coroutine"))
}

/// `wait_cond(count, mode, timeout)`.
fn wait_cond(lua: &Lua, this: &ContextObject, arguments: &[Value]) -> Result<()> {
    this.with(|context| refuse_in_wait(context, "wait_cond: cannot call while already in wait mode"))?;
    let count = arguments.first().ok_or_else(|| error("must pass at least count to wait_cond"))?;
    let count = lua.coerce_integer(count.clone())?.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| error("wait count for wait_cond must be a positive integer"))?;
    let mode = match arguments.get(1) {
        None | Some(Value::Integer(wait::ANY)) => Mode::Any,
        Some(Value::Integer(wait::OK)) => Mode::Ok,
        Some(Value::Integer(wait::GOOD)) => Mode::Good,
        Some(Value::Integer(wait::FASTGOOD)) => Mode::FastGood,
        Some(_) => return Err(error("invalid mode sent to wait_cond")),
    };
    if count == 0 {
        this.then(After::Send);
        return Ok(());
    }
    this.set_timer(lua, arguments.get(2))?;
    this.with(|context| {
        context.waits.begin(mode, count);
        Ok(())
    })?;
    this.then(After::Wait);
    Ok(())
}

/// `enqueue_and_wait(request, handle, timeout)`.
fn enqueue_and_wait(lua: &Lua, this: &ContextObject, arguments: &[Value]) -> Result<()> {
    this.with(|context| refuse_in_wait(context, "wait_cond: cannot call while already in wait mode"))?;
    let Some(Value::UserData(request)) = arguments.first() else {
        return Err(error("bad argument #1 to 'enqueue_and_wait' (mcp.request expected)"));
    };
    check_key(request)?;
    let handle = arguments.get(1).cloned().unwrap_or(Value::Nil);
    if !matches!(handle, Value::Integer(_) | Value::Number(_)) {
        return Err(error("invalid handle passed to enqueue_and_wait"));
    }
    this.queue(request, &handle)?;
    this.set_timer(lua, arguments.get(2))?;
    this.wait_for(&handle)
}

/// `wait_handle(handle, timeout)`.
fn wait_handle(lua: &Lua, this: &ContextObject, arguments: &[Value]) -> Result<()> {
    let handle = arguments.first().cloned().unwrap_or(Value::Nil);
    this.with(|context| {
        refuse_in_wait(context, "wait: cannot call while already in wait mode")?;
        let number = index(context, &handle).ok_or_else(|| error("invalid handle passed to wait_handle"))?;
        if context.waits.state(number) == State::Idle {
            return Err(error("wait_handle called on unqueued handle"));
        }
        Ok(())
    })?;
    this.set_timer(lua, arguments.get(1))?;
    this.wait_for(&handle)
}

impl ContextObject {
    fn wait_for(&self, handle: &Value) -> Result<()> {
        self.with(|context| {
            if let Some(handle) = index(context, handle) {
                context.waits.begin(Mode::Handle(handle), 1);
            }
            Ok(())
        })?;
        self.then(After::Wait);
        Ok(())
    }
}

/// `sleep(seconds)`.
fn sleep(lua: &Lua, this: &ContextObject, arguments: &[Value]) -> Result<()> {
    this.with(|context| refuse_in_wait(context, "sleep: cannot call while already in wait mode"))?;
    this.set_timer(lua, Some(arguments.first().unwrap_or(&Value::Nil)))?;
    this.with(|context| {
        context.waits.sleep();
        Ok(())
    })?;
    this.then(After::Sleep);
    Ok(())
}

/// Adds `mcp.internal`.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, shared: &Shared) -> Result<()> {
    let state = Rc::clone(shared);
    let prepare = lua.create_function(move |lua, (can_yield, request): (bool, AnyUserData)| {
        internal(lua, can_yield, &mut state.borrow_mut(), request)
    })?;
    mcp.set("internal", yielding(lua, &prepare)?)
}

fn internal(lua: &Lua, can_yield: bool, worker: &mut Worker, request: AnyUserData) -> Result<()> {
    let context = worker.current.and_then(|context| worker.contexts.get(context));
    let Some(context) = context.filter(|context| context.parent.is_none()) else {
        return Err(error("cannot run mcp.internal from a sub request"));
    };
    refuse_elsewhere(lua, can_yield, context)?;
    check_key(&request)?;
    worker.after = After::Internal(request);
    Ok(())
}

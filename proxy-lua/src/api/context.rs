//! Request contexts, the first argument of a generator.
//!
//! A method that waits yields its number and its arguments. [`Call::begin`] checks them, and then
//! the machine sends what is queued. A wrong argument makes the method fail.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{AnyUserData, Function, IntoLua, Lua, Result, Table, UserData, UserDataFields, Value};

use super::constants::wait as modes;
use super::error;
use super::methods::Methods as _;
use crate::coroutine::{self, Stack};
use crate::object::{Held, Object, Outcome, Request};
use crate::response::Response;
use crate::wait::{Mode, Rank, State};
use crate::worker::{After, Context, Handle, Shared, Worker};

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
}

impl UserData for ContextObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        for (name, call) in [
            ("wait_cond", Call::WaitCond),
            ("enqueue_and_wait", Call::EnqueueAndWait),
            ("wait_handle", Call::WaitHandle),
            ("sleep", Call::Sleep),
        ] {
            fields.add_field(name, call);
        }
        fields.method("enqueue", |_, this, (request, handles): (AnyUserData, Value)| {
            if this.with(|context| Ok(context.waits.is_waiting()))? {
                return Err(error("enqueue: cannot enqueue new requests while in a wait"));
            }
            let request = Object::of(request)?;
            check_key(&request.value.borrow())?;
            match handles {
                Value::Table(list) => {
                    for handle in list.sequence_values::<Value>() {
                        let handle = handle?;
                        if !matches!(handle, Value::Integer(_) | Value::Number(_)) {
                            return Err(error("invalid handle passed to queue via array table"));
                        }
                        this.with(|context| queue(context, &request, &handle))?;
                    }
                    Ok(())
                }
                Value::Integer(_) | Value::Number(_) => {
                    this.with(|context| queue(context, &request, &handles).map(drop))
                }
                _ => Err(error("must pass a handle or a table to queue")),
            }
        });
        fields.method("handle_set_cb", |_, this, (handle, callback): (Value, Function)| {
            this.with(|context| {
                let handle = index(context, &handle).and_then(|handle| context.handles.get_mut(handle));
                handle.ok_or_else(|| error("invalid handle passed to queue_set_cb"))?.callback =
                    Some(callback);
                Ok(())
            })
        });
        for (name, worst) in [("res_good", Rank::Good), ("res_ok", Rank::Ok), ("res_any", Rank::Error)] {
            fields.method(name, move |_, this, handle: Value| {
                let (result, rank) = this.result(&handle)?;
                Ok(rank.filter(|rank| *rank <= worst).map_or(Value::Nil, |_| result))
            });
        }
        fields.method("result", |_, this, handle: Value| {
            let (result, rank) = this.result(&handle)?;
            Ok((result, rank.map(Rank::number)))
        });
        fields.method("best_result", |_, this, handles: Value| this.pick(&handles, "best_result", best));
        fields.method("worst_result", |_, this, handles: Value| this.pick(&handles, "worst_result", worst));
        fields.method("cfd", |_, this, ()| this.with(|context| Ok(context.fd)));
        fields.method("tls_peer_cn", |lua, this, ()| {
            let name = this.with(|context| Ok(context.common_name.clone()))?;
            name.map(|name| lua.create_string(name)).transpose()
        });
        fields.method("request_new", |lua, this, ()| {
            this.own(lua.create_userdata(Held::<Request>::default())?)
        });
        fields.method("response_new", |lua, this, ()| {
            this.own(lua.create_userdata(Held::new(Response::empty()))?)
        });
    }
}

impl ContextObject {
    /// Returns the result of a handle and its rank, if there is one.
    fn result(&self, handle: &Value) -> Result<(Value, Option<Rank>)> {
        self.with(|context| {
            let handle = index(context, handle);
            let handle = handle.ok_or_else(|| error("invalid queue handle passed to :good/:ok:/:any"))?;
            Ok(match (context.waits.rank(handle), context.handles.get(handle)) {
                (Some(rank), Some(handle)) => (value(handle), Some(rank)),
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
                    picked = context.handles.get(handle).map(|handle| (rank, value(handle)));
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

/// Returns the result of a handle.
fn value(handle: &Handle) -> Value {
    handle.result.as_ref().map_or(Value::Nil, |result| result.value().clone())
}

/// Queues a request for a handle, if that is idle. Returns the number of the handle.
fn queue(context: &mut Context, request: &Rc<Object<Request>>, handle: &Value) -> Result<usize> {
    let number = index(context, handle).ok_or_else(|| error("attempted to enqueue an invalid handle"))?;
    if context.waits.enqueue(number)
        && let Some(handle) = context.handles.get_mut(number)
    {
        handle.request = Some(Rc::clone(request));
    }
    Ok(number)
}

fn check_key(request: &Request) -> Result<()> {
    if request.get()?.key().is_empty() {
        return Err(error("cannot queue requests without a key"));
    }
    Ok(())
}

/// A function that waits. Its number is the first value that it yields.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// `wait_cond(count, mode, timeout)`.
    WaitCond = 1,
    /// `enqueue_and_wait(request, handle, timeout)`.
    EnqueueAndWait,
    /// `wait_handle(handle, timeout)`.
    WaitHandle,
    /// `sleep(seconds)`.
    Sleep,
    /// `mcp.internal(request)`.
    Internal,
}

impl Call {
    const ALL: [Self; 5] =
        [Self::WaitCond, Self::EnqueueAndWait, Self::WaitHandle, Self::Sleep, Self::Internal];

    /// Returns the call with a number.
    pub fn of(number: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|call| *call as usize == number)
    }
}

impl IntoLua for Call {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        let make = if matches!(self, Self::Internal) { coroutine::function } else { coroutine::method };
        make(lua, self as usize).map(Value::Function)
    }
}

impl Call {
    /// Checks the arguments on the stack, and records what the function waits for. Returns the next
    /// step.
    ///
    /// # Errors
    /// An argument is wrong.
    pub fn begin(
        self,
        lua: &Lua,
        worker: &mut Worker,
        number: usize,
        stack: &Stack,
        now: Instant,
    ) -> Result<After> {
        let time = match self {
            Self::WaitCond | Self::EnqueueAndWait => Some(stack.value(2)?).filter(|time| !time.is_nil()),
            Self::WaitHandle => Some(stack.value(1)?).filter(|time| !time.is_nil()),
            Self::Sleep => Some(stack.value(0)?),
            Self::Internal => None,
        };
        let end = time.map(|time| end(lua, time, now)).transpose()?;
        let Some(context) = worker.contexts.get_mut(number) else { return Err(error("there is no context")) };
        let after = match self {
            Self::WaitCond => {
                let (mode, count) = condition(lua, stack.value(0)?, &stack.value(1)?)?;
                if count == 0 {
                    return Ok(After::Send);
                }
                context.waits.begin(mode, count);
                After::Wait
            }
            Self::EnqueueAndWait => {
                let request = request(context, stack, "enqueue_and_wait")?;
                let handle = stack.value(1)?;
                if !matches!(handle, Value::Integer(_) | Value::Number(_)) {
                    return Err(error("invalid handle passed to enqueue_and_wait"));
                }
                let handle = queue(context, &request, &handle)?;
                context.waits.begin(Mode::Handle(handle), 1);
                After::Wait
            }
            Self::WaitHandle => {
                let handle = index(context, &stack.value(0)?);
                let handle = handle.ok_or_else(|| error("invalid handle passed to wait_handle"))?;
                if context.waits.state(handle) == State::Idle {
                    return Err(error("wait_handle called on unqueued handle"));
                }
                context.waits.begin(Mode::Handle(handle), 1);
                After::Wait
            }
            Self::Sleep => {
                context.waits.sleep();
                After::Sleep
            }
            Self::Internal => {
                if context.parent.is_some() {
                    return Err(error("cannot run mcp.internal from a sub request"));
                }
                After::Internal(request(context, stack, "internal")?)
            }
        };
        if let Some(end) = end {
            worker.set_timer(number, end);
        }
        Ok(after)
    }
}

/// Returns the first argument of a wait: a request with a key.
fn request(context: &Context, stack: &Stack, name: &str) -> Result<Rc<Object<Request>>> {
    let address = stack.address(0);
    // It is mostly that of the function, so the type is known.
    let request = match context.request.as_ref().filter(|request| request.is_at(address)) {
        Some(request) => Rc::clone(request),
        None => match stack.value(0)? {
            Value::UserData(request) => Object::of(request)?,
            _ => return Err(error(format!("bad argument #1 to '{name}' (mcp.request expected)"))),
        },
    };
    check_key(&request.value.borrow())?;
    Ok(request)
}

/// Returns the result of the function of a context.
///
/// # Errors
/// If there is no memory.
pub fn result(context: &Context, stack: &Stack) -> Result<Option<Outcome>> {
    let address = stack.address(0);
    let mut results = context.handles.iter().filter_map(|handle| handle.result.as_ref());
    // It is mostly one of these.
    let known = results.find(|result| matches!(result, Outcome::Response(object) if object.is_at(address)));
    match known {
        Some(known) => Ok(Some(known.clone())),
        None => stack.value(0).map(Outcome::of),
    }
}

/// Returns the mode and the count of `wait_cond`.
fn condition(lua: &Lua, count: Value, mode: &Value) -> Result<(Mode, usize)> {
    if count.is_nil() {
        return Err(error("must pass at least count to wait_cond"));
    }
    let count = lua.coerce_integer(count)?.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| error("wait count for wait_cond must be a positive integer"))?;
    let mode = match mode {
        Value::Nil | Value::Integer(modes::ANY) => Mode::Any,
        Value::Integer(modes::OK) => Mode::Ok,
        Value::Integer(modes::GOOD) => Mode::Good,
        Value::Integer(modes::FASTGOOD) => Mode::FastGood,
        _ => return Err(error("invalid mode sent to wait_cond")),
    };
    Ok((mode, count))
}

/// Returns the end of a time in seconds from now.
fn end(lua: &Lua, seconds: Value, now: Instant) -> Result<Instant> {
    let seconds = lua.coerce_number(seconds)?;
    let seconds = seconds.ok_or_else(|| error("timeout argument to wait or sleep must be a number"))?;
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(TIME_MAX).min(TIME_MAX);
    now.checked_add(time).ok_or_else(|| error("timeout argument to wait or sleep is too large"))
}

/// Adds `mcp.internal`, and the table of coroutines.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table) -> Result<()> {
    coroutine::add(lua)?;
    mcp.set("internal", Call::Internal)
}

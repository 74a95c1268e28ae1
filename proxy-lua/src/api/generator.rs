//! `mcp.attach`, and function generators.

use std::rc::Rc;

use mlua::{AnyUserData, Function, Lua, LuaString, Result, Table, UserData, UserDataFields, Value};

use super::constants::{ANY, ANY_STORAGE, END_STORAGE};
use super::methods::Methods as _;
use super::{error, router};
use crate::worker::{Generator, LinkedPool, Route, RouterSlot, Shared, Target};
use crate::{slot, worker};

/// Number of the command that is never routed: `mn`.
const MN: i64 = 4;

/// Most levels of functions that the handles of one lead to. A request starts the functions of all
/// levels on the stack of the worker. memcached has no limit.
const LEVELS_MAX: usize = 100;

/// Longest name of a generator.
const NAME_MAX: usize = 80;

/// Most objects that a context may own.
const OBJECTS_MAX: i64 = 255;

/// A pool in a worker.
#[derive(Clone, Debug)]
pub struct PoolHandle(pub Rc<LinkedPool>);

impl UserData for PoolHandle {}

/// `mcp.internal_handler`.
#[derive(Clone, Copy, Debug)]
pub struct InternalHandler;

impl UserData for InternalHandler {}

/// A router.
#[derive(Debug)]
pub struct RouterObject(usize);

impl UserData for RouterObject {}

/// A function generator.
#[derive(Debug)]
pub struct GeneratorObject {
    number: usize,
    shared: Shared,
}

impl GeneratorObject {
    /// Returns its number.
    pub fn number(&self) -> usize {
        self.number
    }
}

/// The program has lost the generator. Garbage is never collected while the state is borrowed; if
/// it were, the generator would stay until the next reload.
impl Drop for GeneratorObject {
    fn drop(&mut self) {
        if let Ok(mut worker) = self.shared.try_borrow_mut() {
            worker.lose(self.number);
        }
    }
}

impl UserData for GeneratorObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.method("new_handle", |_, this, to: Value| this.new_handle(&to));
        fields.method("ready", |lua, this, options: Table| this.ready(lua, &options));
    }
}

impl GeneratorObject {
    fn new_handle(&self, to: &Value) -> Result<usize> {
        let mut worker = self.shared.borrow_mut();
        if worker.generators.get(self.number).is_none_or(|generator| generator.function.is_some()) {
            return Err(error("cannot modify function generator after calling ready"));
        }
        let Value::UserData(object) = to else { return Err(error("invalid argument to new_handle")) };
        let mut levels = 1;
        let target = if let Ok(pool) = object.borrow::<PoolHandle>() {
            Target::Pool(Rc::clone(&pool.0))
        } else if object.is::<InternalHandler>() {
            Target::Internal
        } else if object.is::<RouterObject>() {
            return Err(error("cannot assign a router to a handle in new_handle"));
        } else if let Ok(other) = object.borrow::<Self>() {
            let other_one = worker.generators.get(other.number).filter(|generator| !generator.is_closed);
            let other_one = other_one.ok_or_else(|| error("cannot use a replaced function in new_handle"))?;
            // So functions do not lead back to themselves. A ready one keeps a context.
            if other_one.total == 0 {
                return Err(error("cannot use a function in new_handle before it is ready"));
            }
            levels = other_one.levels + 1;
            if levels > LEVELS_MAX {
                return Err(error(format!("functions lead to each other over at most {LEVELS_MAX} levels")));
            }
            worker.retain(other.number);
            Target::Generator(other.number)
        } else {
            return Err(error("invalid argument to new_handle"));
        };
        let Some(generator) = worker.generators.get_mut(self.number) else { return Ok(0) };
        generator.targets.push(target);
        generator.levels = generator.levels.max(levels);
        Ok(generator.targets.len() - 1)
    }

    fn ready(&self, lua: &Lua, options: &Table) -> Result<()> {
        let is_ready = |worker: &worker::Worker| {
            worker.generators.get(self.number).is_none_or(|generator| generator.function.is_some())
        };
        if is_ready(&self.shared.borrow()) {
            return Err(error("cannot modify function generator after calling ready"));
        }
        let Value::Function(function) = options.get("f")? else {
            return Err(error("Must specify generator function ('f') to fgen:ready"));
        };
        let argument = Some(options.get::<Value>("a")?).filter(|argument| !argument.is_nil());
        let name = match options.get("n")? {
            Value::String(name) => name.to_string_lossy(),
            _ => "anonymous".into(),
        };
        let objects = match options.get("u")? {
            Value::Nil => 0,
            count => match lua.coerce_integer(count)? {
                Some(count @ 1..=OBJECTS_MAX) => count as usize,
                _ => return Err(error("user obj ('u') in fgen:ready must be between 1 and 255")),
            },
        };
        if let Some(generator) = self.shared.borrow_mut().generators.get_mut(self.number) {
            generator.name = name.chars().take(NAME_MAX).collect();
            (generator.function, generator.argument, generator.objects) = (Some(function), argument, objects);
        }
        let context = slot::make(lua, &self.shared, self.number).inspect_err(|_| {
            if let Some(generator) = self.shared.borrow_mut().generators.get_mut(self.number) {
                generator.function = None;
            }
        })?;
        slot::give_back(&mut self.shared.borrow_mut(), context);
        let worker = self.shared.borrow();
        if let Some(generator) = worker.generators.get(self.number) {
            worker.functions.add(&generator.name, 1, 0);
        }
        Ok(())
    }
}

/// Adds the functions.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, shared: &Shared) -> Result<()> {
    mcp.set("internal_handler", InternalHandler)?;
    let state = Rc::clone(shared);
    mcp.set("funcgen_new", lua.create_function(move |_, ()| Ok(new(&state)))?)?;
    let state = Rc::clone(shared);
    mcp.set("router_new", lua.create_function(move |_, argument: Value| new_router(&state, &argument))?)?;
    let state = Rc::clone(shared);
    let attach = move |lua: &Lua, (command, target, tag): (i64, Value, Option<LuaString>)| {
        attach(lua, &state, command, &target, tag.as_ref())
    };
    mcp.set("attach", lua.create_function(attach)?)
}

fn new(shared: &Shared) -> GeneratorObject {
    let number = shared.borrow_mut().generators.add(Generator::default());
    GeneratorObject { number, shared: Rc::clone(shared) }
}

/// `mcp.attach(command, target, tag)`.
fn attach(lua: &Lua, shared: &Shared, command: i64, target: &Value, tag: Option<&LuaString>) -> Result<()> {
    let target = match target {
        Value::Function(function) => Route::Generator(bare(lua, shared, function)?),
        Value::UserData(object) => of(object, shared)?,
        _ => return Err(error("mcp.attach: must pass a function")),
    };
    let tag = tag.map(LuaString::to_string_lossy);
    if tag.as_ref().is_some_and(|tag| !(1..=8).contains(&tag.len())) {
        return Err(error("mcp.attach: tag must be 1 to 8 characters"));
    }
    let commands = match command {
        ANY | ANY_STORAGE => 1..END_STORAGE,
        one => one..one.saturating_add(1),
    };
    let mut worker = shared.borrow_mut();
    for command in commands.filter(|command| *command != MN) {
        let Ok(command) = usize::try_from(command) else { continue };
        worker.retain_target(target);
        if let Some(replaced) = worker.attach(command, target, tag.as_deref()) {
            worker.release_target(replaced);
        }
    }
    Ok(())
}

/// Returns the target that an object stands for, if it was not replaced.
fn of(object: &AnyUserData, shared: &Shared) -> Result<Route> {
    let worker = shared.borrow();
    let (target, is_closed) = if let Ok(router) = object.borrow::<RouterObject>() {
        (Route::Router(router.0), worker.routers.get(router.0).is_none_or(|router| router.is_closed))
    } else {
        let generator = object.borrow::<GeneratorObject>();
        let number = generator.map_err(|_| error("mcp.attach: must pass a function"))?.number;
        (Route::Generator(number), worker.generators.get(number).is_none_or(|generator| generator.is_closed))
    };
    if is_closed {
        return Err(error("mcp.attach: cannot use a previously replaced function"));
    }
    Ok(target)
}

/// `mcp.router_new`.
fn new_router(shared: &Shared, argument: &Value) -> Result<RouterObject> {
    let router = router::new(argument, |target| match target {
        Value::UserData(object) => match of(&object, shared)? {
            Route::Generator(generator) => Ok(generator),
            Route::Router(_) => Err(error("unhandled data in router_new map")),
        },
        _ => Err(error("unhandled data in router_new map")),
    })?;
    let mut worker = shared.borrow_mut();
    let targets: Vec<usize> = router.targets().copied().collect();
    targets.into_iter().for_each(|generator| worker.retain(generator));
    Ok(RouterObject(worker.routers.add(RouterSlot { router, users: 0, is_closed: false })))
}

/// Makes a generator around a function of requests.
fn bare(lua: &Lua, shared: &Shared, function: &Function) -> Result<usize> {
    let generator = new(shared);
    let options = lua.create_table()?;
    let make = lua.create_function(|_, (_, function): (Value, Function)| Ok(function))?;
    options.set("f", make)?;
    options.set("a", function)?;
    generator.ready(lua, &options)?;
    Ok(generator.number)
}

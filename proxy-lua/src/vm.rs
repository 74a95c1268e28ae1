//! The virtual machines: one for the configuration, and one for each worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::proxy::links::Links;
use memcache_core::internal::proxy::program::ServerView;
use mlua::{Error, Function, HookTriggers, Lua, Result, Table, Value, VmState};

use crate::api::config::{self, Settings};
use crate::api::cron::Crons;
use crate::api::errors::message;
use crate::api::generator::PoolHandle;
use crate::api::{
    constants, context, counters, cron, errors, generator, hashing, inspector, log, mutator, ratelim,
    request, statistics, time,
};
use crate::counters::Counters;
use crate::loaded::{Chunk, Loaded};
use crate::pool::{Backend, Pool};
use crate::worker::{LinkedPool, Shared};

/// Instructions between two looks at the time of a function.
const STEP: u32 = 100_000;

/// Steps after which a function fails. It may catch the error.
const STEPS_MAX: u32 = 200;

/// Counts the steps of the function that runs.
pub type Budget = Rc<Cell<u32>>;

/// A virtual machine of a worker.
pub struct WorkerVm {
    /// The machine.
    pub lua: Lua,
    /// The state that the API shares.
    pub shared: Shared,
    /// Steps of the function that runs.
    pub budget: Budget,
    /// Links that the machine has acquired.
    pub links: Vec<usize>,
}

/// Compiles a file.
///
/// # Errors
/// Its syntax is wrong.
pub fn compile(lua: &Lua, chunk: &Chunk) -> Result<Function> {
    lua.load(&chunk.text[..]).set_name(format!("@{}", chunk.name)).into_function()
}

/// Makes the virtual machine of a configuration.
///
/// # Errors
/// If there is no memory.
pub fn configuration(
    argument: Option<&str>,
    settings: &Rc<RefCell<Settings>>,
    counters: &Rc<RefCell<Counters>>,
    crons: &Rc<RefCell<Crons>>,
    server: &Arc<dyn ServerView>,
) -> Result<(Lua, Budget)> {
    let (lua, mcp, budget) = base(argument)?;
    config::add(&lua, &mcp, settings, server)?;
    hashing::add(&lua, &mcp)?;
    counters::add_names(&lua, &mcp, counters, write_line)?;
    cron::add(&lua, &mcp, crons)?;
    log::add_to_configuration(&lua, &mcp, server)?;
    statistics::add(&lua, &mcp, server)?;
    ratelim::add_global(&lua, &mcp)?;
    lua.globals().set("mcp", mcp)?;
    Ok((lua, budget))
}

/// Makes the virtual machine of a worker, and runs the configuration in it.
///
/// # Errors
/// memcached's line that says what failed.
pub fn worker(loaded: &Loaded, links: &mut Links) -> std::result::Result<WorkerVm, String> {
    let mut acquired = Vec::new();
    let made = make(loaded, links, &mut acquired);
    match made {
        Ok((lua, shared, budget)) => Ok(WorkerVm { lua, shared, budget, links: acquired }),
        Err(line) => {
            acquired.into_iter().for_each(|link| links.release(link));
            Err(line)
        }
    }
}

fn make(
    loaded: &Loaded,
    links: &mut Links,
    acquired: &mut Vec<usize>,
) -> std::result::Result<(Lua, Shared, Budget), String> {
    let shared = Shared::default();
    shared.borrow_mut().functions = Arc::clone(&loaded.functions);
    let into = |e: &Error| format!("Failed to load data into worker thread: {}", message(e));
    let (lua, mcp, budget) = base(loaded.argument.as_deref()).map_err(|e| into(&e))?;
    let added = request::add(&lua, &mcp, &shared)
        .and_then(|()| inspector::add(&lua, &mcp))
        .and_then(|()| mutator::add(&lua, &mcp))
        .and_then(|()| ratelim::add(&lua, &mcp))
        .and_then(|()| log::add(&lua, &mcp, &shared))
        .and_then(|()| counters::add(&lua, &mcp, loaded.counters.clone()))
        .and_then(|()| time::add(&lua, &mcp, Instant::now()))
        .and_then(|()| generator::add(&lua, &mcp, &shared))
        .and_then(|()| context::add(&lua, &mcp))
        .and_then(|()| lua.globals().set("mcp", mcp));
    added.map_err(|e| into(&e))?;
    for chunk in &loaded.chunks {
        compile(&lua, chunk).and_then(|function| function.call::<()>(())).map_err(|e| into(&e))?;
    }
    let mut object = |pool: &Arc<Pool>| {
        let name = |backend: &Backend| format!("{}:{}", backend.host, backend.port).into();
        let names = pool.backends.iter().map(name).collect();
        let linked = LinkedPool { pool: Arc::clone(pool), links: pool.link(links), names };
        acquired.extend(linked.links.iter().flatten());
        lua.create_userdata(PoolHandle(Rc::new(linked))).map(Value::UserData)
    };
    let pools = loaded.pools.value(&lua, &mut object).map_err(|e| into(&e))?;
    let function: Option<Function> = lua.globals().get("mcp_config_routes").ok();
    let function = function.ok_or("Configuration file missing 'mcp_config_routes' function")?;
    budget.set(0);
    function
        .call::<()>(pools)
        .map_err(|e| format!("Failed to execute mcp_config_routes: {}", message(&e)))?;
    Ok((lua, shared, budget))
}

/// Makes a virtual machine with what both kinds have.
fn base(argument: Option<&str>) -> Result<(Lua, Table, Budget)> {
    let lua = Lua::new();
    errors::install(&lua)?;
    // A program does not end the process.
    lua.globals().get::<Table>("os")?.set("exit", Value::Nil)?;
    let mcp = lua.create_table()?;
    constants::set(&mcp)?;
    constants::set_start_arg(&lua, &mcp, argument)?;
    let budget = Budget::default();
    count_steps(&lua, &budget, STEP)?;
    Ok((lua, mcp, budget))
}

/// Makes functions fail that run too long without a wait. A function that goes on fails at each
/// instruction, so that `pcall` does not keep it going. `every` is for the coroutine that runs.
fn count_steps(lua: &Lua, budget: &Budget, every: u32) -> Result<()> {
    let used = Rc::clone(budget);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(every), move |lua, _| {
        used.set(used.get().saturating_add(1));
        match used.get() {
            // This coroutine may have failed at each instruction before.
            0..=STEPS_MAX => return count_steps(lua, &used, STEP).map(|()| VmState::Continue),
            steps if steps > 2 * STEPS_MAX => count_steps(lua, &used, 1)?,
            _ => {}
        }
        Err(Error::runtime("a function runs without end"))
    })
}

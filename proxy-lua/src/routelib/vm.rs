//! The VM of a configuration, and what the functions of the language record.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, io};

use memcache_core::internal::base::file::read_text;
use memcache_core::internal::config::hint_of_toml;
use mlua::{Error, Function, HookTriggers, Lua, Result, Table, Value, Variadic, VmState};

use super::fault::{Fault, Found, fail};
use crate::api::constants;

/// Most instructions of a configuration, about a second.
pub const MAX_INSTRUCTIONS: u64 = 100_000_000;
/// Most bytes of memory that a configuration uses.
pub const MAX_MEMORY: usize = 64 << 20;
/// Instructions between two checks.
const STEP: u32 = 10_000;
/// Bytes of a configuration at most.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The kinds of routes, as the functions `route_KIND` name them.
const KINDS: [&str; 11] = [
    "direct",
    "failover",
    "zfailover",
    "allsync",
    "allfastest",
    "allasync",
    "split",
    "ttl",
    "null",
    "ratelim",
    "random",
];

/// A table of the file, and the line of the call that had it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub line: usize,
    pub table: Table,
}

/// The calls of a configuration.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The name of the file, for messages.
    pub name: String,
    pub settings: Vec<Call>,
    pub pools: Vec<Call>,
    pub routes: Vec<Call>,
    pub local_zone: Option<String>,
    /// Tables that `route_KIND` and `cmdmap` returned have this metatable.
    pub marks: Table,
    /// The tables belong to it.
    _lua: Lua,
}

#[derive(Debug, Default)]
struct Calls {
    settings: Vec<Call>,
    pools: Vec<Call>,
    routes: Vec<Call>,
    local_zone: Option<String>,
    says: bool,
    debugs: bool,
}

/// The name of the configuration in messages of Lua.
const NAME: &str = "configuration";

/// Runs a configuration. `text` is that of `file`.
pub(super) fn run(file: &Path, text: &[u8]) -> Found<Recorded> {
    let lua = Lua::new();
    let calls = Rc::new(RefCell::new(Calls::default()));
    let prepared = lua.set_memory_limit(MAX_MEMORY).and_then(|_| prepare(&lua, &calls));
    let marks = prepared.map_err(|e| fault(&e))?;
    let ran = lua.load(text).set_name(format!("={NAME}")).exec();
    let Calls { settings, pools, routes, local_zone, .. } = calls.take();
    if is_program(&lua) && (ran.is_err() || routes.is_empty()) {
        return fail(1, PROGRAM);
    }
    ran.map_err(|e| with_hint(fault(&e), &e, text))?;
    Ok(Recorded { name: file.display().to_string(), settings, pools, routes, local_zone, marks, _lua: lua })
}

/// The mistake of a file in memcached's API.
const PROGRAM: &str = "this is a program, not a configuration of routelib: -o proxy_config=FILE runs it, \
                       and memcached-rs --check -o proxy_config=FILE checks it";

/// Returns whether a file defined a function that a program for memcached's proxy has.
fn is_program(lua: &Lua) -> bool {
    let globals = lua.globals();
    ["mcp_config_pools", "mcp_config_routes"].iter().any(|name| globals.raw_get::<Function>(*name).is_ok())
}

/// Returns whether the text of an error says that a function of this language is missing.
pub fn misses_function(text: &str) -> bool {
    let name = text.split_once("(global '").and_then(|(_, rest)| rest.split_once("')"));
    let others = ["settings", "pools", "routes", "cmdmap"];
    name.is_some_and(|(name, _)| {
        name.starts_with("route_") || name.starts_with("local_zone") || others.contains(&name)
    })
}

/// Adds a hint to the mistake of a text that is not Lua.
fn with_hint(mut mistake: Fault, error: &Error, text: &[u8]) -> Fault {
    if matches!(error, Error::SyntaxError { .. }) {
        mistake.message += hint_of_toml(text);
    }
    mistake
}

/// Returns the mistake of an error: the first line of its text.
fn fault(error: &Error) -> Fault {
    let mut cause = error;
    while let Error::CallbackError { cause: inner, .. } = cause {
        cause = inner;
    }
    let text = match cause {
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        Error::MemoryError(_) => format!("the configuration must use at most {MAX_MEMORY} bytes of memory"),
        other => other.to_string(),
    };
    let text: String =
        text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(1000).collect();
    let placed = text.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    match placed.and_then(|(line, message)| Some((line.parse().ok()?, message.to_owned()))) {
        Some((line, message)) => Fault { line, message },
        None => Fault { line: 0, message: text },
    }
}

/// Sets the functions of the language. Returns the metatable of routes.
fn prepare(lua: &Lua, calls: &Rc<RefCell<Calls>>) -> Result<Table> {
    bound(lua)?;
    let globals = lua.globals();
    // A configuration does not end the server.
    globals.get::<Table>("os")?.set("exit", Value::Nil)?;
    globals.set("mcp", mcp(lua)?)?;

    let record = |pick: fn(&mut Calls) -> &mut Vec<Call>| {
        let calls = Rc::clone(calls);
        lua.create_function(move |lua, table: Table| {
            pick(&mut calls.borrow_mut()).push(Call { line: line(lua), table });
            Ok(())
        })
    };
    globals.set("settings", record(|calls| &mut calls.settings)?)?;
    globals.set("pools", record(|calls| &mut calls.pools)?)?;
    globals.set("routes", record(|calls| &mut calls.routes)?)?;

    let marks = lua.create_table()?;
    let route = |kind: &'static str| -> Result<Function> {
        let marks = marks.clone();
        lua.create_function(move |lua, arguments: Option<Table>| {
            let route = lua.create_table()?;
            route.set("kind", kind)?;
            route.set("line", line(lua))?;
            route.set("fields", arguments.map_or_else(|| lua.create_table(), Ok)?)?;
            route.set_metatable(Some(marks.clone()))?;
            Ok(route)
        })
    };
    for kind in KINDS {
        globals.set(format!("route_{kind}"), route(kind)?)?;
    }
    globals.set("cmdmap", route("cmdmap")?)?;

    let zone = |read: fn(String) -> std::result::Result<String, String>| {
        let calls = Rc::clone(calls);
        lua.create_function(move |lua, argument: String| {
            let zone = read(argument).map_err(|reason| at(lua, &reason))?;
            calls.borrow_mut().local_zone = Some(zone);
            Ok(())
        })
    };
    globals.set("local_zone", zone(Ok)?)?;
    globals.set(
        "local_zone_from_env",
        zone(|name| env::var(&name).map_err(|_| format!("the environment variable {name} is not set")))?,
    )?;
    globals.set(
        "local_zone_from_file",
        zone(|path| match read_text(Path::new(&path), MAX_FILE) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().trim().to_owned()),
            Err(reason) => Err(format!("{path}: {reason}")),
        })?,
    )?;

    for (name, pick) in [
        ("verbose", (|calls| &mut calls.says) as fn(&mut Calls) -> &mut bool),
        ("debug", |calls| &mut calls.debugs),
    ] {
        let calls = Rc::clone(calls);
        let switch = move |_: &Lua, on: bool| {
            *pick(&mut calls.borrow_mut()) = on;
            Ok(())
        };
        globals.set(name, lua.create_function(switch)?)?;
    }
    for (name, when) in [("say", (|calls| calls.says) as fn(&Calls) -> bool), ("dsay", |calls| calls.debugs)]
    {
        let calls = Rc::clone(calls);
        let say = move |_: &Lua, words: Variadic<Value>| {
            if when(&calls.borrow()) {
                let words: Result<Vec<String>> = words.iter().map(Value::to_string).collect();
                let _ = writeln!(io::stderr(), "{}", words?.join(" "));
            }
            Ok(())
        };
        globals.set(name, lua.create_function(say)?)?;
    }
    Ok(marks)
}

/// Ends a configuration that runs too long. Then each instruction fails, so that `pcall` does not
/// keep it going.
fn bound(lua: &Lua) -> Result<()> {
    let steps = AtomicU64::new(0);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(STEP), move |lua, _| {
        if steps.fetch_add(u64::from(STEP), Relaxed) < MAX_INSTRUCTIONS {
            return Ok(VmState::Continue);
        }
        let fault = at(lua, &format!("the configuration must end within {MAX_INSTRUCTIONS} instructions"));
        let again = fault.clone();
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| Err(again.clone()))?;
        Err(fault)
    })
}

/// Returns the constants that a configuration may use.
fn mcp(lua: &Lua) -> Result<Table> {
    let mcp = lua.create_table()?;
    constants::set(&mcp)?;
    let distribution = |name: &str| {
        let table = lua.create_table()?;
        table.set("distribution", name)?;
        Ok::<_, Error>(table)
    };
    mcp.set("dist_jump_hash", distribution("jump")?)?;
    let ring = distribution("ring")?;
    ring.set("hash", "md5")?;
    mcp.set("dist_ring_hash", ring)?;
    mcp.set("hash_xxhash", "xxh3")?;
    Ok(mcp)
}

/// Returns the line that runs now, with the name of its file.
fn place(lua: &Lua) -> Option<(String, usize)> {
    (0..10).find_map(|level| {
        let found = lua.inspect_stack(level, |frame| {
            let name = frame.source().short_src.map(Cow::into_owned);
            frame.current_line().map(|line| (name.unwrap_or_default(), line))
        });
        found.flatten()
    })
}

/// Returns the line of the file that runs now.
fn line(lua: &Lua) -> usize {
    place(lua).map_or(1, |(_, line)| line)
}

/// Returns an error at the line that runs now.
fn at(lua: &Lua, message: &str) -> Error {
    match place(lua) {
        Some((name, line)) => Error::RuntimeError(format!("{name}:{line}: {message}")),
        None => Error::RuntimeError(message.to_owned()),
    }
}

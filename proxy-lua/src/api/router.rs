//! The arguments of `mcp.router_new`.

use std::collections::HashMap;

use mlua::{LuaString, Result, Table, Value};

use super::constants::{ANY_STORAGE, END_STORAGE};
use super::error;
use crate::router::{Commands, Entry, Part, Router, SEPARATOR_MAX};

/// Builds a router from the argument of `mcp.router_new`. `target` checks and converts a function
/// generator.
///
/// # Errors
/// An argument is wrong.
pub fn new<T>(argument: &Value, target: impl Fn(Value) -> Result<T>) -> Result<Router<T>> {
    let Value::Table(argument) = argument else {
        return Err(error("Must pass a table of arguments to mcp.router_new"));
    };
    let mut router = Router::default();
    let has_map = match argument.get("map")? {
        Value::Nil => false,
        Value::Table(table) => {
            router.map = map(&table, &target)?;
            true
        }
        _ => return Err(error("Must pass a table to map argument of router_new")),
    };
    match argument.get("cmap")? {
        Value::Nil if has_map => {}
        Value::Nil => return Err(error("Must pass map and/or cmap to mcp.router_new")),
        Value::Table(table) => router.commands = commands(&table, &target)?,
        _ => return Err(error("Must pass a table to cmap argument of mcp.router_new")),
    }
    if has_map && let Value::String(mode) = argument.get("mode")? {
        router.part = part(&mode, argument)?;
    }
    router.default = match argument.get("default")? {
        default @ Value::UserData(_) => Some(target(default)?),
        _ => None,
    };
    Ok(router)
}

fn map<T>(table: &Table, target: &impl Fn(Value) -> Result<T>) -> Result<HashMap<Vec<u8>, Entry<T>>> {
    let mut map = HashMap::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let entry = match value {
            value @ Value::UserData(_) => Entry::One(target(value)?),
            Value::Table(table) => Entry::Commands(commands(&table, target)?),
            _ => return Err(error("unhandled data in router_new map")),
        };
        // A part of a key is a string, so it does not find an entry with another key.
        if let Value::String(key) = key {
            map.insert(key.as_bytes().to_vec(), entry);
        }
    }
    Ok(map)
}

fn commands<T>(table: &Table, target: &impl Fn(Value) -> Result<T>) -> Result<Commands<T>> {
    let mut commands = Commands::default();
    for pair in table.pairs::<Value, Value>() {
        match pair? {
            (Value::Integer(ANY_STORAGE), value) => commands.set_any(target(value)?),
            (Value::Integer(command @ 1..END_STORAGE), value) => commands.set(command as u8, target(value)?),
            (Value::Integer(_), _) => return Err(error("Bad command in router command map in router_new")),
            _ => return Err(error("Non integer key in router command map in router_new")),
        }
    }
    Ok(commands)
}

fn part(mode: &LuaString, argument: &Table) -> Result<Part> {
    match &*mode.as_bytes() {
        b"prefix" => {
            Ok(separator(argument, "stop")?.map_or_else(Part::default, |stop| Part::Prefix { stop }))
        }
        b"anchor" => match (separator(argument, "stop")?, separator(argument, "start")?) {
            (Some(stop), Some(start)) => Ok(Part::Anchor { start, stop }),
            (None, None) => Ok(Part::Anchor { start: b"/".to_vec(), stop: b"/".to_vec() }),
            _ => Err(error("must specify start and stop if mode is anchor in mcp.router_new")),
        },
        _ => Err(error("unknown type passed to mcp.router_new")),
    }
}

fn separator(argument: &Table, name: &str) -> Result<Option<Vec<u8>>> {
    let text = match argument.get(name)? {
        Value::Nil => return Ok(None),
        Value::String(text) => text.as_bytes().to_vec(),
        _ => return Err(error(format!("must pass a string to {name} in mcp.router_new"))),
    };
    match text.len() {
        0 => Err(error(format!("must pass a non-zero length string to {name} in mcp.router_new"))),
        1..=SEPARATOR_MAX => Ok(Some(text)),
        _ => Err(error(format!("{name} is too long in mcp.router_new"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use mlua::{Lua, UserData};

    use super::super::{constants, errors};
    use super::*;

    struct Generator(i64);

    impl UserData for Generator {}

    fn router(argument: &str) -> Result<Router<i64>> {
        let lua = Lua::new();
        let mcp = lua.create_table()?;
        constants::set(&mcp)?;
        lua.globals().set("mcp", mcp)?;
        lua.globals().set("g", lua.create_function(|_, number| Ok(Generator(number)))?)?;
        let argument = lua.load(argument).eval()?;
        new(&argument, |value| match value {
            Value::UserData(generator) => Ok(generator.borrow::<Generator>()?.0),
            _ => Err(error("not a generator")),
        })
    }

    #[test]
    fn each_argument_counts() {
        let find = |argument: &str, command: u8, key: &str| {
            router(argument).unwrap().target(command, key.as_bytes()).copied()
        };
        let argument = "{ map = { a = g(1), b = { [mcp.CMD_GET] = g(2), [mcp.CMD_ANY_STORAGE] = g(3) } },
            cmap = { [mcp.CMD_SET] = g(4) }, default = g(5) }";
        assert_eq!(find(argument, 7, "a/k"), Some(1));
        assert_eq!(find(argument, 7, "b/k"), Some(2));
        assert_eq!(find(argument, 9, "b/k"), Some(3));
        assert_eq!(find(argument, 9, "c/k"), Some(4));
        assert_eq!(find(argument, 7, "c/k"), Some(5));
        assert_eq!(find("{ cmap = {}, default = g(1) }", 7, "k"), Some(1));
        assert_eq!(find("{ map = { a = g(1) }, mode = 'prefix', stop = '::' }", 7, "a::k"), Some(1));
        assert_eq!(find("{ map = { a = g(1) }, mode = 'anchor' }", 7, "/a/k"), Some(1));
        assert_eq!(
            find("{ map = { a = g(1) }, mode = 'anchor', start = '<', stop = '>' }", 7, "<a>k"),
            Some(1)
        );
        // Without a mode, the separators do not count.
        assert_eq!(find("{ map = { a = g(1) }, stop = ':' }", 7, "a:k"), None);
    }

    #[test]
    fn wrong_arguments() {
        for (argument, fault) in [
            ("1", "Must pass a table of arguments to mcp.router_new"),
            ("{}", "Must pass map and/or cmap to mcp.router_new"),
            ("{ map = 1 }", "Must pass a table to map argument of router_new"),
            ("{ cmap = 1 }", "Must pass a table to cmap argument of mcp.router_new"),
            ("{ map = { a = 'b' } }", "unhandled data in router_new map"),
            ("{ map = { a = { get = g(1) } } }", "Non integer key in router command map in router_new"),
            ("{ cmap = { [21] = g(1) } }", "Bad command in router command map in router_new"),
            ("{ cmap = { [0] = g(1) } }", "Bad command in router command map in router_new"),
            ("{ map = {}, mode = 'x' }", "unknown type passed to mcp.router_new"),
            (
                "{ map = {}, mode = 'anchor', start = '/' }",
                "must specify start and stop if mode is anchor in mcp.router_new",
            ),
            ("{ map = {}, mode = 'prefix', stop = 1 }", "must pass a string to stop in mcp.router_new"),
            (
                "{ map = {}, mode = 'prefix', stop = '' }",
                "must pass a non-zero length string to stop in mcp.router_new",
            ),
            (
                "{ map = {}, mode = 'anchor', stop = '/', start = '123456' }",
                "start is too long in mcp.router_new",
            ),
        ] {
            assert_eq!(errors::message(&router(argument).unwrap_err()), fault, "{argument}");
        }
    }
}

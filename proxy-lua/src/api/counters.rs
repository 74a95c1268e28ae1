//! `mcp.add_stat`, `mcp.stat_limit` and `mcp.stat`.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, LuaString, Result, Table};

use super::error;
use crate::counters::Counters;

/// The line about a limit above the default.
const WARNING: &str = "PROXY WARNING: setting ustats limit above default may cause performance problems";

/// Adds the functions of a configuration. `warn` gets a line for the log.
///
/// # Errors
/// If there is no memory.
pub fn add_names(
    lua: &Lua,
    mcp: &Table,
    counters: &Rc<RefCell<Counters>>,
    warn: impl Fn(&str) + 'static,
) -> Result<()> {
    let shared = Rc::clone(counters);
    let name = move |_: &Lua, (number, name): (i64, LuaString)| {
        shared.borrow_mut().name(number, &name.to_string_lossy()).map_err(error)
    };
    mcp.set("add_stat", lua.create_function(name)?)?;
    let shared = Rc::clone(counters);
    let limit = move |_: &Lua, limit: i64| {
        if shared.borrow_mut().set_limit(usize::try_from(limit).unwrap_or(0)) {
            warn(WARNING);
        }
        Ok(())
    };
    mcp.set("stat_limit", lua.create_function(limit)?)
}

/// Adds the function of a worker.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, counters: Counters) -> Result<()> {
    let add = move |_: &Lua, (number, change): (i64, i64)| counters.add(number, change).map_err(error);
    mcp.set("stat", lua.create_function(add)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors;
    use super::*;

    fn with<T>(add: impl FnOnce(&Lua, &Table) -> T) -> (Lua, T) {
        let lua = Lua::new();
        errors::install(&lua).unwrap();
        let mcp = lua.create_table().unwrap();
        let added = add(&lua, &mcp);
        lua.globals().set("mcp", mcp).unwrap();
        (lua, added)
    }

    #[test]
    fn a_program_names_counters_and_counts() {
        let counters = Rc::new(RefCell::new(Counters::default()));
        let warnings = Rc::new(RefCell::new(Vec::new()));
        let lines = Rc::clone(&warnings);
        let warn = move |line: &str| lines.borrow_mut().push(line.to_owned());
        let (config, added) = with(|lua, mcp| add_names(lua, mcp, &counters, warn));
        added.unwrap();
        config
            .load(
                r#"
                mcp.add_stat(1, "a") mcp.stat_limit(2048) mcp.add_stat(2048, "z")
                local ok, text = pcall(mcp.add_stat, 2049, "y")
                assert(not ok and text == "stat index must be 2048 or less", text)
                "#,
            )
            .exec()
            .unwrap();
        assert_eq!(*warnings.borrow(), [WARNING]);
        let (worker, added) = with(|lua, mcp| add(lua, mcp, counters.borrow().clone()));
        added.unwrap();
        worker
            .load(
                r#"
                mcp.stat(1, 5) mcp.stat(1, -2) mcp.stat(2048, 1)
                local ok, text = pcall(mcp.stat, 2049, 1)
                assert(not ok and text == "stat index out of range", text)
                "#,
            )
            .exec()
            .unwrap();
        let counters = counters.borrow();
        assert_eq!(counters.named().collect::<Vec<_>>(), [("a", 3), ("z", 1)]);
    }
}

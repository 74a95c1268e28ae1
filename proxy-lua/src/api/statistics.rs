//! `mcp.server_stats`: the statistics of the server, for a configuration.

use std::sync::Arc;

use memcache_core::internal::proxy::program::ServerView;
use mlua::{Lua, LuaString, Result, Table};

use super::error;

/// Adds the function.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, server: &Arc<dyn ServerView>) -> Result<()> {
    let server = Arc::clone(server);
    let read = move |lua: &Lua, group: Option<LuaString>| {
        let group = group.map(|group| group.to_string_lossy()).unwrap_or_default();
        table(lua, &*server, &group)
    };
    mcp.set("server_stats", lua.create_function(read)?)
}

/// Returns a group of statistics. Values are strings, as in memcached.
fn table(lua: &Lua, server: &dyn ServerView, group: &str) -> Result<Table> {
    let (table, mut outcome) = (lua.create_table()?, Ok(()));
    // Statistics of external storage, which is not built in.
    if group == "extstore" {
        return Ok(table);
    }
    let has_sections = matches!(group, "items" | "slabs" | "conns");
    let is_known = server.statistics(group, &mut |name, value| {
        let section = Some(name).filter(|_| has_sections).and_then(section);
        let put = match section {
            Some((number, name)) => section_of(&table, lua, number).and_then(|own| own.raw_set(name, value)),
            None => table.raw_set(name, value),
        };
        if outcome.is_ok() {
            outcome = put;
        }
    });
    if !is_known {
        return Err(error("unknown subcommand passed to server_stats"));
    }
    outcome.map(|()| table)
}

/// Returns the table of a section, which may be new.
fn section_of(table: &Table, lua: &Lua, number: i64) -> Result<Table> {
    if let Some(section) = table.raw_get(number)? {
        return Ok(section);
    }
    let section = lua.create_table()?;
    table.raw_set(number, &section)?;
    Ok(section)
}

/// Splits the name of a statistic of a slab class or of a connection: `items:1:number` or `1:addr`.
fn section(name: &str) -> Option<(i64, &str)> {
    let (number, rest) = name.strip_prefix("items:").unwrap_or(name).split_once(':')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::api::errors::message;

    struct Server;

    impl ServerView for Server {
        fn statistics(&self, group: &str, each: &mut dyn FnMut(&str, &str)) -> bool {
            match group {
                "" => each("pid", "7"),
                "items" => {
                    each("items:1:number", "5");
                    each("items:1:age", "9");
                }
                "slabs" => {
                    each("2:used_chunks", "3");
                    each("active_slabs", "1");
                }
                "proxy" => each("user_1:x", "4"),
                _ => return false,
            }
            true
        }

        fn event(&self, _: u32, _: &str) {}

        fn log(&self, _: &str) {}
    }

    #[test]
    fn sections_are_tables() {
        let lua = Lua::new();
        let mcp = lua.create_table().unwrap();
        let server: Arc<dyn ServerView> = Arc::new(Server);
        add(&lua, &mcp, &server).unwrap();
        lua.globals().set("mcp", mcp).unwrap();
        let check = "assert(mcp.server_stats().pid == '7')
            local items, slabs = mcp.server_stats('items'), mcp.server_stats('slabs')
            assert(items[1].number == '5' and items[1].age == '9')
            assert(slabs[2].used_chunks == '3' and slabs.active_slabs == '1')
            assert(mcp.server_stats('proxy')['user_1:x'] == '4')
            assert(next(mcp.server_stats('extstore')) == nil)";
        lua.load(check).exec().unwrap();
        let fault = lua.load("mcp.server_stats('none')").exec().unwrap_err();
        assert!(message(&fault).contains("unknown subcommand passed to server_stats"), "{fault}");
    }
}

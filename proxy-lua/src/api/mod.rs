//! The table `mcp`: the constants, functions and objects that programs see.
//!
//! A file an object. It converts arguments and results; what the object does is in the module of
//! the same name, which knows no Lua.

pub mod config;
pub mod constants;
pub mod context;
pub mod counters;
pub mod cron;
pub mod errors;
pub mod generator;
pub mod hashing;
pub mod inspector;
pub mod log;
mod methods;
pub mod mutator;
pub mod ratelim;
pub mod request;
pub mod response;
pub mod router;
pub mod statistics;
mod steps;
pub mod time;

use mlua::{Error, Lua, LuaString, Result, Value};

/// Returns the error that a program sees as this text.
pub(crate) fn error(text: impl Into<String>) -> Error {
    Error::RuntimeError(text.into())
}

/// Returns a string, or a number as one. Returns `None` for other values.
fn text(lua: &Lua, value: Option<&Value>) -> Result<Option<LuaString>> {
    match value {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Integer(_) | Value::Number(_)) => lua.coerce_string(value.cloned().unwrap_or(Value::Nil)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod testing {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use mlua::Lua;

    use super::{constants, errors, inspector, mutator, request};
    use crate::object::{Held, Request};
    use crate::response::Response;
    use crate::worker::Shared;

    /// Functions that compare. A failed comparison ends the program.
    const PRELUDE: &str = r#"
        function is(got, expected)
            assert(got == expected, tostring(got) .. " is not " .. tostring(expected))
        end
        function fails(expected, ...)
            local ok, text = pcall(...)
            is(ok, false) is(text, expected)
        end
    "#;

    /// Runs a program that has objects, but no worker.
    pub(super) fn run(program: &str) {
        let lua = Lua::new();
        errors::install(&lua).unwrap();
        let mcp = lua.create_table().unwrap();
        constants::set(&mcp).unwrap();
        request::add(&lua, &mcp, &Shared::default()).unwrap();
        inspector::add(&lua, &mcp).unwrap();
        mutator::add(&lua, &mcp).unwrap();
        let globals = lua.globals();
        globals.set("mcp", mcp).unwrap();
        let reply = |text: &str| Response::parse(text.as_bytes().to_vec());
        globals.set("va", Held::new(reply("VA 2 kkey Oab\r\nhi\r\n"))).unwrap();
        globals.set("stored", Held::new(reply("STORED\r\n"))).unwrap();
        let empty_request = lua.create_function(|_, ()| Ok(Held::<Request>::default())).unwrap();
        globals.set("empty_request", empty_request).unwrap();
        let empty_response = lua.create_function(|_, ()| Ok(Held::new(Response::empty()))).unwrap();
        globals.set("empty_response", empty_response).unwrap();
        lua.load(format!("{PRELUDE}\n{program}")).exec().unwrap();
    }
}

//! The table `mcp`: the constants, functions and objects that programs see.
//!
//! A file an object. It converts arguments and results; what the object does is in the module of
//! the same name, which knows no Lua.

pub mod constants;
pub mod errors;
pub mod request;
pub mod response;

use mlua::{Error, Lua, LuaString, Result, Value};

/// Returns the error that a program sees as this text.
fn error(text: impl Into<String>) -> Error {
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

//! Errors as text, as programs of memcached's proxy expect them.
//!
//! mlua raises errors as objects. [`install`] makes `pcall` and the like return the text instead.

use mlua::{Error, Lua, Result, Value};

/// The begin of what mlua appends to the text of an error.
const TRACEBACK: &str = "\nstack traceback:\n";

/// Returns the text of an error, without the place of its calls.
pub fn message(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => message(cause),
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the text of an error for a line of watchers: without the traceback, as in memcached.
pub fn summary(error: &Error) -> String {
    let mut text = message(error);
    text.truncate(text.find(TRACEBACK).unwrap_or(text.len()));
    text
}

/// Makes `pcall`, `xpcall` and `coroutine.resume` of a virtual machine return errors as text.
///
/// # Errors
/// If there is no memory.
pub fn install(lua: &Lua) -> Result<()> {
    let to_text = lua.create_function(|lua, value: Value| match value {
        Value::Error(error) => Ok(Value::String(lua.create_string(message(&error))?)),
        value => Ok(value),
    })?;
    lua.load(WRAPPERS).set_name("=errors").call(to_text)
}

const WRAPPERS: &str = r"
local to_text = ...
local protected, traced, resume = pcall, xpcall, coroutine.resume
local function results(ok, first, ...)
    if ok then return ok, first, ... end
    return ok, to_text(first)
end
function pcall(...) return results(protected(...)) end
function xpcall(f, handler, ...)
    return traced(f, function(e) return handler(to_text(e)) end, ...)
end
function coroutine.resume(...) return results(resume(...)) end
";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_program_catches_texts() {
        let lua = Lua::new();
        install(&lua).unwrap();
        let fail = lua.create_function(|_, ()| Err::<(), _>(Error::runtime("no room"))).unwrap();
        lua.globals().set("fail", fail).unwrap();
        lua.load(
            r##"
            local function is(expected, ok, text) assert(not ok and text == expected, text) end
            is("no room", pcall(fail))
            is("no room", coroutine.resume(coroutine.create(fail)))
            is("<no room>", xpcall(fail, function(e) return "<" .. e .. ">" end))
            is("own", pcall(error, "own"))
            local thrown = {}
            is(thrown, pcall(error, thrown))
            assert(select("#", pcall(function() return nil, 1, nil end)) == 4)
            -- A protected call may yield.
            local inner = coroutine.wrap(function() return pcall(function() return coroutine.yield(1) end) end)
            assert(inner() == 1)
            local ok, value = inner(2)
            assert(ok and value == 2)
            "##,
        )
        .exec()
        .unwrap();
        let error = lua.load("fail()").exec().unwrap_err();
        assert_eq!(message(&error), "no room");
        let error = lua.load("error('one\\ntwo', 0)").exec().unwrap_err();
        assert!(message(&error).contains("stack traceback"), "{error}");
        assert_eq!(summary(&error), "one\ntwo");
    }
}

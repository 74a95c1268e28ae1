//! `mcp.request`, both the function and its objects.

use std::rc::Rc;

use memcache_core::internal::protocol::tokens::{Tokens, strict_i64};
use memcache_core::internal::proxy::line::Flags;
use memcache_core::internal::proxy::request::ClientRequest;
use mlua::{
    AnyUserData, Lua, LuaString, Result, Table, UserData, UserDataFields, UserDataRef, Value, Variadic,
};

use super::methods::ValueMethods as _;
use super::{error, text};
use crate::object::{Held, Request, value_of};
use crate::request::{self, LINE_MAX};
use crate::response::Response;
use crate::worker::Shared;

impl UserData for Held<Request> {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.reads("command", |_, this, ()| Ok(this.get()?.command.number));
        fields.reads("key", |lua, this, ()| lua.create_string(this.get()?.key()));
        fields.changes("ltrimkey", |_, this, count: i64| {
            let trimmed = usize::try_from(count)
                .is_ok_and(|count| this.0.as_mut().is_some_and(|r| r.trim_key(count, 0)));
            trimmed.then_some(count).ok_or_else(|| error("ltrimkey cannot zero out key"))
        });
        fields.changes("rtrimkey", |_, this, count: i64| {
            let trimmed = usize::try_from(count)
                .is_ok_and(|count| this.0.as_mut().is_some_and(|r| r.trim_key(0, count)));
            trimmed.then_some(count).ok_or_else(|| error("rtrimkey cannot zero out key"))
        });
        fields.reads("raw_line", |lua, this, ()| lua.create_string(this.get()?.line()));
        fields.reads("raw_value", |lua, this, ()| {
            let value = Some(this.get()?.value()).filter(|value| !value.is_empty());
            value.map(|value| lua.create_string(value)).transpose()
        });
        fields.reads("ntokens", |_, this, ()| Ok(Tokens::new(this.get()?.line()).len()));
        fields.changes("token", |lua, this, arguments: Variadic<Value>| token(lua, this, &arguments));
        fields.reads("token_int", |_, this, at: Option<i64>| {
            let index = at.and_then(|at| usize::try_from(at).ok()?.checked_sub(1));
            // As in memcached, the command is not taken for a number.
            let index = index.filter(|index| *index > 0);
            Ok(index.and_then(|index| Tokens::new(this.0.as_ref()?.line()).get(index).and_then(strict_i64)))
        });
        add_flag_methods(fields);
        fields.reads("match_res", |_, this, response: UserDataRef<Held<Response>>| {
            Ok(match request::match_response(this.get()?, &response.0.borrow()) {
                Ok(matched) => (matched, None),
                Err(difference) => (false, Some(difference)),
            })
        });
    }
}

fn add_flag_methods<F: UserDataFields<Held<Request>>>(fields: &mut F) {
    fields.reads("has_flag", |_, this, flag: LuaString| {
        let flag = token_letter(&flag)?;
        Ok(this.get()?.flags().has(flag))
    });
    fields.changes("flag_token", |lua, this, (flag, new): (LuaString, Option<Value>)| {
        let flag = token_letter(&flag)?;
        let request = this.get_mut()?;
        let Some(place) = request::flag_place(request, flag) else {
            return Ok((request.flags().has(flag), None));
        };
        let old = request::flag(request, flag).filter(|old| !old.is_empty());
        let old = old.map(|old| lua.create_string(old)).transpose()?;
        if let Some(new) = text(lua, new.as_ref())?
            && !request::set_token(request, place, &new.as_bytes())
        {
            return Err(error("token(): request malformed after edit"));
        }
        Ok((true, old))
    });
    fields.reads("flag_token_int", |_, this, flag: LuaString| {
        let bytes = flag.as_bytes();
        let [flag] = *bytes else { return Err(error("has_flag(): meta flag must be a single character")) };
        // memcached says of a flag without a text that it is not there.
        let text = request::flag(this.get()?, flag).filter(|text| !text.is_empty());
        Ok((text.is_some(), text.and_then(strict_i64)))
    });
    fields.changes("flag_add", |lua, this, (flag, new): (LuaString, Option<Value>)| {
        let flag = letter(&flag)?;
        let request = this.get_mut()?;
        if request.flags().has(flag) {
            return Ok(false);
        }
        let new = flag_text(lua, new.as_ref())?;
        Ok(request::append_flag(request, flag, &new))
    });
    fields.changes("flag_set", |lua, this, (flag, new): (LuaString, Option<Value>)| {
        let flag = letter(&flag)?;
        let new = flag_text(lua, new.as_ref())?;
        Ok(request::set_flag(this.get_mut()?, flag, flag, &new))
    });
    fields.changes("flag_replace", |lua, this, (old, flag, new): (LuaString, LuaString, Option<Value>)| {
        let (old, flag) = (letter(&old)?, letter(&flag)?);
        let new = flag_text(lua, new.as_ref())?;
        Ok(request::set_flag(this.get_mut()?, old, flag, &new))
    });
    fields.changes("flag_del", |_, this, flag: LuaString| {
        let flag = letter(&flag)?;
        Ok(request::remove_flag(this.get_mut()?, flag))
    });
}

/// `token(i)` returns a token, and `token(i, new)` replaces it. memcached returns the key for each
/// `i`, by a mistake.
fn token(lua: &Lua, this: &mut Request, arguments: &[Value]) -> Result<Option<LuaString>> {
    let Some(at) = arguments.first() else { return Ok(None) };
    let Some(at) = lua.coerce_integer(at.clone())? else {
        return Err(error("token(): the number of the token must be an integer"));
    };
    let request = this.get_mut()?;
    let index = usize::try_from(at).ok().and_then(|at| at.checked_sub(1));
    let tokens = Tokens::new(request.line());
    let Some((index, old)) = index.and_then(|index| Some((index, tokens.get(index)?))) else {
        return Ok(None);
    };
    let Some(new) = arguments.get(1) else { return lua.create_string(old).map(Some) };
    let new = text(lua, Some(new))?;
    let bytes = new.as_ref().map(LuaString::as_bytes);
    if request::set_token(request, index, bytes.as_deref().unwrap_or_default()) {
        Ok(None)
    } else {
        Err(error("token(): request malformed after edit"))
    }
}

/// Returns the flag that a program names, for methods that change flags.
pub(super) fn letter(flag: &LuaString) -> Result<u8> {
    match *flag.as_bytes() {
        [letter] if Flags::is_flag(letter) => Ok(letter),
        [_] => Err(error("request: invalid flag, must be A-Z,a-z")),
        _ => Err(error("request: meta flag must be a single character")),
    }
}

/// Returns the flag that a program names, for methods that look for one.
fn token_letter(flag: &LuaString) -> Result<u8> {
    match *flag.as_bytes() {
        [letter] if Flags::is_flag(letter) => Ok(letter),
        [_] => Err(error("has_flag(): invalid flag, must be A-Z,a-z")),
        _ => Err(error("has_flag(): meta flag must be a single character")),
    }
}

/// Returns the text that a flag gets: a string, a number, or nothing.
fn flag_text(lua: &Lua, value: Option<&Value>) -> Result<Vec<u8>> {
    match value {
        None | Some(Value::Nil) => Ok(Vec::new()),
        value => {
            let text = text(lua, value)?.ok_or_else(|| error("request: invalid flag argument"))?;
            Ok(text.as_bytes().to_vec())
        }
    }
}

/// Adds the function `request`.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, shared: &Shared) -> Result<()> {
    let state = Rc::clone(shared);
    let make = move |_: &Lua, (line, value): (LuaString, Option<Value>)| {
        let request = new(&line, value)?;
        state.borrow_mut().made += request.get()?.held();
        Ok(Held::new(request))
    };
    mcp.set("request", lua.create_function(make)?)
}

/// `mcp.request(line, value)`: the value is a string, a response or a request.
fn new(line: &LuaString, value: Option<Value>) -> Result<Request> {
    let line = line.as_bytes();
    let copied = |object: &AnyUserData| -> Result<Vec<u8>> {
        if let Ok(response) = value_of::<Response>(object) {
            return Ok(response.borrow().value().to_vec());
        }
        Ok(value_of::<Request>(object)?.borrow().get()?.value().to_vec())
    };
    let value = match value {
        Some(Value::String(value)) => {
            let value = value.as_bytes().to_vec();
            if !value.ends_with(b"\r\n") {
                return Err(error("value passed to mcp.request must end with \\r\\n"));
            }
            value
        }
        Some(Value::UserData(object)) => copied(&object)?,
        _ => Vec::new(),
    };
    if line.len() > LINE_MAX {
        return Err(error("request length too long"));
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| error("request must end with \r\n"))?;
    match ClientRequest::parse(line, &value) {
        Ok(request) => Ok(Request(Some(request))),
        Err(_) => Err(error("failed to parse request")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors;
    use super::super::testing::run;
    use super::*;

    #[test]
    fn a_program_makes_requests() {
        run(r#"
            local r = mcp.request("ms key 2 T5\r\n", "hi\r\n")
            is(r:command(), mcp.CMD_MS) is(r:key(), "key") is(r:ntokens(), 4)
            is(r:raw_value(), "hi\r\n") is(r:token(1), "ms") is(r:token(4), "T5") is(r:token(9), nil) is(r:token(), nil)
            is(r:token_int(3), 2) is(r:token_int(2), nil) is(r:token_int(0), nil) is(r:token_int(1), nil)
            is(mcp.request("ms other 2\r\n", r):raw_value(), "hi\r\n")
            is(mcp.request("ms other 2\r\n", va):raw_value(), "hi\r\n")
            is(mcp.request("mg k\r\n"):raw_value(), nil)
            is(mcp.request("version\r\n"):key(), "")
            fails("value passed to mcp.request must end with \\r\\n", mcp.request, "ms k 2\r\n", "hi")
            fails("request must end with \r\n", mcp.request, "mg k")
            fails("request length too long", mcp.request, "mg " .. ("k"):rep(496) .. "\r\n")
            fails("failed to parse request", mcp.request, "mg\r\n")
            fails("failed to parse request", mcp.request, "\r\n")
            fails("failed to parse request", mcp.request, "ms k 3\r\n", "hi\r\n")
            fails("failed to parse request", mcp.request, "flush_all\r\n")
        "#);
    }

    #[test]
    fn a_program_changes_a_key_and_tokens() {
        run(r#"
            local function line(r, expected) is(r:raw_line(), expected) end
            local r = mcp.request("mg prefix/key v\r\n")
            is(r:ltrimkey(7), 7) is(r:key(), "key") line(r, "mg        key v")
            is(r:rtrimkey(1), 1) is(r:key(), "ke") line(r, "mg        ke  v")
            fails("ltrimkey cannot zero out key", r.ltrimkey, r, 3)
            fails("rtrimkey cannot zero out key", r.rtrimkey, r, -1)
            r = mcp.request("set k 1 2 3\r\n", "abc\r\n")
            r:token(3, 55) line(r, "set k 55 2 3")
            fails("token(): request malformed after edit", r.token, r, 5, "x")
            fails("token(): request malformed after edit", r.token, r, 5, 4)
            line(r, "set k 55 2 3")
            r = mcp.request("version\r\n")
            fails("token(): request malformed after edit", r.token, r, 1, "")
            r = mcp.request("mg k s t\r\n")
            r:token(3, "") line(r, "mg k t")
            r:token(3, nil) line(r, "mg k")
        "#);
    }

    #[test]
    fn a_program_changes_flags() {
        run(r#"
            local function line(r, expected) is(r:raw_line(), expected) end
            local r = mcp.request("mg k s Oab N30 T\r\n")
            is(r:has_flag("s"), true) is(r:has_flag("v"), false)
            fails("has_flag(): meta flag must be a single character", r.has_flag, r, "")
            fails("has_flag(): invalid flag, must be A-Z,a-z", r.has_flag, r, "3")
            local function both(b, v, eb, ev) is(b, eb) is(v, ev) end
            both(true, "ab", r:flag_token("O")) both(true, nil, r:flag_token("s")) both(false, nil, r:flag_token("v"))
            both(true, 30, r:flag_token_int("N")) both(true, nil, r:flag_token_int("O")) both(false, nil, r:flag_token_int("v"))
            both(true, "ab", r:flag_token("O", "Ocd")) line(r, "mg k s Ocd N30 T")
            is(r:flag_add("O", "x"), false) is(r:flag_add("v"), true) is(r:flag_add("R", 5), true)
            line(r, "mg k s Ocd N30 T v R5")
            is(r:flag_set("N", 1.5), true) is(r:flag_set("q"), true) is(r:has_flag("q"), true)
            line(r, "mg k s Ocd N1.5 T v R5  ")
            is(r:flag_replace("s", "f"), true) is(r:flag_replace("x", "t", "z"), true) is(r:flag_del("R"), true) is(r:flag_del("R"), false)
            fails("request: meta flag must be a single character", r.flag_add, r, "xx")
            fails("request: invalid flag, must be A-Z,a-z", r.flag_del, r, " ")
            fails("request: invalid flag argument", r.flag_set, r, "x", {})
            is(r:flag_set("O", ("x"):rep(490)), false)
            is(mcp.request("get k\r\n"):has_flag("k"), false)
        "#);
    }

    #[test]
    fn a_program_compares_a_reply() {
        run(r#"
            local function both(b, v, eb, ev) is(b, eb) is(v, ev) end
            both(true, nil, mcp.request("mg key k Oab\r\n"):match_res(va))
            both(false, "request opaque does not match response opaque", mcp.request("mg key k Oxy\r\n"):match_res(va))
            both(false, "key in response does not match request key", mcp.request("mg other\r\n"):match_res(va))
        "#);
    }

    #[test]
    fn an_empty_object_is_an_error() {
        let lua = Lua::new();
        lua.globals().set("r", Held::<Request>::default()).unwrap();
        let failed = lua.load("r:key()").exec().unwrap_err();
        assert_eq!(errors::message(&failed), "request: object has no request");
    }
}

//! `mcp.req_mutator_new` and `mcp.res_mutator_new`.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use memcache_core::internal::proxy::request::ClientRequest;
use mlua::{
    AnyUserData, BorrowedBytes, Error, Lua, LuaString, MetaMethod, Result, Table, UserData, UserDataMethods,
    Value, Variadic,
};

use super::steps::{self, Subject};
use super::{error, text};
use crate::mutator::{Argument, Step, Unsuitable, build};
use crate::object::{Request, value_of};
use crate::request::LINE_MAX;
use crate::response::Response;

/// Longest text of the step `cmdset`.
const COMMAND_MAX: usize = 20;

/// Steps that make a line.
struct Mutator {
    subject: Subject,
    steps: Vec<Step>,
}

impl UserData for Mutator {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(
            MetaMethod::Call,
            |_, this, (object, arguments): (AnyUserData, Variadic<Value>)| this.call(&object, &arguments),
        );
    }
}

/// An argument.
enum Kept {
    Plain(Argument<'static>),
    Text(BorrowedBytes),
    Request(Rc<RefCell<Request>>),
    Response(Rc<RefCell<Response>>),
}

/// An argument with its value borrowed.
enum Borrowed<'a> {
    Plain(&'a Argument<'static>),
    Text(&'a [u8]),
    Request(Ref<'a, Request>),
    Response(Ref<'a, Response>),
}

impl Kept {
    fn new(argument: &Value) -> Self {
        match argument {
            Value::Nil => Self::Plain(Argument::Nil),
            Value::Boolean(value) => Self::Plain(Argument::Bool(*value)),
            Value::String(text) => Self::Text(text.as_bytes()),
            Value::UserData(object) => match (value_of(object), value_of(object)) {
                (Ok(request), _) => Self::Request(request),
                (_, Ok(response)) => Self::Response(response),
                _ => Self::Plain(Argument::Other),
            },
            _ => Self::Plain(Argument::Other),
        }
    }

    fn borrow(&self) -> Borrowed<'_> {
        match self {
            Self::Plain(argument) => Borrowed::Plain(argument),
            Self::Text(text) => Borrowed::Text(text),
            Self::Request(request) => Borrowed::Request(request.borrow()),
            Self::Response(response) => Borrowed::Response(response.borrow()),
        }
    }
}

impl Borrowed<'_> {
    fn argument(&self) -> Argument<'_> {
        match self {
            Self::Plain(Argument::Nil) => Argument::Nil,
            Self::Plain(Argument::Bool(value)) => Argument::Bool(*value),
            Self::Plain(_) => Argument::Other,
            Self::Text(text) => Argument::Text(text),
            Self::Request(request) => request.0.as_ref().map_or(Argument::Other, Argument::Request),
            Self::Response(response) => Argument::Response(response),
        }
    }
}

impl Mutator {
    /// Fills `object`. Returns `false` if an argument does not fit, and nothing if all do.
    fn call(&self, object: &AnyUserData, arguments: &[Value]) -> Result<Variadic<bool>> {
        let wrong = |_| error("bad argument #2 (invalid argument to mutator object)");
        match self.subject {
            Subject::Request => {
                let request = value_of::<Request>(object).map_err(wrong)?;
                if request.borrow().0.as_ref().is_some_and(|r| !r.value().is_empty()) {
                    return Err(error("mutator: request has already been rendered"));
                }
            }
            Subject::Response => {
                if !value_of::<Response>(object).map_err(wrong)?.borrow().bytes().is_empty() {
                    return Err(error("mutator: result has already been rendered"));
                }
            }
        }
        let (line, block) = {
            let kept: Vec<Kept> = arguments.iter().map(Kept::new).collect();
            let borrowed: Vec<Borrowed<'_>> = kept.iter().map(Kept::borrow).collect();
            let arguments: Vec<Argument<'_>> = borrowed.iter().map(Borrowed::argument).collect();
            match build(&self.steps, &arguments) {
                Ok((line, block)) => (line, block.to_vec()),
                Err(Unsuitable) => return Ok(Variadic::from_iter([false])),
            }
        };
        match self.subject {
            Subject::Request => {
                // memcached counts a space behind each part, also the last one.
                if line.len() + 3 > LINE_MAX {
                    return Err(error("mutator: new request is too long"));
                }
                let request = ClientRequest::parse(&line, &block);
                let request = request.map_err(|_| error("mutator: failed to parse new request"))?;
                value_of::<Request>(object)?.borrow_mut().0 = Some(request);
            }
            Subject::Response => {
                let response = Response::parse([line.as_slice(), b"\r\n", &block].concat());
                if response.is_garbage() {
                    return Err(error("mutator: failed to parse new result"));
                }
                *value_of::<Response>(object)?.borrow_mut() = response;
            }
        }
        Ok(Variadic::new())
    }
}

/// Adds the functions.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table) -> Result<()> {
    for (name, subject) in [("req_mutator_new", Subject::Request), ("res_mutator_new", Subject::Response)] {
        let new = move |lua: &Lua, arguments: Variadic<Value>| {
            let steps =
                (1..).zip(arguments.iter()).map(|(number, step)| new_step(lua, subject, number, step));
            let steps = steps.collect::<Result<Vec<_>>>()?;
            if steps.is_empty() {
                return Err(error("mutator failed to initialize, no steps given"));
            }
            Ok(Mutator { subject, steps })
        };
        mcp.set(name, lua.create_function(new)?)?;
    }
    Ok(())
}

/// The table of a step, and its number in messages.
struct Arguments<'a> {
    lua: &'a Lua,
    step: &'a Table,
    number: usize,
}

impl Arguments<'_> {
    fn fault(&self, text: &str) -> Error {
        error(format!("mutator step {}: {text}", self.number))
    }

    /// Returns a text that must be there. As in memcached, a value of another type counts as an
    /// empty text.
    fn text(&self, name: &str) -> Result<Vec<u8>> {
        let value: Value = self.step.get(name)?;
        if value.is_nil() {
            return Err(self.fault(&format!("must provide '{name}' argument")));
        }
        Ok(text(self.lua, Some(&value))?.map_or_else(Vec::new, |text| text.as_bytes().to_vec()))
    }

    /// Returns the number of an argument, from 0.
    fn index(&self) -> Result<usize> {
        let value: Value = self.step.get("idx")?;
        if value.is_nil() {
            return Err(self.fault("must provide 'idx' argument"));
        }
        let index = match value {
            Value::Integer(index) => Some(index),
            Value::Number(index) if index.fract() == 0.0 => Some(index as i64),
            _ => None,
        };
        let index = index.ok_or_else(|| self.fault("must provide 'idx' argument as an integer"))?;
        let index = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
        index.ok_or_else(|| self.fault("'idx' argument must be greater than 0"))
    }

    /// Returns the number of an argument, which steps that do not need it do not check.
    fn index_if_any(&self) -> Option<usize> {
        self.index().ok()
    }

    fn flag(&self) -> Result<u8> {
        let value: Value = self.step.get("flag")?;
        if value.is_nil() {
            return Err(self.fault("must provide 'flag' argument"));
        }
        let flag = text(self.lua, Some(&value))?;
        match flag.as_ref().map(LuaString::as_bytes).as_deref() {
            Some([flag @ b'A'..=b'z']) => Ok(*flag),
            Some([_]) => Err(self.fault("'flag' must be alphanumeric")),
            _ => Err(self.fault("'flag' must be a single character")),
        }
    }

    fn command(&self) -> Result<Step> {
        let command = self.text("cmd")?;
        if command.len() > COMMAND_MAX {
            return Err(self.fault("'cmd' too long"));
        }
        Ok(Step::Text(command))
    }

    fn key(&self) -> Result<Step> {
        let key = self.text("val")?;
        if key.is_empty() {
            return Err(self.fault("'val' must have nonzero length"));
        }
        Ok(Step::Text(key))
    }

    fn error_line(&self) -> Result<Step> {
        let mut line = match self.text("code")?.as_slice() {
            b"error" => b"ERROR".to_vec(),
            b"server" => b"SERVER_ERROR".to_vec(),
            b"client" => b"CLIENT_ERROR".to_vec(),
            // memcached writes the quotes so.
            _ => return Err(self.fault("code must be 'error', server', or 'client'")),
        };
        let message: Value = self.step.get("msg")?;
        if !message.is_nil() {
            let message = text(self.lua, Some(&message))?.filter(|message| !message.as_bytes().is_empty());
            let message = message.ok_or_else(|| self.fault("'msg' must be a nonzero length string"))?;
            line.push(b' ');
            line.extend_from_slice(&message.as_bytes());
        }
        Ok(Step::Text(line))
    }

    fn flag_with_text(&self) -> Result<Step> {
        let mut part = vec![self.flag()?];
        match self.step.get("val")? {
            Value::Nil => {}
            value => {
                let text = text(self.lua, Some(&value))?;
                let text = text.ok_or_else(|| self.fault("unsupported type for 'val'"))?;
                part.extend_from_slice(&text.as_bytes());
            }
        }
        Ok(Step::Text(part))
    }
}

fn new_step(lua: &Lua, subject: Subject, number: usize, step: &Value) -> Result<Step> {
    let step = steps::table(step, number)?;
    let of = Arguments { lua, step, number };
    let name = steps::name(step)?.ok_or_else(|| of.fault("unknown step type"))?;
    let is_request = subject == Subject::Request;
    match name.as_slice() {
        b"cmdset" if is_request => of.command(),
        b"cmdcopy" if is_request => of.index().map(Step::Command),
        b"keyset" if is_request => of.key(),
        b"keycopy" if is_request => of.index().map(Step::Key),
        b"resnull" if !is_request => Ok(Step::Miss(of.index_if_any())),
        b"rescodeset" if !is_request => of.text("val").map(Step::Text),
        b"rescodecopy" if !is_request => of.index().map(Step::Code),
        b"reserr" if !is_request => of.error_line(),
        b"flagset" => of.flag_with_text(),
        b"flagcopy" => Ok(Step::Flag(of.flag()?, of.index()?)),
        b"flagcopyall" => Ok(Step::Flags(of.index_if_any())),
        b"valcopy" => of.index().map(Step::Value),
        _ => Err(of.fault("step incompatible with mutator type")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;

    #[test]
    fn a_program_makes_requests() {
        run(r#"
            local set = mcp.req_mutator_new({ t = "cmdset", cmd = "ms" }, { t = "keycopy", idx = 1 },
                { t = "valcopy", idx = 2 }, { t = "flagset", flag = "T", val = 30 }, { t = "flagcopy", flag = "O", idx = 1 })
            local r = mcp.request("mg key Oab\r\n")
            local new = empty_request()
            is(table.pack(set(new, r, "hi\r\n")).n, 0)
            is(new:raw_line(), "ms key 2 T30 Oab") is(new:raw_value(), "hi\r\n") is(new:key(), "key")
            fails("mutator: request has already been rendered", set, new, r, "hi\r\n")
            is(set(empty_request(), r, "hi"), false) is(set(empty_request(), r), false) is(set(empty_request(), 5, "hi\r\n"), false)
            local get = mcp.req_mutator_new({ t = "cmdcopy", idx = 1 }, { t = "keyset", val = "other" })
            local again = empty_request()
            fails("mutator: failed to parse new request", get, again, new)
        "#);
    }

    #[test]
    fn a_program_makes_responses() {
        run(r#"
            local function made(expected, steps, ...)
                local new = empty_response()
                is(table.pack(mcp.res_mutator_new(table.unpack(steps))(new, ...)).n, 0)
                is(new:raw_string(), expected)
                return new
            end
            local miss = made("EN\r\n", { { t = "resnull", idx = 1 } }, mcp.request("mg k\r\n"))
            is(miss:ok(), true) is(miss:hit(), false)
            local err = made("SERVER_ERROR teapot\r\n", { { t = "reserr", code = "server", msg = "teapot" } })
            is(err:ok(), false) is(err:code(), mcp.MCMC_CODE_SERVER_ERROR)
            local hit = made("VA 2 t5 Oab\r\nhi\r\n", { { t = "rescodecopy", idx = 1 }, { t = "valcopy", idx = 2 },
                { t = "flagset", flag = "t", val = "5" }, { t = "flagcopy", flag = "O", idx = 1 } }, va, "hi\r\n")
            is(hit:vlen(), 2) is(hit:line(), "t5 Oab")
            made("HD kkey Oab\r\n", { { t = "rescodeset", val = "HD" }, { t = "flagcopyall", idx = 1 } }, va)
            local nothing = mcp.res_mutator_new({ t = "rescodeset", val = "nonsense" })
            fails("mutator: failed to parse new result", nothing, empty_response())
            fails("mutator: result has already been rendered", nothing, va)
            fails("bad argument #2 (invalid argument to mutator object)", nothing, mcp.request("mg k\r\n"))
        "#);
    }

    #[test]
    fn a_new_request_must_be_right() {
        run(r#"
            local function req(fault, ...) fails(fault, mcp.req_mutator_new(...), empty_request(), ("k"):rep(495), "hi\r\n") end
            local get, key = { t = "cmdset", cmd = "mg" }, { t = "keyset", val = "k" }
            req("mutator: new request is too long", get, { t = "keycopy", idx = 1 })
            req("mutator: failed to parse new request", get)
            req("mutator: failed to parse new request", { t = "cmdset", cmd = "nonsense" }, key)
            req("mutator: failed to parse new request", get, key, { t = "valcopy", idx = 2 })
        "#);
    }

    #[test]
    fn a_program_gets_the_fault_of_a_step() {
        run(r#"
            local function req(fault, step) fails("mutator step 1: " .. fault, mcp.req_mutator_new, step) end
            local function res(fault, step) fails("mutator step 1: " .. fault, mcp.res_mutator_new, step) end
            fails("mutator failed to initialize, no steps given", mcp.req_mutator_new)
            req("unknown step type", {})
            req("step incompatible with mutator type", { t = "resnull", idx = 1 })
            req("step incompatible with mutator type", { t = "nonsense" })
            res("step incompatible with mutator type", { t = "cmdset", cmd = "mg" })
            req("must provide 'cmd' argument", { t = "cmdset" })
            req("'cmd' too long", { t = "cmdset", cmd = ("c"):rep(21) })
            req("must provide 'val' argument", { t = "keyset" })
            req("'val' must have nonzero length", { t = "keyset", val = "" })
            req("must provide 'idx' argument", { t = "keycopy" })
            req("must provide 'idx' argument as an integer", { t = "keycopy", idx = 1.5 })
            req("'idx' argument must be greater than 0", { t = "cmdcopy", idx = 0 })
            req("must provide 'flag' argument", { t = "flagset" })
            req("'flag' must be a single character", { t = "flagset", flag = "" })
            req("'flag' must be alphanumeric", { t = "flagcopy", flag = "1", idx = 1 })
            req("unsupported type for 'val'", { t = "flagset", flag = "O", val = {} })
            res("must provide 'val' argument", { t = "rescodeset" })
            res("must provide 'code' argument", { t = "reserr" })
            res("code must be 'error', server', or 'client'", { t = "reserr", code = "x" })
            res("'msg' must be a nonzero length string", { t = "reserr", code = "error", msg = "" })
        "#);
    }
}

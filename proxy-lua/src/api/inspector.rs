//! `mcp.req_inspector_new` and `mcp.res_inspector_new`.

use mlua::{
    AnyUserData, IntoLua, Lua, LuaString, MetaMethod, MultiValue, Result, Table, UserData, UserDataMethods,
    Value, Variadic,
};

use super::steps::{self, Subject};
use super::{error, text};
use crate::inspector::{Answer, NotMeta, Step};
use crate::object::{Request, value_of};
use crate::response::Response;

/// Steps, each with the map that translates its answer, if it has one.
struct Inspector {
    subject: Subject,
    steps: Vec<(Step, Option<Table>)>,
}

impl UserData for Inspector {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Call, |lua, this, object: AnyUserData| this.call(lua, &object));
    }
}

impl Inspector {
    fn call(&self, lua: &Lua, object: &AnyUserData) -> Result<MultiValue> {
        let mut values = MultiValue::with_capacity(2 * self.steps.len());
        let wrong = |_| error("bad argument #2 (invalid argument to inspector object)");
        match self.subject {
            Subject::Request => {
                let request = value_of::<Request>(object).map_err(wrong)?;
                let request = request.borrow();
                let request = request.get()?;
                for (step, map) in &self.steps {
                    push(lua, step.of_request(request), map.as_ref(), &mut values)?;
                }
            }
            Subject::Response => {
                let response = value_of::<Response>(object).map_err(wrong)?;
                let response = response.borrow();
                for (step, map) in &self.steps {
                    let answer = step.of_response(&response);
                    let answer =
                        answer.map_err(|NotMeta| error("inspector error: response is not meta protocol"))?;
                    push(lua, answer, map.as_ref(), &mut values)?;
                }
            }
        }
        Ok(values)
    }
}

fn push(lua: &Lua, answer: Answer<'_>, map: Option<&Table>, values: &mut MultiValue) -> Result<()> {
    let (is_there, value) = match answer {
        Answer::Is(yes) => {
            values.push_back(Value::Boolean(yes));
            return Ok(());
        }
        Answer::Piece(piece) => {
            let piece = piece.map(|piece| lua.create_string(piece)).transpose()?;
            values.push_back(match (piece, map) {
                (Some(piece), Some(map)) => map.raw_get(piece)?,
                (piece, _) => piece.into_lua(lua)?,
            });
            return Ok(());
        }
        Answer::Text(text) => {
            (text.is_some(), text.map(|text| lua.create_string(text)).transpose()?.into_lua(lua)?)
        }
        Answer::Number(number) => (number.is_some(), number.flatten().into_lua(lua)?),
        Answer::Equal(equal) => (equal.is_some(), equal.into_lua(lua)?),
    };
    values.push_back(Value::Boolean(is_there));
    values.push_back(value);
    Ok(())
}

/// Adds the functions.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table) -> Result<()> {
    for (name, subject) in [("req_inspector_new", Subject::Request), ("res_inspector_new", Subject::Response)]
    {
        let new = move |lua: &Lua, arguments: Variadic<Value>| {
            let steps =
                (1..).zip(arguments.iter()).map(|(number, step)| new_step(lua, subject, number, step));
            Ok(Inspector { subject, steps: steps.collect::<Result<_>>()? })
        };
        mcp.set(name, lua.create_function(new)?)?;
    }
    Ok(())
}

fn new_step(lua: &Lua, subject: Subject, number: usize, step: &Value) -> Result<(Step, Option<Table>)> {
    let fault = |text: &str| error(format!("inspector step {number}: {text}"));
    let step = steps::table(step, number)?;
    let name = steps::name(step)?.ok_or_else(|| fault("unknown step type"))?;
    let is_request = subject == Subject::Request;
    let flag = || -> Result<u8> {
        let value: Value = step.get("flag")?;
        if value.is_nil() {
            return Err(fault("must provide 'flag' argument"));
        }
        let flag = text(lua, Some(&value))?;
        match flag.as_ref().map(LuaString::as_bytes).as_deref() {
            Some([flag @ b'A'..=b'z']) => Ok(*flag),
            // memcached writes the first word so.
            Some([_]) => Err(error(format!("inspect step {number}: 'flag' must be alphanumeric"))),
            _ => Err(fault("'flag' must be a single character")),
        }
    };
    let string = || -> Result<Vec<u8>> {
        let value: Value = step.get("str")?;
        if value.is_nil() {
            return Err(fault("must provide 'str' argument"));
        }
        let string = text(lua, Some(&value))?.map_or_else(Vec::new, |string| string.as_bytes().to_vec());
        if string.is_empty() { Err(fault("'str' must have nonzero length")) } else { Ok(string) }
    };
    let built = match name.as_slice() {
        b"sepkey" if is_request => return piece(lua, step, &fault),
        b"keybegin" if is_request => Step::KeyBegins(string()?),
        b"keyis" if is_request => Step::KeyIs(string()?),
        b"hasflag" => Step::HasFlag(flag()?),
        b"flagtoken" => Step::FlagText(flag()?),
        b"flagint" => Step::FlagNumber(flag()?),
        b"flagis" => Step::FlagIs(flag()?, string()?),
        _ => return Err(fault("step incompatible with inspector type")),
    };
    Ok((built, None))
}

fn piece(lua: &Lua, step: &Table, fault: &impl Fn(&str) -> mlua::Error) -> Result<(Step, Option<Table>)> {
    let separator = match step.get("sep")? {
        Value::Nil => b'/',
        value => {
            let separator = text(lua, Some(&value))?;
            match separator.as_ref().map(LuaString::as_bytes).as_deref() {
                Some([separator]) => *separator,
                _ => return Err(fault("separator must be one character")),
            }
        }
    };
    let number = match step.get("pos")? {
        Value::Nil => 1,
        value => lua.coerce_integer(value)?.ok_or_else(|| fault("'pos' must be an integer"))?,
    };
    let map = match step.get("map")? {
        Value::Nil => None,
        Value::Table(map) => Some(map),
        _ => return Err(fault("'map' must be a table")),
    };
    Ok((Step::Piece { separator, number }, map))
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;

    #[test]
    fn a_program_asks_about_requests_and_responses() {
        run(r#"
            local r = mcp.request("mg a/b/c s T30 Ox\r\n")
            local inspect = mcp.req_inspector_new(
                { t = "sepkey", pos = 2 }, { t = "sepkey", sep = "/", pos = 1, map = { a = { 5 } } },
                { t = "sepkey", pos = 3, map = {} }, { t = "keybegin", str = "a/" }, { t = "keyis", str = "a" },
                { t = "hasflag", flag = "s" }, { t = "flagtoken", flag = "O" }, { t = "flagtoken", flag = "v" },
                { t = "flagint", flag = "T" }, { t = "flagis", flag = "O", str = "x" }, { t = "flagis", flag = "v", str = "x" })
            local answers = table.pack(inspect(r))
            is(answers.n, 16)
            is(answers[1], "b") is(answers[2][1], 5) is(answers[3], nil) is(answers[4], true) is(answers[5], false)
            is(answers[6], true) is(answers[7], true) is(answers[8], "x") is(answers[9], false) is(answers[10], nil)
            is(answers[11], true) is(answers[12], 30) is(answers[13], true) is(answers[14], true)
            is(answers[15], false) is(answers[16], nil)
            local flags = mcp.res_inspector_new({ t = "hasflag", flag = "O" }, { t = "flagtoken", flag = "O" })
            local has, _, text = flags(va)
            is(has, true) is(text, "ab")
            fails("inspector error: response is not meta protocol", flags, stored)
            is(mcp.res_inspector_new({ t = "flagtoken", flag = "O" })(stored), false)
            fails("bad argument #2 (invalid argument to inspector object)", flags, r)
            fails("bad argument #2 (invalid argument to inspector object)", inspect, va)
        "#);
    }

    #[test]
    fn a_program_gets_the_fault_of_a_step() {
        run(r#"
            local function req(fault, step) fails(fault, mcp.req_inspector_new, { t = "keyis", str = "k" }, step) end
            req("inspector step 2: step incompatible with inspector type", { t = "nonsense" })
            req("inspector step 2: unknown step type", {})
            req("inspector step 2: separator must be one character", { t = "sepkey", sep = "//" })
            req("inspector step 2: must provide 'str' argument", { t = "keyis" })
            req("inspector step 2: 'str' must have nonzero length", { t = "keybegin", str = "" })
            req("inspector step 2: must provide 'flag' argument", { t = "hasflag" })
            req("inspector step 2: 'flag' must be a single character", { t = "flagint", flag = "xy" })
            req("inspect step 2: 'flag' must be alphanumeric", { t = "flagtoken", flag = "3" })
            req("inspector step 2: must provide 'str' argument", { t = "flagis", flag = "O" })
            fails("inspector step 1: step incompatible with inspector type", mcp.res_inspector_new, { t = "sepkey" })
            fails("bad argument #1 (table expected, got string)", mcp.req_inspector_new, "keyis")
        "#);
    }
}

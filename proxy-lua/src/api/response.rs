//! `mcp.response`.

use mlua::{Lua, LuaString, MetaMethod, Result, UserData, UserDataFields, UserDataMethods};

use super::methods::ValueMethods as _;
use super::request::letter;
use crate::object::Held;
use crate::response::Response;

impl UserData for Held<Response> {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.reads("ok", |_, this, ()| Ok(this.is_ok()));
        fields.reads("hit", |_, this, ()| Ok(this.is_hit()));
        fields.reads("code", |_, this, ()| Ok(this.code()));
        fields.reads("vlen", |_, this, ()| Ok(this.value_length()));
        fields.reads("elapsed", |_, this, ()| Ok(this.elapsed));
        fields.reads("line", |lua, this, ()| this.rest().map(|rest| lua.create_string(rest)).transpose());
        fields.reads("raw_string", |lua, this, ()| {
            let bytes = Some(this.bytes()).filter(|bytes| !bytes.is_empty());
            bytes.map(|bytes| lua.create_string(bytes)).transpose()
        });
        fields.changes("flag_blank", |_, this, flag: LuaString| Ok(this.blank_flag(letter(&flag)?)));
        fields.changes("close", |_, this, ()| {
            this.close();
            Ok(())
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Close, close);
    }
}

#[expect(clippy::unnecessary_wraps, reason = "mlua wants a result")]
fn close(_: &Lua, this: &Held<Response>, (): ()) -> Result<()> {
    this.0.borrow_mut().close();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors;
    use super::*;

    #[test]
    fn a_program_reads_a_response() {
        let lua = Lua::new();
        errors::install(&lua).unwrap();
        let globals = lua.globals();
        let parse = |text: &str| Response::parse(text.as_bytes().to_vec());
        let mut va = parse("VA 2 t5 Oab\r\nhi\r\n");
        va.elapsed = 7;
        globals.set("va", Held::new(va)).unwrap();
        globals.set("miss", Held::new(parse("EN\r\n"))).unwrap();
        globals.set("failed", Held::new(Response::failed())).unwrap();
        lua.load(
            r#"
            local function is(got, expected) assert(got == expected, tostring(got)) end
            local function fails(expected, ok, text) is(ok, false) is(text, expected) end
            is(va:ok(), true) is(va:hit(), true) is(va:code(), 15) is(va:vlen(), 2) is(va:elapsed(), 7)
            is(va:line(), "t5 Oab") is(va:raw_string(), "VA 2 t5 Oab\r\nhi\r\n")
            is(va:flag_blank("O"), true) is(va:flag_blank("O"), false) is(va:line(), "t5    ")
            fails("request: meta flag must be a single character", pcall(va.flag_blank, va, "Oa"))
            fails("request: invalid flag, must be A-Z,a-z", pcall(va.flag_blank, va, "1"))
            is(miss:ok(), true) is(miss:hit(), false) is(miss:line(), nil) is(miss:code(), 17)
            is(failed:ok(), false) is(failed:raw_string(), nil) is(failed:vlen(), 0)
            do local closed <close> = va end
            is(va:raw_string(), nil) is(va:vlen(), 0)
            "#,
        )
        .exec()
        .unwrap();
    }
}

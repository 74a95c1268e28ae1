//! `mcp.ratelim_tbf` and `mcp.ratelim_global_tbf`.

use std::sync::{Arc, Mutex, PoisonError};

use mlua::{Lua, MetaMethod, Number, Result, Table, UserData, UserDataMethods, Value};

use super::error;
use super::time::unix_millis;
use crate::ratelim::TokenBucket;

/// A bucket of one worker. A program calls it with the number of tokens to take.
struct RateLimit(TokenBucket);

impl UserData for RateLimit {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method_mut(MetaMethod::Call, |_, this, count: Number| {
            Ok(this.0.take(count as i64, unix_millis()))
        });
    }
}

/// A bucket that all workers share. `mcp_config_pools` makes and returns it. Workers get a
/// [`SharedRateLimit`] of it.
#[derive(Clone)]
pub struct GlobalRateLimit(Arc<Mutex<TokenBucket>>);

impl GlobalRateLimit {
    /// Returns the object for a worker.
    pub fn share(&self) -> SharedRateLimit {
        SharedRateLimit(Arc::clone(&self.0))
    }
}

impl UserData for GlobalRateLimit {}

/// A bucket that all workers share, in a worker.
pub struct SharedRateLimit(Arc<Mutex<TokenBucket>>);

impl UserData for SharedRateLimit {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Call, |_, this, count: Number| {
            let mut bucket = this.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(bucket.take(count as i64, unix_millis()))
        });
    }
}

/// Adds `ratelim_global_tbf`, which only the configuration has.
///
/// # Errors
/// If there is no memory.
pub fn add_global(lua: &Lua, mcp: &Table) -> Result<()> {
    let new = |_: &Lua, options: Table| Ok(GlobalRateLimit(Arc::new(Mutex::new(bucket(&options)?))));
    mcp.set("ratelim_global_tbf", lua.create_function(new)?)
}

/// Adds `ratelim_tbf`, which only workers have.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table) -> Result<()> {
    mcp.set("ratelim_tbf", lua.create_function(|_, options: Table| Ok(RateLimit(bucket(&options)?)))?)
}

fn bucket(options: &Table) -> Result<TokenBucket> {
    let number = |name: &str| {
        let value = match options.get(name)? {
            Value::Integer(number) => number,
            // As in memcached, other values than integers count as 0.
            Value::Number(number) if number.fract() == 0.0 => number as i64,
            _ => 0,
        };
        let in_range = u32::try_from(value).ok().filter(|number| *number < u32::MAX);
        in_range.ok_or_else(|| error("mcp.ratelim_tbf: arguments must be unsigned 32 bit integer"))
    };
    Ok(TokenBucket::new(number("limit")?, number("fillrate")?, number("tickrate")?, unix_millis()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors;
    use super::*;

    #[test]
    fn a_program_takes_tokens() {
        let lua = Lua::new();
        errors::install(&lua).unwrap();
        let mcp = lua.create_table().unwrap();
        add(&lua, &mcp).unwrap();
        add_global(&lua, &mcp).unwrap();
        lua.globals().set("mcp", mcp).unwrap();
        lua.load(
            r#"
            local fault = "mcp.ratelim_tbf: arguments must be unsigned 32 bit integer"
            for _, new in ipairs({ mcp.ratelim_tbf, mcp.ratelim_global_tbf }) do
                for _, number in ipairs({ -1, 4294967295, 1 << 40 }) do
                    local ok, text = pcall(new, { limit = number })
                    assert(not ok and text == fault, text)
                end
            end
            local bucket = mcp.ratelim_tbf({ limit = 4, fillrate = 1, tickrate = 1000000 })
            assert(bucket(2) and bucket(1) and not bucket(1) and bucket(0))
            global = mcp.ratelim_global_tbf({ limit = 3, tickrate = 1000000 })
            "#,
        )
        .exec()
        .unwrap();
        let global: mlua::AnyUserData = lua.globals().get("global").unwrap();
        let (one, other) = (Lua::new(), Lua::new());
        for lua in [&one, &other] {
            let shared = global.borrow::<GlobalRateLimit>().unwrap().share();
            lua.globals().set("shared", shared).unwrap();
        }
        let take = |lua: &Lua| lua.load("return shared(1)").eval::<bool>().unwrap();
        assert!(take(&one) && take(&other) && !take(&one) && !take(&other));
    }
}

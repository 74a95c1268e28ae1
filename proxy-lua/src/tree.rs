//! The result of `mcp_config_pools` on its way from the configuration to the workers: a copy of
//! each value, which any thread may hold.

use std::fmt;
use std::sync::Arc;

use mlua::{Lua, Result, Value};

use crate::api::error;
use crate::api::ratelim::GlobalRateLimit;
use crate::pool::{Pool, PoolObject};

/// Most tables within each other.
const DEPTH_MAX: usize = 100;

/// A value without functions and metatables. A table that occurs twice is copied twice.
#[derive(Clone, Default)]
pub enum Tree {
    /// `nil`.
    #[default]
    Nil,
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// A string.
    Text(Vec<u8>),
    /// The pairs of a table. Keys are strings and numbers.
    Table(Vec<(Self, Self)>),
    /// A pool.
    Pool(Arc<Pool>),
    /// A rate limit that all workers share.
    RateLimit(GlobalRateLimit),
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

impl Tree {
    /// Copies a value.
    ///
    /// # Errors
    /// The value has a part that no worker can have.
    pub fn copy(value: &Value) -> Result<Self> {
        Self::copy_within(value, DEPTH_MAX)
    }

    fn copy_within(value: &Value, depth: usize) -> Result<Self> {
        Ok(match value {
            Value::Nil => Self::Nil,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(value) => Self::Integer(*value),
            Value::Number(value) => Self::Number(*value),
            Value::String(text) => Self::Text(text.as_bytes().to_vec()),
            Value::Table(table) => {
                let depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| error("configuration error: table recursion too deep"))?;
                let mut pairs = Vec::new();
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    if !matches!(key, Value::String(_) | Value::Integer(_) | Value::Number(_)) {
                        return Err(error("configuration table keys must be strings or numbers"));
                    }
                    pairs.push((Self::copy_within(&key, depth)?, Self::copy_within(&value, depth)?));
                }
                Self::Table(pairs)
            }
            Value::UserData(object) => match object.borrow::<PoolObject>() {
                Ok(pool) => Self::Pool(Arc::clone(&pool.0)),
                Err(_) => match object.borrow::<GlobalRateLimit>() {
                    Ok(limit) => Self::RateLimit(limit.clone()),
                    Err(_) => return Err(error("unhandled userdata type in configuration table")),
                },
            },
            _ => return Err(error("unhandled data type in configuration table")),
        })
    }

    /// Returns the value in a virtual machine. `object` makes the object of a pool.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn value(&self, lua: &Lua, object: &mut impl FnMut(&Arc<Pool>) -> Result<Value>) -> Result<Value> {
        Ok(match self {
            Self::Nil => Value::Nil,
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Number(value) => Value::Number(*value),
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Table(pairs) => {
                let table = lua.create_table()?;
                for (key, value) in pairs {
                    table.raw_set(key.value(lua, object)?, value.value(lua, object)?)?;
                }
                Value::Table(table)
            }
            Self::Pool(pool) => object(pool)?,
            Self::RateLimit(limit) => Value::UserData(lua.create_userdata(limit.share())?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::api::errors::message;

    fn copy(program: &str) -> Result<Tree> {
        Tree::copy(&Lua::new().load(program).eval::<Value>()?)
    }

    #[test]
    fn values_arrive_as_they_are() {
        let tree = copy("local t = { 1, 2.0, 'x', true, { a = { b = 'c' } }, [9] = -1 } t.u = t[5] return t")
            .unwrap();
        let lua = Lua::new();
        lua.globals().set("t", tree.value(&lua, &mut |_| Ok(Value::Nil)).unwrap()).unwrap();
        let check = "assert(t[1] == 1 and math.type(t[1]) == 'integer' and math.type(t[2]) == 'float')
            assert(t[3] == 'x' and t[4] == true and t[5].a.b == 'c' and t[9] == -1)
            assert(t.u.a.b == 'c' and t.u ~= t[5])";
        lua.load(check).exec().unwrap();
        assert!(matches!(copy("return nil").unwrap(), Tree::Nil));
    }

    #[test]
    fn some_values_stay_behind() {
        for (program, fault) in [
            ("return { [true] = 1 }", "configuration table keys must be strings or numbers"),
            ("return { print }", "unhandled data type in configuration table"),
            ("return { io.stdout }", "unhandled userdata type in configuration table"),
            ("local t = {} t.t = t return t", "configuration error: table recursion too deep"),
        ] {
            assert_eq!(message(&copy(program).unwrap_err()), fault, "{program}");
        }
    }
}

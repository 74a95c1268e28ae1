//! Methods of objects, as values of a table.
//!
//! mlua finds its own methods by a function in Lua, which each call of a method calls first. That
//! takes as long as a short method.

use std::marker::PhantomData;

use mlua::{Error, FromLuaMulti, IntoLua, IntoLuaMulti, Lua, Result, UserDataFields, UserDataRef, Value};

use crate::object::Held;

/// Adds methods to an object without methods of mlua.
pub(super) trait Methods<T: 'static> {
    /// Adds a method.
    fn method<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static;
}

impl<T: 'static, F: UserDataFields<T>> Methods<T> for F {
    fn method<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static,
    {
        let call = move |lua: &Lua, (this, arguments): (UserDataRef<T>, A)| method(lua, &this, arguments);
        self.add_field(name, Method(call, PhantomData));
    }
}

/// Adds methods to an object that the machine has, too.
pub(super) trait ValueMethods<T: 'static> {
    /// Adds a method that reads the value.
    fn reads<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static;

    /// Adds a method that changes the value.
    fn changes<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &mut T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static;
}

impl<T: 'static, F: UserDataFields<Held<T>>> ValueMethods<T> for F {
    fn reads<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static,
    {
        self.method(name, move |lua, this, arguments| {
            let value = this.0.try_borrow().map_err(|_| Error::UserDataBorrowError)?;
            method(lua, &value, arguments)
        });
    }

    fn changes<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &mut T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static,
    {
        self.method(name, move |lua, this, arguments| {
            let mut value = this.0.try_borrow_mut().map_err(|_| Error::UserDataBorrowMutError)?;
            method(lua, &mut value, arguments)
        });
    }
}

/// A function that becomes one of Lua.
struct Method<F, A>(F, PhantomData<fn(A)>);

impl<F, A, R> IntoLua for Method<F, A>
where
    F: Fn(&Lua, A) -> Result<R> + 'static,
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        lua.create_function(self.0).map(Value::Function)
    }
}

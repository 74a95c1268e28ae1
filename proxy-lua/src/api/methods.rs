//! Methods of objects, as values of a table.
//!
//! mlua finds its own methods by a function in Lua, which each call of a method calls first. That
//! takes as long as a short method.

use std::marker::PhantomData;

use mlua::{
    FromLuaMulti, IntoLua, IntoLuaMulti, Lua, Result, UserDataFields, UserDataRef, UserDataRefMut, Value,
};

/// Adds methods to an object without methods of mlua.
pub(super) trait Methods<T: 'static> {
    /// Adds a method that reads the object.
    fn method<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static;

    /// Adds a method that changes the object.
    fn method_mut<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &mut T, A) -> Result<R> + 'static)
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

    fn method_mut<A, R>(&mut self, name: &str, method: impl Fn(&Lua, &mut T, A) -> Result<R> + 'static)
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti + 'static,
    {
        let call =
            move |lua: &Lua, (mut this, arguments): (UserDataRefMut<T>, A)| method(lua, &mut this, arguments);
        self.add_field(name, Method(call, PhantomData));
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

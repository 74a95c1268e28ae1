//! The coroutines of request contexts, and the functions of Lua that wait in them.
//!
//! ```text
//!   machine                 coroutine
//!   begin, push, run ────▶  the function of the program
//!                    ◀────  a wait yields its number and three arguments    Stop::Yielded
//!   go_on, push, run ────▶  the wait returns what was pushed
//!                    ◀────  the function returns                            Stop::Returned
//! ```
//!
//! This uses Lua's interface for C. References of mlua to each value that a coroutine yields take
//! as long as a short program. Here the values stay on the stack of the coroutine. The machine
//! takes those that it needs.
//!
//! Lua raises an error by a long jump, which must not cross a frame of Rust with something to drop.
//! `lua_resume` catches the errors of a program. The other calls from Rust raise none: they
//! allocate nothing but room on a stack, and `lua_checkstack` returns whether there is some.
//! [`wait`], [`wait_here`] and [`resumed`] raise errors, and have nothing to drop. No hook yields.
//!
//! `exec_raw_lua` of mlua reaches the values behind its references. It is public, but its
//! documentation leaves it out.

#![expect(unsafe_code, reason = "Lua's interface for C; each block names the fact it relies on")]

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::{fmt, ptr};

use mlua::ffi::{self, lua_State};
use mlua::{
    AnyUserData, Error, Function, LightUserData, Lua, LuaString, Result, Table, Thread, Value, WeakLua,
};

/// The registry's name of a table from the coroutines of contexts to their objects.
const COROUTINES: &str = "coroutines";

/// Place of the first argument of a wait, or of the result of a function.
const FIRST: c_int = 2;

/// A coroutine that runs the function of a context.
pub struct Coroutine {
    lua: WeakLua,
    thread: Thread,
    function: Function,
}

impl fmt::Debug for Coroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coroutine").field(&self.thread).finish()
    }
}

impl Coroutine {
    /// Makes the coroutine of a context. `object` is that of the context.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(lua: &Lua, function: Function, object: &AnyUserData) -> Result<Rc<Self>> {
        let thread = lua.create_thread(function.clone())?;
        lua.named_registry_value::<Table>(COROUTINES)?.raw_set(&thread, object)?;
        Ok(Rc::new(Self { lua: lua.weak(), thread, function }))
    }

    /// Returns a coroutine that can begin: this one, unless it has ended with an error.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn renew(self: &Rc<Self>) -> Result<Rc<Self>> {
        if self.thread.reset(self.function.clone()).is_ok() {
            return Ok(Rc::clone(self));
        }
        let lua = self.lua()?;
        let object = lua.named_registry_value::<Table>(COROUTINES)?.raw_get(&self.thread)?;
        Self::new(&lua, self.function.clone(), &object)
    }

    /// Returns the stack of the coroutine.
    ///
    /// # Errors
    /// The virtual machine has ended.
    pub fn stack(self: &Rc<Self>) -> Result<Stack> {
        Ok(Stack { lua: self.lua()?, state: self.thread.state(), coroutine: Rc::clone(self) })
    }

    fn lua(&self) -> Result<Lua> {
        self.lua.try_upgrade().ok_or_else(|| Error::runtime("the virtual machine has ended"))
    }
}

/// The reason for which a coroutine does not run any more.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// It has yielded. A wait yields its number, and a program something else.
    Yielded(Option<usize>),
    /// Its function has returned.
    Returned,
}

/// The stack of a coroutine. Between two requests it has the function alone.
#[derive(Debug)]
pub struct Stack {
    /// The virtual machine lives as long as this.
    lua: Lua,
    /// A state of `lua`. It lives as long as the coroutine.
    state: *mut lua_State,
    coroutine: Rc<Coroutine>,
}

impl Stack {
    /// Returns the coroutine.
    pub fn coroutine(&self) -> &Rc<Coroutine> {
        &self.coroutine
    }

    /// Prepares the call of the function with the values that are pushed next.
    ///
    /// # Errors
    /// The function has not ended, or with an error, or there is no memory.
    pub fn begin(&self) -> Result<()> {
        if !self.is_idle() || self.top() != 1 {
            return Err(Error::CoroutineUnresumable);
        }
        self.make_room()?;
        // SAFETY: there is a value, and room for another one.
        unsafe { ffi::lua_pushvalue(self.state, 1) };
        Ok(())
    }

    /// Prepares the end of a wait. With `is_ok` it returns the values that are pushed next. Else it
    /// raises the one that is pushed next.
    ///
    /// # Errors
    /// The coroutine does not wait, or there is no memory.
    pub fn go_on(&self, is_ok: bool) -> Result<()> {
        if !self.has_yielded() {
            return Err(Error::CoroutineUnresumable);
        }
        // SAFETY: a function that has yielded has no variables to close.
        unsafe { ffi::lua_settop(self.state, 0) };
        self.make_room()?;
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.state, is_ok.into()) };
        Ok(())
    }

    /// Pushes a value.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn push(&self, value: &Value) -> Result<()> {
        self.make_room()?;
        self.lua.exec_raw_lua(|lua| {
            let from = lua.state();
            // SAFETY: both stacks have room, and belong to one virtual machine. mlua pushes one
            // value, or fails and pushes none.
            unsafe {
                if ffi::lua_checkstack(from, 2) == 0 {
                    return Err(Error::StackError);
                }
                lua.push_value(value)?;
                ffi::lua_xmove(from, self.state, 1);
            }
            Ok(())
        })
    }

    /// Runs the coroutine until it stops.
    ///
    /// # Errors
    /// The error of the program.
    pub fn run(&self) -> Result<Stop> {
        let has_yielded = self.has_yielded();
        // The function is there twice.
        let arguments = if has_yielded { self.top() } else { self.top() - 2 };
        if arguments < 0 || !has_yielded && !self.is_idle() {
            return Err(Error::CoroutineUnresumable);
        }
        let mut results = 0;
        // SAFETY: the coroutine has yielded, or it is idle with a value below the arguments. So it
        // can be resumed.
        match unsafe { ffi::lua_resume(self.state, ptr::null_mut(), arguments, &raw mut results) } {
            ffi::LUA_OK => Ok(Stop::Returned),
            ffi::LUA_YIELD if self.kind(1) == ffi::LUA_TLIGHTUSERDATA => {
                Ok(Stop::Yielded(Some(self.address_at(1))))
            }
            ffi::LUA_YIELD => Ok(Stop::Yielded(None)),
            _ => Err(self.fault()),
        }
    }

    /// Returns the address of an argument of a wait, or of the result of the function. It is that
    /// of `AnyUserData::to_pointer`. Light userdata has its own number, which is never that of an
    /// object. A value of another type, or none, has 0.
    pub fn address(&self, argument: u8) -> usize {
        self.address_at(FIRST + c_int::from(argument))
    }

    /// Returns an argument of a wait, or the result of the function.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn value(&self, argument: u8) -> Result<Value> {
        let at = FIRST + c_int::from(argument);
        match self.kind(at) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => return Ok(Value::Nil),
            // SAFETY: only reads.
            ffi::LUA_TNUMBER if unsafe { ffi::lua_isinteger(self.state, at) } != 0 => {
                // SAFETY: only reads.
                return Ok(Value::Integer(unsafe { ffi::lua_tointegerx(self.state, at, ptr::null_mut()) }));
            }
            _ => self.make_room()?,
        }
        // SAFETY: there is a value, and room for another one.
        unsafe { ffi::lua_pushvalue(self.state, at) };
        self.pop()
    }

    /// Removes the results of the function.
    pub fn clear(&self) {
        if self.is_idle() && self.top() > 1 {
            // SAFETY: a function that has ended has no variables to close.
            unsafe { ffi::lua_settop(self.state, 1) };
        }
    }

    fn top(&self) -> c_int {
        // SAFETY: only reads.
        unsafe { ffi::lua_gettop(self.state) }
    }

    fn kind(&self, at: c_int) -> c_int {
        // SAFETY: only reads.
        unsafe { ffi::lua_type(self.state, at) }
    }

    fn address_at(&self, at: c_int) -> usize {
        // SAFETY: only reads.
        unsafe { ffi::lua_touserdata(self.state, at) }.addr()
    }

    fn has_yielded(&self) -> bool {
        // SAFETY: only reads.
        unsafe { ffi::lua_status(self.state) == ffi::LUA_YIELD }
    }

    /// Returns whether the function has not begun, or has ended without an error.
    fn is_idle(&self) -> bool {
        let mut frame = MaybeUninit::uninit();
        // SAFETY: only reads, and writes into `frame`.
        unsafe {
            ffi::lua_status(self.state) == ffi::LUA_OK
                && ffi::lua_getstack(self.state, 0, frame.as_mut_ptr()) == 0
        }
    }

    fn make_room(&self) -> Result<()> {
        // SAFETY: raises no error.
        match unsafe { ffi::lua_checkstack(self.state, 1) } {
            0 => Err(Error::StackError),
            _ => Ok(()),
        }
    }

    /// Pops a value. A panic of a function of Rust goes on.
    fn pop(&self) -> Result<Value> {
        self.lua.exec_raw_lua(|lua| {
            let to = lua.state();
            // SAFETY: there is a value, and room for it and for what mlua needs. Both stacks belong
            // to one virtual machine.
            unsafe {
                if ffi::lua_checkstack(to, 2) == 0 {
                    return Err(Error::StackError);
                }
                let _top = Top { state: to, top: ffi::lua_gettop(to) };
                ffi::lua_xmove(self.state, to, 1);
                lua.pop()
            }
        })
    }

    /// Returns the error with which the function has ended. As by mlua, a text has a traceback.
    fn fault(&self) -> Error {
        let value = match self.pop() {
            Ok(Value::Error(error)) => return *error,
            Ok(value) => value,
            Err(error) => return error,
        };
        let state = self.state;
        // SAFETY: mlua calls this with a stack of its own, which has the value, and catches errors.
        // There is nothing to drop.
        let traced = unsafe {
            self.lua.exec_raw::<LuaString>(value, |own| {
                let text = ffi::luaL_tolstring(own, 1, ptr::null_mut());
                ffi::luaL_traceback(own, state, text, 0);
                ffi::lua_replace(own, 1);
                ffi::lua_settop(own, 1);
            })
        };
        traced.map_or_else(|error| error, |text| Error::RuntimeError(text.to_string_lossy()))
    }
}

/// Removes what is above the top of a stack. mlua leaves a value there that it does not take.
struct Top {
    state: *mut lua_State,
    top: c_int,
}

impl Drop for Top {
    fn drop(&mut self) {
        // SAFETY: [`Stack::pop`] makes it, and the state lives longer. There are no variables to
        // close above the top.
        unsafe { ffi::lua_settop(self.state, self.top) };
    }
}

/// Adds the table of coroutines.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua) -> Result<()> {
    let coroutines = lua.create_table()?;
    coroutines.set_metatable(Some(lua.create_table_from([("__mode", "k")])?))?;
    lua.set_named_registry_value(COROUTINES, coroutines)
}

/// Makes a method of contexts that waits: it yields `number` and three arguments.
///
/// # Errors
/// If there is no memory.
pub fn method(lua: &Lua, number: usize) -> Result<Function> {
    closure(lua, wait, number)
}

/// Makes a function that waits in the context that runs: it yields `number` and its argument.
///
/// # Errors
/// If there is no memory.
pub fn function(lua: &Lua, number: usize) -> Result<Function> {
    closure(lua, wait_here, number)
}

fn closure(lua: &Lua, wait: ffi::lua_CFunction, number: usize) -> Result<Function> {
    let coroutines: Table = lua.named_registry_value(COROUTINES)?;
    // A program gets this value if it resumes the coroutine of a context that waits. It may yield
    // the value itself, without the checks of `wait`. That is harmless: the machine knows which
    // context runs, the number only selects a call, and `Call::begin` checks all arguments.
    let number = LightUserData(ptr::without_provenance_mut(number));
    // SAFETY: mlua calls this with a stack of its own, which has both values, and catches errors.
    // There is nothing to drop.
    unsafe { lua.exec_raw((coroutines, number), |own| ffi::lua_pushcclosure(own, wait, 2)) }
}

/// The body of a method that waits. The machine would not see a wait of another coroutine or in a
/// callback, so that fails.
///
/// # Safety
/// Lua calls it, with the table of coroutines and the number as upvalues.
unsafe extern "C-unwind" fn wait(state: *mut lua_State) -> c_int {
    // SAFETY: Lua gives a function room for 20 values. There is nothing to drop.
    unsafe {
        ffi::lua_settop(state, 4);
        push_context(state);
        if ffi::lua_rawequal(state, 1, -1) == 0 {
            fail(state, c"a request context works only in its own functions");
        }
        ffi::lua_settop(state, 4);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_replace(state, 1);
        ffi::lua_yieldk(state, 4, 0, Some(resumed))
    }
}

/// The body of a function that waits.
///
/// # Safety
/// That of [`wait`].
unsafe extern "C-unwind" fn wait_here(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        ffi::lua_settop(state, 1);
        push_context(state);
        ffi::lua_settop(state, 1);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, 1);
        ffi::lua_yieldk(state, 2, 0, Some(resumed))
    }
}

/// Pushes the object of the context whose coroutine runs.
///
/// # Safety
/// That of [`wait`].
unsafe fn push_context(state: *mut lua_State) {
    // SAFETY: as above.
    unsafe {
        ffi::lua_pushthread(state);
        if ffi::lua_rawget(state, ffi::lua_upvalueindex(1)) == ffi::LUA_TNIL {
            fail(state, c"a function waits only in its own coroutine");
        }
    }
}

/// The end of a wait: returns what [`Stack::go_on`] has prepared.
///
/// # Safety
/// Lua calls it.
unsafe extern "C-unwind" fn resumed(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    // SAFETY: as above.
    unsafe {
        if ffi::lua_toboolean(state, 1) == 0 {
            ffi::lua_settop(state, 2);
            ffi::lua_error(state);
        }
        ffi::lua_gettop(state) - 1
    }
}

/// Raises an error.
///
/// # Safety
/// That of [`wait`].
unsafe fn fail(state: *mut lua_State, text: &CStr) -> ! {
    // SAFETY: as above.
    unsafe {
        ffi::lua_pushstring(state, text.as_ptr());
        ffi::lua_error(state)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    /// The value of each panic stayed on the stack of mlua.
    #[test]
    fn a_panic_of_a_callback_leaves_nothing_behind() {
        let lua = Lua::new();
        add(&lua).unwrap();
        let panics = lua.create_function(|_, ()| -> Result<()> { resume_unwind(Box::new("on purpose")) });
        let object = lua.create_any_userdata(()).unwrap();
        let mut coroutine = Coroutine::new(&lua, panics.unwrap(), &object).unwrap();
        // SAFETY: only reads.
        let top = || lua.exec_raw_lua(|lua| unsafe { ffi::lua_gettop(lua.state()) });
        let before = top();
        for _ in 0..3 {
            let stack = coroutine.stack().unwrap();
            stack.begin().unwrap();
            let panic = catch_unwind(AssertUnwindSafe(|| stack.run())).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
            assert_eq!(top(), before);
            coroutine = coroutine.renew().unwrap();
        }
    }
}

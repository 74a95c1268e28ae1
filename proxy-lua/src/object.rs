//! Objects of Lua whose values the machine reads and fills without asking Lua.

use std::cell::RefCell;
use std::rc::Rc;

use memcache_core::internal::proxy::request::ClientRequest;
use mlua::{AnyUserData, Error, Lua, Result, UserData};

/// A request of a client or of a program. It is `None` before a mutator fills it, and after the
/// request of the client has ended.
#[derive(Debug, Default)]
pub struct Request(pub Option<ClientRequest>);

impl Request {
    /// Returns the request.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self) -> Result<&ClientRequest> {
        self.0.as_ref().ok_or_else(none)
    }

    /// Returns the request.
    ///
    /// # Errors
    /// If there is none.
    pub fn get_mut(&mut self) -> Result<&mut ClientRequest> {
        self.0.as_mut().ok_or_else(none)
    }
}

fn none() -> Error {
    Error::runtime("request: object has no request")
}

/// A value in an object of Lua.
#[derive(Debug, Default)]
pub struct Held<T>(pub Rc<RefCell<T>>);

impl<T> Held<T> {
    /// Returns a value for a new object.
    pub fn new(value: T) -> Self {
        Self(Rc::new(RefCell::new(value)))
    }
}

/// An object of Lua, and its value.
#[derive(Debug)]
pub struct Object<T> {
    /// The object.
    pub lua: AnyUserData,
    /// The value.
    pub value: Rc<RefCell<T>>,
}

impl<T> Clone for Object<T> {
    fn clone(&self) -> Self {
        Self { lua: self.lua.clone(), value: Rc::clone(&self.value) }
    }
}

impl<T> Object<T>
where
    Held<T>: UserData + 'static,
{
    /// Makes an object.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(lua: &Lua, value: T) -> Result<Self> {
        let held = Held::new(value);
        let value = Rc::clone(&held.0);
        Ok(Self { lua: lua.create_userdata(held)?, value })
    }

    /// Returns an object with its value.
    ///
    /// # Errors
    /// It has another type.
    pub fn of(lua: AnyUserData) -> Result<Self> {
        Ok(Self { value: value_of(&lua)?, lua })
    }
}

/// Returns the value of an object.
///
/// # Errors
/// It has another type.
pub fn value_of<T: 'static>(object: &AnyUserData) -> Result<Rc<RefCell<T>>> {
    Ok(Rc::clone(&object.borrow::<Held<T>>()?.0))
}

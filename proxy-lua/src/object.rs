//! Objects of Lua whose values the machine reads and fills without asking Lua.

use std::cell::RefCell;
use std::rc::Rc;

use memcache_core::internal::proxy::request::ClientRequest;
use mlua::{AnyUserData, Error, Lua, Result, UserData, Value};

use crate::response::Response;
use crate::wait::Rank;

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
    pub lua: Value,
    /// The value.
    pub value: Rc<RefCell<T>>,
    /// No other object has it while this one lives.
    address: usize,
}

impl<T> Object<T>
where
    Held<T>: UserData + 'static,
{
    /// Makes an object.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(lua: &Lua, value: T) -> Result<Rc<Self>> {
        Self::of(lua.create_userdata(Held::new(value))?)
    }

    /// Returns an object with its value.
    ///
    /// # Errors
    /// It has another type.
    pub fn of(object: AnyUserData) -> Result<Rc<Self>> {
        let (value, address) = (value_of(&object)?, object.to_pointer().addr());
        Ok(Rc::new(Self { lua: Value::UserData(object), value, address }))
    }
}

impl<T> Object<T> {
    /// Returns whether the object is that at an address.
    pub fn is_at(&self, address: usize) -> bool {
        self.address == address
    }
}

/// The result of a handle or of a function.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A response.
    Response(Rc<Object<Response>>),
    /// A text of a function.
    Text(Value),
}

impl Outcome {
    /// Returns the outcome with this value. Returns `None` if it is neither a response nor a text.
    pub fn of(value: Value) -> Option<Self> {
        match value {
            Value::String(_) => Some(Self::Text(value)),
            Value::UserData(object) => Object::of(object).ok().map(Self::Response),
            _ => None,
        }
    }

    /// Returns its value.
    pub fn value(&self) -> &Value {
        match self {
            Self::Response(response) => &response.lua,
            Self::Text(text) => text,
        }
    }

    /// Returns its rank.
    pub fn rank(&self) -> Rank {
        match self {
            Self::Response(response) => response.value.borrow().rank(),
            Self::Text(_) => Rank::Text,
        }
    }
}

/// Returns the value of an object.
///
/// # Errors
/// It has another type.
pub fn value_of<T: 'static>(object: &AnyUserData) -> Result<Rc<RefCell<T>>> {
    Ok(Rc::clone(&object.borrow::<Held<T>>()?.0))
}

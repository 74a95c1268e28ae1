//! Values that one caller makes while others wait, in whatever thread they
//! are. (Python's threads need no help for that.)
//!
//! ```text
//!   board(key) -- nobody there --> a Flight: the caller makes the value, and lands it
//!              -- somebody ------> none: the caller's bell rings when the Flight is gone,
//!                                  with the value, or without one if it was not made
//! ```
//!
//! A Flight that is dropped has landed without a value. So nobody waits for a
//! thread that was ended: Node drops what its environment had.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use napi::Status;
use napi::bindgen_prelude::{Buffer, BufferSlice, FnArgs};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::raw::guarded;

/// What a bell is rung with: whose wait it ends, and the value.
type Ring = FnArgs<(u32, Option<Buffer>)>;

/// A function of JavaScript that is called from any thread. It does not keep
/// its environment alive.
type Callback = ThreadsafeFunction<Ring, (), Ring, Status, false, true>;

/// The flights of a cache.
#[derive(Default)]
pub struct Flights(Mutex<HashMap<Vec<u8>, Vec<Waiter>>>);

struct Waiter {
    bell: Arc<Callback>,
    token: u32,
}

impl Flights {
    /// The flight of `key`, if nobody is making its value; else the bell rings
    /// once somebody has.
    pub fn board(self: &Arc<Self>, key: &[u8], bell: &RemoteWaker, token: u32) -> Option<Flight> {
        match self.0.lock().entry(key.to_vec()) {
            Entry::Occupied(mut waiters) => {
                waiters.get_mut().push(Waiter { bell: Arc::clone(&bell.0), token });
                None
            }
            Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(Vec::new());
                Some(Flight { of: Arc::clone(self), key: Some(key) })
            }
        }
    }

    fn land(&self, key: &[u8], value: Option<&[u8]>) {
        let waiters = self.0.lock().remove(key).unwrap_or_default();
        for Waiter { bell, token } in waiters {
            let value = value.map(|value| Buffer::from(value.to_vec()));
            // If its environment is gone, nobody waits there.
            bell.call((token, value).into(), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// What rings where somebody waits.
#[napi]
pub struct RemoteWaker(Arc<Callback>);

#[napi]
impl RemoteWaker {
    /// Of this function, which gets the token and the value.
    #[napi(constructor, catch_unwind)]
    pub fn new(callback: Callback) -> Self {
        Self(Arc::new(callback))
    }
}

/// A value that the holder is making.
#[napi]
pub struct Flight {
    of: Arc<Flights>,
    /// None: it has landed.
    key: Option<Vec<u8>>,
}

#[napi]
impl Flight {
    /// Ends it, with the value or without one.
    #[napi(catch_unwind)]
    pub fn land(&mut self, value: Option<BufferSlice>) {
        if let Some(key) = self.key.take() {
            guarded(|| self.of.land(&key, value.as_deref()));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            guarded(|| self.of.land(&key, None));
        }
    }
}

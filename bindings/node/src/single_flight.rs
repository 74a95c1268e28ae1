//! Single flight: one caller makes a value while the others wait, in any thread of the process.
//!
//! ```text
//!   join(key) -- first --> Leader: the caller makes the value and finishes with it
//!             -- later --> null: the caller's Notifier is called when the leader has finished,
//!                          with the value, or without one if making it failed
//! ```
//!
//! Dropping a `Leader` finishes it without a value. Node drops the objects of an environment that
//! ends, so an ended thread keeps no caller waiting.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use napi::Status;
use napi::bindgen_prelude::{Buffer, BufferSlice, FnArgs};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::raw::guarded;

/// The arguments of a notification: the token of the waiter, and the value.
type Notification = FnArgs<(u32, Option<Buffer>)>;

/// A JavaScript function that any thread may call. It does not keep its environment alive.
type Callback = ThreadsafeFunction<Notification, (), Notification, Status, false, true>;

/// The values of a cache that are being made.
#[derive(Default)]
pub struct SingleFlight(Mutex<HashMap<Vec<u8>, Vec<Waiter>>>);

struct Waiter {
    notifier: Arc<Callback>,
    token: u32,
}

impl SingleFlight {
    /// Makes the caller the leader for `key` if there is none. Otherwise it becomes a waiter, and
    /// `notifier` is called with `token`.
    pub fn join(self: &Arc<Self>, key: &[u8], notifier: &Notifier, token: u32) -> Option<Leader> {
        match self.0.lock().entry(key.to_vec()) {
            Entry::Occupied(mut waiters) => {
                waiters.get_mut().push(Waiter { notifier: Arc::clone(&notifier.0), token });
                None
            }
            Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(Vec::new());
                Some(Leader { of: Arc::clone(self), key: Some(key) })
            }
        }
    }

    fn finish(&self, key: &[u8], value: Option<&[u8]>) {
        let waiters = self.0.lock().remove(key).unwrap_or_default();
        for Waiter { notifier, token } in waiters {
            let value = value.map(|value| Buffer::from(value.to_vec()));
            // Fails only if the waiter's environment has ended.
            notifier.call((token, value).into(), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// Tells a thread that a value it waits for is settled.
#[napi]
pub struct Notifier(Arc<Callback>);

#[napi]
impl Notifier {
    /// Wraps a function that takes a waiter's token and the value.
    #[napi(constructor, catch_unwind)]
    pub fn new(callback: Callback) -> Self {
        Self(Arc::new(callback))
    }
}

/// The right and duty to make a value.
#[napi]
pub struct Leader {
    of: Arc<SingleFlight>,
    /// `None` once it has finished.
    key: Option<Vec<u8>>,
}

#[napi]
impl Leader {
    /// Hands the value to the waiters, or tells them that there is none.
    #[napi(catch_unwind)]
    pub fn finish(&mut self, value: Option<BufferSlice>) {
        if let Some(key) = self.key.take() {
            guarded(|| self.of.finish(&key, value.as_deref()));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            guarded(|| self.of.finish(&key, None));
        }
    }
}

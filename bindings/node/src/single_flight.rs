//! Single flight: one caller makes a value while the others wait, in any thread of the process.
//!
//! A waiter is a call of its `Notifier`, with a token. Node drops the objects of an environment
//! that ends. A leader that is dropped finishes without a value, so an ended thread keeps no caller
//! waiting.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_embed::flight::{self, Load, Made, Mode, Role};
use napi::Status;
use napi::bindgen_prelude::{BigInt, Buffer, BufferSlice, FnArgs};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::raw::guarded;

/// The arguments of a notification: the token of the waiter, and the value.
type Notification = FnArgs<(u32, Option<Buffer>)>;

/// A JavaScript function that any thread may call. It does not keep its environment alive.
type Callback = ThreadsafeFunction<Notification, (), Notification, Status, false, true>;

/// The values of a cache that are being made.
pub type SingleFlight = flight::SingleFlight<[u8]>;

/// Makes the caller the leader for `key` if there is none. Otherwise it becomes a waiter, and
/// `notifier` is called with `token`.
pub fn join(
    cache: &Cache,
    flights: &Arc<SingleFlight>,
    key: &[u8],
    notifier: &Notifier,
    token: u32,
) -> Option<Leader> {
    let callback = Arc::clone(&notifier.0);
    let waiter = move |value: Option<&[u8]>| {
        let value = value.map(|value| Buffer::from(value.to_vec()));
        // Fails only if the waiter's environment has ended.
        callback.call((token, value).into(), ThreadsafeFunctionCallMode::NonBlocking);
    };
    match flights.join(key, (), Box::new(waiter)) {
        Role::Leader(leader) => Some(Leader { leader, load: Some(cache.begin_load(key)) }),
        Role::Waiting(()) => None,
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
    leader: flight::Leader<[u8]>,
    /// `None` once it has ended. Node drops objects late.
    load: Option<Load>,
}

/// The conditions under which a value is stored that a caller has made: arguments of `storeMade`.
#[napi(object)]
pub struct Conditions {
    /// The marks that its load has seen.
    pub seen: BigInt,
    /// The number of the mode.
    pub mode: u32,
    /// The CAS of the item that it replaces.
    pub cas: BigInt,
}

impl From<Made> for Conditions {
    fn from(Made { seen, mode, compare }: Made) -> Self {
        let number = match mode {
            Mode::Add => 1,
            Mode::Cas => 5,
            _ => 0,
        };
        Self { seen: seen.into(), mode: number, cas: compare.into() }
    }
}

#[napi]
impl Leader {
    /// Hands the value to the waiters, or tells them that there is none.
    #[napi(catch_unwind)]
    pub fn finish(&mut self, value: Option<BufferSlice>) {
        self.leader.finish(value.as_deref());
        self.load = None;
    }

    /// Returns the conditions under which its value is stored, unless it has ended.
    #[napi(catch_unwind)]
    pub fn conditions(&self) -> Option<Conditions> {
        self.load.as_ref().map(|load| Made::new(load).into())
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        guarded(|| self.leader.finish(None));
    }
}

/// The right and duty to make a stale value anew.
#[napi]
pub struct Renewal(flight::Renewal);

impl Renewal {
    /// Creates the renewal of a key that the caller was chosen to make anew.
    pub fn new(cache: &Arc<Cache>, key: &[u8]) -> Self {
        Self(flight::Renewal::new(cache, key))
    }
}

#[napi]
impl Renewal {
    /// Ends it, after the value was stored or could not be made.
    #[napi(catch_unwind)]
    pub fn finish(&mut self, is_stored: bool) {
        self.0.finish(is_stored);
    }

    /// Returns the conditions under which its value is stored, unless it has ended.
    #[napi(catch_unwind)]
    pub fn conditions(&self) -> Option<Conditions> {
        self.0.made().map(Conditions::from)
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        guarded(|| self.0.finish(false));
    }
}

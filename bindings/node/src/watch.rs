//! Events of a server, as they happen.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_embed::watch::{Event, Watch};
use napi::bindgen_prelude::{Buffer, Object};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::raw::guarded;

/// The JavaScript function that is called when the first event arrives after all were taken. It
/// does not keep its environment alive.
pub type OnEvents = ThreadsafeFunction<(), (), (), Status, false, true>;

/// A receiver of events.
#[napi]
pub struct Watcher(Watch);

impl Watcher {
    pub fn new(cache: Arc<Cache>, kinds: &[String], on_events: OnEvents) -> Result<Self, Failure> {
        let wake = move || {
            // Fails only if the environment has ended, and then nothing waits there.
            on_events.call((), ThreadsafeFunctionCallMode::NonBlocking);
        };
        Watch::open(cache, kinds, wake).map(Self).map_err(|error| errors::bad_argument(error.to_string()))
    }
}

#[napi]
impl Watcher {
    /// Returns the next event that has arrived, or `null`.
    #[napi(catch_unwind)]
    pub fn next<'e>(&self, env: &'e Env) -> Result<Option<Object<'e>>, Failure> {
        self.0.next().map(|event| object(env, event)).transpose().map_err(|_| errors::no_object())
    }

    /// Ends the watch. Events that have arrived can still be taken.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.0.close();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        guarded(|| self.0.close());
    }
}

fn object(env: &Env, event: Event) -> napi::Result<Object<'_>> {
    let Event { name, time, key, fields: listed } = event;
    let mut fields = Object::new(env)?;
    for (name, value) in listed {
        fields.set(name, value)?;
    }
    let mut object = Object::new(env)?;
    object.set("type", name)?;
    object.set("time", time)?;
    match key {
        Some(key) => object.set("key", Buffer::from(key))?,
        None => object.set("key", ())?,
    }
    object.set("fields", fields)?;
    Ok(object)
}

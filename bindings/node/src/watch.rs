//! Events of a server, as they happen.

use std::sync::Arc;

use memcache_core::internal::base::watch::{Watcher as Core, kind};
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::shared_cache::SharedCache;

/// Bytes that wait for a reader. Later lines are dropped and counted.
const BUFFER: usize = 4 * 1024 * 1024;

/// The JavaScript function that is called when the first line arrives in an empty buffer. It does
/// not keep its environment alive.
pub type OnLines = ThreadsafeFunction<(), (), (), Status, false, true>;

/// A receiver of log lines.
#[napi]
pub struct Watcher {
    /// `None` once it is closed.
    open: Option<(Arc<SharedCache>, Arc<Core>)>,
}

impl Watcher {
    pub fn new(cache: Arc<SharedCache>, kinds: &[String], on_lines: OnLines) -> Result<Self, Failure> {
        let mut wanted = 0;
        for name in kinds {
            wanted |= kind::named(name).map_err(errors::bad_argument)?;
        }
        let notify = move || {
            // Fails only if the environment has ended, and then nothing waits there.
            on_lines.call((), ThreadsafeFunctionCallMode::NonBlocking);
        };
        let Some(core) = cache.core.watch_hub().add(wanted, BUFFER, notify) else {
            return Err(errors::bad_argument("a server may have at most 20 watchers: close one first"));
        };
        Ok(Self { open: Some((cache, core)) })
    }

    fn end(&mut self) {
        if let Some((cache, core)) = self.open.take() {
            cache.core.watch_hub().remove(&core);
        }
    }
}

#[napi]
impl Watcher {
    /// Takes the lines that have arrived.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let mut bytes = Vec::new();
        if let Some((_, core)) = &self.open {
            core.drain(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends the watch.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.end();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

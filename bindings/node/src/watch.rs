//! Events of a server, as they happen.

use std::sync::Arc;

use memcache_core::internal::watch::{Watcher as Core, kind};
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::errors::{self, Failure};
use crate::handle::Shared;

/// Bytes that wait for a reader; what comes then is lost, and counted.
const BUFFER: usize = 4 * 1024 * 1024;

/// Called when there are lines where there were none. It does not keep its
/// environment alive.
pub type RemoteWaker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// A receiver of lines.
#[napi]
pub struct Watcher {
    /// None: closed.
    open: Option<(Arc<Shared>, Arc<Core>)>,
}

impl Watcher {
    pub fn new(of: Arc<Shared>, kinds: &[String], bell: RemoteWaker) -> Result<Self, Failure> {
        let mut wanted = 0;
        for name in kinds {
            wanted |= kind::named(name).map_err(errors::bad_argument)?;
        }
        let ring = move || {
            // If the environment is gone, nobody waits there.
            bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        };
        let Some(core) = of.core.watch_hub().add(wanted, BUFFER, ring) else {
            return Err(errors::bad_argument("a server has at most 20 watchers; close one"));
        };
        Ok(Self { open: Some((of, core)) })
    }

    fn end(&mut self) {
        if let Some((of, core)) = self.open.take() {
            of.core.watch_hub().remove(&core);
        }
    }
}

#[napi]
impl Watcher {
    /// The lines that are there.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let mut bytes = Vec::new();
        if let Some((_, core)) = &self.open {
            core.drain(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it.
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

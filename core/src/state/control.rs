//! How a server is stopped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use crate::base::sync::Mutex;

/// How a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stop {
    /// Closes every connection and ends.
    Now = 1,
    /// Finishes the replies that are under way, then ends (`shutdown graceful`).
    Graceful = 2,
}

/// The state of a server that was not asked to stop, beside the values of [`Stop`].
const RUNNING: u8 = 0;

/// A function that wakes threads of the server for a stop.
type Wake = dyn Fn(Stop) + Send + Sync;

/// Whether and why a server stops.
#[derive(Default)]
pub struct Control {
    stop: AtomicU8,
    failure: OnceLock<String>,
    wake: Mutex<Vec<std::sync::Arc<Wake>>>,
}

opaque_debug!(Control);

impl Control {
    /// Adds a function that wakes threads for a stop. It runs at each request, on the thread that
    /// asks. If the server was asked to stop before, it also runs now.
    pub(crate) fn on_stop(&self, wake: impl Fn(Stop) + Send + Sync + 'static) {
        let wake = std::sync::Arc::new(wake);
        self.wake.lock().push(wake.clone());
        if let Some(how) = self.stopping() {
            wake(how);
        }
    }

    /// Asks the server to stop and returns at once. A later request replaces an earlier one only if
    /// it is more urgent.
    pub fn request_stop(&self, how: Stop) {
        let _ =
            self.stop.fetch_update(SeqCst, SeqCst, |before| (before != Stop::Now as u8).then_some(how as u8));
        let wake = self.wake.lock().clone();
        wake.iter().for_each(|wake| wake(how));
    }

    /// Returns how the server was asked to stop, or `None` if it was not.
    pub fn stopping(&self) -> Option<Stop> {
        match self.stop.load(SeqCst) {
            RUNNING => None,
            now if now == Stop::Now as u8 => Some(Stop::Now),
            _ => Some(Stop::Graceful),
        }
    }

    /// Records a failure that stops the server. The first one counts: it is the cause.
    pub(crate) fn set_failure(&self, line: String) {
        let _ = self.failure.set(line);
    }

    /// Returns the failure that stopped the server, if there was one.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

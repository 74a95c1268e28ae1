//! Receivers of a server's events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use memcache_core::internal::base::sync::{Condvar, Mutex};
use memcache_core::internal::base::watch::{WatchHub, Watcher as Core, kind};
use pyo3::prelude::*;

use crate::errors;
use crate::handle::CacheHandle;
use crate::number::Float;

/// Size of the buffer in bytes. Events that do not fit are dropped and counted.
const BUFFER: usize = 4 * 1024 * 1024;

/// How often a waiting call checks for signals, such as Ctrl-C, and for the end of the server.
pub const POLL: Duration = Duration::from_millis(50);

/// A receiver of event lines.
#[pyclass(frozen, module = "memcache_rs._native")]
pub struct Watcher {
    of: CacheHandle,
    core: Arc<Core>,
    wake: Arc<(Mutex<()>, Condvar)>,
    lines: Mutex<VecDeque<String>>,
    closed: AtomicBool,
    /// Whether the server has stopped.
    ended: Arc<AtomicBool>,
}

impl Watcher {
    pub fn new(of: CacheHandle, kinds: &[String], ended: Arc<AtomicBool>) -> PyResult<Self> {
        let mut wanted = 0;
        for name in kinds {
            wanted |= kind::named(name).map_err(errors::bad_argument)?;
        }
        let wake = Arc::new((Mutex::new(()), Condvar::new()));
        let waker = Arc::clone(&wake);
        let core = of.settled("server")?.watch_hub().add(wanted, BUFFER, move || {
            let _guard = waker.0.lock();
            waker.1.notify_all();
        });
        let Some(core) = core else {
            return Err(errors::bad_argument("a server takes at most 20 watches; close one".into()));
        };
        Ok(Self { of, core, wake, lines: Mutex::default(), closed: AtomicBool::new(false), ended })
    }

    /// Returns the next received line.
    fn take(&self) -> Option<String> {
        let mut lines = self.lines.lock();
        if lines.is_empty() {
            let mut bytes = Vec::new();
            self.core.drain(&mut bytes);
            lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        }
        lines.pop_front()
    }

    fn wait(&self, time: Duration) -> Option<String> {
        let guard = self.wake.0.lock();
        if let Some(line) = self.take() {
            return Some(line);
        }
        drop(self.wake.1.wait_for(guard, time));
        self.take()
    }
}

#[pymethods]
impl Watcher {
    /// Returns the next line.
    ///
    /// Args:
    ///     timeout: How many seconds to wait. ``None`` waits without limit.
    ///
    /// Returns:
    ///     The line. ``None`` after ``timeout``, or if no lines are left and the watcher is closed
    ///     or the server has stopped.
    #[pyo3(signature = (timeout=None))]
    fn next_line(&self, py: Python<'_>, timeout: Option<Float>) -> PyResult<Option<String>> {
        self.of.get("server")?;
        let timeout = timeout
            .map(|Float(seconds)| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
        let until = timeout.and_then(|time| Instant::now().checked_add(time));
        loop {
            // Read before the lines, so that events before the end are still returned.
            let over = self.closed.load(Relaxed) || self.ended.load(Relaxed);
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if over {
                return Ok(None);
            }
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(line) = py.detach(|| self.wait(left.min(POLL))) {
                return Ok(Some(line));
            }
            py.check_signals()?;
        }
    }

    /// Closes the receiver. Received lines can still be read.
    fn close(&self) {
        if !self.closed.swap(true, Relaxed)
            && let Ok(cache) = self.of.get("server")
        {
            unlist(cache.watch_hub(), &self.core);
            let _guard = self.wake.0.lock();
            self.wake.1.notify_all();
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("watcher"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

fn unlist(hub: &WatchHub, watcher: &Arc<Core>) {
    hub.remove(watcher);
}

//! Events of a server, as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use memcache_core::internal::sync::{Condvar, Mutex};
use memcache_core::internal::watch::{WatchHub, Watcher as Core, kind};
use pyo3::prelude::*;

use crate::errors;
use crate::handle::CacheHandle;
use crate::number::Float;

/// Bytes that wait for a reader; what comes then is lost, and counted.
const BUFFER: usize = 4 * 1024 * 1024;

/// How often a wait looks for signals, such as Ctrl-C, and for the end of the
/// server.
pub const LOOK: Duration = Duration::from_millis(50);

/// A receiver of lines.
#[pyclass(frozen, module = "memcache_rs._native")]
pub struct Watcher {
    of: CacheHandle,
    core: Arc<Core>,
    bell: Arc<(Mutex<()>, Condvar)>,
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
        let bell = Arc::new((Mutex::new(()), Condvar::new()));
        let ring = Arc::clone(&bell);
        let core = of.settled("server")?.watch_hub().add(wanted, BUFFER, move || {
            let _guard = ring.0.lock();
            ring.1.notify_all();
        });
        let Some(core) = core else {
            return Err(errors::bad_argument("a server has at most 20 watchers; close one".into()));
        };
        Ok(Self { of, core, bell, lines: Mutex::default(), closed: AtomicBool::new(false), ended })
    }

    /// The next line that is there.
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
        let guard = self.bell.0.lock();
        if let Some(line) = self.take() {
            return Some(line);
        }
        drop(self.bell.1.wait_for(guard, time));
        self.take()
    }
}

#[pymethods]
impl Watcher {
    /// The next line; None if none comes within `timeout` seconds (None: ever),
    /// or once it is closed, or the server has stopped, and all were taken.
    #[pyo3(signature = (timeout=None))]
    fn next_line(&self, py: Python<'_>, timeout: Option<Float>) -> PyResult<Option<String>> {
        self.of.get("server")?;
        let timeout = timeout
            .map(|Float(seconds)| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
        let until = timeout.and_then(|time| Instant::now().checked_add(time));
        loop {
            // Asked first: events that came before the end are still taken.
            let over = self.closed.load(Relaxed) || self.ended.load(Relaxed);
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if over {
                return Ok(None);
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(line) = py.detach(|| self.wait(left.min(LOOK))) {
                return Ok(Some(line));
            }
            py.check_signals()?;
        }
    }

    /// Ends it: what was received can still be read.
    fn close(&self) {
        if !self.closed.swap(true, Relaxed)
            && let Ok(cache) = self.of.get("server")
        {
            unlist(cache.watch_hub(), &self.core);
            let _guard = self.bell.0.lock();
            self.bell.1.notify_all();
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

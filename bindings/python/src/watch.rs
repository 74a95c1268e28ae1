//! Receivers of a server's events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use memcache_core::internal::base::sync::{Condvar, Mutex};
use memcache_embed::time;
use memcache_embed::watch::{Event, Watch};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors;
use crate::handle::{CacheHandle, owned, settled};
use crate::number::Float;

/// How often a waiting call checks for signals, such as Ctrl-C, and for the end of the server.
pub const POLL: Duration = Duration::from_millis(50);

/// The fields of `memcache_rs.Event`.
type Parts<'py> = (String, f64, Option<Bound<'py, PyBytes>>, Bound<'py, PyDict>);

fn parts(py: Python<'_>, event: Event) -> PyResult<Parts<'_>> {
    let fields = PyDict::new(py);
    for (name, value) in event.fields {
        fields.set_item(name, value)?;
    }
    Ok((event.name, event.time, event.key.map(|key| PyBytes::new(py, &key)), fields))
}

/// Parses a line of memcached's log of events.
///
/// Returns:
///     The fields of ``Event``.
///
/// Raises:
///     ValueError: The time is not a number.
#[pyfunction]
pub fn parse_event<'py>(py: Python<'py>, line: &str) -> PyResult<Parts<'py>> {
    parts(py, Event::parse(line).map_err(|error| PyValueError::new_err(error.to_string()))?)
}

/// A receiver of events.
#[pyclass(frozen, module = "memcache_rs._native")]
pub struct Watcher {
    of: CacheHandle,
    watch: Watch,
    wake: Arc<(Mutex<()>, Condvar)>,
    closed: AtomicBool,
    /// Whether the server has stopped.
    ended: Arc<AtomicBool>,
}

impl Watcher {
    pub fn new(of: CacheHandle, kinds: &[String], ended: Arc<AtomicBool>) -> PyResult<Self> {
        let wake = Arc::new((Mutex::new(()), Condvar::new()));
        let waker = Arc::clone(&wake);
        let watch = Watch::open(Arc::clone(settled(&of, "server")?), kinds, move || {
            let _guard = waker.0.lock();
            waker.1.notify_all();
        });
        let watch = watch.map_err(|error| errors::bad_argument(error.to_string()))?;
        Ok(Self { of, watch, wake, closed: AtomicBool::new(false), ended })
    }

    fn wait(&self, time: Duration) -> Option<Event> {
        let guard = self.wake.0.lock();
        if let Some(event) = self.watch.next() {
            return Some(event);
        }
        drop(self.wake.1.wait_for(guard, time));
        self.watch.next()
    }
}

#[pymethods]
impl Watcher {
    /// Returns the next event.
    ///
    /// Args:
    ///     timeout: How many seconds to wait. ``None`` waits without limit.
    ///
    /// Returns:
    ///     The fields of ``Event``. ``None`` after ``timeout``, or if no events are left and the
    ///     watcher is closed or the server has stopped.
    #[pyo3(signature = (timeout=None))]
    fn next_event<'py>(&self, py: Python<'py>, timeout: Option<Float>) -> PyResult<Option<Parts<'py>>> {
        owned(&self.of, "server")?;
        let until = timeout.and_then(|Float(seconds)| Instant::now().checked_add(time::patience(seconds)));
        loop {
            // Read before the events, so that events before the end are still returned.
            let over = self.closed.load(Relaxed) || self.ended.load(Relaxed);
            if let Some(event) = self.watch.next() {
                return parts(py, event).map(Some);
            }
            if over {
                return Ok(None);
            }
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(event) = py.detach(|| self.wait(left.min(POLL))) {
                return parts(py, event).map(Some);
            }
            py.check_signals()?;
        }
    }

    /// Closes the receiver. Received events can still be read.
    fn close(&self) {
        if !self.closed.swap(true, Relaxed) && self.of.holds() {
            self.watch.close();
            let _guard = self.wake.0.lock();
            self.wake.1.notify_all();
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("watcher"))
    }
}

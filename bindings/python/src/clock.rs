//! The clock of a cache, which tests can stop and move.

use std::time::{SystemTime, UNIX_EPOCH};

use memcache_core::{Cache as Core, Clock as Hands};
use memcache_embed::{time, ttl};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors;
use crate::handle::{CacheHandle, settled};
use crate::number::Float;

/// Returns the Unix time of the system clock, also while a test fakes Python's dates.
#[pyfunction]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The clock of a cache, which counts whole seconds.
///
/// ``Cache.clock`` and ``Server.clock`` return it. At first it follows the system clock. Tests stop
/// it with :meth:`freeze` and move it with :meth:`advance`. A ``with`` block resumes it at its end.
///
/// Example:
///     >>> cache = Cache()
///     >>> with cache.clock.freeze() as clock:
///     ...     cache.set("session", "Ada", ttl=60)
///     ...     clock.advance(59)
///     ...     cache.get("session")
///     b'Ada'
#[pyclass(frozen, module = "memcache_rs")]
pub struct Clock(CacheHandle);

impl Clock {
    pub fn new(of: CacheHandle) -> Self {
        Self(of)
    }

    fn hands(&self) -> PyResult<&Hands> {
        settled(&self.0, "clock").map(|cache| -> &Core { cache }).map(Core::clock).map(|clock| &**clock)
    }
}

#[pymethods]
impl Clock {
    /// Stops the clock.
    ///
    /// Returns:
    ///     The clock. As a context manager it resumes at the end of the block.
    ///
    /// Raises:
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> clock = Cache().clock
    ///     >>> with clock.freeze():
    ///     ...     before = clock.time()
    ///     ...     clock.advance(60)
    ///     ...     clock.time() - before
    ///     60
    fn freeze(slf: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        slf.hands()?.freeze();
        Ok(slf)
    }

    /// Lets the clock run again, from the time it shows.
    ///
    /// Raises:
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> clock = Cache().clock.freeze()
    ///     >>> clock.resume()
    fn resume(&self) -> PyResult<()> {
        self.hands()?.resume();
        Ok(())
    }

    /// Sets the clock to the system time and lets it run.
    ///
    /// Raises:
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> clock = Cache().clock.freeze()
    ///     >>> clock.advance(3600)
    ///     >>> clock.reset()
    fn reset(&self) -> PyResult<()> {
        self.hands()?.reset();
        Ok(())
    }

    /// Moves the clock forwards, or backwards if the time is negative.
    ///
    /// Args:
    ///     by: Whole seconds, or a timedelta of whole seconds.
    ///
    /// Raises:
    ///     ConfigError: ``by`` is not whole seconds, or the clock cannot show that time.
    ///         It reaches from 34 years before the cache was made to 102 years after.
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> cache = Cache()
    ///     >>> cache.set("session", "Ada", ttl=60)
    ///     >>> cache.clock.advance(60)
    ///     >>> "session" in cache
    ///     False
    fn advance(&self, by: &Bound<'_, PyAny>) -> PyResult<()> {
        let seconds: f64 = if by.hasattr("total_seconds")? {
            by.call_method0("total_seconds")?.extract()?
        } else {
            by.extract::<Float>()?.0
        };
        let by = time::whole_seconds(seconds).map_err(|_| {
            errors::bad_argument(format!(
                "by must be a whole number of seconds between -2**32 and 2**32, got {seconds}"
            ))
        })?;
        let moved = self.hands()?.advance(by);
        moved.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Returns the time that the clock shows.
    ///
    /// Returns:
    ///     A Unix time in seconds.
    ///
    /// Raises:
    ///     ForkError: The cache belongs to the parent process.
    ///
    /// Example:
    ///     >>> clock = Cache().clock.freeze()
    ///     >>> before = clock.time()
    ///     >>> clock.advance(60)
    ///     >>> clock.time() - before
    ///     60
    fn time(&self) -> PyResult<i64> {
        Ok(ttl::unix_time(settled(&self.0, "clock")?))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.resume()
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("clock"))
    }
}

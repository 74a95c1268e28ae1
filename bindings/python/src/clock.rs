//! The clock of a cache, which tests stop and move.

use std::time::{SystemTime, UNIX_EPOCH};

use memcache_core::{Cache as Core, Clock as Hands};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors;
use crate::handle::CacheHandle;
use crate::number::Float;

/// Now, as a Unix time, by the clock of the system: packages that fake
/// Python's dates do not change it.
#[pyfunction]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The clock of a cache: whole seconds.
#[pyclass(frozen, module = "memcache_rs")]
pub struct Clock(CacheHandle);

impl Clock {
    pub fn new(of: CacheHandle) -> Self {
        Self(of)
    }

    fn hands(&self) -> PyResult<&Hands> {
        self.0.settled("clock").map(|cache| -> &Core { cache }).map(Core::clock).map(|clock| &**clock)
    }
}

#[pymethods]
impl Clock {
    /// Stops time. As a context manager it runs again at the end.
    fn freeze(slf: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        slf.hands()?.freeze();
        Ok(slf)
    }

    /// Lets time run again from where it stands.
    fn resume(&self) -> PyResult<()> {
        self.hands()?.resume();
        Ok(())
    }

    /// Sets time to what it is for the system, and lets it run.
    fn reset(&self) -> PyResult<()> {
        self.hands()?.reset();
        Ok(())
    }

    /// Moves time by seconds or a timedelta, backwards if negative.
    fn advance(&self, by: &Bound<'_, PyAny>) -> PyResult<()> {
        let seconds: f64 = if by.hasattr("total_seconds")? {
            by.call_method0("total_seconds")?.extract()?
        } else {
            by.extract::<Float>()?.0
        };
        if seconds.fract() != 0.0 || seconds.abs() >= f64::from(u32::MAX) {
            return Err(errors::bad_argument(format!(
                "the clock counts whole seconds and cannot be moved by {seconds}; give a whole number"
            )));
        }
        let moved = self.hands()?.advance(seconds as i64);
        moved.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Now, as a Unix time.
    fn time(&self) -> PyResult<i64> {
        let hands = self.hands()?;
        Ok(hands.origin() + i64::from(hands.now()))
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

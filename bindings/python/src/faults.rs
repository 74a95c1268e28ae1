//! Injected faults.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use memcache_core::{Fault, FaultRule as Rule, FaultRuleId};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors;
use crate::handle::CacheHandle;
use crate::number::{Bytes, Float, Times};
use crate::octets::value;

/// The faults of a server.
#[pyclass(frozen, module = "memcache_rs")]
pub struct Faults(CacheHandle);

impl Faults {
    pub fn new(of: CacheHandle) -> Self {
        Self(of)
    }

    fn add(
        &self,
        fault: Fault,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        let (times, probability) = (times.map(|times| times.0), probability.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(errors::bad_argument(format!("a probability is from 0 to 1, not {probability}")));
        }
        let key = key.map(|key| value(key).map(|key| key.to_vec())).transpose()?;
        let id = self.0.settled("server")?.faults().add(Rule { fault, command, key, times, probability });
        Ok(FaultRule { of: self.0.another(), id, gone: AtomicBool::new(false), applied: AtomicU64::new(0) })
    }
}

#[pymethods]
impl Faults {
    /// Commands wait so many seconds first.
    #[pyo3(signature = (seconds, *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, seconds, *, command=None, key=None, times=None, probability=1.0)")]
    fn delay(
        &self,
        seconds: Float,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        let time = Duration::try_from_secs_f64(seconds.0)
            .map_err(|_| errors::bad_argument(format!("a delay is seconds from 0 on, not {}", seconds.0)))?;
        self.add(Fault::Delay(time), command, key, times, probability)
    }

    /// The connection is closed instead.
    #[pyo3(signature = (*, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, *, command=None, key=None, times=None, probability=1.0)")]
    fn drop(
        &self,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(Fault::Drop, command, key, times, probability)
    }

    /// Commands answer `SERVER_ERROR` with this text and do nothing.
    #[pyo3(signature = (message="injected", *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, message=\"injected\", *, command=None, key=None, times=None, probability=1.0)")]
    fn error(
        &self,
        message: &str,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        if message.contains(['\r', '\n']) {
            return Err(errors::bad_argument("the text of an error is one line".into()));
        }
        self.add(Fault::Error(message.to_owned()), command, key, times, probability)
    }

    /// Reads find nothing.
    #[pyo3(signature = (*, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, *, command=None, key=None, times=None, probability=1.0)")]
    fn miss(
        &self,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(Fault::Miss, command, key, times, probability)
    }

    /// Replies end after so many bytes, and the connection with them.
    #[pyo3(signature = (after, *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, after, *, command=None, key=None, times=None, probability=1.0)")]
    fn truncate(
        &self,
        after: Bytes,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.add(Fault::Truncate(after), command, key, times, probability)
    }

    /// Takes all faults away.
    fn clear(&self) -> PyResult<()> {
        self.0.settled("server")?.faults().clear();
        Ok(())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("server's faults"))
    }
}

/// A fault that is injected until it is removed; a context manager.
#[pyclass(frozen, module = "memcache_rs")]
pub struct FaultRule {
    of: CacheHandle,
    id: FaultRuleId,
    gone: AtomicBool,
    applied: AtomicU64,
}

#[pymethods]
impl FaultRule {
    /// Takes the fault away. Gives how often it was met.
    fn remove(&self) -> PyResult<u64> {
        let cache = self.of.settled("server")?;
        if !self.gone.swap(true, Relaxed)
            && let Some(applied) = cache.faults().remove(self.id)
        {
            self.applied.store(applied, Relaxed);
        }
        Ok(self.applied.load(Relaxed))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.remove().map(|_| ())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("fault"))
    }
}

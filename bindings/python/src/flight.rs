//! Single flight for threads and tasks.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::base::sync::Mutex;
use memcache_embed::flight::{self, Load, Made, Role, Waiter};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A thread, and a task or 0.
pub type Caller = (u64, u64);

/// The values of a cache that are being made. A leader hands over a pair of bytes and flags, or an
/// exception.
pub type SingleFlight = flight::SingleFlight<Py<PyAny>, Caller>;

/// The right and duty to make a value. Dropping it counts as a failure.
#[pyclass(frozen, module = "memcache_rs._native")]
pub struct Leader(Mutex<Option<Duty>>);

enum Duty {
    /// Waiters want the value.
    Flight(flight::Leader<Py<PyAny>, Caller>, Load),
    /// Other callers get a stale value.
    Renewal(flight::Renewal),
}

impl Leader {
    fn new(duty: Duty) -> Self {
        Self(Mutex::new(Some(duty)))
    }

    /// Makes a leader that renews a stale value.
    pub fn of_renewal(cache: &Arc<Cache>, key: &[u8]) -> Self {
        Self::new(Duty::Renewal(flight::Renewal::new(cache, key)))
    }

    /// Returns the conditions under which its value is stored, or `None` if it has ended.
    pub fn made(&self) -> Option<Made> {
        match &*self.0.lock() {
            Some(Duty::Flight(_, load)) => Some(Made::new(load)),
            Some(Duty::Renewal(renewal)) => renewal.made(),
            None => None,
        }
    }

    fn end(&self, py: Python<'_>, outcome: Option<&Py<PyAny>>) {
        // The waiters are Python functions, and run without the lock.
        let duty = self.0.lock().take();
        match duty {
            None => {}
            Some(Duty::Flight(mut leader, _)) => leader.finish(outcome),
            Some(Duty::Renewal(mut renewal)) => {
                renewal.finish(outcome.is_some_and(|outcome| outcome.bind(py).is_instance_of::<PyTuple>()));
            }
        }
    }
}

/// Makes the caller the leader of a key, or returns the leader it waits for. `notify` is then
/// called with the outcome, or with `None` if another caller has to make the value.
pub fn join(
    cache: &Cache,
    flights: &Arc<SingleFlight>,
    key: &[u8],
    caller: Caller,
    notify: Py<PyAny>,
) -> Result<Leader, Caller> {
    let waiter: Waiter<Py<PyAny>> = Box::new(move |outcome| {
        // Fails only if the interpreter has ended, and then no thread waits.
        Python::try_attach(|py| {
            let outcome = outcome.map(|outcome| outcome.clone_ref(py));
            if let Err(error) = notify.call1(py, (outcome,)) {
                error.write_unraisable(py, None);
            }
        });
    });
    match flights.join(key, caller, waiter) {
        Role::Leader(leader) => Ok(Leader::new(Duty::Flight(leader, cache.begin_load(key)))),
        Role::Waiting(leader) => Err(leader),
    }
}

#[pymethods]
impl Leader {
    /// Hands bytes and flags, or the exception of making them, to the waiters.
    ///
    /// ``None`` lets one of the waiters make the value.
    #[pyo3(signature = (outcome, /))]
    fn finish(&self, py: Python<'_>, outcome: Option<Py<PyAny>>) {
        self.end(py, outcome.as_ref());
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.0.lock().is_some() {
            Python::try_attach(|py| {
                // The waiters must not see an exception that is on its way.
                let raised = PyErr::take(py);
                self.end(py, None);
                if let Some(raised) = raised {
                    raised.restore(py);
                }
            });
        }
    }
}

//! A hold on a cache that knows in which process it was taken.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::fork::ForkMark;
use pyo3::{PyResult, Python};

use crate::errors;

/// A cache, or anything else with threads, for the process that made it.
///
/// In a child of `fork` it is neither used nor dropped: locks may be held for
/// ever by threads that are not there.
pub struct Handle<T> {
    of: ManuallyDrop<Arc<T>>,
    mark: ForkMark,
}

/// What classes that use a cache hold.
pub type CacheHandle = Handle<Cache>;

impl<T> Handle<T> {
    /// A handle of this process.
    pub fn new(of: Arc<T>) -> Self {
        Self { of: ManuallyDrop::new(of), mark: ForkMark::of_this_process() }
    }

    /// Whether this process may use it.
    #[inline]
    pub fn holds(&self) -> bool {
        self.mark.holds()
    }

    /// What it holds, for the process that made it.
    #[inline]
    pub fn get(&self, what: &str) -> PyResult<&Arc<T>> {
        if self.mark.holds() { Ok(&self.of) } else { Err(errors::forked(what)) }
    }

    /// Another one of the same, made in the same process.
    pub fn another(&self) -> Self {
        Self { of: self.of.clone(), mark: self.mark }
    }
}

impl CacheHandle {
    /// The cache, for the process that made it, once what clients of its server
    /// have sent is carried out.
    #[inline]
    pub fn settled(&self, what: &str) -> PyResult<&Arc<Cache>> {
        let cache = self.get(what)?;
        if cache.settles() {
            // A hook of the server may wait for the interpreter's lock.
            Python::attach(|py| py.detach(|| cache.settle()));
        }
        Ok(cache)
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if self.mark.holds() {
            #[expect(unsafe_code, reason = "ManuallyDrop is how a child leaves it alone")]
            // SAFETY: this is the only place that drops it, and `self` is gone
            // afterwards.
            unsafe {
                ManuallyDrop::drop(&mut self.of);
            }
        }
    }
}

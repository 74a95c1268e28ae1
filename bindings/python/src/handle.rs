//! Handles that remember in which process they were made.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::base::fork::ForkMark;
use pyo3::{PyResult, Python};

use crate::errors;

/// A cache, or another object with threads, for the process that made it.
///
/// A child of `fork` neither uses nor drops it. The child has none of the threads, and locks that
/// they held at the fork stay locked.
pub struct Handle<T> {
    of: ManuallyDrop<Arc<T>>,
    mark: ForkMark,
}

/// The handle of a cache.
pub type CacheHandle = Handle<Cache>;

impl<T> Handle<T> {
    /// Makes a handle that belongs to this process.
    pub fn new(of: Arc<T>) -> Self {
        Self { of: ManuallyDrop::new(of), mark: ForkMark::of_this_process() }
    }

    /// Returns whether this process made the handle.
    #[inline]
    pub fn holds(&self) -> bool {
        self.mark.holds()
    }

    /// Returns the object, or a `ForkError` that names it as `what`.
    #[inline]
    pub fn get(&self, what: &str) -> PyResult<&Arc<T>> {
        if self.mark.holds() { Ok(&self.of) } else { Err(errors::forked(what)) }
    }

    /// Makes another handle of the same object and process.
    pub fn another(&self) -> Self {
        Self { of: self.of.clone(), mark: self.mark }
    }
}

impl CacheHandle {
    /// Returns the cache after its server, if any, has run the commands that clients have sent.
    #[inline]
    pub fn settled(&self, what: &str) -> PyResult<&Arc<Cache>> {
        let cache = self.get(what)?;
        if cache.settles() {
            // A hook of the server may need the interpreter's lock.
            Python::attach(|py| py.detach(|| cache.settle()));
        }
        Ok(cache)
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if self.mark.holds() {
            #[expect(unsafe_code, reason = "a child of fork must not drop the object")]
            // SAFETY: only this place drops the field, and `self` is not used afterwards.
            unsafe {
                ManuallyDrop::drop(&mut self.of);
            }
        }
    }
}

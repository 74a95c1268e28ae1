//! Handles that remember in which process they were made.

use std::mem;
use std::sync::Arc;

use memcache_core::internal::base::fork::ForkMark;

/// A cache, or another object with threads, for the process that made it.
///
/// A child of `fork` neither uses nor drops it. The child has none of the threads, and locks that
/// they held at the fork stay locked.
#[derive(Debug)]
pub struct Handle<T> {
    of: Arc<T>,
    mark: ForkMark,
}

impl<T> Handle<T> {
    /// Makes a handle that belongs to this process.
    pub fn new(of: Arc<T>) -> Self {
        Self { of, mark: ForkMark::of_this_process() }
    }

    /// Returns whether this process made the handle.
    #[inline]
    pub fn holds(&self) -> bool {
        self.mark.holds()
    }

    /// Returns the object. Returns `None` in a child of `fork`.
    #[inline]
    pub fn get(&self) -> Option<&Arc<T>> {
        self.mark.holds().then_some(&self.of)
    }

    /// Makes another handle of the same object and process.
    pub fn another(&self) -> Self {
        Self { of: Arc::clone(&self.of), mark: self.mark }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if !self.mark.holds() {
            // The count never reaches 0 then.
            mem::forget(Arc::clone(&self.of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_made_a_handle_uses_and_drops_it() {
        let object = Arc::new(5);
        let handle = Handle::new(Arc::clone(&object));
        let another = handle.another();
        assert!(handle.holds());
        assert_eq!(another.get(), Some(&object));
        drop((handle, another));
        assert_eq!(Arc::strong_count(&object), 1);
    }
}

//! Memory beside the item memory, for which clients are the reason: values on
//! their way in or out that found no segment to hold, partial requests, and
//! replies that are not read. One bound holds for all of it together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::MIB;

/// Smallest bound that is chosen by default.
const LEAST: usize = 32 * MIB;

/// Counts what is held and knows the bound.
#[derive(Debug)]
pub struct Beside {
    held: AtomicUsize,
    limit: AtomicUsize,
}

impl Beside {
    /// Nothing is held. The bound is a quarter of the memory limit, or 32 MiB if
    /// that is more.
    pub(super) fn new(memory_limit: usize) -> Arc<Self> {
        let limit = if memory_limit == 0 { usize::MAX } else { (memory_limit / 4).max(LEAST) };
        Arc::new(Self { held: AtomicUsize::new(0), limit: AtomicUsize::new(limit) })
    }

    /// Changes the bound. What is held already stays.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether more is held than the bound allows.
    pub fn is_exceeded(&self) -> bool {
        self.held() > self.limit.load(Relaxed)
    }

    /// Whether so much is held that all should hold less.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.held() > self.limit.load(Relaxed) / 2
    }

    /// Notes that the holder of `before` bytes now holds `after`, whatever the
    /// bound.
    pub fn changed(&self, before: usize, after: usize) {
        self.held.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Takes `bytes` until the result is dropped; `None` if the bound would be
    /// exceeded.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let limit = self.limit.load(Relaxed);
        // A charge that is refused is never seen: others would be closed for it.
        let more = |held: usize| held.checked_add(bytes).filter(|&held| held <= limit);
        self.held.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Charge { beside: Arc::clone(self), bytes })
    }

    /// Charges `bytes` until the result is dropped, whatever the bound.
    pub(super) fn force(self: &Arc<Self>, bytes: usize) -> Charge {
        self.changed(0, bytes);
        Charge { beside: Arc::clone(self), bytes }
    }
}

/// A part of what is held.
pub(super) struct Charge {
    beside: Arc<Beside>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.beside.changed(self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_held() {
        let beside = Beside::new(0);
        beside.set_limit(100);
        let first = beside.take(60);
        assert!(first.is_some() && beside.is_tight());
        assert!(beside.take(41).is_none());
        assert_eq!(beside.held(), 60);
        assert!(beside.take(40).is_some());
        drop(first);
        assert_eq!(beside.held(), 0);
        let forced = beside.force(101);
        assert!(beside.is_exceeded());
        drop(forced);
        assert_eq!(beside.held(), 0);
    }
}

//! Memory outside the item memory that clients cause: buffered values in transfer without a held
//! segment, partial requests, and unread replies. One bound limits the sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::MIB;

/// Smallest default bound.
const LEAST: usize = 32 * MIB;

/// Counts the bytes held, and has the bound.
#[derive(Debug)]
pub struct Beside {
    held: AtomicUsize,
    limit: AtomicUsize,
}

impl Beside {
    /// Returns a count of 0. The bound is a quarter of the memory limit, or 32 MiB if that is more.
    pub(super) fn new(memory_limit: usize) -> Arc<Self> {
        let limit = if memory_limit == 0 { usize::MAX } else { (memory_limit / 4).max(LEAST) };
        Arc::new(Self { held: AtomicUsize::new(0), limit: AtomicUsize::new(limit) })
    }

    /// Changes the bound. Bytes already held stay.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns the bytes held.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Returns whether more is held than the bound allows.
    pub fn is_exceeded(&self) -> bool {
        self.held() > self.limit.load(Relaxed)
    }

    /// Returns whether more than half of the bound is held. Holders then reduce what they keep.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.held() > self.limit.load(Relaxed) / 2
    }

    /// Records that the holder of `before` bytes now holds `after`, even above the bound.
    pub fn changed(&self, before: usize, after: usize) {
        self.held.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Charges `bytes` until the result is dropped. Returns `None` if that would exceed the bound.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let limit = self.limit.load(Relaxed);
        // A refused charge must never be visible: other connections would be closed because of it.
        let more = |held: usize| held.checked_add(bytes).filter(|&held| held <= limit);
        self.held.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Charge { beside: Arc::clone(self), bytes })
    }

    /// Charges `bytes` until the result is dropped, even above the bound.
    pub(super) fn force(self: &Arc<Self>, bytes: usize) -> Charge {
        self.changed(0, bytes);
        Charge { beside: Arc::clone(self), bytes }
    }
}

/// A part of the bytes held, which ends when it is dropped.
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

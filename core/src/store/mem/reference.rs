//! The place of an entry, in four bytes.
//!
//! Only this folder makes a [`Ref`] of a number, and each lies in the part of the memory that may
//! be used. So the header of any `Ref` but [`Ref::NONE`] can be read, if the `Ref` is used with
//! the memory that made it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Number of an entry's first unit of memory, or 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(pub(super) u32);

impl Ref {
    /// No entry.
    pub const NONE: Self = Self(0);

    /// Returns whether this names no entry.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns this entry, or `None` for [`Ref::NONE`].
    #[inline]
    pub fn some(self) -> Option<Self> {
        if self.is_none() { None } else { Some(self) }
    }

    /// Returns the entry with this number, of no memory.
    #[cfg(test)]
    pub(in crate::store) fn of_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[cfg(test)]
    pub(in crate::store) fn number(self) -> u32 {
        self.0
    }
}

/// A [`Ref`] that one thread at a time changes and any thread reads.
#[derive(Default)]
#[repr(transparent)]
pub(in crate::store) struct AtomicRef(AtomicU32);

impl AtomicRef {
    /// Returns the present value.
    #[inline]
    pub(in crate::store) fn load(&self) -> Ref {
        Ref(self.0.load(Relaxed))
    }

    /// Changes the value.
    #[inline]
    pub(in crate::store) fn store(&self, at: Ref) {
        self.0.store(at.0, Relaxed);
    }
}

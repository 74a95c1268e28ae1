//! Tables that the system zeroes.

#![expect(unsafe_code, reason = "the memory of a table is ours")]

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, Index};

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::reference::AtomicRef;
use super::system;

/// Types of atomic integers alone. All zeros is a valid value, and may replace another one at any
/// time.
///
/// # Safety
/// The type has no other fields.
pub(in crate::store) unsafe trait Atomics {}

// SAFETY: each is an atomic integer, or several.
unsafe impl Atomics for AtomicU8 {}
// SAFETY: as above.
unsafe impl Atomics for AtomicU32 {}
// SAFETY: as above.
unsafe impl Atomics for AtomicU64 {}
// SAFETY: as above.
unsafe impl Atomics for AtomicRef {}
// SAFETY: as above.
unsafe impl<T: Atomics, const N: usize> Atomics for [T; N] {}

/// Implements [`Atomics`] for a structure, and checks each of its fields.
macro_rules! atomics {
    ($type:ident { $($field:ident),* }) => {
        #[expect(unsafe_code, reason = "the fields are checked below")]
        // SAFETY: the fields are all of the fields, and each is `Atomics`.
        unsafe impl $crate::store::mem::Atomics for $type {}

        const _: fn(&$type) = |$type { $($field),* }| {
            fn check<T: $crate::store::mem::Atomics>(_: &T) {}
            $(check($field);)*
        };
    };
}
pub(in crate::store) use atomics;

/// A table of zeros that becomes resident page by page, as it is written. An allocator does not
/// ensure this: glibc's clears reused memory itself after a block of this size was freed, and
/// Rust's clears memory for alignments above 16 bytes.
pub(in crate::store) struct Mapped<T: Atomics> {
    mapping: *mut u8,
    count: usize,
    locked: bool,
    of: PhantomData<T>,
}

// SAFETY: it is the only owner of a slice of T.
unsafe impl<T: Atomics + Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Atomics + Sync> Sync for Mapped<T> {}

impl<T: Atomics> Mapped<T> {
    const SIZE: usize = {
        assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        size_of::<T>()
    };

    /// Returns a table of `count` zeros. `count` is at least 1.
    pub(in crate::store) fn zeroed(count: usize) -> io::Result<Self> {
        let length = count.checked_mul(Self::SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let (mapping, locked) = system::map(length).ok_or_else(io::Error::last_os_error)?;
        let made = Self { mapping, count, locked, of: PhantomData };
        system::open(mapping, length, locked)?;
        Ok(made)
    }

    /// Gives the contents back to the system. Later reads return zeros.
    pub(in crate::store) fn discard(&self) {
        // SAFETY: the mapping is ours, and zeros may replace atomics at any time.
        unsafe { system::discard(self.mapping, self.count * Self::SIZE, self.locked) };
    }
}

impl<T: Atomics> Mapped<T> {
    /// Returns the value at `index`, if there is one.
    #[inline]
    pub(in crate::store) fn get(&self, index: usize) -> Option<&T> {
        (index < self.count).then(|| &self[index])
    }
}

/// One value, without a reference to the whole table, which Miri takes long to check.
impl<T: Atomics> Index<usize> for Mapped<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        assert!(index < self.count);
        // SAFETY: the mapping has `count` values, which are valid as zeros ([`Atomics`]), and
        // lives as long as the table.
        unsafe { &*self.mapping.cast::<T>().add(index) }
    }
}

impl<T: Atomics> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: as for one value.
        unsafe { std::slice::from_raw_parts(self.mapping.cast::<T>(), self.count) }
    }
}

impl<T: Atomics> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the table.
        unsafe { system::unmap(self.mapping, self.count * Self::SIZE) };
    }
}

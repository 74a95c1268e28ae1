//! Tables that the system zeroes.

#![expect(unsafe_code, reason = "the memory of a table is ours")]

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;

use super::system;

/// A table of zeros that becomes resident page by page, as it is written. An allocator does not
/// ensure this: glibc's clears reused memory itself after a block of this size was freed, and
/// Rust's clears memory for alignments above 16 bytes.
pub(in crate::store) struct Mapped<T> {
    mapping: *mut u8,
    count: usize,
    locked: bool,
    of: PhantomData<T>,
}

// SAFETY: it is the only owner of a slice of T.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    const SIZE: usize = {
        assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        size_of::<T>()
    };

    /// Returns a table of `count` zeros. `count` is at least 1.
    ///
    /// # Safety
    /// All zeros is a valid T.
    pub(in crate::store) unsafe fn zeroed(count: usize) -> io::Result<Self> {
        let length = count.checked_mul(Self::SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let (mapping, locked) = system::map(length).ok_or_else(io::Error::last_os_error)?;
        let made = Self { mapping, count, locked, of: PhantomData };
        system::open(mapping, length, locked)?;
        Ok(made)
    }

    /// Gives the contents back to the system. Later reads return zeros.
    ///
    /// # Safety
    /// Zeros may replace all of the contents at any time.
    pub(in crate::store) unsafe fn discard(&self) {
        // SAFETY: the mapping is ours, and the contract.
        unsafe { system::discard(self.mapping, self.count * Self::SIZE, self.locked) };
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has `count` values, which are valid (the contract of `zeroed`), and
        // lives as long as the table.
        unsafe { std::slice::from_raw_parts(self.mapping.cast::<T>(), self.count) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the table.
        unsafe { system::unmap(self.mapping, self.count * Self::SIZE) };
    }
}

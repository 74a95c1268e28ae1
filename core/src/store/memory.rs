//! Memory for items: one reserved stretch of addresses, cut into segments.
//!
//! ```text
//!   reserved addresses (nothing is resident before it is written)
//!   | segment 0     | segment 1     | segment 2     | ...
//!   | e | e |  e  |.|
//!     ^ Ref = (offset / unit) + 1; unit is 8 bytes up to a limit of 16 GiB, then 16 ...
//! ```
//!
//! This module turns a [`Ref`] into an address. Who may read or write what is
//! written there is the contract of `item.rs`.

#![expect(unsafe_code, reason = "the memory of items is ours; each block says what it relies on")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;

use super::item::{HEADER, Header, Ref};
use super::shard::same_key;
use crate::config::MIB;

/// Size of the system's large pages, and alignment of the stretch.
pub(super) const LARGE_PAGE: usize = 2 * MIB;

/// The reserved addresses.
pub struct Memory {
    /// What the system gave.
    mapping: *mut u8,
    mapped: usize,
    /// The aligned part of it.
    base: *mut u8,
    reserved: usize,
    /// log2 of the bytes a [`Ref`] counts.
    shift: u32,
}

// SAFETY: `base` points to a mapping that lives as long as the Memory and is
// reached only through methods whose contracts (item.rs) order all access, or
// that say that it is not (`copy_racing`).
unsafe impl Send for Memory {}
// SAFETY: as above; shared access to headers is atomic.
unsafe impl Sync for Memory {}

/// Lines of an entry that are fetched ahead: a key and a value of about 100
/// bytes.
const PREFETCHED: usize = 3;

impl Memory {
    /// Reserves addresses for at least `limit` bytes, more if that is free, in
    /// multiples of `grain`.
    pub fn reserve(limit: usize, grain: usize) -> io::Result<Self> {
        let limit = limit.max(grain).next_multiple_of(grain);
        let mut shift = 3;
        while limit * 2 > (u32::MAX as usize) << shift {
            shift += 1;
        }
        // Room to raise the limit while running; less if the system is strict.
        let mut wanted = ((u32::MAX as usize) << shift) / grain * grain;
        if cfg!(miri) {
            // Its memory is real.
            wanted = limit;
        }
        loop {
            if let Some(mapping) = system::map(wanted + LARGE_PAGE) {
                // SAFETY: less than LARGE_PAGE, and the mapping is LARGE_PAGE longer than
                // what is used.
                let base = unsafe { mapping.add(mapping.align_offset(LARGE_PAGE)) };
                return Ok(Self { mapping, mapped: wanted + LARGE_PAGE, base, reserved: wanted, shift });
            }
            if wanted <= limit {
                return Err(io::Error::last_os_error());
            }
            wanted = limit.max(wanted / 2 / grain * grain);
        }
    }

    /// Bytes reserved.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Gives the `len` bytes at `offset` back to the system; they read as zeros
    /// from now on. Nothing may refer to them but a look that will not be believed.
    pub fn release(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.reserved);
        // SAFETY: inside the reservation (checked), and unused (the contract).
        unsafe { system::discard(self.base.add(offset), len) };
    }

    /// Has the system find memory for the large page at `offset` now, as far as it
    /// is part of the reservation. Contents do not change.
    pub(super) fn touch_large(&self, offset: usize) {
        assert!(offset.is_multiple_of(LARGE_PAGE));
        let len = LARGE_PAGE.min(self.reserved.saturating_sub(offset));
        system::touch(self.base.wrapping_add(offset), len);
    }

    /// Whether the system has found memory for the page at `offset`.
    #[cfg(all(test, not(miri)))]
    pub(super) fn is_resident(&self, offset: usize) -> bool {
        assert!(offset < self.reserved);
        let mut page = 0;
        // SAFETY: the page is part of the reservation, and one byte is written.
        let result = unsafe { libc::mincore(self.base.add(offset).cast(), 1, &raw mut page) };
        assert_eq!(result, 0);
        page & 1 == 1
    }

    /// All of it.
    pub fn range(&self) -> (*mut u8, usize) {
        (self.base, self.reserved)
    }

    /// Bytes that the sizes of entries are multiples of.
    #[inline]
    pub fn unit(&self) -> usize {
        1 << self.shift
    }

    /// The entry that starts `offset` bytes into the stretch.
    #[inline]
    pub fn at(&self, offset: usize) -> Ref {
        Ref((offset >> self.shift) as u32 + 1)
    }

    /// Where the entry starts.
    #[inline]
    pub fn offset(&self, at: Ref) -> usize {
        (at.0.wrapping_sub(1) as usize) << self.shift
    }

    #[inline]
    fn address(&self, at: Ref) -> *mut u8 {
        let offset = self.offset(at);
        debug_assert!(!at.is_none() && offset + HEADER <= self.reserved);
        // SAFETY: a Ref is only ever made by `at`, from an offset inside the
        // reservation.
        unsafe { self.base.add(offset) }
    }

    /// Header of the entry at `at`.
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "units are multiples of 8 bytes")]
    pub fn header(&self, at: Ref) -> &Header {
        // SAFETY: entries start at multiples of the unit (at least 8 bytes) and
        // are at least a header long; all bit patterns are valid atomics.
        unsafe { &*self.address(at).cast::<Header>() }
    }

    /// Copies bytes at `offset` of the entry at `at`, whoever may write them
    /// meanwhile. Until it is known that nobody did, `to` is anything.
    ///
    /// The language has no word for such a read: a race makes what is read
    /// undefined, and here that is thrown away (`latch.rs`). Sequence locks are
    /// made like this elsewhere, too, as in crossbeam's `AtomicCell`.
    #[inline]
    pub(super) fn copy_racing(&self, at: Ref, offset: usize, to: &mut [MaybeUninit<u8>]) {
        let start = self.offset(at) + offset;
        assert!(start + to.len() <= self.reserved);
        // SAFETY: inside the reservation (checked), which is mapped as long as
        // `self` lives; `to` is the caller's alone.
        unsafe {
            std::ptr::copy_nonoverlapping(self.base.add(start).cast(), to.as_mut_ptr(), to.len());
        }
    }

    /// Whether there are `len` bytes from the beginning of the entry at `at` on.
    #[inline]
    pub(super) fn reaches(&self, at: Ref, len: usize) -> bool {
        self.offset(at) + len <= self.reserved
    }

    /// Whether `key` is at `offset` of the entry at `at`, whoever may write there
    /// meanwhile; see [`Memory::copy_racing`].
    #[inline]
    pub(super) fn is_racing(&self, at: Ref, offset: usize, key: &[u8]) -> bool {
        let start = self.offset(at) + offset;
        assert!(start + key.len() <= self.reserved);
        // SAFETY: inside the reservation (checked).
        same_key(unsafe { std::slice::from_raw_parts(self.base.add(start), key.len()) }, key)
    }

    /// `len` bytes at `offset` of the entry at `at`; for callers that hold the
    /// item's lock, hold its segment, or own it (see item.rs).
    #[inline]
    pub(super) fn bytes(&self, at: Ref, offset: usize, len: usize) -> &[u8] {
        debug_assert!(self.offset(at) + offset + len <= self.reserved);
        // SAFETY: the caller names bytes of an entry it may read: nobody writes
        // them meanwhile.
        unsafe { std::slice::from_raw_parts(self.address(at).add(offset), len) }
    }

    /// Writes `from` at `offset` of the entry at `at`, which the caller may
    /// write (see item.rs); the bytes lie inside it.
    #[inline]
    pub(super) fn write(&self, at: Ref, offset: usize, from: &[u8]) {
        debug_assert!(self.offset(at) + offset + from.len() <= self.reserved);
        // SAFETY: nobody else reads or writes the entry now, but for looks that will
        // not be believed, and `from` cannot overlap it: bytes to store come from
        // outside the store, or from another entry.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), self.address(at).add(offset), from.len());
        }
    }

    /// Memory of an entry that is being written by its one owner.
    ///
    /// The bytes may hold leftovers of a former entry, never uninitialised
    /// memory: the system gives zeros.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "a draft has one owner; see item.rs")]
    pub(super) fn bytes_mut(&self, at: Ref, offset: usize, len: usize) -> &mut [u8] {
        debug_assert!(self.offset(at) + offset + len <= self.reserved);
        // SAFETY: as for `write`.
        unsafe { std::slice::from_raw_parts_mut(self.address(at).add(offset), len) }
    }

    /// Copies an entry of `len` bytes to `to`, which nobody knows yet.
    #[inline]
    pub(super) fn copy(&self, from: Ref, to: Ref, len: usize) {
        debug_assert!(from != to);
        // SAFETY: two entries do not overlap; both belong to the shard that the
        // caller has locked.
        unsafe { std::ptr::copy_nonoverlapping(self.address(from), self.address(to), len) };
    }

    /// Asks the processor to fetch the first lines at `at`; any value of `at` is
    /// fine.
    #[inline]
    pub fn prefetch(&self, at: Ref) {
        let address = self.base.wrapping_add(self.offset(at));
        for line in 0..PREFETCHED {
            prefetch(address.wrapping_add(line * 64));
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the Memory.
        unsafe { system::unmap(self.mapping, self.mapped) };
    }
}

/// A table of zeros that the system hands out as it is touched. An allocator
/// may not: glibc's clears memory by hand once one as large was given back, and
/// Rust's whenever more than 16 bytes of alignment are asked for.
pub(super) struct Mapped<T> {
    mapping: *mut u8,
    count: usize,
    of: PhantomData<T>,
}

// SAFETY: it is a slice of T that nobody else has.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    const SIZE: usize = {
        assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        size_of::<T>()
    };

    /// A table of `count` zeros, at least one.
    ///
    /// # Safety
    /// All zeros is a valid T.
    pub(super) unsafe fn zeroed(count: usize) -> io::Result<Self> {
        let length = count.checked_mul(Self::SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = system::map(length).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { mapping, count, of: PhantomData })
    }

    /// Gives the contents back to the system: zeros are read from now on.
    ///
    /// # Safety
    /// Zeros may be written over all of it at any moment.
    pub(super) unsafe fn discard(&self) {
        // SAFETY: the mapping is ours, and the contract.
        unsafe { system::discard(self.mapping, self.count * Self::SIZE) };
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `count` values, which are valid (the contract of
        // `zeroed`), and lives as long as the table.
        unsafe { std::slice::from_raw_parts(self.mapping.cast::<T>(), self.count) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the table.
        unsafe { system::unmap(self.mapping, self.count * Self::SIZE) };
    }
}

/// Asks the system to back the pages that lie wholly in some memory with large
/// ones.
pub fn advise_large((start, length): (*mut u8, usize)) {
    let skip = start.align_offset(LARGE_PAGE);
    if length < skip.saturating_add(LARGE_PAGE) {
        return;
    }
    let length = (length - skip) / LARGE_PAGE * LARGE_PAGE;
    system::advise_large(start.wrapping_add(skip), length);
}

/// Asks the processor to fetch the line at `address`, which may be anything.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address has no effect but on caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// What the system does with memory.
#[cfg(not(miri))]
mod system {
    /// Mapped memory of `len` bytes; it is not there before it is written.
    pub(super) fn map(len: usize) -> Option<*mut u8> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // touches no existing memory; the result is checked.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        (mapping != libc::MAP_FAILED).then_some(mapping.cast())
    }

    /// Gives the contents back; zeros are read from now on.
    ///
    /// # Safety
    /// It is part of a mapping, and nothing refers to it.
    pub(super) unsafe fn discard(start: *mut u8, len: usize) {
        // SAFETY: the contract.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTNEED) };
    }

    /// Asks for large pages.
    pub(super) fn advise_large(start: *mut u8, len: usize) {
        // SAFETY: advice that changes no contents; if the memory is not there
        // the system refuses, and failure is harmless.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
    }

    /// Has memory found and cleared that was never written.
    pub(super) fn touch(start: *mut u8, len: usize) {
        // SAFETY: it changes no contents; if the memory is not there, or the system
        // is older than this (Linux 5.14), it refuses, and failure is harmless.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_POPULATE_WRITE) };
    }

    /// Gives a mapping back.
    ///
    /// # Safety
    /// It came from `map` with this `len`, and nothing refers to it.
    pub(super) unsafe fn unmap(mapping: *mut u8, len: usize) {
        // SAFETY: the contract.
        unsafe { libc::munmap(mapping.cast(), len) };
    }
}

/// The same for Miri, which knows no address space without memory.
#[cfg(miri)]
mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len, 4096).ok()
    }

    pub(super) fn map(len: usize) -> Option<*mut u8> {
        // SAFETY: `len` is not 0.
        let memory = unsafe { alloc_zeroed(layout(len)?) };
        (!memory.is_null()).then_some(memory)
    }

    pub(super) unsafe fn discard(start: *mut u8, len: usize) {
        // SAFETY: the contract.
        unsafe { start.write_bytes(0, len) };
    }

    pub(super) fn advise_large(_: *mut u8, _: usize) {}

    pub(super) fn touch(_: *mut u8, _: usize) {}

    pub(super) unsafe fn unmap(mapping: *mut u8, len: usize) {
        if let Some(layout) = layout(len) {
            // SAFETY: the contract.
            unsafe { dealloc(mapping, layout) };
        }
    }
}

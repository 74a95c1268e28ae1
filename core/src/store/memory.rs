//! Memory for items: one reserved stretch of addresses, cut into segments.
//!
//! ```text
//!   open (may be used; nothing is resident before it is written)   reserved (may not yet)
//!   | segment 0     | segment 1     | segment 2     | ...           | ...
//!   | e | e |  e  |.|
//!     ^ Ref = (offset / unit) + 1; unit is 8 bytes up to a limit of 16 GiB, then 16 ...
//! ```
//!
//! The system counts open memory as used where it does not overcommit, and locks it
//! where all memory is to be locked (`mlockall`), page by page as it is written. What
//! is only reserved is neither counted nor locked.
//!
//! This module turns a [`Ref`] into an address. Who may read or write what is
//! written there is the contract of `item.rs`.

#![expect(unsafe_code, reason = "the memory of items is ours; each block says what it relies on")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
    /// The bytes from `base` on that may be used; it only grows, to at most `reserved`.
    open: AtomicUsize,
    /// The system was asked to lock all memory.
    locked: bool,
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
        let limit = limit.max(grain).checked_next_multiple_of(grain).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut shift = 3;
        while limit / 2 > (u32::MAX as usize) << (shift - 2) {
            // No system has so many addresses.
            if shift > 16 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            shift += 1;
        }
        // Room to raise the limit while running; less if the system is strict.
        let mut wanted = ((u32::MAX as usize) << shift) / grain * grain;
        if let Some(most) = system::most_addresses() {
            // The rest of the process needs addresses, too.
            wanted = wanted.min(limit.max(most / 4 / grain * grain));
        }
        if cfg!(miri) {
            // Its memory is real.
            wanted = limit;
        }
        loop {
            let mapped = wanted.checked_add(LARGE_PAGE).ok_or(io::ErrorKind::OutOfMemory)?;
            if let Some((mapping, locked)) = system::map(mapped) {
                // SAFETY: less than LARGE_PAGE, and the mapping is LARGE_PAGE longer than
                // what is used.
                let base = unsafe { mapping.add(mapping.align_offset(LARGE_PAGE)) };
                let open = AtomicUsize::new(0);
                return Ok(Self { mapping, mapped, base, reserved: wanted, open, locked, shift });
            }
            if wanted <= limit {
                return Err(io::Error::last_os_error());
            }
            wanted = limit.max(wanted / 2 / grain * grain);
        }
    }

    /// Has the first `wanted` bytes ready for use, or more. One thread at a time may do
    /// this.
    pub(super) fn open(&self, wanted: usize) -> io::Result<()> {
        let open = self.open.load(Relaxed);
        if wanted <= open {
            return Ok(());
        }
        if wanted > self.reserved {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let wanted = wanted.next_multiple_of(LARGE_PAGE).min(self.reserved);
        system::open(self.base.wrapping_add(open), wanted - open, self.locked)?;
        self.open.store(wanted, Relaxed);
        Ok(())
    }

    /// Bytes that may be used.
    #[inline]
    pub(super) fn opened(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Bytes reserved.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Gives the `len` bytes at `offset` back to the system; they read as zeros
    /// from now on. Nothing may refer to them but a look that will not be believed.
    pub fn release(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.opened());
        // SAFETY: inside the open part (checked), and unused (the contract).
        unsafe { system::discard(self.base.add(offset), len, self.locked) };
    }

    /// Has the system find memory for the large page at `offset` now, as far as it
    /// is part of the reservation. Contents do not change.
    pub(super) fn touch_large(&self, offset: usize) {
        assert!(offset.is_multiple_of(LARGE_PAGE));
        let len = LARGE_PAGE.min(self.opened().saturating_sub(offset));
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
        debug_assert!(!at.is_none() && offset + HEADER <= self.opened());
        // SAFETY: a Ref is only ever made by `at`, from an offset inside the
        // open part.
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

    /// Copies bytes at `offset` of the entry at `at`, while other threads may write
    /// them. `to` is valid only if the caller then finds that none did.
    ///
    /// A racing plain read is undefined behaviour to the language, although the copy is
    /// discarded (`latch.rs`). crossbeam's `AtomicCell` reads with `read_volatile` in
    /// this place, and calls that undefined, too.
    #[inline]
    pub(super) fn copy_racing(&self, at: Ref, offset: usize, to: &mut [MaybeUninit<u8>]) {
        let start = self.offset(at) + offset;
        assert!(start + to.len() <= self.opened());
        // SAFETY: inside the open part (checked), which is mapped as long as
        // `self` lives; `to` is the caller's alone.
        unsafe {
            std::ptr::copy_nonoverlapping(self.base.add(start).cast(), to.as_mut_ptr(), to.len());
        }
    }

    /// Whether there are `len` bytes from the beginning of the entry at `at` on.
    #[inline]
    pub(super) fn reaches(&self, at: Ref, len: usize) -> bool {
        self.offset(at) + len <= self.opened()
    }

    /// Whether `key` is at `offset` of the entry at `at`, whoever may write there
    /// meanwhile; see [`Memory::copy_racing`].
    #[inline]
    pub(super) fn is_racing(&self, at: Ref, offset: usize, key: &[u8]) -> bool {
        let start = self.offset(at) + offset;
        assert!(start + key.len() <= self.opened());
        // SAFETY: inside the open part (checked).
        same_key(unsafe { std::slice::from_raw_parts(self.base.add(start), key.len()) }, key)
    }

    /// `len` bytes at `offset` of the entry at `at`; for callers that hold the
    /// item's lock, hold its segment, or own it (see item.rs).
    #[inline]
    pub(super) fn bytes(&self, at: Ref, offset: usize, len: usize) -> &[u8] {
        debug_assert!(self.offset(at) + offset + len <= self.opened());
        // SAFETY: the caller names bytes of an entry it may read: nobody writes
        // them meanwhile.
        unsafe { std::slice::from_raw_parts(self.address(at).add(offset), len) }
    }

    /// Writes `from` at `offset` of the entry at `at`, which the caller may
    /// write (see item.rs); the bytes lie inside it.
    #[inline]
    pub(super) fn write(&self, at: Ref, offset: usize, from: &[u8]) {
        debug_assert!(self.offset(at) + offset + from.len() <= self.opened());
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
        debug_assert!(self.offset(at) + offset + len <= self.opened());
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
    locked: bool,
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
        let (mapping, locked) = system::map(length).ok_or_else(io::Error::last_os_error)?;
        let made = Self { mapping, count, locked, of: PhantomData };
        system::open(mapping, length, locked)?;
        Ok(made)
    }

    /// Gives the contents back to the system: zeros are read from now on.
    ///
    /// # Safety
    /// Zeros may be written over all of it at any moment.
    pub(super) unsafe fn discard(&self) {
        // SAFETY: the mapping is ours, and the contract.
        unsafe { system::discard(self.mapping, self.count * Self::SIZE, self.locked) };
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
    use std::io;

    /// Addresses for `len` bytes, which may not be used yet, and whether the process
    /// has all its memory locked. These are not: locking takes memory for all of them.
    pub(super) fn map(len: usize) -> Option<(*mut u8, bool)> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // touches no existing memory; the result is checked.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return None;
        }
        // The one thing that the system refuses for locked memory alone.
        // SAFETY: the mapping is new, and nothing is in it.
        let locked = unsafe { libc::madvise(mapping, len, libc::MADV_DONTNEED) } != 0;
        if locked {
            // SAFETY: the mapping is ours; what it holds stays.
            unsafe { libc::munlock(mapping, len) };
        }
        Some((mapping.cast(), locked))
    }

    /// Makes part of a mapping usable; it is not there before it is written. With
    /// `locked` it stays there then, if the system can do that.
    pub(super) fn open(start: *mut u8, len: usize, locked: bool) -> io::Result<()> {
        // SAFETY: it takes no right away, and fails for what is not mapped.
        if unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if locked {
            lock(start, len);
        }
        Ok(())
    }

    /// Locks pages as they are written. Before Linux 4.4, and where a limit is
    /// reached, they are not locked: the process asked for a lock of all its memory,
    /// and not this module.
    fn lock(start: *mut u8, len: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: it changes no contents.
        unsafe {
            const ONFAULT: libc::c_uint = 1;
            libc::syscall(libc::SYS_mlock2, start, len, ONFAULT);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, len);
    }

    /// The most addresses that the process may have, if there is a limit.
    pub(super) fn most_addresses() -> Option<usize> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place for the answer.
        let answer = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
        (answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
    }

    /// Gives the contents back; zeros are read from now on.
    ///
    /// # Safety
    /// It is part of a mapping, and nothing refers to it.
    pub(super) unsafe fn discard(start: *mut u8, len: usize, locked: bool) {
        // SAFETY: the contract.
        unsafe {
            if libc::madvise(start.cast(), len, libc::MADV_DONTNEED) == 0 {
                return;
            }
            // It is locked: by us, or by the process later on.
            libc::munlock(start.cast(), len);
            if libc::madvise(start.cast(), len, libc::MADV_DONTNEED) != 0 {
                start.write_bytes(0, len);
            }
        }
        if locked {
            lock(start, len);
        }
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

    pub(super) fn map(len: usize) -> Option<(*mut u8, bool)> {
        // SAFETY: `len` is not 0.
        let memory = unsafe { alloc_zeroed(layout(len)?) };
        (!memory.is_null()).then_some((memory, false))
    }

    pub(super) fn open(_: *mut u8, _: usize, _: bool) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn most_addresses() -> Option<usize> {
        None
    }

    pub(super) unsafe fn discard(start: *mut u8, len: usize, _: bool) {
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

//! Memory for items: one reserved range of addresses, cut into segments.
//!
//! ```text
//!   open (may be used; nothing is resident before it is written)   reserved (may not yet)
//!   | segment 0     | segment 1     | segment 2     | ...           | ...
//!   | e | e |  e  |.|
//!     ^ Ref = (offset / unit) + 1; unit is 8 bytes up to a limit of 16 GiB, then 16 ...
//! ```
//!
//! A system without overcommit counts open memory as used. If the process locks all its memory
//! (`mlockall`), the system locks open memory page by page as it is written. Memory that is only
//! reserved is neither counted nor locked.
//!
//! This module turns a [`Ref`] into an address. `item.rs` has the rules for reads and writes there.

#![expect(unsafe_code, reason = "the memory of items is ours; each block says what it relies on")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::item::{HEADER, Header, Ref};
use super::shard::same_key;
use crate::config::MIB;

/// Size of the system's large pages, and alignment of the range.
pub(super) const LARGE_PAGE: usize = 2 * MIB;

/// The reserved addresses.
pub struct Memory {
    /// The mapping, as the system returned it.
    mapping: *mut u8,
    mapped: usize,
    /// The aligned part of the mapping.
    base: *mut u8,
    reserved: usize,
    /// The bytes from `base` on that may be used. It only grows, to at most `reserved`.
    open: AtomicUsize,
    /// Whether the process locks all its memory.
    locked: bool,
    /// log2 of the bytes a [`Ref`] counts.
    shift: u32,
}

// SAFETY: `base` points to a mapping that lives as long as the Memory. It is reached only through
// methods whose contracts (item.rs) order all access, or that document races (`copy_racing`).
unsafe impl Send for Memory {}
// SAFETY: as above; shared access to headers is atomic.
unsafe impl Sync for Memory {}

/// Lines of an entry that are prefetched: a key and a value of about 100 bytes.
const PREFETCHED: usize = 3;

impl Memory {
    /// Reserves addresses for at least `limit` bytes, and more if the system allows, in multiples
    /// of `grain`.
    pub fn reserve(limit: usize, grain: usize) -> io::Result<Self> {
        let limit = limit.max(grain).checked_next_multiple_of(grain).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut shift = 3;
        while limit / 2 > (u32::MAX as usize) << (shift - 2) {
            // Systems do not have this many addresses.
            if shift > 16 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            shift += 1;
        }
        // Leave room to raise the limit later, or less if the system is strict.
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

    /// Makes at least the first `wanted` bytes usable. Only one thread at a time may call this.
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

    /// Returns the number of bytes that may be used.
    #[inline]
    pub(super) fn opened(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Returns the number of reserved bytes.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Gives the `len` bytes at `offset` back to the system. Later reads return zeros. Only
    /// optimistic reads, which will conflict, may still refer to them.
    pub fn release(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.opened());
        // SAFETY: inside the open part (checked), and unused (the contract).
        unsafe { system::discard(self.base.add(offset), len, self.locked) };
    }

    /// Makes the system allocate memory for the large page at `offset` now, as far as it is open.
    /// Contents do not change.
    pub(super) fn touch_large(&self, offset: usize) {
        assert!(offset.is_multiple_of(LARGE_PAGE));
        let len = LARGE_PAGE.min(self.opened().saturating_sub(offset));
        system::touch(self.base.wrapping_add(offset), len);
    }

    /// Returns whether the page at `offset` is resident.
    #[cfg(all(test, not(miri)))]
    pub(super) fn is_resident(&self, offset: usize) -> bool {
        assert!(offset < self.reserved);
        let mut page = 0;
        // SAFETY: the page is part of the reservation, and one byte is written.
        let result = unsafe { libc::mincore(self.base.add(offset).cast(), 1, &raw mut page) };
        assert_eq!(result, 0);
        page & 1 == 1
    }

    /// Returns the address and length of the reserved range.
    pub fn range(&self) -> (*mut u8, usize) {
        (self.base, self.reserved)
    }

    /// Returns the unit: sizes of entries are multiples of this number of bytes.
    #[inline]
    pub fn unit(&self) -> usize {
        1 << self.shift
    }

    /// Returns the entry that starts at `offset`.
    #[inline]
    pub fn at(&self, offset: usize) -> Ref {
        Ref((offset >> self.shift) as u32 + 1)
    }

    /// Returns the offset at which the entry starts.
    #[inline]
    pub fn offset(&self, at: Ref) -> usize {
        (at.0.wrapping_sub(1) as usize) << self.shift
    }

    #[inline]
    fn address(&self, at: Ref) -> *mut u8 {
        let offset = self.offset(at);
        debug_assert!(!at.is_none() && offset + HEADER <= self.opened());
        // SAFETY: only `at` makes a Ref, from an offset inside the open part.
        unsafe { self.base.add(offset) }
    }

    /// Returns the header of the entry at `at`.
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "units are multiples of 8 bytes")]
    pub fn header(&self, at: Ref) -> &Header {
        // SAFETY: entries start at multiples of the unit (at least 8 bytes) and have at least the
        // length of a header. All bit patterns are valid atomics.
        unsafe { &*self.address(at).cast::<Header>() }
    }

    /// Copies bytes at `offset` of the entry at `at`, while other threads may write them. `to` is
    /// valid only if the caller then finds that no thread wrote.
    ///
    /// Formally, a racing non-atomic read is undefined behaviour, even though the copy is discarded
    /// (`seqlock.rs`). The seqlock of crossbeam's `AtomicCell`, for types without an atomic
    /// instruction, uses `read_volatile`. Its comments say that this is undefined as well.
    #[inline]
    pub(super) fn copy_racing(&self, at: Ref, offset: usize, to: &mut [MaybeUninit<u8>]) {
        let start = self.offset(at) + offset;
        assert!(start + to.len() <= self.opened());
        // SAFETY: inside the open part (checked), which is mapped as long as `self` lives. `to` is
        // borrowed exclusively.
        unsafe {
            std::ptr::copy_nonoverlapping(self.base.add(start).cast(), to.as_mut_ptr(), to.len());
        }
    }

    /// Returns whether `len` bytes from the start of the entry at `at` are open.
    #[inline]
    pub(super) fn reaches(&self, at: Ref, len: usize) -> bool {
        self.offset(at) + len <= self.opened()
    }

    /// Returns whether `key` is at `offset` of the entry at `at`, while other threads may write
    /// there (see [`Memory::copy_racing`]).
    #[inline]
    pub(super) fn is_racing(&self, at: Ref, offset: usize, key: &[u8]) -> bool {
        let start = self.offset(at) + offset;
        assert!(start + key.len() <= self.opened());
        // SAFETY: inside the open part (checked).
        same_key(unsafe { std::slice::from_raw_parts(self.base.add(start), key.len()) }, key)
    }

    /// Returns `len` bytes at `offset` of the entry at `at`. The caller has the item's lock, holds
    /// its segment, or owns it (see item.rs).
    #[inline]
    pub(super) fn bytes(&self, at: Ref, offset: usize, len: usize) -> &[u8] {
        debug_assert!(self.offset(at) + offset + len <= self.opened());
        // SAFETY: the caller may read these bytes of the entry, so no other thread writes them.
        unsafe { std::slice::from_raw_parts(self.address(at).add(offset), len) }
    }

    /// Writes `from` at `offset` of the entry at `at`. The caller may write it (see item.rs), and
    /// the bytes lie inside it.
    #[inline]
    pub(super) fn write(&self, at: Ref, offset: usize, from: &[u8]) {
        debug_assert!(self.offset(at) + offset + from.len() <= self.opened());
        // SAFETY: other threads do not access the entry now, except optimistic reads, which will
        // conflict. `from` cannot overlap it: bytes to store come from outside the store, or from
        // another entry.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), self.address(at).add(offset), from.len());
        }
    }

    /// Returns memory of an entry that its one owner is writing.
    ///
    /// The bytes may be those of a former entry, but are never uninitialized, because the system
    /// gives zeros.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "a reservation has one owner; see item.rs")]
    pub(super) fn bytes_mut(&self, at: Ref, offset: usize, len: usize) -> &mut [u8] {
        debug_assert!(self.offset(at) + offset + len <= self.opened());
        // SAFETY: as for `write`.
        unsafe { std::slice::from_raw_parts_mut(self.address(at).add(offset), len) }
    }

    /// Copies an entry of `len` bytes to `to`, an entry that no other thread knows yet.
    #[inline]
    pub(super) fn copy(&self, from: Ref, to: Ref, len: usize) {
        debug_assert!(from != to);
        // SAFETY: two entries do not overlap. Both belong to the shard that the caller has locked.
        unsafe { std::ptr::copy_nonoverlapping(self.address(from), self.address(to), len) };
    }

    /// Prefetches the first lines at `at`. Any value of `at` is allowed.
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

/// A table of zeros that becomes resident page by page, as it is written. An allocator does not
/// ensure this: glibc's clears reused memory itself after a block of this size was freed, and
/// Rust's clears memory for alignments above 16 bytes.
pub(super) struct Mapped<T> {
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
    pub(super) unsafe fn zeroed(count: usize) -> io::Result<Self> {
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
    pub(super) unsafe fn discard(&self) {
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

/// Asks the system for large pages, for those that lie wholly in this range.
pub fn advise_large((start, length): (*mut u8, usize)) {
    let skip = start.align_offset(LARGE_PAGE);
    if length < skip.saturating_add(LARGE_PAGE) {
        return;
    }
    let length = (length - skip) / LARGE_PAGE * LARGE_PAGE;
    system::advise_large(start.wrapping_add(skip), length);
}

/// Prefetches the line at `address`, which may be any address.
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

/// The system calls for memory.
#[cfg(not(miri))]
mod system {
    use std::io;

    /// Reserves addresses for `len` bytes, which may not be used yet. Also returns whether the
    /// process locks all its memory. These pages are not locked, because locking would allocate
    /// memory for all of them.
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
        // The system refuses this call only for locked memory. SAFETY: the mapping is new, and
        // nothing is in it.
        let locked = unsafe { libc::madvise(mapping, len, libc::MADV_DONTNEED) } != 0;
        if locked {
            // SAFETY: the mapping is ours, and its contents stay.
            unsafe { libc::munlock(mapping, len) };
        }
        Some((mapping.cast(), locked))
    }

    /// Makes a part of a mapping usable. Its pages become resident when they are written. With
    /// `locked`, they then stay resident, if the system supports that.
    pub(super) fn open(start: *mut u8, len: usize, locked: bool) -> io::Result<()> {
        // SAFETY: the call removes no access, and fails for unmapped addresses.
        if unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if locked {
            lock(start, len);
        }
        Ok(())
    }

    /// Locks pages as they are written. Before Linux 4.4, or above a limit, pages are not locked.
    /// That failure is ignored, because the process asked for the locks, not this module.
    fn lock(start: *mut u8, len: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: the call changes no contents.
        unsafe {
            const ONFAULT: libc::c_uint = 1;
            libc::syscall(libc::SYS_mlock2, start, len, ONFAULT);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, len);
    }

    /// Returns the most bytes of addresses that the process may have, if there is a limit.
    pub(super) fn most_addresses() -> Option<usize> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place for the answer.
        let answer = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
        (answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
    }

    /// Gives the contents back to the system. Later reads return zeros.
    ///
    /// # Safety
    /// The range is part of a mapping, and there are no references to it.
    pub(super) unsafe fn discard(start: *mut u8, len: usize, locked: bool) {
        // SAFETY: the contract.
        unsafe {
            if libc::madvise(start.cast(), len, libc::MADV_DONTNEED) == 0 {
                return;
            }
            // The memory is locked: by us, or by the process later.
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
        // SAFETY: this advice changes no contents. Without such memory, the system refuses, and
        // failure is harmless.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
    }

    /// Makes the system allocate and clear memory that was never written.
    pub(super) fn touch(start: *mut u8, len: usize) {
        // SAFETY: the call changes no contents. It fails without free memory, or before Linux 5.14,
        // and failure is harmless.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_POPULATE_WRITE) };
    }

    /// Unmaps a mapping.
    ///
    /// # Safety
    /// The mapping came from `map` with this `len`, and there are no references to it.
    pub(super) unsafe fn unmap(mapping: *mut u8, len: usize) {
        // SAFETY: the contract.
        unsafe { libc::munmap(mapping.cast(), len) };
    }
}

/// The same for Miri, which does not support addresses without memory.
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

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
//! This module turns a [`Ref`] into an address. `token.rs` has the rights to read and write there.

#![expect(unsafe_code, reason = "the memory of items is ours; each block says what it relies on")]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::header::{HEADER, Header};
use super::prefetch::prefetch;
use super::racing;
use super::reference::Ref;
use super::system;
use crate::config::MIB;

/// Size of the system's large pages, and alignment of the range.
pub(in crate::store) const LARGE_PAGE: usize = 2 * MIB;

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
// methods whose contracts (`token.rs`) order all access, or that document races (`racing.rs`).
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
            wanted = 2 * limit;
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
    pub(in crate::store) fn open(&self, wanted: usize) -> io::Result<()> {
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
    pub(in crate::store) fn opened(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Returns the number of reserved bytes.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Gives the `len` bytes at `offset` back to the system. Later reads return zeros.
    ///
    /// # Safety
    /// No entry lies there, and no segment there can be taken. Only optimistic reads, which will
    /// conflict, may still access the bytes.
    pub(super) unsafe fn release(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.opened());
        // SAFETY: inside the open part (checked), and unused (the contract).
        unsafe { system::discard(self.base.add(offset), len, self.locked) };
    }

    /// Makes the system allocate memory for the large page at `offset` now, as far as it is open.
    /// Contents do not change.
    pub(in crate::store) fn touch_large(&self, offset: usize) {
        assert!(offset.is_multiple_of(LARGE_PAGE));
        let len = LARGE_PAGE.min(self.opened().saturating_sub(offset));
        system::touch(self.base.wrapping_add(offset), len);
    }

    /// Returns whether the page at `offset` is resident.
    #[cfg(all(test, not(miri)))]
    pub(in crate::store) fn is_resident(&self, offset: usize) -> bool {
        assert!(offset < self.reserved);
        let mut page = 0;
        // SAFETY: the page is part of the reservation, and one byte is written.
        let result = unsafe { libc::mincore(self.base.add(offset).cast(), 1, &raw mut page) };
        assert_eq!(result, 0);
        page & 1 == 1
    }

    /// Asks the system for large pages.
    pub(in crate::store) fn advise_large(&self) {
        system::advise_large(self.base, self.reserved / LARGE_PAGE * LARGE_PAGE);
    }

    /// Returns the unit: sizes of entries are multiples of this number of bytes.
    #[inline]
    pub fn unit(&self) -> usize {
        1 << self.shift
    }

    /// Returns the entry that starts at `offset`.
    ///
    /// # Panics
    /// If the offset is outside the open part.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> Ref {
        assert!(offset + HEADER <= self.opened());
        Ref((offset >> self.shift) as u32 + 1)
    }

    /// Returns the entry with a number that was stored in the memory itself.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    pub(super) fn known(&self, number: u32) -> Ref {
        let at = Ref(number);
        assert!(at.is_none() || self.reaches(at, HEADER));
        at
    }

    /// Iterates over pieces from `first` on, or over none if that is [`Ref::NONE`]. The caller may
    /// mark a returned piece as dead, because the next one is already known.
    pub(in crate::store) fn pieces_from(&self, first: Ref) -> impl Iterator<Item = Ref> {
        std::iter::successors(first.some(), |&at| self.next_of(at).some())
    }

    /// Returns the item that the PIECE at `at` belongs to.
    #[inline]
    pub(in crate::store) fn owner_of(&self, at: Ref) -> Ref {
        self.known(self.header(at).links().0)
    }

    /// Returns the piece after the PIECE at `at`.
    #[inline]
    pub(in crate::store) fn next_of(&self, at: Ref) -> Ref {
        self.known(self.header(at).links().1)
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
        // SAFETY: `at` and `known` alone make a Ref, of an offset inside the open part.
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
    /// valid only if the caller then finds that no thread wrote (`racing.rs`).
    ///
    /// # Safety
    /// The bytes are open ([`Memory::reaches`]).
    #[inline]
    pub(in crate::store) unsafe fn copy_racing(&self, at: Ref, offset: usize, to: &mut [MaybeUninit<u8>]) {
        debug_assert!(self.reaches(at, offset + to.len()));
        // SAFETY: the bytes are open (the contract). So they are mapped as long as `self` lives,
        // and the system zeroed them.
        unsafe { racing::read(self.address(at).add(offset), to) };
    }

    /// Returns whether `len` bytes from the start of the entry at `at` are open. They stay open.
    #[inline]
    pub(in crate::store) fn reaches(&self, at: Ref, len: usize) -> bool {
        self.offset(at) + len <= self.opened()
    }

    /// Returns whether `key` is at `offset` of the entry at `at`, while other threads may write
    /// there (see [`Memory::copy_racing`]).
    ///
    /// # Safety
    /// The bytes are open ([`Memory::reaches`]).
    #[inline]
    pub(in crate::store) unsafe fn is_racing(&self, at: Ref, offset: usize, key: &[u8]) -> bool {
        debug_assert!(self.reaches(at, offset + key.len()));
        // SAFETY: as for `copy_racing`.
        unsafe { racing::is_equal(self.address(at).add(offset), key) }
    }

    /// Returns `len` bytes at `offset` of the entry at `at`.
    ///
    /// # Safety
    /// The bytes lie in the entry. No thread writes them while the slice exists (`token.rs`).
    #[inline]
    pub(super) unsafe fn bytes(&self, at: Ref, offset: usize, len: usize) -> &[u8] {
        debug_assert!(self.reaches(at, offset + len));
        // SAFETY: the contract. The system initialized the bytes.
        unsafe { std::slice::from_raw_parts(self.address(at).add(offset), len) }
    }

    /// Returns `len` bytes at `offset` of the entry at `at`, to be written.
    ///
    /// # Safety
    /// As for [`Memory::write`]. The slice is the only reference to the bytes.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the caller has the only right to these bytes")]
    pub(super) unsafe fn bytes_mut(&self, at: Ref, offset: usize, len: usize) -> &mut [u8] {
        debug_assert!(self.reaches(at, offset + len));
        // SAFETY: the contract. The system initialized the bytes.
        unsafe { std::slice::from_raw_parts_mut(self.address(at).add(offset), len) }
    }

    /// Writes `from` at `offset` of the entry at `at`.
    ///
    /// # Safety
    /// The bytes lie in the entry, and `from` does not. No other thread accesses them now, except
    /// optimistic reads, which will conflict.
    #[inline]
    pub(super) unsafe fn write(&self, at: Ref, offset: usize, from: &[u8]) {
        debug_assert!(self.reaches(at, offset + from.len()));
        // SAFETY: the contract.
        unsafe { racing::write(from.as_ptr(), self.address(at).add(offset), from.len()) };
    }

    /// Copies the first `len` bytes of an entry to another one.
    ///
    /// # Safety
    /// As for [`Memory::bytes`] and [`Memory::write`].
    #[inline]
    pub(super) unsafe fn copy(&self, from: Ref, to: Ref, len: usize) {
        debug_assert!(from != to && self.reaches(from, len) && self.reaches(to, len));
        // SAFETY: the contract.
        unsafe { racing::write(self.address(from), self.address(to), len) };
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

//! The functions of `system.rs` for Windows.
//!
//! Opened memory counts against the system's commit limit at once, and stays counted. Windows
//! cannot replace pages by zeros in one step, while other threads may read them. So discarded
//! memory is cleared, and then leaves the working set.

#![expect(unsafe_code, reason = "system calls; each block says what it relies on")]

use std::{io, ptr};

use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualFree,
    VirtualUnlock,
};

pub(super) fn map(len: usize) -> Option<(*mut u8, bool)> {
    // SAFETY: new addresses of the system's choice touch no existing memory.
    let mapping = unsafe { VirtualAlloc(ptr::null(), len, MEM_RESERVE, PAGE_NOACCESS) };
    (!mapping.is_null()).then_some((mapping.cast(), false))
}

pub(super) fn open(start: *mut u8, len: usize, _: bool) -> io::Result<()> {
    // SAFETY: the call removes no access, and fails for addresses that are not reserved.
    let opened = unsafe { VirtualAlloc(start.cast(), len, MEM_COMMIT, PAGE_READWRITE) };
    if opened.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn most_addresses() -> Option<usize> {
    None
}

pub(super) unsafe fn discard(start: *mut u8, len: usize, _: bool) {
    // SAFETY: the contract. Unlocking pages that are not locked only takes them from the working
    // set, and then reports that they were not locked.
    unsafe {
        start.write_bytes(0, len);
        VirtualUnlock(start.cast(), len);
    }
}

pub(super) fn advise_large(_: *mut u8, _: usize) {}

pub(super) fn touch(_: *mut u8, _: usize) {}

pub(super) unsafe fn unmap(mapping: *mut u8, _: usize) {
    // SAFETY: the contract. A length of 0 stands for all that `map` reserved.
    unsafe { VirtualFree(mapping.cast(), 0, MEM_RELEASE) };
}

//! The system calls for memory.

#![expect(unsafe_code, reason = "system calls; each block says what it relies on")]

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

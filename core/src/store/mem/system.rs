//! The system calls for memory, on Linux and other kinds of Unix.

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
    // Linux refuses this call only for locked memory. SAFETY: the mapping is new, and nothing is
    // in it.
    let locked =
        cfg!(target_os = "linux") && unsafe { libc::madvise(mapping, len, libc::MADV_DONTNEED) } != 0;
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
#[cfg(target_os = "linux")]
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

/// Gives the contents back to the system. Later reads return zeros. Only Linux ensures that for
/// `MADV_DONTNEED`; macOS may keep the contents.
///
/// # Safety
/// As for Linux.
#[cfg(not(target_os = "linux"))]
pub(super) unsafe fn discard(start: *mut u8, len: usize, _: bool) {
    // SAFETY: the contract.
    unsafe { replace(start, len) };
}

/// Puts new memory in the place of a part of a mapping, in one step. A thread that reads then
/// finds contents or zeros.
///
/// # Safety
/// The range is whole pages of a mapping, and there are no references to it.
#[cfg(any(test, not(target_os = "linux")))]
unsafe fn replace(start: *mut u8, len: usize) {
    // SAFETY: the contract. If the system refuses the new mapping, the old one stays.
    unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        if libc::mmap(start.cast(), len, rights, flags, -1, 0) == libc::MAP_FAILED {
            start.write_bytes(0, len);
        }
    }
}

/// Asks for large pages, where the system has such advice.
pub(super) fn advise_large(start: *mut u8, len: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: this advice changes no contents. Without such memory, the system refuses, and
    // failure is harmless.
    unsafe {
        libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
}

/// Makes the system allocate and clear memory that was never written, where it can.
pub(super) fn touch(start: *mut u8, len: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the call changes no contents. It fails without free memory, or before Linux 5.14,
    // and failure is harmless.
    unsafe {
        libc::madvise(start.cast(), len, libc::MADV_POPULATE_WRITE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
}

/// Unmaps a mapping.
///
/// # Safety
/// The mapping came from `map` with this `len`, and there are no references to it.
pub(super) unsafe fn unmap(mapping: *mut u8, len: usize) {
    // SAFETY: the contract.
    unsafe { libc::munmap(mapping.cast(), len) };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::thread;

    use super::*;

    const LEN: usize = 1 << 20;

    #[test]
    fn replaced_memory_is_zero_and_can_always_be_read() {
        let Some((start, _)) = map(LEN) else { panic!("no addresses") };
        assert!(open(start, LEN, false).is_ok());
        #[expect(clippy::cast_ptr_alignment, reason = "pages are aligned")]
        // SAFETY: mapped and open until `unmap`, and only used as atomics.
        let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), LEN / 8) };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    assert!(words.iter().all(|word| [0, 7].contains(&word.load(Relaxed))));
                }
            });
            for _ in 0..100 {
                words.iter().for_each(|word| word.store(7, Relaxed));
                // SAFETY: zeros may replace atomics at any time.
                unsafe { replace(start, LEN) };
                assert!(words.iter().all(|word| word.load(Relaxed) == 0));
            }
            done.store(true, Relaxed);
        });
        // SAFETY: as `map` returned it, and the slice is not used again.
        unsafe { unmap(start, LEN) };
    }
}

//! A mark of this process, which a child of `fork` does not share.
//!
//! Threads do not exist in a child, and locks that they held stay locked. A function that may be
//! called in a child compares the mark under which a cache or a server was made with the present
//! mark. If they differ, it touches nothing.
//!
//! On Linux the mark is in a page that the kernel zeroes in the child (`MADV_WIPEONFORK`, 4.14), so
//! that reading it costs one or two loads. Elsewhere it is the process id.
//!
//! ```text
//!   parent   page 1          fork    page 1          ... all of its handles: 1
//!   child                            page 0 -> 2     what it made itself: 2
//! ```

use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, Ordering::Relaxed};

/// Bytes that are mapped; the system makes whole pages of them.
#[cfg(target_os = "linux")]
const LENGTH: usize = 4096;

/// Set in marks that are process ids.
const BY_ID: u64 = 1 << 63;

/// The page of the mark; null before the first use, or if there is none.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Marks given out in this process and its ancestors.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// Identifies the process in which an object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkMark(u64);

impl ForkMark {
    /// Returns the mark of this process.
    pub fn of_this_process() -> Self {
        let page = page();
        if page.is_null() {
            return Self(BY_ID | u64::from(process::id()));
        }
        let cell = cell(page);
        match cell.load(Relaxed) {
            0 => {
                // A child has the count of its parent, so this is more than any
                // mark from before the fork.
                let next = GIVEN.fetch_add(1, Relaxed) + 1;
                Self(cell.compare_exchange(0, next, Relaxed, Relaxed).map_or_else(|other| other, |_| next))
            }
            mark => Self(mark),
        }
    }

    /// Returns whether this is the mark of this process and not of an ancestor.
    #[inline]
    pub fn holds(self) -> bool {
        // Not null if there is a mark of the page.
        let page = PAGE.load(Relaxed);
        if self.0 & BY_ID != 0 || page.is_null() {
            return self.0 == BY_ID | u64::from(process::id());
        }
        cell(page).load(Relaxed) == self.0
    }
}

/// A value that each process makes for itself, once. A child of `fork` never sees the value of its
/// parent, whose locks may stay locked there.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<(ForkMark, T)>);

impl<T: Default + Send + Sync> PerProcess<T> {
    /// One that no process has made.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value of this process. It is never dropped.
    pub(crate) fn get(&'static self) -> &'static T {
        let mark = ForkMark::of_this_process();
        let mut there = self.0.load(Ordering::Acquire);
        loop {
            #[expect(unsafe_code, reason = "the value is shared by address")]
            // SAFETY: the address is null or of a box that was leaked below, completely
            // written before this address was (Acquire, Release).
            if let Some((of, value)) = unsafe { there.as_ref() }
                && *of == mark
            {
                return value;
            }
            let made = Box::into_raw(Box::new((mark, T::default())));
            match self.0.compare_exchange(there, made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => there = made,
                Err(other) => {
                    there = other;
                    #[expect(unsafe_code, reason = "the box is given up")]
                    // SAFETY: another thread was faster, so this address was never shared.
                    drop(unsafe { Box::from_raw(made) });
                }
            }
        }
    }
}

#[inline]
fn cell(page: *mut AtomicU64) -> &'static AtomicU64 {
    #[expect(unsafe_code, reason = "the page is shared by address")]
    // SAFETY: what PAGE held is a mapping of LENGTH zeroed bytes, aligned to a
    // page, that is never unmapped; it is only ever used as this atomic.
    unsafe {
        &*page
    }
}

/// Returns the page, mapped on first use; null if the kernel cannot zero pages on fork.
#[cfg(target_os = "linux")]
fn page() -> *mut AtomicU64 {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        return page;
    }
    #[expect(unsafe_code, reason = "system calls that map a page")]
    // SAFETY: a new private mapping changes no other memory. Advice and unmapping apply to that
    // mapping, which no other code has a pointer to yet.
    let made = unsafe {
        let made = libc::mmap(
            ptr::null_mut(),
            LENGTH,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if made == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        if libc::madvise(made, LENGTH, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(made, LENGTH);
            return ptr::null_mut();
        }
        made.cast::<AtomicU64>()
    };
    match PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        Err(other) => {
            #[expect(unsafe_code, reason = "a system call that unmaps the page")]
            // SAFETY: another thread was faster, so no other code has a pointer to this page.
            unsafe {
                libc::munmap(made.cast(), LENGTH);
            }
            other
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn page() -> *mut AtomicU64 {
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_a_mark_of_its_own() {
        let mark = ForkMark::of_this_process();
        assert!(mark.holds());
        assert_eq!(mark, ForkMark::of_this_process());
        #[expect(unsafe_code, reason = "the test forks")]
        // SAFETY: the child only reads and writes atomics and leaves by _exit.
        let child = unsafe { libc::fork() };
        assert_ne!(child, -1);
        if child == 0 {
            let before = mark.holds();
            let own = ForkMark::of_this_process();
            let good = !before && own != mark && own.holds() && !mark.holds();
            #[expect(unsafe_code, reason = "the test's child ends")]
            // SAFETY: ends the child at once.
            unsafe {
                libc::_exit(i32::from(!good));
            }
        }
        let mut status = -1;
        #[expect(unsafe_code, reason = "the test waits for its child")]
        // SAFETY: `status` is a valid place for the answer.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0));
        assert!(mark.holds());
    }
}

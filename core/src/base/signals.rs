//! Signals of the host process.

/// Blocks the application's signals in the calling thread, so that they reach the threads that
/// expect them. Signals of faults stay deliverable.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library has no signal mask")]
pub(crate) fn block_signals() {
    // SAFETY: `set` is plain memory that sigfillset initialises before it is used. Every pointer is
    // to it, or null where null is allowed. The calls change the mask of the calling thread only.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGABRT,
            libc::SIGTRAP,
            libc::SIGSYS,
            libc::SIGPROF,
        ] {
            libc::sigdelset(&raw mut set, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Does nothing: Windows has no signals that choose a thread.
#[cfg(not(unix))]
pub(crate) fn block_signals() {}

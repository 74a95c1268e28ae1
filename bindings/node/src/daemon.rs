//! The daemon, from the package.

use std::ffi::OsString;
use std::io::Write;

use napi_derive::napi;

use crate::raw::guarded;

/// Runs `memcached-rs` with these arguments, its name first, and ends the
/// process. For a process of its own: it catches signals for good, and may
/// fork, after which there is no Node to return to.
#[napi]
#[cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test"))]
pub fn run_daemon(args: Vec<String>) {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGHUP] {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the default action needs no handler. Node's handlers must go: the
        // daemon's call those before them, and Node's raise the signal again.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    let status = guarded(|| memcached_rs::main(args.into_iter().map(OsString::from))).unwrap_or(70);
    // If nobody reads it any more, there is nobody to tell.
    let _ = std::io::stdout().flush();
    #[expect(unsafe_code, reason = "a system call that ends the process")]
    // SAFETY: it does not return. What runs at an `exit` is Node's, which would
    // wait for threads that a child of `fork` does not have.
    unsafe {
        libc::_exit(i32::from(status))
    }
}

//! Runs the daemon inside the process of `npx memcached-rs`.

use std::ffi::OsString;
use std::io::Write;

use napi_derive::napi;

use crate::raw::guarded;

/// Runs `memcached-rs` with these arguments, its name first, and ends the process.
///
/// It needs a process of its own: it handles signals and may fork, and the child has no Node to
/// return to.
#[napi]
#[cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test"))]
pub fn run_daemon(args: Vec<String>) {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGHUP] {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the default action needs no handler. Node's handlers must go: the daemon's
        // handlers call the earlier ones, and Node's raise the signal again.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    let status = guarded(|| memcached_rs::main(args.into_iter().map(OsString::from))).unwrap_or(70);
    // Fails if the reader of the pipe has ended; there is nowhere to report it.
    let _ = std::io::stdout().flush();
    #[expect(unsafe_code, reason = "a system call that ends the process")]
    // SAFETY: it does not return. Node's exit handlers must not run: they would wait for threads
    // that a child of `fork` does not have.
    unsafe {
        libc::_exit(i32::from(status))
    }
}

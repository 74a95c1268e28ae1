//! Standard error, without effects of failed writes on the caller.
//!
//! Only this module of the workspace writes there. Clippy's `print_stderr` and `print_stdout` check
//! all other places. A full disk, a closed pipe or a reader that has stopped reading must neither
//! end nor block a thread.
//!
//! Two things can still block a thread. One is another process that fills the same pipe between the
//! check for room and the write. The other is the standard library's report of a panic.

#![expect(unsafe_code, reason = "the standard library cannot ask whether a write would wait")]

use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::base::fork::PerProcess;

/// Bytes that a pipe with any room takes without waiting. (POSIX's `PIPE_BUF` is at least 512,
/// Linux's is 4096.)
const AT_ONCE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Longest time that a call waits for a slow reader, and for other calls that wait for it. After a
/// reader took longer, calls do not wait until it reads again.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    /// The reader has stopped reading.
    stalled: bool,
    /// Lines lost since the last one that was written.
    lost: u64,
}

/// A child of `fork` has its own: its parent may hold the lock at that moment.
static STATE: PerProcess<Mutex<State>> = PerProcess::new();

/// Turns a line and its verbosity into the line to write.
pub type Form = fn(u8, &str) -> String;

/// The form of the program. It is code, so a child of `fork` shares it.
static FORM: OnceLock<Form> = OnceLock::new();

/// Sets the form of all lines of this process. The first call counts.
pub fn set_form(form: Form) {
    let _ = FORM.set(form);
}

/// Writes a line that is written at every verbosity: see [`write_at`].
pub fn write_line(line: &str) {
    write_at(0, line);
}

/// Writes `line`, which belongs to a verbosity, and a line end to standard error. A line that
/// cannot be written is lost. The next written line reports how many were lost.
pub fn write_at(verbosity: u8, line: &str) {
    let form = |verbosity, line: &str| match FORM.get() {
        Some(form) => form(verbosity, line),
        None => line.to_owned(),
    };
    let until = Instant::now() + PATIENCE;
    let mut state = STATE.get().lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    if state.lost > 0 {
        text = form(0, &format!("({} lines of the log were lost)", state.lost)) + "\n";
    }
    text.push_str(&form(verbosity, line));
    text.push('\n');
    for part in text.as_bytes().chunks(AT_ONCE) {
        let left = until.saturating_duration_since(Instant::now());
        state.stalled = !takes_bytes(libc::STDERR_FILENO, if state.stalled { Duration::ZERO } else { left });
        if state.stalled || io::stderr().write_all(part).is_err() {
            state.lost += 1;
            return;
        }
    }
    state.lost = 0;
}

/// Returns whether a write to `fd` would not wait, now or within `time`.
fn takes_bytes(fd: libc::c_int, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: `poll` is one valid entry, and the count says so.
        let ready = unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as libc::c_int) };
        if ready >= 0 {
            // A pipe without a reader would raise SIGPIPE.
            return ready > 0 && poll.revents & (libc::POLLERR | libc::POLLNVAL) == 0;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            // The write reports the error that poll cannot.
            return true;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::thread::JoinHandleExt as _;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    extern "C" fn nothing(_: libc::c_int) {}

    #[test]
    fn a_signal_made_a_full_pipe_look_writable() {
        // SAFETY: the handler does nothing; without SA_RESTART it interrupts calls.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut());
        }
        let (reader, mut writer) = io::pipe().unwrap();
        let fd = writer.as_raw_fd();
        while takes_bytes(fd, Duration::ZERO) {
            writer.write_all(&[0; AT_ONCE]).unwrap();
        }
        let done = AtomicBool::new(false);
        let done = &*Box::leak(Box::new(done));
        let waiting = thread::spawn(move || {
            let ready = takes_bytes(fd, Duration::from_millis(200));
            done.store(true, Relaxed);
            ready
        });
        while !done.load(Relaxed) {
            // SAFETY: the thread is not joined yet.
            unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR2) };
            thread::yield_now();
        }
        assert!(!waiting.join().unwrap());
        drop(reader);
    }
}

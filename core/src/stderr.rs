//! Standard error, where trouble with writing never reaches the caller.
//!
//! The one place of the workspace that writes there (clippy's `print_stderr` and
//! `print_stdout` hold for all other places): a disk that is full, a pipe that was
//! closed and a reader that has stopped reading must not end a thread, nor hold it.

#![expect(unsafe_code, reason = "the standard library cannot ask whether a write would wait")]

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes that a pipe takes without waiting once it takes any (POSIX's `PIPE_BUF` is
/// at least 512, Linux's is 4096).
const AT_ONCE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// How long a slow reader is waited for. A reader that took longer is not waited for
/// until it reads again.
const PATIENCE: Duration = Duration::from_secs(1);

struct State {
    /// The reader has stopped reading.
    stalled: bool,
    /// Lines that were not written since the last one that was.
    lost: u64,
}

static STATE: Mutex<State> = Mutex::new(State { stalled: false, lost: 0 });

/// Writes `line` and a line end to standard error. A line that cannot be written is
/// lost; the next line that can be says how many were.
pub fn write_line(line: &str) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    if state.lost > 0 {
        text = format!("({} lines of the log were lost)\n", state.lost);
    }
    text.push_str(line);
    text.push('\n');
    for part in text.as_bytes().chunks(AT_ONCE) {
        state.stalled = !takes_bytes(if state.stalled { Duration::ZERO } else { PATIENCE });
        if state.stalled || io::stderr().write_all(part).is_err() {
            state.lost += 1;
            return;
        }
    }
    state.lost = 0;
}

/// Whether a write would not wait, now or within `time`.
fn takes_bytes(time: Duration) -> bool {
    let mut poll = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `poll` is one valid entry, and the count says so.
    let ready = unsafe { libc::poll(&raw mut poll, 1, time.as_millis() as libc::c_int) };
    // What poll cannot tell about (an error, a closed descriptor), the write tells.
    ready != 0
}

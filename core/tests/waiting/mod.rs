//! Waiting for other threads, for tests.

use std::thread;
use std::time::{Duration, Instant};

/// Time after which a test gives up. It passes only if something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds` returns `true`.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

//! Messages for the service manager that started the daemon (`NOTIFY_SOCKET`, as systemd sets it).
//! Without one, nothing is sent.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use memcache_core::SnapshotWork;
use memcache_core::internal::config::OnSnapshot;
use sd_notify::NotifyState;

/// Time between two messages on the progress of a snapshot.
const PAUSE: Duration = Duration::from_secs(1);

/// Time that the manager is asked to wait for the next message.
const EXTENSION: Duration = Duration::from_mins(1);

/// Reports that clients are served.
pub fn ready() {
    send(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Reports that the daemon was asked to stop.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Reports that a newer version takes over. That version then reports that it is ready.
pub fn reloading() {
    if let Ok(time) = NotifyState::monotonic_usec_now() {
        send(&[NotifyState::Reloading, time, NotifyState::Status("upgrading")]);
    }
}

/// Returns a hook that reports the progress of a snapshot, and asks the manager for more time.
pub fn snapshot() -> Arc<OnSnapshot> {
    let last = Mutex::new(None::<Instant>);
    Arc::new(move |work, items, all_items| {
        let Ok(mut last) = last.lock() else { return };
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let text = status(work, items, all_items);
        send(&[NotifyState::Status(&text), NotifyState::ExtendTimeoutUsec(EXTENSION.as_micros() as u32)]);
    })
}

/// Returns the line that describes the progress.
fn status(work: SnapshotWork, items: u64, all_items: u64) -> String {
    let verb = if work == SnapshotWork::Load { "loading" } else { "saving" };
    match (items * 100).checked_div(all_items) {
        Some(percent) => format!("{verb} {}%", percent.min(100)),
        None => format!("{verb}, {items} items so far"),
    }
}

fn send(state: &[NotifyState<'_>]) {
    // The daemon serves, with or without a manager that listens.
    let _ = sd_notify::notify(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_percentage_if_the_whole_is_known() {
        assert_eq!(status(SnapshotWork::Load, 1, 3), "loading 33%");
        assert_eq!(status(SnapshotWork::Save, 5, 3), "saving 100%");
        assert_eq!(status(SnapshotWork::Save, 5, 0), "saving, 5 items so far");
    }
}

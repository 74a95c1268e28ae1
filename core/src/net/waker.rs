//! Wakes a thread that waits for events.

use mio::Waker;

use crate::base::sync::Mutex;

/// A waker that can be removed. Its descriptor closes with the thread that it woke, even if handles
/// to it remain.
#[derive(Default)]
pub(crate) struct RemoteWaker(Mutex<Option<Waker>>);

impl RemoteWaker {
    /// Returns a handle that wakes by `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self(Mutex::new(Some(waker)))
    }

    /// Wakes the thread, if it still runs.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.lock().as_ref() {
            // This fails only if the counter is full. The thread then wakes anyway.
            let _ = waker.wake();
        }
    }

    /// Removes the waker when its thread ends. Later calls have no effect.
    pub(crate) fn remove(&self) {
        self.0.lock().take();
    }
}

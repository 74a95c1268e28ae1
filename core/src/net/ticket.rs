//! How a thread reports to a waiting caller that it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::{Condvar, Mutex};

/// Reports to a caller, when it is dropped, that a thread is done.
pub(crate) struct Ticket(Arc<Count>);

impl Ticket {
    /// Returns one of the tickets that `count` waits for.
    pub(super) fn new(count: &Arc<Count>) -> Self {
        Self(Arc::clone(count))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        *self.0.left.lock() -= 1;
        self.0.done.notify_all();
    }
}

/// The number of tickets that a caller waits for.
pub(super) struct Count {
    left: Mutex<usize>,
    done: Condvar,
}

impl Count {
    /// Returns a count of `left` tickets.
    pub(super) fn new(left: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(left), done: Condvar::new() })
    }

    /// Waits until all tickets are dropped. Returns `false` if some are left at `until`.
    pub(super) fn wait(&self, until: Option<Instant>) -> bool {
        let mut left = self.left.lock();
        while *left > 0 {
            left = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.done.wait(left),
                Some(Duration::ZERO) => return false,
                Some(time) => self.done.wait_for(left, time),
            };
        }
        true
    }
}

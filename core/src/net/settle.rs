//! Settling: waiting until a server has carried out what its clients have sent.
//!
//! ```text
//!   caller --ticket--> listener   accepts all connections that wait
//!          --tickets-> workers    each takes all events that its queue holds, and visits
//!                                 its connections until none has input
//! ```
//!
//! A worker skips a connection whose socket was drained, and whose input was
//! acknowledged, if the queue holds no event of it: the queue reports the next byte. So
//! an idle connection costs no system call.
//!
//! A ticket says that its holder is done when it is dropped, so a thread that ends
//! keeps no caller waiting.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ConnectionLimit;
use super::worker::Mailbox;
use crate::sync::{Condvar, Mutex};

thread_local! {
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the calling thread belongs to a server.
pub(crate) fn serves() {
    SERVES.set(true);
}

/// Settles one server. A handle of a server's cache keeps one.
pub struct Settler {
    listener: Arc<ConnectionLimit>,
    workers: Vec<Arc<Mailbox>>,
}

opaque_debug!(Settler);

impl Settler {
    pub(crate) fn new(listener: Arc<ConnectionLimit>, workers: Vec<Arc<Mailbox>>) -> Self {
        Self { listener, workers }
    }

    /// Waits, for at most `within`, until what clients of this machine have sent
    /// before is carried out: commands in pipelines, commands without replies,
    /// datagrams, and connections that are not accepted yet.
    ///
    /// Returns `false` if that takes longer. A client that does not read its
    /// replies, or that meets an injected delay, is not waited for. A server that
    /// has stopped is settled. Called by a thread of a server, such as a hook, this
    /// returns `false` at once.
    pub fn settle(&self, within: Duration) -> bool {
        if SERVES.get() {
            return false;
        }
        let until = Instant::now().checked_add(within);
        let accepted = Count::new(1);
        self.listener.ask(Ticket(Arc::clone(&accepted)));
        if !accepted.wait(until) {
            return false;
        }
        let settled = Count::new(self.workers.len());
        for worker in &self.workers {
            worker.ask(Ticket(Arc::clone(&settled)));
        }
        settled.wait(until)
    }
}

/// Tells a caller that a thread is done, when it is dropped.
pub(crate) struct Ticket(Arc<Count>);

impl Drop for Ticket {
    fn drop(&mut self) {
        *self.0.left.lock() -= 1;
        self.0.done.notify_all();
    }
}

struct Count {
    left: Mutex<usize>,
    done: Condvar,
}

impl Count {
    fn new(left: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(left), done: Condvar::new() })
    }

    fn wait(&self, until: Option<Instant>) -> bool {
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

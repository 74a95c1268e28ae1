//! Settling: waiting until a server has carried out the commands that its clients have sent.
//!
//! ```text
//!   caller --ticket--> listener   accepts all connections that wait
//!          --tickets-> workers    each takes all events that its queue holds, and visits
//!                                 its connections until none has input
//! ```
//!
//! A worker skips a connection whose socket was drained, and whose input was acknowledged, if the
//! queue holds no event for it: the queue reports the next byte. So an idle connection costs no
//! system call.
//!
//! Dropping a ticket reports that its holder is done. So a caller does not wait for a thread that
//! has ended.
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

/// Records that the calling thread belongs to a server.
pub(crate) fn serves() {
    SERVES.set(true);
}

/// Settles one server. Handles of a server's cache contain one.
pub struct Settler {
    listener: Arc<ConnectionLimit>,
    workers: Vec<Arc<Mailbox>>,
}

opaque_debug!(Settler);

impl Settler {
    pub(crate) fn new(listener: Arc<ConnectionLimit>, workers: Vec<Arc<Mailbox>>) -> Self {
        Self { listener, workers }
    }

    /// Waits, for at most `within`, until the commands that clients of this machine sent before
    /// this call are carried out. Commands in pipelines or without replies, datagrams, and
    /// connections that are not accepted yet count.
    ///
    /// Returns `false` if that takes longer. Does not wait for a client that does not read its
    /// replies, or that has an injected delay. A server that has stopped is settled.
    ///
    /// Returns `false` at once if a thread of a server calls this, such as a hook.
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

/// Reports to a caller, when it is dropped, that a thread is done.
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

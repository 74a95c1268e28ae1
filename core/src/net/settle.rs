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

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection_limit::ConnectionLimit;
use super::mailbox::Mailbox;
use super::ticket::{Count, Ticket};

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
    /// replies, or that has an injected delay. Waits for a reply that comes later
    /// ([`Fault::DelayReply`](crate::Fault::DelayReply)). A server that has stopped is settled.
    ///
    /// Returns `false` at once if a thread of a server calls this, such as a hook.
    pub fn settle(&self, within: Duration) -> bool {
        if SERVES.get() {
            return false;
        }
        let until = Instant::now().checked_add(within);
        let accepted = Count::new(1);
        self.listener.ask(Ticket::new(&accepted));
        if !accepted.wait(until) {
            return false;
        }
        self.ask(until, Mailbox::ask)
    }

    /// Has the workers of a proxy try its backends again, and waits until each has begun.
    pub(crate) fn retry_backends(&self, within: Duration) -> bool {
        !SERVES.get() && self.ask(Instant::now().checked_add(within), Mailbox::retry)
    }

    /// Asks each worker, and waits until each has dropped its ticket.
    fn ask(&self, until: Option<Instant>, ask: fn(&Mailbox, Ticket)) -> bool {
        let count = Count::new(self.workers.len());
        for worker in &self.workers {
            ask(worker, Ticket::new(&count));
        }
        count.wait(until)
    }
}

//! Counts connections, for the listener that may wait for one to close.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use super::ticket::Ticket;
use super::waker::RemoteWaker;
use crate::base::sync::Mutex;

/// Counts connections for the listener, which may wait for a connection to close.
#[derive(Default)]
pub(crate) struct ConnectionLimit {
    open: AtomicUsize,
    /// Whether the listener waits. The listener sets it before it reads `open` again. A closing
    /// connection reads it after it lowers `open`. So one of them sees the other's change.
    waiting: AtomicBool,
    /// Callers that wait until all arrived connections are accepted. `None` if the listener has
    /// ended.
    asked: Mutex<Option<Vec<Ticket>>>,
    /// The waker of the listener.
    pub(crate) waker: RemoteWaker,
}

impl ConnectionLimit {
    /// Returns a limit whose listener wakes by `waker`.
    pub(crate) fn new(waker: RemoteWaker) -> Self {
        Self { waker, asked: Mutex::new(Some(Vec::new())), ..Self::default() }
    }

    /// Asks the listener to accept all arrived connections, then to drop `ticket`.
    pub(crate) fn ask(&self, ticket: Ticket) {
        let mut asked = self.asked.lock();
        let Some(tickets) = &mut *asked else { return };
        tickets.push(ticket);
        drop(asked);
        self.waker.wake();
    }

    /// Returns the tickets that wait for the listener.
    pub(crate) fn take_asked(&self) -> Vec<Ticket> {
        self.asked.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Drops all tickets, present and future. Called when the listener ends.
    pub(crate) fn close(&self) {
        drop(self.asked.lock().take());
    }

    /// Returns the number of connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Counts a new connection.
    pub(crate) fn enter(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    /// Counts a closed connection.
    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) {
            self.waker.wake();
        }
    }

    /// Sets whether [`ConnectionLimit::leave`] wakes the listener.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, SeqCst);
    }
}

//! A worker's visit to a connection: what the worker lends, and what it does next.

use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use super::buffers::Input;
use super::mailbox::Mailbox;
use crate::protocol::output::Output;
use crate::state::{CloseReason, ServerState, WorkerStats};

/// The surroundings of a visit.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The state of the server.
    pub(crate) context: &'a ServerState,
    /// The worker's counters.
    pub(crate) stats: &'a WorkerStats,
    /// The worker's event queue.
    pub(crate) registry: &'a Registry,
    /// The connection's token in that queue.
    pub(crate) token: Token,
}

/// Buffers that a worker lends to the connection it visits.
pub(crate) struct Scratch {
    /// The input buffer. Empty between visits.
    pub(crate) input: Input,
    /// The output buffer. Empty between visits.
    pub(crate) output: Output,
    /// The mailbox that watchers report to.
    pub(crate) mailbox: Arc<Mailbox>,
    /// Bytes of output memory kept for the next visit.
    pub(crate) keep: usize,
}

impl Scratch {
    /// Empties the buffers after a visit that panicked.
    pub(crate) fn reset(&mut self) {
        self.input.clear();
        self.output = Output::new();
    }

    /// Takes the buffer of a connection that has sent everything.
    pub(crate) fn give_back(&mut self, sent: Output) {
        if self.output.held() < sent.held() {
            self.output = sent;
        }
        self.trim();
    }

    pub(crate) fn trim(&mut self) {
        if self.output.held() > self.keep {
            self.output.clear(self.keep);
        }
    }
}

/// The worker's next action for a connection after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Wait for an event.
    Wait,
    /// Visit again in the connection's next turn.
    Again,
    /// Visit again after this time. Call [`super::connection::Connection::awake`] first.
    Sleep(Duration),
    /// Give the stream to the handshake thread, unless it has it. Visit again after
    /// [`super::connection::Connection::put_back`].
    Handshake,
    /// Wait, for a limited time, for the client to read its last replies.
    Linger,
    /// Close at once.
    Close(CloseReason),
}

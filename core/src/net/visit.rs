//! A worker's visit to a connection: what the worker lends, and what it does next.

use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use super::buffers::Input;
use super::mailbox::Mailbox;
use crate::protocol::output::Output;
use crate::state::{CloseReason, ServerState, WorkerStats};

/// Most buffers that a worker keeps for connections that wait.
const SPARES: usize = 16;

/// Most bytes of one of these.
const SPARE: usize = 16 * 1024;

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
    /// Empty buffers for connections that wait. Each is small.
    #[expect(clippy::vec_box, reason = "a connection takes the box")]
    pub(crate) spares: Vec<Box<Output>>,
    /// Bytes of output memory kept for the next visit.
    pub(crate) keep: usize,
}

impl Scratch {
    /// Empties the buffers after a visit that panicked.
    pub(crate) fn reset(&mut self) {
        self.input.clear();
        self.output = Output::new();
    }

    /// Takes the unsent output out, for the connection.
    #[expect(clippy::unnecessary_box_returns, reason = "it was in a box before")]
    pub(crate) fn hand_over(&mut self) -> Box<Output> {
        let mut unsent = self.spares.pop().unwrap_or_default();
        self.output.move_to(&mut unsent);
        unsent
    }

    /// Takes the buffer of a connection that has sent everything.
    pub(crate) fn give_back(&mut self, mut sent: Box<Output>) {
        sent.shrink_replies(SPARE);
        if self.output.held() < sent.held() {
            std::mem::swap(&mut self.output, &mut sent);
        }
        self.trim();
        if self.spares.len() < SPARES && sent.memory() <= SPARE {
            self.spares.push(sent);
        }
    }

    /// Frees memory that the next visit does not need. Slots are filled in the output of a
    /// connection, which gets no large buffer from here.
    pub(crate) fn trim(&mut self) {
        self.output.shrink_replies(SPARE);
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

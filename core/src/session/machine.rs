//! The states of memcached's connections, as it logs them at `-vvv`.
//!
//! ```text
//!   new_cmd ─▶ waiting ─▶ read ─▶ parse_cmd ──────────────────▶ new_cmd   a command is answered
//!                                     ├─▶ nread | swallow ─────▶ new_cmd   its value has come
//!                                     └─▶ mwrite ─▶ new_cmd                a binary error
//!   new_cmd ─▶ parse_cmd                     more input is there
//!   new_cmd ─▶ mwrite ─▶ new_cmd ─▶ waiting  no more input is there
//! ```
//!
//! A session has other states. It moves this machine as it works, and only if `-vvv` is logged.
//! `conn_mwrite` ends here when the replies are ready, in memcached when they are sent.

use crate::state::{ConnState, ServerState};

/// The current state of memcached's machine.
#[derive(Clone, Copy, Default)]
pub(super) struct Trace {
    /// `None` before the first event.
    pub(super) at: Option<ConnState>,
    /// Whether commands were carried out since replies were last sent.
    pub(super) answered: bool,
}

impl Trace {
    /// Returns the machine of a datagram. It begins in the state in which the one before ended.
    pub(super) fn of_datagram() -> Self {
        Self { at: Some(ConnState::Read), answered: false }
    }

    /// Logs the change to `state`, unless it is the current one.
    pub(super) fn enter(&mut self, context: &ServerState, fd: i32, state: ConnState) {
        let from = self.at.replace(state).unwrap_or(ConnState::NewCmd);
        if from != state {
            context.log(3, || format!("{fd}: going from {} to {}", from.text(), state.text()));
        }
    }

    /// Records that a command is answered.
    pub(super) fn answered(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = true;
    }

    /// Records that replies are sent.
    pub(super) fn flush(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::Mwrite);
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = false;
    }

    /// Handles the first event of a connection.
    pub(super) fn begin(&mut self, context: &ServerState, fd: i32) {
        if self.at.is_none() {
            self.enter(context, fd, ConnState::Waiting);
            self.enter(context, fd, ConnState::Read);
        }
    }
}

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

use super::{Env, Next, Session, State, Step, Used};
use crate::config::Protocol;
use crate::protocol::binary;
use crate::state::{ConnState, ServerState};

/// The current state of memcached's machine.
#[derive(Clone, Copy, Default)]
pub(super) struct Trace {
    /// `None` before the first event.
    at: Option<ConnState>,
    /// Whether commands were carried out since replies were last sent.
    answered: bool,
}

impl Trace {
    /// Returns the machine of a datagram. It begins in the state in which the one before ended.
    pub(super) fn of_datagram() -> Self {
        Self { at: Some(ConnState::Read), answered: false }
    }

    /// Logs the change to `state`, unless it is the current one.
    fn enter(&mut self, context: &ServerState, fd: i32, state: ConnState) {
        let from = self.at.replace(state).unwrap_or(ConnState::NewCmd);
        if from != state {
            context.log(3, || format!("{fd}: going from {} to {}", from.text(), state.text()));
        }
    }

    /// Records that a command is answered.
    fn answered(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = true;
    }

    /// Records that replies are sent.
    fn flush(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::Mwrite);
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = false;
    }

    /// Handles the first event of a connection.
    fn begin(&mut self, context: &ServerState, fd: i32) {
        if self.at.is_none() {
            self.enter(context, fd, ConnState::Waiting);
            self.enter(context, fd, ConnState::Read);
        }
    }
}

/// These methods are called only if `-vvv` is logged, except as stated.
impl Session {
    /// Records that input has arrived.
    pub(super) fn trace_input(&mut self, env: &Env<'_>) {
        self.trace.begin(env.context, env.fd);
        if self.trace.at == Some(ConnState::Read) {
            self.trace.enter(env.context, env.fd, ConnState::ParseCmd);
        }
    }

    /// Records that a command begins.
    pub(super) fn trace_command(&mut self, env: &Env<'_>) {
        if self.trace.at == Some(ConnState::NewCmd) {
            self.trace.enter(env.context, env.fd, ConnState::ParseCmd);
        }
    }

    /// Records that memcached's machine is in `state` within a command. Called at any verbosity.
    #[inline]
    pub(super) fn trace_within(&mut self, env: &Env<'_>, state: ConnState) {
        if env.context.logs(3) {
            self.trace.enter(env.context, env.fd, state);
        }
    }

    /// Records the end of a step, whose reply begins with `answer`.
    pub(super) fn trace_step(&mut self, env: &Env<'_>, used: &Used, answer: &[u8]) {
        let (context, fd) = (env.context, env.fd);
        let is_binary = self.protocol == Protocol::Binary;
        let is_error = is_binary && binary::is_bare_error(answer);
        match used {
            Used::NeedInput | Used::Stop(_, Next::Abort(_) | Next::Sleep(_)) => return,
            // The end of the visit takes it to `conn_mwrite`.
            Used::Stop(_, Next::Close(_)) if is_error || !is_binary => return,
            Used::Bytes(_) | Used::Stop(..) => {}
        }
        match self.state {
            State::Command if is_error => self.trace.flush(context, fd),
            State::Command => self.trace.answered(context, fd),
            State::Swallow { .. } => self.trace.enter(context, fd, ConnState::Swallow),
            State::Watch => self.trace.enter(context, fd, ConnState::Watch),
            State::Value(_)
            | State::Keys { .. }
            | State::SkipLine { .. }
            | State::Dump(_)
            | State::Config(_) => {}
        }
    }

    /// Records the end of a visit that leaves `left` bytes of its input unused.
    pub(super) fn trace_visit(&mut self, env: &Env<'_>, step: &Step, left: usize) {
        let (context, fd) = (env.context, env.fd);
        let Some(ConnState::NewCmd | ConnState::ParseCmd | ConnState::Mwrite) = self.trace.at else { return };
        match step.next {
            Next::Abort(_) | Next::Watch(_) => {}
            // Turns end at other points in memcached.
            Next::Yield if env.turn.is_over() => {}
            Next::Close(_) => self.trace.flush(context, fd),
            Next::Input | Next::Yield | Next::Sleep(_) | Next::Pending => {
                if self.trace.answered {
                    self.trace.flush(context, fd);
                }
                if step.next == Next::Input {
                    if left > 0 {
                        self.trace.enter(context, fd, ConnState::ParseCmd);
                    }
                    self.trace.enter(context, fd, ConnState::Waiting);
                    self.trace.enter(context, fd, ConnState::Read);
                }
            }
        }
    }
}

/// These methods are called at any verbosity.
impl Session {
    /// Records that the connection will be closed. With `aborted`, the reason lies outside of
    /// memcached's machine.
    pub fn closing(&mut self, context: &ServerState, fd: i32, aborted: bool) {
        if context.logs(3) && !aborted {
            self.trace.begin(context, fd);
            self.trace.enter(context, fd, ConnState::Closing);
        }
    }

    /// Records that the connection is closed.
    pub fn closed(&mut self, context: &ServerState, fd: i32) {
        if context.logs(3) {
            self.trace.enter(context, fd, ConnState::Closed);
        }
    }
}

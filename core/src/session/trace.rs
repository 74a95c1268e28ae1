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
//! A session has other states. It moves this machine as it works, and only where `-vvv` is
//! logged. `conn_mwrite` ends here when the replies are ready, in memcached when they are sent.

use super::{Env, Next, Session, State, Step, Used};
use crate::config::Protocol;
use crate::context::{ConnState, ServerState};
use crate::protocol::binary;

/// Where memcached's machine would be.
#[derive(Clone, Copy, Default)]
pub(super) struct Trace {
    /// `None`: it has not begun.
    at: Option<ConnState>,
    /// Commands were carried out since replies were last sent.
    answered: bool,
}

impl Trace {
    /// The machine of a datagram, which begins where the one before ended.
    pub(super) fn of_datagram() -> Self {
        Self { at: Some(ConnState::Read), answered: false }
    }

    /// Logs the change to `state`, if it is one.
    fn enter(&mut self, context: &ServerState, fd: i32, state: ConnState) {
        let from = self.at.replace(state).unwrap_or(ConnState::NewCmd);
        if from != state {
            context.log(3, || format!("{fd}: going from {} to {}", from.text(), state.text()));
        }
    }

    /// A command is answered.
    fn answered(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = true;
    }

    /// Replies are sent.
    fn flush(&mut self, context: &ServerState, fd: i32) {
        self.enter(context, fd, ConnState::Mwrite);
        self.enter(context, fd, ConnState::NewCmd);
        self.answered = false;
    }

    /// The first event of a connection.
    fn begin(&mut self, context: &ServerState, fd: i32) {
        if self.at.is_none() {
            self.enter(context, fd, ConnState::Waiting);
            self.enter(context, fd, ConnState::Read);
        }
    }
}

/// Called only where `-vvv` is logged, unless said otherwise.
impl Session {
    /// Input has come.
    pub(super) fn trace_input(&mut self, env: &Env<'_>) {
        self.trace.begin(env.context, env.fd);
        if self.trace.at == Some(ConnState::Read) {
            self.trace.enter(env.context, env.fd, ConnState::ParseCmd);
        }
    }

    /// A command begins.
    pub(super) fn trace_command(&mut self, env: &Env<'_>) {
        if self.trace.at == Some(ConnState::NewCmd) {
            self.trace.enter(env.context, env.fd, ConnState::ParseCmd);
        }
    }

    /// Called at any verbosity: memcached's machine is in `state` within a command.
    #[inline]
    pub(super) fn trace_within(&mut self, env: &Env<'_>, state: ConnState) {
        if env.context.logs(3) {
            self.trace.enter(env.context, env.fd, state);
        }
    }

    /// A step is done, whose answer begins with `answer`.
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

    /// A visit ends; of its input `left` bytes are not used.
    pub(super) fn trace_visit(&mut self, env: &Env<'_>, step: &Step, left: usize) {
        let (context, fd) = (env.context, env.fd);
        let Some(ConnState::NewCmd | ConnState::ParseCmd | ConnState::Mwrite) = self.trace.at else { return };
        match step.next {
            Next::Abort(_) | Next::Watch(_) => {}
            // Turns end elsewhere in memcached.
            Next::Yield if env.turn.is_over() => {}
            Next::Close(_) => self.trace.flush(context, fd),
            Next::Input | Next::Yield | Next::Sleep(_) => {
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

/// Called at any verbosity.
impl Session {
    /// The connection will be closed; `aborted`: from outside of memcached's machine.
    pub fn closing(&mut self, context: &ServerState, fd: i32, aborted: bool) {
        if context.logs(3) && !aborted {
            self.trace.begin(context, fd);
            self.trace.enter(context, fd, ConnState::Closing);
        }
    }

    /// The connection is closed.
    pub fn closed(&mut self, context: &ServerState, fd: i32) {
        if context.logs(3) {
            self.trace.enter(context, fd, ConnState::Closed);
        }
    }
}

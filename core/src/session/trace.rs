//! The steps of a session as changes of memcached's [machine](super::machine).

use super::env::Env;
use super::state::{Session, State};
use super::step::{Next, Step, Used};
use crate::config::Protocol;
use crate::protocol::binary;
use crate::state::{ConnState, ServerState};

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
            | State::RoutedValue(_)
            | State::Keys(_)
            | State::GuardedKeys(_)
            | State::RoutedKeys(_)
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

//! Injected faults of commands.

use std::time::Duration;

use super::env::Env;
use super::routed_get::RoutedGet;
use super::slots::Work;
use super::state::{ReplyFault, Session, State};
use super::step::{Next, Used};
use crate::base::faults::Fault;
use crate::cache::{Operation, Response};
use crate::protocol::commands::find;
use crate::protocol::encoder::{Encoder, Form};
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::state::CloseReason;

/// The effect of a fault on a command.
pub(super) enum FaultOutcome {
    /// The command is answered, or will be later.
    Done(Used),
    /// The command behaves as if the item did not exist.
    Miss,
}

impl Session {
    /// Returns the fault of a command. Returns a delay only once.
    pub(super) fn next_fault(&mut self, env: &Env<'_>, name: &str, key: &[u8]) -> Option<Fault> {
        if self.slept {
            self.slept = false;
            return None;
        }
        match env.context.cache.faults().check(name, key) {
            // The owner of the session cannot wait for a reply, or a backend sends it.
            Some(Fault::DelayReply(time)) if env.deferred.is_none() || env.is_routed(name.as_bytes()) => {
                Some(Fault::Delay(time))
            }
            fault => fault,
        }
    }

    /// Truncates the reply that begins now after `bytes` bytes.
    pub(super) fn truncate(&mut self, bytes: usize, out: &Output) {
        if !matches!(self.reply_fault.as_deref(), Some(ReplyFault::Truncate(_))) {
            self.reply_fault = Some(Box::new(ReplyFault::Truncate(out.len().saturating_add(bytes))));
        }
    }

    /// Continues a fault of a reply at the start of a visit.
    #[cold]
    pub(super) fn resume_reply_fault(&mut self, out: &Output) {
        match self.reply_fault.as_deref_mut() {
            Some(ReplyFault::Truncate(left)) => *left = left.saturating_add(out.len()),
            Some(ReplyFault::Delay(start, _)) => *start = out.mark(),
            None => {}
        }
    }

    /// Applies the fault of a reply between two steps. Returns the next action if the connection
    /// ends.
    #[cold]
    pub(super) fn apply_reply_fault(&mut self, env: &mut Env<'_>, out: &mut Output) -> Option<Next> {
        match self.reply_fault.as_deref() {
            Some(ReplyFault::Truncate(end)) if out.len() >= *end || self.is_idle() => {
                return Some(Next::Close(CloseReason::Error));
            }
            Some(ReplyFault::Delay(..)) if matches!(self.state, State::Command | State::Swallow { .. }) => {
                self.end_delayed_reply(env, out);
            }
            _ => {}
        }
        None
    }

    /// Delays the reply that begins now by `time`.
    pub(super) fn delay_reply(&mut self, time: Duration, out: &Output) {
        if self.reply_fault.is_none() {
            self.reply_fault = Some(Box::new(ReplyFault::Delay(out.mark(), time)));
        }
    }

    /// Moves a complete reply out of the output if it is delayed. Leaves a slot in its place.
    ///
    /// A reply that waits for other slots is not delayed further.
    #[cold]
    pub(super) fn end_delayed_reply(&mut self, env: &mut Env<'_>, out: &mut Output) {
        let Some(&ReplyFault::Delay(start, time)) = self.reply_fault.as_deref() else { return };
        self.reply_fault = None;
        let Some(deferred) = &mut env.deferred else { return };
        if out.grew_since(&start) && !out.opened_since(&start) {
            let reply = out.split_off(&start);
            let slot = deferred.slot();
            out.open_slot(slot, reply.len());
            deferred.work.push(Work::Delay { slot, time, reply });
        }
    }

    /// Cuts the output at the end of a visit. Returns the next action if the connection ends.
    #[cold]
    pub(super) fn pause_reply_fault(&mut self, out: &mut Output) -> Option<Next> {
        let Some(ReplyFault::Truncate(end)) = self.reply_fault.as_deref_mut() else { return None };
        let ends = out.len() >= *end;
        if ends {
            out.truncate(*end);
        }
        *end = end.saturating_sub(out.len());
        ends.then_some(Next::Close(CloseReason::Error))
    }

    /// Applies the fault of the command that `reply` answers, if there is one. The line or packet
    /// of the command is the first `length` bytes of `input`.
    pub(super) fn fault(
        &mut self,
        env: &Env<'_>,
        input: &[u8],
        reply: &mut Encoder<'_>,
        length: usize,
    ) -> Option<FaultOutcome> {
        let name = match reply.form {
            Form::Binary(echo) => echo.name(),
            Form::Classic { .. } | Form::Meta(_) => name(input),
        };
        Some(FaultOutcome::Done(match self.next_fault(env, name, reply.key)? {
            Fault::Drop => Used::Stop(length, Next::Abort(CloseReason::Error)),
            Fault::Delay(time) => {
                self.slept = true;
                Used::Stop(0, Next::Sleep(time))
            }
            Fault::Error(text) => {
                reply.encode(&Response::ServerError(&text));
                Used::Bytes(length)
            }
            Fault::Miss => return Some(FaultOutcome::Miss),
            Fault::Truncate(bytes) => {
                self.truncate(bytes, reply.out);
                return None;
            }
            Fault::DelayReply(time) => {
                self.delay_reply(time, reply.out);
                return None;
            }
        }))
    }

    /// Applies the fault of a command for backends, if there is one. Returns `None` if the command
    /// is sent on. `operation` is that of a command without a value: a store has no miss.
    #[cold]
    pub(super) fn routed_fault(
        &mut self,
        env: &Env<'_>,
        line: &[u8],
        (key, form): (&[u8], &Form<'_>),
        operation: Option<&Operation>,
        line_len: usize,
        out: &mut Output,
    ) -> Option<Used> {
        let mut reply = Encoder { out, form, key, clock: env.context.cache.clock() };
        match self.fault(env, line, &mut reply, line_len)? {
            FaultOutcome::Done(used) => Some(used),
            FaultOutcome::Miss => operation.map(|operation| {
                reply.encode(&Response::miss_of(operation));
                Used::Bytes(line_len)
            }),
        }
    }

    /// Applies the faults of a get for backends, whose keys have all arrived. Its line ends at
    /// `end`. After a delay, it meets no further fault.
    ///
    /// # Errors
    /// The input that is used, if the get is not sent on.
    #[cold]
    pub(super) fn routed_get_fault(
        &mut self,
        env: &Env<'_>,
        mut get: RoutedGet,
        end: usize,
        out: &mut Output,
    ) -> Result<RoutedGet, Used> {
        if std::mem::take(&mut self.slept) {
            return Ok(get);
        }
        let command = get.command;
        let mut fault = None;
        get.requests.retain(|request| {
            if fault.is_none() {
                fault = self.next_fault(env, command, request.key());
            }
            fault.take_if(|fault| *fault == Fault::Miss).is_none()
        });
        match fault {
            Some(Fault::Drop) => return Err(Used::Stop(end, Next::Abort(CloseReason::Error))),
            Some(Fault::Error(text)) => {
                push_line(out, &format!("SERVER_ERROR {text}"));
                return Err(Used::Bytes(end));
            }
            Some(Fault::Delay(time) | Fault::DelayReply(time)) => {
                self.slept = true;
                self.state = State::RoutedKeys(Box::new(get));
                // The line end stays. The next visit begins with it.
                return Err(Used::Stop(end - 1, Next::Sleep(time)));
            }
            Some(Fault::Truncate(bytes)) => self.truncate(bytes, out),
            Some(Fault::Miss) | None => {}
        }
        if get.requests.is_empty() {
            push_line(out, "END");
            return Err(Used::Bytes(end));
        }
        Ok(get)
    }
}

/// Returns the word of the command that a line begins with.
fn name(line: &[u8]) -> &'static str {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    find(word).map_or("", |row| row.word)
}

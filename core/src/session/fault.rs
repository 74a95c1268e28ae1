//! Injected faults of commands.

use super::state::Session;
use super::step::{Next, Used};
use crate::base::faults::Fault;
use crate::cache::{Cache, Response};
use crate::protocol::commands::find;
use crate::protocol::encoder::{Encoder, Form};
use crate::protocol::output::Output;
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
    pub(super) fn next_fault(&mut self, cache: &Cache, name: &str, key: &[u8]) -> Option<Fault> {
        if self.slept {
            self.slept = false;
            return None;
        }
        cache.faults().check(name, key)
    }

    /// Truncates the reply that begins now after `bytes` bytes.
    pub(super) fn truncate(&mut self, bytes: usize, out: &Output) {
        self.truncate_at.get_or_insert_with(|| out.len().saturating_add(bytes));
    }

    /// Applies the fault of the command that `reply` answers, if there is one. The line or packet
    /// of the command is the first `length` bytes of `input`.
    pub(super) fn fault(
        &mut self,
        cache: &Cache,
        input: &[u8],
        reply: &mut Encoder<'_>,
        length: usize,
    ) -> Option<FaultOutcome> {
        let name = match reply.form {
            Form::Binary(echo) => echo.name(),
            Form::Classic { .. } | Form::Meta(_) => name(input),
        };
        Some(FaultOutcome::Done(match self.next_fault(cache, name, reply.key)? {
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
        }))
    }
}

/// Returns the word of the command that a line begins with.
fn name(line: &[u8]) -> &'static str {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    find(word).map_or("", |row| row.word)
}

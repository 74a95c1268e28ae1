//! Injected faults of commands.

use super::answer::ReplyWriter;
use super::env::Env;
use super::state::Session;
use super::step::{Next, Used};
use crate::base::faults::Fault;
use crate::cache::Cache;
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

    /// Applies the fault of a command, if there is one. The line or packet of the command has
    /// `line_len` bytes.
    pub(super) fn fault(
        &mut self,
        env: &Env<'_>,
        name: &str,
        key: &[u8],
        reply_via: ReplyWriter,
        line_len: usize,
        out: &mut Output,
    ) -> Option<FaultOutcome> {
        let cache: &Cache = &env.context.cache;
        if !cache.faults().armed() {
            return None;
        }
        Some(FaultOutcome::Done(match self.next_fault(cache, name, key)? {
            Fault::Drop => Used::Stop(line_len, Next::Abort(CloseReason::Error)),
            Fault::Delay(time) => {
                self.slept = true;
                Used::Stop(0, Next::Sleep(time))
            }
            Fault::Error(line) => {
                reply_via.server_error(out, &line);
                Used::Bytes(line_len)
            }
            Fault::Miss => return Some(FaultOutcome::Miss),
            Fault::Truncate(bytes) => {
                self.truncate(bytes, out);
                return None;
            }
        }))
    }
}

/// Returns the first word of a line as text.
pub(super) fn command_name(line: &[u8], name_len: usize) -> &str {
    line.get(..name_len).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
}

//! Faults that were injected, as a command meets them.

use super::answer::ReplyWriter;
use super::{CloseReason, Env, Next, Session, Used};
use crate::cache::Cache;
use crate::faults::Fault;
use crate::output::Output;

/// What a fault made of a command.
pub(super) enum FaultOutcome {
    /// It is answered, or will be later.
    Done(Used),
    /// It is to find nothing.
    Miss,
}

impl Session {
    /// The fault that a command meets; a delay only once.
    pub(super) fn next_fault(&mut self, cache: &Cache, name: &str, key: &[u8]) -> Option<Fault> {
        if self.slept {
            self.slept = false;
            return None;
        }
        cache.faults().check(name, key)
    }

    /// Has the reply that begins now end after `bytes` bytes.
    pub(super) fn truncate(&mut self, bytes: usize, out: &Output) {
        self.cut.get_or_insert_with(|| out.len().saturating_add(bytes));
    }

    /// Injects a fault into a command whose line or packet has `whole` bytes, if
    /// there is one for it.
    pub(super) fn fault(
        &mut self,
        env: &Env<'_>,
        name: &str,
        key: &[u8],
        reply_via: ReplyWriter,
        whole: usize,
        out: &mut Output,
    ) -> Option<FaultOutcome> {
        let cache: &Cache = &env.context.cache;
        if !cache.faults().armed() {
            return None;
        }
        Some(FaultOutcome::Done(match self.next_fault(cache, name, key)? {
            Fault::Drop => Used::Stop(whole, Next::Abort(CloseReason::Error)),
            Fault::Delay(time) => {
                self.slept = true;
                Used::Stop(0, Next::Sleep(time))
            }
            Fault::Error(line) => {
                reply_via.server_error(out, &line);
                Used::Bytes(whole)
            }
            Fault::Miss => return Some(FaultOutcome::Miss),
            Fault::Truncate(bytes) => {
                self.truncate(bytes, out);
                return None;
            }
        }))
    }
}

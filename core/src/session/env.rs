//! The surroundings of a session for one visit.

use std::time::Instant;

use super::slots::{Deferred, Routing};
use crate::base::turn::{self, Turn};
use crate::state::{ServerState, WorkerStats};

/// Bytes that a visit reads and replies with while all connections together hold much memory.
pub(crate) const TIGHT: usize = 16 * 1024;

/// The surroundings of a session for one visit.
#[derive(Debug)]
pub struct Env<'a> {
    /// The server.
    pub context: &'a ServerState,
    /// Counters of this worker.
    pub stats: &'a WorkerStats,
    /// Descriptor of the client, shown to watchers and in logs.
    pub fd: i32,
    /// The rest of the visit's budget.
    pub turn: Turn,
    /// The length of the output at which the visit ends.
    pub limit: usize,
    /// Takes work whose replies come later. `None` if the owner does not wait for replies.
    pub deferred: Option<&'a mut Deferred>,
    /// Set if all connections together hold much memory, so that each must hold little.
    pub(crate) is_tight: bool,
    /// Whether the commands are those of a proxy, whose clients have been sampled already.
    pub(crate) is_of_proxy: bool,
    /// The begin of the command under way, if it is sampled.
    pub(super) sampled: Option<Instant>,
}

impl<'a> Env<'a> {
    /// Returns the surroundings of a visit of at most `commands` commands, whose output is empty.
    #[inline]
    pub fn new(context: &'a ServerState, stats: &'a WorkerStats, fd: i32, commands: usize) -> Self {
        let is_tight = context.cache.store().beside().is_tight();
        let limit = context.config.output_limit.min(if is_tight { TIGHT } else { turn::WORK });
        let turn = Turn::new(commands);
        Self { context, stats, fd, turn, limit, deferred: None, is_tight, is_of_proxy: false, sampled: None }
    }

    /// Returns whether a command goes to backends. `word` is the word of a command with a key.
    #[inline]
    pub(super) fn is_routed(&self, word: &[u8]) -> bool {
        self.context.proxy.is_some()
            && self.deferred.as_ref().is_some_and(|deferred| match deferred.routing {
                Routing::Off => false,
                Routing::Of(tag) => deferred.hooks.route(word, tag),
            })
    }
}

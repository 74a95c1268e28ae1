//! The connections of a worker, while their reply slots are filled.

use std::collections::VecDeque;

use mio::Token;

use super::backends::Around;
use super::connection::Connection;
use crate::protocol::output::{Output, SlotId};
use crate::proxy::engine::Answers;
use crate::state::WorkerStats;
use crate::store::Beside;

/// Bytes that a connection may hold even if all connections together hold too much.
pub(super) const SPARED: usize = 1024;

/// The connections of a worker, while their reply slots are filled.
pub(super) struct Clients<'a> {
    pub(super) around: Around<'a>,
    pub(super) slots: &'a mut [Option<Box<Connection>>],
    /// Connections that wait for a turn.
    pub(super) ready: &'a mut VecDeque<Token>,
}

impl Clients<'_> {
    /// Fills a reply slot, unless its connection is closed.
    ///
    /// Backends answer the requests of a client in any order and in several reads. As in memcached,
    /// the client gets the replies when all have come. `eager` sends them as soon as they can
    /// leave.
    pub(super) fn fill(&mut self, slot: SlotId, eager: bool, fill: impl FnOnce(&mut Output) -> bool) {
        let Some(Some(connection)) = self.slots.get_mut(slot.client) else { return };
        let Around { context, stats, .. } = self.around;
        let before = connection.held();
        let visit = connection.fill(context.cache.clock().now(), eager, fill);
        held_changes(stats, context.cache.store().beside(), before, connection.held());
        if visit && !connection.queued {
            connection.queued = true;
            self.ready.push_back(Token(slot.client));
        }
    }
}

impl Answers for Clients<'_> {
    fn answer(&mut self, slot: SlotId, mut answer: &[u8]) {
        let Around { context, stats, .. } = self.around;
        stats.proxy.active.sub(1);
        // Clients that do not read leave no memory for more.
        if answer.len() > SPARED && context.cache.store().beside().is_exceeded() {
            answer = b"SERVER_ERROR out of memory\r\n";
        }
        self.fill(slot, false, |output| output.fill_from(slot, answer));
    }
}

/// Updates the counter of held bytes after a connection's buffers have changed.
pub(super) fn held_changes(stats: &WorkerStats, beside: &Beside, before: usize, after: usize) {
    if before != after {
        beside.changed(before, after);
        stats.buffered.add((after as u64).wrapping_sub(before as u64));
    }
}

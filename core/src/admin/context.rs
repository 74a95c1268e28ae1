//! The context of an admin command, and its outcome.

use super::dump::Dump;
use super::upload::NodesUpload;
use crate::cache::Cache;
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::state::{CloseReason, ServerState, WorkerStats};
use crate::store::PinnedValue;

/// Items pinned by `debugitem`, by key.
pub type PinnedItems = Vec<(Vec<u8>, PinnedValue)>;

/// The action of the session after an admin command.
#[derive(Debug)]
pub enum Outcome {
    /// Reads the next command.
    Done,
    /// Closes the connection after flushing.
    Close(CloseReason),
    /// Closes the connection at once.
    Abort(CloseReason),
    /// Streams events of these kinds.
    Watch(u32),
    /// Sends a long list.
    Dump(Box<Dump>),
    /// Reads a list of nodes.
    Upload(Box<NodesUpload>),
    /// Discards this many bytes of input.
    Swallow(usize),
}

/// The context of an admin command.
#[derive(Debug)]
pub struct AdminContext<'a> {
    /// The server.
    pub context: &'a ServerState,
    /// Counters of this worker.
    pub stats: &'a WorkerStats,
    /// Descriptor of the client.
    pub client: i32,
    /// The output for replies.
    pub out: &'a mut Output,
    /// Whether `noreply` was given: replies are dropped.
    pub quiet: bool,
    /// Whether replies to earlier commands wait to be sent.
    pub pipelined: bool,
    /// Set for commands that cost much more than a get. A turn carries out one of them.
    pub is_dear: bool,
    /// Items pinned by `debugitem`.
    pub held: &'a mut PinnedItems,
}

impl AdminContext<'_> {
    /// Replies with a line, unless `noreply` was given.
    pub(super) fn line(&mut self, line: &str) -> Outcome {
        if self.quiet {
            self.context.log(2, || format!(">{} NOREPLY {line}", self.client));
        } else {
            push_line(self.out, line);
        }
        Outcome::Done
    }

    /// Returns the cache.
    pub(super) fn cache(&self) -> &Cache {
        &self.context.cache
    }
}

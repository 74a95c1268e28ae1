//! Replies that come later.
//!
//! ```text
//!   session ── opens a slot in the output ──▶ goes on with the next command
//!      └────── Work { slot, … } ──▶ owner ── carries it out ──▶ Output::fill(slot, reply)
//! ```
//!
//! A session leaves a slot in its output in place of a reply, and asks its owner for the work. The
//! replies still leave in the order of the commands.
//!
//! - **Bounds.** While a slot is open, the owner does not read from the client
//!   ([`Next::Pending`](super::Next::Pending)). Commands that it has read are carried out, until
//!   the output is full. Each open slot counts as output, so the limit of output bounds their
//!   number.
//! - **Ends.** A connection that closes after its replies waits for the open slots. One that is
//!   aborted drops them, and later replies to them are dropped, too. The name of a slot is used
//!   once in a worker, so such a reply never reaches the next connection.
//! - **Owners that cannot wait**, such as a UDP socket, lend no [`Deferred`]. Then no slot is
//!   opened.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Tag;
use crate::protocol::output::{Output, SlotId};
use crate::proxy::engine::Client;
use crate::proxy::hooks::Hooks;
use crate::proxy::request::Requests;

/// Work that a session asks of its owner.
#[derive(Debug)]
pub enum Work {
    /// Fill `slot` with `reply` after `time`.
    Delay {
        /// The slot.
        slot: SlotId,
        /// An injected delay.
        time: Duration,
        /// The reply of a command that was carried out.
        reply: Output,
    },
    /// Fill the slot of `client` with the reply of backends to these requests: one, or the parts of
    /// a get.
    Route {
        /// The sender, and the slot.
        client: Client,
        /// The requests.
        requests: Requests,
    },
}

/// Whether a proxy routes the commands of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Its own cache answers, because the listener has a protocol of its own.
    Off,
    /// It does, as those of a listener with this tag.
    Of(Option<Tag>),
}

impl Default for Routing {
    fn default() -> Self {
        Self::Of(None)
    }
}

impl Deferred {
    /// Returns the tag of the listener.
    pub fn tag(&self) -> Option<Tag> {
        match self.routing {
            Routing::Off => None,
            Routing::Of(tag) => tag,
        }
    }
}

/// The work that the sessions of one worker ask for. It gives out the names of slots.
#[derive(Debug, Default)]
pub struct Deferred {
    /// The number of the connection that is being visited.
    pub client: usize,
    /// Serial number of the last slot.
    serial: u64,
    /// Work that is not yet begun.
    pub work: Vec<Work>,
    /// The commands that the proxy of this worker routes.
    pub hooks: Hooks,
    /// Whether those of the connection that is being visited are.
    pub routing: Routing,
    /// The first common name in the certificate of that client.
    pub common_name: Option<Arc<[u8]>>,
}

impl Deferred {
    /// Returns the name of a new slot of the current connection.
    pub fn slot(&mut self) -> SlotId {
        self.serial += 1;
        SlotId { client: self.client, serial: self.serial }
    }
}

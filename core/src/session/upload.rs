//! A value that did not arrive with its line, until it is complete.

use super::answer::ReplyWriter;
use crate::protocol::request::{Key, StoreHead};
use crate::store::Reservation;

/// A value on its way into the cache.
pub(super) struct Upload {
    pub(super) reservation: Reservation,
    pub(super) head: OwnedHead,
    pub(super) reply_via: ReplyWriter,
    /// The received part of the line end behind the value.
    pub(super) tail: [u8; 2],
    pub(super) tail_len: usize,
}

impl Upload {
    /// Returns the first word of its line, as far as the log needs it. Returns `None` for a packet.
    pub(super) fn word(&self) -> Option<&'static [u8]> {
        match self.reply_via {
            ReplyWriter::Classic { .. } => Some(b"set"),
            ReplyWriter::Meta(_) => Some(b"ms"),
            ReplyWriter::Binary(_) => None,
        }
    }
}

/// A [`StoreHead`] that outlives its line.
pub(super) struct OwnedHead {
    pub(super) key: Box<[u8]>,
    request: StoreHead<'static>,
}

impl OwnedHead {
    pub(super) fn new(head: &StoreHead<'_>) -> Self {
        const PLACE: &[u8] = b"-";
        let place = Key::new(PLACE);
        let request = StoreHead { key: place.unwrap_or_else(|| unreachable!("one byte is a key")), ..*head };
        Self { key: head.key.bytes().into(), request }
    }

    pub(super) fn borrow(&self) -> Option<StoreHead<'_>> {
        Some(StoreHead { key: Key::new(&self.key)?, ..self.request })
    }
}

//! A value that did not arrive with its line, until it is complete.

use crate::cache::{Exptime, Request, StoreOperation};
use crate::protocol::encoder::Form;
use crate::store::Reservation;

/// A value on its way into the cache.
pub(super) struct Upload {
    pub(super) reservation: Reservation,
    pub(super) command: StoreCommand,
    /// The received part of the line end behind the value.
    pub(super) tail: [u8; 2],
    pub(super) tail_len: usize,
    /// Whether the store is sampled.
    pub(super) is_sampled: bool,
}

/// A store that outlives its line.
pub(super) struct StoreCommand {
    operation: StoreOperation<Exptime>,
    form: Form<'static>,
    /// The key, then the token that the reply repeats.
    names: Box<[u8]>,
    /// Length of the key; at most that of `names`.
    key_len: usize,
}

impl Upload {
    /// Begins an upload. Memory for its value is reserved.
    pub(super) fn new(
        reservation: Reservation,
        request: &Request<'_, &StoreOperation<Exptime>>,
        form: &Form<'_>,
    ) -> Self {
        let command = StoreCommand {
            operation: *request.operation,
            form: form.with_opaque(&[]),
            names: [request.key, form.opaque()].concat().into(),
            key_len: request.key.len(),
        };
        // A value without a line end is treated as one whose line end has arrived.
        Self { reservation, command, tail: *b"\r\n", tail_len: 2 - form.tail(), is_sampled: false }
    }

    /// Returns the first word of its line, as far as the log needs it. Returns `None` for a packet.
    pub(super) fn word(&self) -> Option<&'static [u8]> {
        match self.command.form {
            Form::Classic { .. } => Some(b"set"),
            Form::Meta(_) => Some(b"ms"),
            Form::Binary(_) => None,
        }
    }
}

impl StoreCommand {
    /// Returns the request of the client with descriptor `client`, and the form of its reply.
    pub(super) fn request(&self, client: i32) -> (Request<'_, &StoreOperation<Exptime>>, Form<'_>) {
        let (key, opaque) = self.names.split_at_checked(self.key_len).unwrap_or_default();
        (Request { key, operation: &self.operation, client }, self.form.with_opaque(opaque))
    }
}

//! Replies to stores, and error replies that any command may have, in the client's protocol.

use crate::base::error::AllocError;
use crate::cache::{Cache, StoreRequest, StoreValue};
use crate::protocol::classic::push_line;
use crate::protocol::dispatch::store;
use crate::protocol::output::Output;
use crate::protocol::{binary, classic, meta, text};

/// The form of a command's reply.
#[derive(Clone, Copy)]
pub(super) enum ReplyWriter {
    /// The classic protocol. With `quiet`, there is no reply.
    Classic { quiet: bool },
    /// The meta protocol, which sends errors even if the request is quiet.
    Meta(meta::Echo),
    /// The binary protocol, which sends errors even if the request is quiet.
    Binary(binary::Echo),
}

impl ReplyWriter {
    /// Returns the length of the line end behind a value.
    #[inline]
    pub(super) fn tail(self) -> usize {
        match self {
            Self::Binary(_) => 0,
            Self::Classic { .. } | Self::Meta(_) => 2,
        }
    }

    /// Replies with a server error of this text.
    pub(super) fn server_error(self, out: &mut Output, line: &str) {
        match self {
            Self::Binary(echo) => echo.server_error(out, line),
            _ => self.line(out, &format!("SERVER_ERROR {line}")),
        }
    }

    /// Replies that there is no memory for a value.
    pub(super) fn refused(self, out: &mut Output, error: AllocError) {
        use crate::protocol::reply::Reply;
        match self {
            Self::Binary(echo) => binary::Encoder { out, echo }.refused(error),
            _ => self.line(out, alloc_error(error)),
        }
    }

    /// Replies that there is no memory for the rest of a value.
    pub(super) fn refused_midway(self, out: &mut Output) {
        match self {
            Self::Binary(echo) => echo.server_error(out, "Out of memory during read"),
            _ => self.line(out, text::NO_MEMORY_READ),
        }
    }

    /// Replies that a value does not end at its given length.
    pub(super) fn bad_chunk(self, out: &mut Output) {
        self.line(out, text::BAD_CHUNK);
    }

    fn line(self, out: &mut Output, line: &str) {
        if !matches!(self, Self::Classic { quiet: true }) {
            push_line(out, line);
        }
    }

    /// Stores a complete value and replies with the result.
    #[inline]
    pub(super) fn store(
        self,
        cache: &Cache,
        request: &StoreRequest<'_>,
        value: StoreValue<'_>,
        out: &mut Output,
    ) {
        match self {
            Self::Classic { quiet } => {
                let mut reply = classic::Encoder { out, with_cas: false, quiet };
                store(cache, request, value, &mut reply);
            }
            Self::Binary(echo) => store(cache, request, value, &mut binary::Encoder { out, echo }),
            Self::Meta(echo) => match cache.store_value(request, value) {
                Ok(reply) => echo.answer(out, request.key, &reply),
                Err(error) => push_line(out, alloc_error(error)),
            },
        }
    }
}

fn alloc_error(error: AllocError) -> &'static str {
    match error {
        AllocError::TooLarge => text::TOO_LARGE,
        AllocError::NoMemory => text::NO_MEMORY,
    }
}

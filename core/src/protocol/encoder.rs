//! Writes a response in the form of its command's protocol.

use super::binary::Echo;
use super::classic::encode as classic;
use super::meta::encode as meta;
use super::output::Output;
use crate::base::clock::Clock;
use crate::cache::{MetaState, Response};
use crate::store::{EntryRef, ReadConflict};

/// The form of a command's reply.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// The classic protocol.
    Classic {
        /// Whether `VALUE` lines contain the CAS.
        with_cas: bool,
        /// Whether `noreply` was given.
        quiet: bool,
    },
    /// The meta protocol.
    Meta(meta::Form<'a>),
    /// The binary protocol.
    Binary(Echo),
}

impl Form<'_> {
    /// Returns the length of the line end behind a value.
    #[inline]
    pub fn tail(&self) -> usize {
        match self {
            Self::Binary(_) => 0,
            Self::Classic { .. } | Self::Meta(_) => 2,
        }
    }

    /// Returns the token of the request that the reply repeats, if there is one.
    pub fn opaque(&self) -> &[u8] {
        if let Self::Meta(form) = self { form.opaque } else { &[] }
    }

    /// Returns this form with another token to repeat.
    pub fn with_opaque<'b>(&self, opaque: &'b [u8]) -> Form<'b> {
        match *self {
            Self::Classic { with_cas, quiet } => Form::Classic { with_cas, quiet },
            Self::Meta(form) => Form::Meta(form.with_opaque(opaque)),
            Self::Binary(echo) => Form::Binary(echo),
        }
    }
}

/// Writes the reply to one command. It ends with exactly one call that does not return
/// [`ReadConflict`].
#[derive(Debug)]
pub struct Encoder<'a> {
    /// The output.
    pub out: &'a mut Output,
    /// The form.
    pub form: &'a Form<'a>,
    /// The key of the command.
    pub key: &'a [u8],
    /// The clock of the cache.
    pub clock: &'a Clock,
}

impl Encoder<'_> {
    /// Writes an item that was found. A small value is copied, a large one pinned.
    ///
    /// # Errors
    /// [`ReadConflict`]. Nothing was written then.
    #[inline]
    pub fn found(&mut self, entry: &mut EntryRef<'_>, state: MetaState) -> Result<(), ReadConflict> {
        match self.form {
            Form::Classic { with_cas, .. } => classic::found(self.out, *with_cas, entry),
            Form::Meta(form) => form.found(self.out, self.clock, entry, state),
            Form::Binary(echo) => echo.found(self.out, entry),
        }
    }

    /// Writes a response.
    #[inline]
    pub fn encode(&mut self, response: &Response<'_>) {
        match self.form {
            Form::Classic { quiet: true, .. } => {}
            Form::Classic { .. } => classic::encode(self.out, response),
            Form::Meta(form) => form.encode(self.out, self.clock, self.key, response),
            Form::Binary(echo) => echo.encode(self.out, self.key, response),
        }
    }
}

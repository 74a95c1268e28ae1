//! A parsed line of the text protocols. It borrows from the input and is valid by construction.

use super::encoder::Form;
use super::key::Key;
use crate::cache::{Exptime, Operation, StoreOperation};

/// A parsed line.
#[derive(Debug)]
pub enum Line<'a> {
    /// `get`, `gets`, `gat`, `gats`: the keys are in the line from `keys` on.
    Gets {
        /// Offset of the first key in the line.
        keys: usize,
        /// Whether replies contain the CAS.
        with_cas: bool,
        /// The new exptime.
        touch: Option<i32>,
    },
    /// A store. Its value of `length` bytes and `\r\n` follow.
    Store {
        /// The key.
        key: Key<'a>,
        /// The store.
        operation: StoreOperation<Exptime>,
        /// Bytes of the value.
        length: usize,
        /// The form of its reply.
        form: Form<'a>,
    },
    /// Any other command on an item.
    Data {
        /// The key.
        key: Key<'a>,
        /// The operation.
        operation: Operation,
        /// The form of its reply.
        form: Form<'a>,
    },
    /// `mn`
    Noop,
    /// A line that is answered with an error.
    Bad {
        /// The error.
        error: &'static str,
        /// Bytes of the value that follows and is discarded.
        swallow: usize,
        /// Whether `noreply` was given.
        quiet: bool,
    },
    /// A store that is refused after memcached has created its item.
    Late {
        /// The error.
        error: &'static str,
        /// The key.
        key: Key<'a>,
        /// Client flags.
        flags: u32,
        /// Bytes of the value that follows and is discarded.
        length: usize,
    },
    /// A command about the server, or no command.
    Other,
}

impl Line<'_> {
    pub(super) fn bad(error: &'static str) -> Self {
        Line::Bad { error, swallow: 0, quiet: false }
    }
}

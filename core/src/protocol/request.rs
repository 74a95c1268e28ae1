//! A data command, independent of the protocol. Parsed requests borrow from the input and are valid
//! by construction.

use crate::cache::{DeltaRequest, MetaDelete, MetaGet, Mode};
use crate::config::KEY_MAX;

/// A key of 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// Returns `bytes` as a key, or `None` if they have a wrong length.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (1..=KEY_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A store whose value of `length` bytes follows the request.
#[derive(Clone, Copy, Debug)]
pub struct StoreHead<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The condition, and how the value is combined.
    pub mode: Mode,
    /// For append and prepend: store the value alone if there is no item.
    pub vivify: bool,
    /// Client flags.
    pub flags: u32,
    /// The client's exptime.
    pub exptime: i64,
    /// CAS that an existing item must have; 0 accepts any.
    pub compare: u64,
    /// CAS of the new item.
    pub cas: Option<u64>,
    /// Stores over a newer item and marks the result stale.
    pub allow_stale: bool,
    /// The key was sent in base64.
    pub key_binary: bool,
    /// If there is no memory: remove the old item.
    pub purge_on_failure: bool,
}

/// A data command.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Reads an item; with an exptime, also sets it.
    Get {
        /// The key.
        key: Key<'a>,
        /// The client's new exptime.
        touch: Option<i64>,
    },
    /// Remove.
    Delete {
        /// The key.
        key: Key<'a>,
        /// CAS that the item must have; 0 accepts any.
        compare: u64,
    },
    /// Sets an item's exptime.
    Touch {
        /// The key.
        key: Key<'a>,
        /// The client's exptime.
        exptime: i64,
    },
    /// Adds to or subtracts from a number.
    Delta(DeltaRequest<'a>),
    /// `mg`.
    MetaGet {
        /// The key.
        key: Key<'a>,
        /// The options.
        ask: MetaGet,
    },
    /// `md`.
    MetaDelete {
        /// The key.
        key: Key<'a>,
        /// The request.
        ask: MetaDelete,
    },
    /// `me`.
    Inspect {
        /// The key.
        key: Key<'a>,
    },
}

impl<'a> Request<'a> {
    /// Returns the key.
    pub fn key(&self) -> &'a [u8] {
        match self {
            Request::Get { key, .. }
            | Request::Delete { key, .. }
            | Request::Touch { key, .. }
            | Request::MetaGet { key, .. }
            | Request::MetaDelete { key, .. }
            | Request::Inspect { key } => key.bytes(),
            Request::Delta(delta) => delta.key,
        }
    }
}

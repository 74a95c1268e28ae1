//! One data command, whichever wire it came from. Parsed requests borrow from
//! the input and are valid by construction.

use crate::cache::{DeltaRequest, MetaDelete, MetaGet, Mode};
use crate::config::KEY_MAX;

/// A key of 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// `bytes` as a key, if they can be one.
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
    /// What to do about an existing item.
    pub mode: Mode,
    /// For append and prepend: store if there is nothing to add to.
    pub vivify: bool,
    /// Client flags.
    pub flags: u32,
    /// TTL as the client gave it.
    pub exptime: i64,
    /// CAS that an existing item must have; 0: any.
    pub compare: u64,
    /// CAS of the new item.
    pub cas: Option<u64>,
    /// Store over a newer item, marked stale.
    pub allow_stale: bool,
    /// The key came in base64.
    pub key_binary: bool,
    /// When there is no room: remove what is there.
    pub purge_on_failure: bool,
}

/// A data command.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Read; with a TTL: give the item a new one.
    Get {
        /// The key.
        key: Key<'a>,
        /// New TTL as the client gave it.
        touch: Option<i64>,
    },
    /// Remove.
    Delete {
        /// The key.
        key: Key<'a>,
        /// CAS that the item must have; 0: any.
        compare: u64,
    },
    /// Give a new TTL.
    Touch {
        /// The key.
        key: Key<'a>,
        /// The TTL as the client gave it.
        exptime: i64,
    },
    /// Add to or subtract from a number.
    Delta(DeltaRequest<'a>),
    /// `mg`.
    MetaGet {
        /// The key.
        key: Key<'a>,
        /// What is asked.
        ask: MetaGet,
    },
    /// `md`.
    MetaDelete {
        /// The key.
        key: Key<'a>,
        /// What is asked.
        ask: MetaDelete,
    },
    /// `me`.
    Inspect {
        /// The key.
        key: Key<'a>,
    },
}

//! The operations that a client asks for, and what each does.
//!
//! A protocol parses bytes to an [`Operation`] on a key and encodes the [`Response`].
//! [`Cache::execute`] is between the two. It converts exptimes to seconds of the clock.

use super::{
    Cache, Deleted, DeltaOperation, MetaDelete, MetaGet, MetaState, Number, Request, StoreOperation,
    StoreReply, StoreValue,
};
use crate::base::error::{AllocError, DeltaError};
use crate::store::{EntryRef, LookupHint, ReadConflict};

/// An exptime as a client gives it: relative or absolute seconds, 0 never, negative at once.
pub type Exptime = i64;

/// An operation on one item, except for stores. See [`Cache::store`] for these.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Reads an item; with an exptime, also sets it.
    Get {
        /// The new exptime.
        touch: Option<Exptime>,
    },
    /// Removes an item.
    Delete {
        /// CAS that the item must have; 0 accepts any.
        compare: u64,
    },
    /// Sets an item's exptime.
    Touch {
        /// The new exptime.
        exptime: Exptime,
    },
    /// Adds to or subtracts from a number.
    Delta(DeltaOperation<Exptime>),
    /// `mg`.
    MetaGet(MetaGet<Exptime>),
    /// `md`.
    MetaDelete(MetaDelete<Exptime>),
    /// `me`.
    Inspect,
}

/// The outcome of an operation, except that a read found an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// A read found no item.
    Missing,
    /// A store ended.
    Stored(StoreReply),
    /// A store was refused: there is no memory, or the item is too large.
    Refused(AllocError),
    /// There is no memory for the rest of a value.
    RefusedMidway,
    /// A value does not end at its given length.
    BadChunk,
    /// A delete ended.
    Deleted(Deleted),
    /// A touch ended. The field says whether it found the item.
    Touched(bool),
    /// An increment or decrement ended.
    Number(Result<Number, DeltaError>),
    /// An injected error of this text.
    ServerError(&'a str),
}

impl Response<'_> {
    /// Returns the response to `operation` if there is no such item (an injected miss).
    pub fn miss_of(operation: &Operation) -> Self {
        match operation {
            Operation::Get { .. } | Operation::MetaGet(_) | Operation::Inspect => Self::Missing,
            Operation::Delete { .. } | Operation::MetaDelete(_) => Self::Deleted(Deleted::NotFound),
            Operation::Touch { .. } => Self::Touched(false),
            Operation::Delta(_) => Self::Number(Err(DeltaError::NotFound)),
        }
    }
}

/// The receiver of a found item. Its shard may be locked: copy or pin, and return. It leaves no
/// output behind if it returns [`ReadConflict`], and is then called again.
pub trait Show: FnMut(&mut EntryRef<'_>, MetaState) -> Result<(), ReadConflict> {}

impl<F: FnMut(&mut EntryRef<'_>, MetaState) -> Result<(), ReadConflict>> Show for F {}

impl Cache {
    /// Carries out a request. Passes an item that a read finds to `show`, and returns `None`.
    #[inline]
    #[doc(hidden)]
    pub fn execute(
        &self,
        request: &Request<'_, Operation>,
        mut show: impl Show,
    ) -> Option<Response<'static>> {
        let &Request { key, ref operation, client } = request;
        let expiry = |exptime| self.clock.expiry(exptime);
        let shown = match *operation {
            Operation::Get { touch } => {
                let hint = self.store.lookup_hint(key);
                return self.read(key, hint, touch.map(expiry), client, show);
            }
            Operation::MetaGet(get) => self.meta_get(&request.with(get.convert(expiry)), show),
            Operation::Inspect => self.inspect(key, client, |entry| show(entry, MetaState::default())),
            Operation::Delete { compare } => {
                return Some(Response::Deleted(self.delete_for(key, compare, client)));
            }
            Operation::Touch { exptime } => {
                return Some(Response::Touched(self.touch_for(key, expiry(exptime), client)));
            }
            Operation::Delta(delta) => {
                return Some(Response::Number(self.add_delta(&request.with(delta.convert(expiry)))));
            }
            Operation::MetaDelete(delete) => {
                return Some(Response::Deleted(self.meta_delete(&request.with(delete.convert(expiry)))));
            }
        };
        if shown.is_some() { None } else { Some(Response::Missing) }
    }

    /// Carries out a get, of a key whose hint is known. `touch` is a second of the clock.
    #[inline]
    pub(crate) fn read(
        &self,
        key: &[u8],
        hint: LookupHint,
        touch: Option<u32>,
        client: i32,
        mut show: impl Show,
    ) -> Option<Response<'static>> {
        let found = self.fetch_at(key, hint, None, touch, client, |entry| show(entry, MetaState::default()));
        if found.is_some() { None } else { Some(Response::Missing) }
    }

    /// Converts the exptime of a store.
    #[inline]
    pub(crate) fn timed<'a>(
        &self,
        request: &Request<'a, &StoreOperation<Exptime>>,
    ) -> Request<'a, StoreOperation> {
        request.with(request.operation.convert(|exptime| self.clock.expiry(exptime)))
    }

    /// Stores a complete value.
    #[inline]
    #[doc(hidden)]
    pub fn execute_store(
        &self,
        request: &Request<'_, StoreOperation>,
        value: StoreValue<'_>,
    ) -> Response<'static> {
        match self.store_value(request, value) {
            Ok(reply) => Response::Stored(reply),
            Err(error) => Response::Refused(error),
        }
    }
}

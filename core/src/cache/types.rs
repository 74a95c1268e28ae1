//! Requests to a cache and its answers. [`crate::cache`] re-exports them. Plain data with defaults,
//! no behaviour.

use crate::config::KEY_MAX;
use crate::store::Reservation;

/// Returns whether `key` has 1 to 250 bytes.
#[inline]
pub fn is_key(key: &[u8]) -> bool {
    (1..=KEY_MAX).contains(&key.len())
}

/// How a store treats an item that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Store unconditionally.
    Set,
    /// Store if there is no item.
    Add,
    /// Store if there is an item.
    Replace,
    /// Append to the value that is there.
    Append,
    /// Prepend to the value that is there.
    Prepend,
    /// Store if the item's CAS equals the one given.
    Cas,
}

/// An operation on a key, for a client.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, O> {
    /// The key, 1 to 250 bytes.
    pub key: &'a [u8],
    /// The operation.
    pub operation: O,
    /// File descriptor of the client, shown to watchers; 0 in process.
    pub client: i32,
}

impl<'a, O> Request<'a, O> {
    /// Returns a request of this process.
    #[inline]
    pub fn new(key: &'a [u8], operation: O) -> Self {
        Self { key, operation, client: 0 }
    }

    /// Returns this request with another operation.
    #[inline]
    pub fn with<P>(&self, operation: P) -> Request<'a, P> {
        Request { key: self.key, operation, client: self.client }
    }
}

/// A store: condition and metadata. The value is passed beside it.
///
/// `E` is the form of an expiry, here and in the other operations: a second of the clock, or an
/// exptime that the protocol has parsed and [`crate::base::clock::Clock::expiry`] converts.
#[derive(Clone, Copy, Debug)]
pub struct StoreOperation<E = u32> {
    /// The condition, and how the value is combined.
    pub mode: Mode,
    /// For append and prepend: store the value alone if there is no item.
    pub vivify: bool,
    /// Client flags.
    pub flags: u32,
    /// When the item expires.
    pub expiry: E,
    /// CAS that an existing item must have; 0 accepts any.
    pub compare: u64,
    /// CAS of the new item, or `None` for the next one.
    pub cas: Option<u64>,
    /// With [`Mode::Cas`]: store even if the item is newer than `compare`, but
    /// mark the result stale.
    pub allow_stale: bool,
    /// Marks the item's key as one that was sent in base64.
    pub key_binary: bool,
    /// If there is no memory: remove the old item, which is out of date now.
    pub purge_on_failure: bool,
}

impl<E: Default> Default for StoreOperation<E> {
    /// Returns a plain set without expiry.
    #[inline]
    fn default() -> Self {
        Self::of(Mode::Set)
    }
}

impl<E: Default> StoreOperation<E> {
    /// Returns a store without expiry. One that always stores removes the old item if it fails.
    #[inline]
    pub fn of(mode: Mode) -> Self {
        Self {
            mode,
            vivify: false,
            flags: 0,
            expiry: E::default(),
            compare: 0,
            cas: None,
            allow_stale: false,
            key_binary: false,
            purge_on_failure: matches!(mode, Mode::Set),
        }
    }
}

impl<E> StoreOperation<E> {
    /// Returns this operation with its expiry converted.
    #[inline]
    pub fn convert<F>(self, expiry: impl FnOnce(E) -> F) -> StoreOperation<F> {
        let Self { mode, vivify, flags, compare, cas, allow_stale, key_binary, purge_on_failure, .. } = self;
        let expiry = expiry(self.expiry);
        StoreOperation {
            mode,
            vivify,
            flags,
            expiry,
            compare,
            cas,
            allow_stale,
            key_binary,
            purge_on_failure,
        }
    }
}

/// The outcome of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The value is stored.
    Stored,
    /// The mode's condition was not met.
    NotStored,
    /// The item's CAS differs from the one given.
    Exists,
    /// There is no item to compare with.
    NotFound,
}

/// The outcome of a store, with the fields that meta commands report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreReply {
    /// The outcome.
    pub stored: Stored,
    /// CAS of the stored item, or 0 if nothing was stored.
    pub cas: u64,
    /// Bytes of the resulting value.
    pub length: usize,
}

/// The value of a store.
#[derive(Debug)]
pub enum StoreValue<'a> {
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// Bytes that were read into the item's memory already.
    Reservation(Reservation),
}

/// The result of [`crate::cache::Cache::add_delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The new value.
    pub value: u64,
    /// CAS of the item.
    pub cas: u64,
    /// Second at which it expires, 0 never.
    pub expiry: u32,
    /// Second at which it expired before, 0 never.
    pub old_expiry: u32,
    /// This request created the item.
    pub created: bool,
}

/// An incr or decr, for [`crate::cache::Cache::add_delta`].
#[derive(Clone, Copy, Debug)]
pub struct DeltaOperation<E = u32> {
    /// Add or subtract.
    pub increment: bool,
    /// The amount.
    pub delta: u64,
    /// CAS that the item must have; 0: any.
    pub compare: u64,
    /// CAS of the result; `None`: the next one.
    pub cas: Option<u64>,
    /// New expiry of the item.
    pub expiry: Option<E>,
    /// If there is no item: creates one with this value and expiry.
    pub vivify: Option<(u64, E)>,
}

impl<E> DeltaOperation<E> {
    /// Returns a plain incr or decr by `delta`.
    #[inline]
    pub fn new(increment: bool, delta: u64) -> Self {
        Self { increment, delta, compare: 0, cas: None, expiry: None, vivify: None }
    }

    /// Returns this operation with its expiries converted.
    #[inline]
    pub fn convert<F>(self, convert: impl Fn(E) -> F) -> DeltaOperation<F> {
        DeltaOperation {
            increment: self.increment,
            delta: self.delta,
            compare: self.compare,
            cas: self.cas,
            expiry: self.expiry.map(&convert),
            vivify: self.vivify.map(|(value, expiry)| (value, convert(expiry))),
        }
    }
}

/// A meta get, for [`crate::cache::Cache::meta_get`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaGet<E = u32> {
    /// Count the fetch as a use.
    pub update: bool,
    /// Whether use is counted only after `show` saw the item.
    pub update_late: bool,
    /// New expiry.
    pub expiry: Option<E>,
    /// Win the right to recache if the item expires before this.
    pub recache: Option<E>,
    /// Whether `recache` looks at the new expiry.
    pub recache_late: bool,
    /// On a miss: creates an empty item with this expiry, and wins.
    pub vivify: Option<E>,
    /// CAS of an item made by `vivify`.
    pub cas: Option<u64>,
    /// The reply will be an error in any case: no client wins and nothing is counted.
    pub refused: bool,
}

impl<E> MetaGet<E> {
    /// Returns whether the request changes nothing but counters and access state.
    #[inline]
    pub(crate) fn only_reads(&self) -> bool {
        !self.refused && self.expiry.is_none() && self.recache.is_none() && self.vivify.is_none()
    }

    /// Returns this operation with its expiries converted.
    #[inline]
    pub fn convert<F>(self, convert: impl Fn(E) -> F) -> MetaGet<F> {
        MetaGet {
            update: self.update,
            update_late: self.update_late,
            expiry: self.expiry.map(&convert),
            recache: self.recache.map(&convert),
            recache_late: self.recache_late,
            vivify: self.vivify.map(convert),
            cas: self.cas,
            refused: self.refused,
        }
    }
}

/// The recache state that a meta get reports beside the item.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaState {
    /// This client won: it should recache the item.
    pub win: bool,
    /// Another client won before.
    pub sent: bool,
    /// The item is stale.
    pub stale: bool,
    /// The item was made by this request.
    pub created: bool,
    /// When the item was to expire before this request, 0 never.
    pub old_expiry: u32,
}

/// A meta delete, for [`crate::cache::Cache::meta_delete`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaDelete<E = u32> {
    /// CAS that the item must have.
    pub compare: Option<u64>,
    /// CAS of the item that is kept.
    pub cas: Option<u64>,
    /// Marks the item stale in place of removing it.
    pub stale: bool,
    /// Keeps the item without its value, with these client flags.
    pub drop_value: Option<u32>,
    /// New expiry of an item that is kept.
    pub expiry: Option<E>,
}

impl<E> MetaDelete<E> {
    /// Returns this operation with its expiry converted.
    #[inline]
    pub fn convert<F>(self, convert: impl FnOnce(E) -> F) -> MetaDelete<F> {
        let Self { compare, cas, stale, drop_value, expiry } = self;
        MetaDelete { compare, cas, stale, drop_value, expiry: expiry.map(convert) }
    }
}

/// The outcome of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The item is deleted, or marked stale.
    Deleted,
    /// There was no item.
    NotFound,
    /// The CAS is another.
    Exists,
    /// There is no memory for the item that should be kept.
    NoMemory,
}

//! What a cache is asked and what it answers: the words of [`crate::cache`],
//! which re-exports them. Plain data and its defaults, no behaviour.

use crate::store::Reservation;

/// How a store treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Store in any case.
    Set,
    /// Store if there is nothing.
    Add,
    /// Store if there is something.
    Replace,
    /// Put the value behind the one that is there.
    Append,
    /// Put the value before the one that is there.
    Prepend,
    /// Store if the CAS is the one given.
    Cas,
}

/// A store to be done.
#[derive(Clone, Copy, Debug)]
pub struct StoreRequest<'a> {
    /// The key, 1 to 250 bytes.
    pub key: &'a [u8],
    /// What to do about an existing item.
    pub mode: Mode,
    /// For append and prepend: store if there is nothing to add to.
    pub vivify: bool,
    /// Client flags.
    pub flags: u32,
    /// Second of the clock at which the item expires, from [`crate::clock::Clock::expiry`].
    pub expiry: u32,
    /// CAS that an existing item must have; 0: any.
    pub compare: u64,
    /// CAS of the new item; `None`: the next one.
    pub cas: Option<u64>,
    /// With [`Mode::Cas`]: store even if the item is newer than `compare`, but
    /// mark the result stale.
    pub allow_stale: bool,
    /// Remember that the key came in base64.
    pub key_binary: bool,
    /// When there is no room: remove what is there, which is out of date now.
    pub purge_on_failure: bool,
    /// File descriptor of the client, shown to watchers; 0 in process.
    pub client: i32,
}

impl<'a> StoreRequest<'a> {
    /// A plain set of `key`, for ever, by this process.
    pub fn new(key: &'a [u8]) -> Self {
        Self {
            key,
            mode: Mode::Set,
            vivify: false,
            flags: 0,
            expiry: 0,
            compare: 0,
            cas: None,
            allow_stale: false,
            key_binary: false,
            purge_on_failure: true,
            client: 0,
        }
    }
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Stored,
    /// The mode's condition does not hold.
    NotStored,
    /// The CAS is another.
    Exists,
    /// There is nothing to compare with.
    NotFound,
}

/// A [`Stored`] with what meta commands report of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreReply {
    /// What became of it.
    pub stored: Stored,
    /// CAS of the stored item, else 0.
    pub cas: u64,
    /// Bytes of the resulting value.
    pub length: usize,
}

/// The value of a store.
#[derive(Debug)]
pub enum StoreValue<'a> {
    /// Bytes that are there.
    Bytes(&'a [u8]),
    /// Bytes that were read into item memory already.
    Reservation(Reservation),
}

/// A number after [`crate::cache::Cache::add_delta`].
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
    /// The item was made by this request.
    pub created: bool,
}

/// What [`crate::cache::Cache::add_delta`] is asked.
#[derive(Clone, Copy, Debug)]
pub struct DeltaRequest<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Add or subtract.
    pub increment: bool,
    /// How much.
    pub delta: u64,
    /// CAS that the item must have; 0: any.
    pub compare: u64,
    /// CAS of the result; `None`: the next one.
    pub cas: Option<u64>,
    /// New expiry of the item.
    pub expiry: Option<u32>,
    /// If there is no item: make one with this value and expiry.
    pub vivify: Option<(u64, u32)>,
    /// File descriptor of the client, shown to watchers; 0 in process.
    pub client: i32,
}

impl<'a> DeltaRequest<'a> {
    /// A plain incr or decr of `key` by `delta`, by this process.
    pub fn new(key: &'a [u8], increment: bool, delta: u64) -> Self {
        Self { key, increment, delta, compare: 0, cas: None, expiry: None, vivify: None, client: 0 }
    }
}

/// What [`crate::cache::Cache::meta_get`] is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaGet {
    /// Count the fetch as a use.
    pub update: bool,
    /// Whether use is counted only after `show` saw the item.
    pub update_late: bool,
    /// New expiry.
    pub expiry: Option<u32>,
    /// Win if the item expires before this second (from [`crate::clock::Clock::expiry`]).
    pub recache: Option<u32>,
    /// Whether `recache` looks at the new expiry.
    pub recache_late: bool,
    /// On a miss: make an empty item with this expiry, and win.
    pub vivify: Option<u32>,
    /// CAS of an item made by `vivify`.
    pub cas: Option<u64>,
    /// The answer will be an error all the same: nobody wins, nothing is counted.
    pub refused: bool,
    /// File descriptor of the client, shown to watchers; 0 in process.
    pub client: i32,
}

impl MetaGet {
    /// Whether it changes nothing but counts and uses.
    #[inline]
    pub(crate) fn only_reads(&self) -> bool {
        !self.refused && self.expiry.is_none() && self.recache.is_none() && self.vivify.is_none()
    }
}

/// What a meta get found beside the item.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaState {
    /// This client is to recache the item.
    pub win: bool,
    /// Another client was told to before.
    pub sent: bool,
    /// The item is stale.
    pub stale: bool,
    /// The item was made by this request.
    pub created: bool,
    /// When the item was to expire before this request, 0 never.
    pub old_expiry: u32,
}

/// What [`crate::cache::Cache::meta_delete`] is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaDelete {
    /// CAS that the item must have.
    pub compare: Option<u64>,
    /// CAS of what is left.
    pub cas: Option<u64>,
    /// Keep the item but mark it stale.
    pub stale: bool,
    /// Drop the value, keep the item, with these client flags.
    pub drop_value: Option<u32>,
    /// New expiry, where something is kept.
    pub expiry: Option<u32>,
    /// File descriptor of the client, shown to watchers; 0 in process.
    pub client: i32,
}

/// What became of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Deleted, or marked.
    Deleted,
    /// There was nothing.
    NotFound,
    /// The CAS is another.
    Exists,
    /// No memory for what was to be kept.
    NoMemory,
}

//! Items as C sees them: their metadata, and a handle that keeps a value readable.

use std::ffi::c_void;
use std::sync::OnceLock;

use memcache_core::internal::base::fork::ForkMark;
use memcache_core::{ItemInfo, PinnedValue};

use crate::arguments::mcrs_slice;
use crate::guard::{self, Handle, LOCKED, Outcome, not_inside};
use crate::status::mcrs_status;

/// In mcrs_info.bits: the item was read before.
pub const MCRS_INFO_FETCHED: u32 = 1;

/// In mcrs_info.bits: the item was invalidated and not stored since.
pub const MCRS_INFO_STALE: u32 = 2;

/// In mcrs_info.bits, by mcrs_cache_meta_get(): this caller should store a new value.
pub const MCRS_INFO_WON: u32 = 4;

/// In mcrs_info.bits, by mcrs_cache_meta_get(): another caller won and has not stored yet.
pub const MCRS_INFO_SENT: u32 = 8;

/// In mcrs_info.bits, by mcrs_cache_meta_get(): the call created an item without a value.
pub const MCRS_INFO_CREATED: u32 = 16;

/// Holds the metadata of an item.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_info {
    /// Length of the value in bytes.
    pub value_len: usize,
    /// Number that changes with every store; 0 if the cache keeps none.
    pub cas: u64,
    /// Number of the caller's own, as it was stored.
    pub flags: u32,
    /// Seconds until the item expires, at least 1; MCRS_NEVER if it does not.
    pub ttl: u32,
    /// Seconds since the last access.
    pub idle: u32,
    /// MCRS_INFO_ bits; later versions may set others.
    pub bits: u32,
    /// Set to 0 by this version.
    pub reserved: [u64; 4],
}

impl mcrs_info {
    /// Converts metadata to C's struct, with further bits.
    #[inline]
    pub(crate) fn new(info: &ItemInfo, bits: u32) -> Self {
        let fetched = if info.fetched { MCRS_INFO_FETCHED } else { 0 };
        let stale = if info.stale { MCRS_INFO_STALE } else { 0 };
        Self {
            value_len: info.length,
            cas: info.cas,
            flags: info.flags,
            // A live item has at least a second left, so 0 can mean never.
            ttl: info.ttl.unwrap_or(0),
            idle: info.idle,
            bits: fetched | stale | bits,
            reserved: [0; 4],
        }
    }
}

/// Keeps a value readable and unchanged until it is freed.
///
/// The value stays readable after its key, its cache's handle and its server are gone. An item
/// holds a part of the cache's memory, so free it soon. Any thread may use a handle at any time.
pub struct mcrs_item {
    value: PinnedValue,
    info: mcrs_info,
    /// A copy in one piece of a value in pieces, made on demand.
    joined: OnceLock<Box<[u8]>>,
    mark: ForkMark,
}

impl mcrs_item {
    /// Makes a handle of this process.
    pub(crate) fn new(value: PinnedValue, info: mcrs_info) -> Self {
        Self { value, info, joined: OnceLock::new(), mark: ForkMark::of_this_process() }
    }
}

impl Handle for mcrs_item {
    fn check(&self) -> Outcome {
        guard::not_forked(self.mark)
    }
}

/// Returns the value of an item, in one piece.
///
/// Large values, from about 4 KiB in a cache of 64 MiB, lie in pieces. The first call for such a
/// value copies it to memory of the handle. Other values are not copied.
///
/// @param item  Item to read.
/// @param value  Receives the value, valid until the item is freed. `data` is not NULL, even for an
///     empty value.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_value(item: *const mcrs_item, value: *mut mcrs_slice) -> mcrs_status {
    entry!(item, { value: out(value) }, {
        let mut pieces = item.value.slices();
        let whole = match (pieces.next(), pieces.next()) {
            (None, _) => &[],
            (Some(whole), None) => whole,
            _ => item.joined.get_or_init(|| item.value.slices().flatten().copied().collect()),
        };
        value.set(mcrs_slice::of(whole));
        Ok(())
    })
}

/// Returns the pieces of the value of an item, in order, without a copy.
///
/// A piece has the layout of `struct iovec`, so the pieces can be passed to writev().
///
/// ```c
/// mcrs_item *item = NULL;
/// mcrs_slice pieces[16];
/// size_t count = 0;
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// assert(mcrs_cache_get_item(cache, "greeting", 8, &item) == MCRS_OK);
/// if (mcrs_item_pieces(item, pieces, 16, &count) == MCRS_OK) {
///     for (size_t n = 0; n < count; n++) {
///         fwrite(pieces[n].data, 1, pieces[n].len, stdout);
///     }
/// }
/// mcrs_item_free(item);
/// ```
///
/// @param item  Item to read.
/// @param pieces  Receives the pieces, valid until the item is freed; may be NULL if `capacity` is
///     0.
/// @param capacity  Number of slices in `pieces`.
/// @param count  Receives the number of pieces.
/// @return MCRS_OK; MCRS_BUFFER_TOO_SMALL if there are more than `capacity`, then `*count` is their
///     number and `pieces` is unchanged; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_pieces(
    item: *const mcrs_item,
    pieces: *mut mcrs_slice,
    capacity: usize,
    count: *mut usize,
) -> mcrs_status {
    entry!(item, { room: outs(pieces, capacity), count: out(count) }, {
        let needed = item.value.slices().count();
        count.set(needed);
        if needed > capacity {
            return Err(mcrs_status::MCRS_BUFFER_TOO_SMALL.into());
        }
        for (index, piece) in item.value.slices().enumerate() {
            room.set(index, mcrs_slice::of(piece));
        }
        Ok(())
    })
}

/// Copies the value of an item into a buffer.
///
/// @param item  Item to read.
/// @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
/// @param buffer_size  Size of `buffer` in bytes.
/// @param value_len  Receives the length of the value in bytes.
/// @return MCRS_OK; MCRS_BUFFER_TOO_SMALL if the value is longer than `buffer_size`, then
///     `*value_len` is its length and `buffer` is unchanged; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_copy(
    item: *const mcrs_item,
    buffer: *mut c_void,
    buffer_size: usize,
    value_len: *mut usize,
) -> mcrs_status {
    entry!(item, { room: room(buffer, buffer_size), value_len: out(value_len) }, {
        let mut room = room;
        value_len.set(item.value.len());
        let Some(room) = room.part(0, item.value.len()) else {
            return Err(mcrs_status::MCRS_BUFFER_TOO_SMALL.into());
        };
        item.value.fill(room);
        Ok(())
    })
}

/// Returns the metadata of an item, as it was when the handle was made.
///
/// @param item  Item to read.
/// @param info  Receives the metadata.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_info(item: *const mcrs_item, info: *mut mcrs_info) -> mcrs_status {
    entry!(item, { info: out(info) }, {
        info.set(item.info);
        Ok(())
    })
}

/// Frees an item.
///
/// In a child of fork(), and in a callback that may not call it, it does nothing.
///
/// @param item  Handle to free, which no other call uses; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_free(item: *mut mcrs_item) {
    // Freeing an item takes the lock of its shard.
    if guard::run(|| not_inside(LOCKED)) == mcrs_status::MCRS_OK {
        // SAFETY: the caller passes NULL or a handle that lives, which no other
        // call uses.
        unsafe { guard::free(item) }
    }
}

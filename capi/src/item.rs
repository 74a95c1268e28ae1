//! Items of the cache as C sees them: what there is to know of one, and a handle
//! that keeps a value readable without a copy.

use std::ffi::c_void;
use std::sync::OnceLock;

use memcache_core::internal::fork::ForkMark;
use memcache_core::{ItemInfo, PinnedValue};

use crate::arguments::mcrs_slice;
use crate::guard::{self, Handle, LOCKED, Outcome, not_inside};
use crate::status::mcrs_status;

/// In mcrs_info.bits: the item was read before.
pub const MCRS_INFO_FETCHED: u32 = 1;

/// In mcrs_info.bits: the item was invalidated, and nobody has stored a
/// new one.
pub const MCRS_INFO_STALE: u32 = 2;

/// In mcrs_info.bits, of mcrs_cache_meta_get(): this caller, and nobody else, is
/// to store a new value.
pub const MCRS_INFO_WON: u32 = 4;

/// In mcrs_info.bits, of mcrs_cache_meta_get(): another caller was told to store a
/// new value and has not done so yet.
pub const MCRS_INFO_SENT: u32 = 8;

/// In mcrs_info.bits, of mcrs_cache_meta_get(): there was no item; this call made
/// an empty one.
pub const MCRS_INFO_CREATED: u32 = 16;

/// What there is to know of an item beside its value.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_info {
    /// Bytes of the value.
    pub value_len: usize,
    /// Changes with every store; 0 if the cache keeps none.
    pub cas: u64,
    /// The caller's own number, as it was stored.
    pub flags: u32,
    /// Seconds until the item expires, or MCRS_NEVER.
    pub ttl: u32,
    /// Seconds since the item was last used.
    pub idle: u32,
    /// MCRS_INFO_ bits; others may come.
    pub bits: u32,
    /// 0; for later versions.
    pub reserved: [u64; 4],
}

impl mcrs_info {
    /// The same in C's words, with further bits.
    #[inline]
    pub(crate) fn new(info: &ItemInfo, bits: u32) -> Self {
        let fetched = if info.fetched { MCRS_INFO_FETCHED } else { 0 };
        let stale = if info.stale { MCRS_INFO_STALE } else { 0 };
        Self {
            value_len: info.length,
            cas: info.cas,
            flags: info.flags,
            // What lives has a second left, so 0 says that it does not end.
            ttl: info.ttl.unwrap_or(0),
            idle: info.idle,
            bits: fetched | stale | bits,
            reserved: [0; 4],
        }
    }
}

/// A value that stays readable and unchanged until it is freed, whatever
/// becomes of its key, of the cache's handle and of a server. It holds on to a
/// part of the cache's memory, so keep it no longer than it is needed. Any
/// thread may use it at any time.
pub struct mcrs_item {
    value: PinnedValue,
    info: mcrs_info,
    /// The value in one piece, if it is not and was asked for so.
    joined: OnceLock<Box<[u8]>>,
    mark: ForkMark,
}

impl mcrs_item {
    /// A handle of this process.
    pub(crate) fn new(value: PinnedValue, info: mcrs_info) -> Self {
        Self { value, info, joined: OnceLock::new(), mark: ForkMark::of_this_process() }
    }
}

impl Handle for mcrs_item {
    fn check(&self) -> Outcome {
        guard::not_forked(self.mark)
    }
}

/// Where the value of an item lies: `*value` points to it and is good until the
/// item is freed. Its `data` is not NULL for an empty value.
///
/// This copies nothing, but for large values, from about 4 KiB in a cache of
/// 64 MiB, which the cache keeps in pieces: the first call of this function
/// joins them in memory of the handle. mcrs_item_pieces() never copies.
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

/// Where all pieces of the value lie, in order: `pieces` gets `*count` of them,
/// good until the item is freed. They can be passed to writev(): mcrs_slice is
/// laid out as struct iovec.
///
/// MCRS_BUFFER_TOO_SMALL: there are more than `capacity`, and `*count` says how
/// many; `pieces` is left alone, and may be NULL if `capacity` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_pieces(
    item: *const mcrs_item,
    pieces: *mut mcrs_slice,
    capacity: usize,
    count: *mut usize,
) -> mcrs_status {
    entry!(item, { room: places(pieces, capacity), count: out(count) }, {
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

/// Copies the value to `buffer`; `*value_len` is its length.
///
/// MCRS_BUFFER_TOO_SMALL: it is longer than `buffer_size`, and `*value_len` says
/// how long; `buffer` is left alone, and may be NULL if `buffer_size` is 0.
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

/// What there was to know of the item when the handle was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_info(item: *const mcrs_item, info: *mut mcrs_info) -> mcrs_status {
    entry!(item, { info: out(info) }, {
        info.set(item.info);
        Ok(())
    })
}

/// Frees a handle; NULL does nothing. In a child of fork() the memory stays, as
/// it does in a callback that may not call the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_item_free(item: *mut mcrs_item) {
    // Freeing it takes the lock.
    if guard::run(|| not_inside(LOCKED)) == mcrs_status::MCRS_OK {
        // SAFETY: the caller passes NULL or a handle that lives and nobody else
        // uses.
        unsafe { guard::free(item) }
    }
}

//! The semantics of memcached's meta commands: one caller stores the new value of
//! an item that is missing, expiring or stale, so that not all do (the dogpile).

use std::ffi::c_void;

use memcache_core::ItemInfo;
use memcache_core::internal::cache::{Deleted, MetaDelete, MetaGet, Request};

use crate::arguments::known;
use crate::cache::mcrs_cache;
use crate::guard::Outcome;
use crate::item::{MCRS_INFO_CREATED, MCRS_INFO_SENT, MCRS_INFO_WON, mcrs_info, mcrs_item};
use crate::status::mcrs_status;

/// In mcrs_meta_get_options.bits: sets the TTL of the item to `ttl`.
pub const MCRS_META_TTL: u32 = 1;

/// In mcrs_meta_get_options.bits: creates a missing item without a value.
///
/// The item gets the TTL `create_ttl`, and the caller wins.
pub const MCRS_META_CREATE: u32 = 2;

/// In mcrs_meta_get_options.bits: does not count as an access.
///
/// The call then does not keep the item from being evicted.
pub const MCRS_META_PEEK: u32 = 4;

/// Holds the options of mcrs_cache_meta_get().
///
/// All zero only reads: write `mcrs_meta_get_options options = {0};`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_meta_get_options {
    /// MCRS_META_ bits.
    pub bits: u32,
    /// Seconds to live from now, or MCRS_NEVER; used with MCRS_META_TTL.
    pub ttl: u32,
    /// One caller wins if the item has fewer seconds left; 0 for never.
    pub recache: u32,
    /// Seconds to live of an item that is created, or MCRS_NEVER.
    pub create_ttl: u32,
    /// CAS of an item that is created; 0 for the next one.
    pub new_cas: u64,
    /// Must be 0.
    pub reserved: [u64; 4],
}

/// In mcrs_delete_options.bits: keeps the item, but marks it stale.
///
/// The next caller of mcrs_cache_meta_get() wins. Until it has stored a new value, other callers
/// may use the old one.
pub const MCRS_DELETE_STALE: u32 = 1;

/// In mcrs_delete_options.bits: deletes only the value, and sets the client flags to `flags`.
pub const MCRS_DELETE_VALUE: u32 = 2;

/// In mcrs_delete_options.bits: sets the TTL of a kept item to `ttl`.
pub const MCRS_DELETE_TTL: u32 = 4;

/// Holds the options of mcrs_cache_delete_with().
///
/// All zero is a plain delete: write `mcrs_delete_options options = {0};`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_delete_options {
    /// MCRS_DELETE_ bits.
    pub bits: u32,
    /// Seconds to live from now, or MCRS_NEVER; used with MCRS_DELETE_TTL.
    pub ttl: u32,
    /// Flags of an item that is kept without its value.
    pub flags: u32,
    /// Must be 0.
    pub reserved_bits: u32,
    /// CAS that the item must have; 0 for any.
    pub compare_cas: u64,
    /// CAS of a kept item; 0 for the next one.
    pub new_cas: u64,
    /// Must be 0.
    pub reserved: [u64; 4],
}

/// Reads an item, and says whether the caller should store a new value.
///
/// `info->bits` has MCRS_INFO_WON for the one caller that should store, and MCRS_INFO_SENT for
/// others until then. MCRS_INFO_STALE marks an invalidated item, MCRS_INFO_CREATED a new one. The
/// winner calls mcrs_cache_store() with the item's CAS as `compare_cas`.
///
/// ```c
/// mcrs_meta_get_options options = {0};
/// mcrs_info info;
/// options.bits = MCRS_META_CREATE;
/// options.create_ttl = 60;
/// options.recache = 10;
/// assert(mcrs_cache_meta_get(cache, "page", 4, &options, NULL, &info) == MCRS_OK);
/// if (info.bits & MCRS_INFO_WON) {
///     mcrs_store_options store = {0};
///     store.ttl = 60;
///     store.compare_cas = info.cas;
///     assert(mcrs_cache_store(cache, "page", 4, "<h1>hi</h1>", 11, &store, NULL) == MCRS_OK);
/// }
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param options  Options; NULL only reads.
/// @param item  Receives a handle of the value, to be freed with mcrs_item_free(); may be NULL.
/// @param info  Receives the metadata from before the call, with the new TTL; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item and none was created; MCRS_INVALID_ARGUMENT
///     if `options` is not allowed; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_meta_get(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    options: *const mcrs_meta_get_options,
    item: *mut *mut mcrs_item,
    info: *mut mcrs_info,
) -> mcrs_status {
    entry!(cache, {
        key: key(key, key_len),
        options: options(options),
        item: maybe_out_handle(item),
        info: maybe_out(info),
    }, {
        known(options.bits, MCRS_META_TTL | MCRS_META_CREATE | MCRS_META_PEEK, &options.reserved)?;
        let has = |bit| options.bits & bit != 0;
        let request = MetaGet {
            update: !has(MCRS_META_PEEK),
            update_late: true,
            expiry: has(MCRS_META_TTL).then(|| cache.expires(options.ttl)).transpose()?,
            recache: (options.recache != 0).then(|| cache.expires(options.recache)).transpose()?,
            recache_late: false,
            vivify: has(MCRS_META_CREATE).then(|| cache.expires(options.create_ttl)).transpose()?,
            cas: (options.new_cas != 0).then_some(options.new_cas),
            refused: false,
        };
        let shown = cache.cache.meta_get(&Request::new(key, request), |entry, tokens| {
            let found = ItemInfo::of(entry);
            let mut bits = 0;
            for (holds, bit) in [
                (tokens.win, MCRS_INFO_WON),
                (tokens.sent, MCRS_INFO_SENT),
                (tokens.created, MCRS_INFO_CREATED),
            ] {
                bits |= if holds { bit } else { 0 };
            }
            let found = mcrs_info::new(&found, bits);
            let value = if item.is_some() { Some(entry.pin()?) } else { None };
            Ok((found, value))
        });
        let Some((found, value)) = shown else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
        if let (Some(item), Some(value)) = (item, value) {
            item.give(mcrs_item::new(value, found));
        }
        if let Some(info) = info {
            info.set(found);
        }
        Ok(())
    })
}

fn remove(cache: &mcrs_cache, key: &[u8], operation: MetaDelete) -> Outcome {
    match cache.cache.meta_delete(&Request::new(key, operation)) {
        Deleted::Deleted => Ok(()),
        Deleted::NotFound => Err(mcrs_status::MCRS_NOT_FOUND.into()),
        Deleted::Exists => Err(mcrs_status::MCRS_EXISTS.into()),
        Deleted::NoMemory => Err(mcrs_status::MCRS_NO_MEMORY.into()),
    }
}

/// Deletes an item, or a part of it, with options.
///
/// ```c
/// mcrs_delete_options options = {0};
/// mcrs_info info;
/// assert(mcrs_cache_set(cache, "page", 4, "old", 3, 60) == MCRS_OK);
/// assert(mcrs_cache_info(cache, "page", 4, &info) == MCRS_OK);
/// options.compare_cas = info.cas;
/// assert(mcrs_cache_delete_with(cache, "page", 4, &options) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param options  Options; NULL is a plain delete.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_EXISTS if the item has another CAS;
///     MCRS_NO_MEMORY; MCRS_INVALID_ARGUMENT if `options` is not allowed; MCRS_BAD_KEY; or a common
///     status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_delete_with(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    options: *const mcrs_delete_options,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), options: options(options) }, {
        let all = MCRS_DELETE_STALE | MCRS_DELETE_VALUE | MCRS_DELETE_TTL;
        known(options.bits, all, &options.reserved)?;
        known(0, 0, &[u64::from(options.reserved_bits)])?;
        let has = |bit| options.bits & bit != 0;
        remove(cache, key, MetaDelete {
            compare: (options.compare_cas != 0).then_some(options.compare_cas),
            cas: (options.new_cas != 0).then_some(options.new_cas),
            stale: has(MCRS_DELETE_STALE),
            drop_value: has(MCRS_DELETE_VALUE).then_some(options.flags),
            expiry: has(MCRS_DELETE_TTL).then(|| cache.expires(options.ttl)).transpose()?,
        })
    })
}

/// Marks an item stale and sets its TTL.
///
/// The next caller of mcrs_cache_meta_get() wins. Until it has stored a new value, other callers
/// may use the old one.
///
/// ```c
/// mcrs_info info;
/// assert(mcrs_cache_set(cache, "page", 4, "old", 3, 60) == MCRS_OK);
/// assert(mcrs_cache_invalidate(cache, "page", 4, 30) == MCRS_OK);
/// assert(mcrs_cache_meta_get(cache, "page", 4, NULL, NULL, &info) == MCRS_OK);
/// assert(info.bits & MCRS_INFO_WON && info.bits & MCRS_INFO_STALE && info.ttl == 30);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_NO_MEMORY; MCRS_BAD_KEY; or a common
///     status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_invalidate(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len) }, {
        remove(cache, key, MetaDelete { stale: true, expiry: Some(cache.expires(ttl)?), ..MetaDelete::default() })
    })
}

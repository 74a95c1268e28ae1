//! What memcached's meta commands know: who is to store a new value when one
//! grows old, so that not everybody does (the dogpile).

use std::ffi::c_void;

use memcache_core::ItemInfo;
use memcache_core::internal::cache::{Deleted, MetaDelete, MetaGet};

use crate::arguments::known;
use crate::cache::mcrs_cache;
use crate::guard::Outcome;
use crate::item::{MCRS_INFO_CREATED, MCRS_INFO_SENT, MCRS_INFO_WON, mcrs_info, mcrs_item};
use crate::status::mcrs_status;

/// In mcrs_meta_get_options.bits: give the item the TTL `ttl`.
pub const MCRS_META_TTL: u32 = 1;

/// In mcrs_meta_get_options.bits: if there is no item, make an empty one with the
/// TTL `create_ttl`; the caller wins.
pub const MCRS_META_CREATE: u32 = 2;

/// In mcrs_meta_get_options.bits: this is no use of the item; it does not keep it
/// from being evicted.
pub const MCRS_META_PEEK: u32 = 4;

/// What mcrs_cache_meta_get() does beside reading. All zero: it only reads.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_meta_get_options {
    /// MCRS_META_ bits.
    pub bits: u32,
    /// Seconds to live, or MCRS_NEVER.
    pub ttl: u32,
    /// Not 0: if the item has fewer seconds left, one caller wins.
    pub recache: u32,
    /// Seconds to live of an item that is made, or MCRS_NEVER.
    pub create_ttl: u32,
    /// CAS of an item that is made; 0: the next one.
    pub new_cas: u64,
    /// 0; for later versions.
    pub reserved: [u64; 4],
}

/// In mcrs_delete_options.bits: keep the item, but mark it stale. The next
/// caller of mcrs_cache_meta_get() wins; until that one has stored a new value, others
/// may use the old.
pub const MCRS_DELETE_STALE: u32 = 1;

/// In mcrs_delete_options.bits: keep an item without a value, with the client
/// flags `flags`.
pub const MCRS_DELETE_VALUE: u32 = 2;

/// In mcrs_delete_options.bits: give what is kept the TTL `ttl`.
pub const MCRS_DELETE_TTL: u32 = 4;

/// How mcrs_cache_delete_with() deletes. All zero is a plain delete.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct mcrs_delete_options {
    /// MCRS_DELETE_ bits.
    pub bits: u32,
    /// Seconds to live, or MCRS_NEVER.
    pub ttl: u32,
    /// Flags of what is kept without a value.
    pub flags: u32,
    /// 0; for later versions.
    pub reserved_bits: u32,
    /// Not 0: only an item with this CAS.
    pub compare_cas: u64,
    /// CAS of what is kept; 0: the next one.
    pub new_cas: u64,
    /// 0; for later versions.
    pub reserved: [u64; 4],
}

/// Reads an item and learns whether to store a new value for it. `options` may
/// be NULL.
///
/// `item`, if not NULL, gets a handle of the value, to be freed with
/// mcrs_item_free(). `info`, if not NULL, describes the item as it was before
/// this call, but for its TTL, which is the new one, and says in `bits`:
/// MCRS_INFO_WON, this caller is to store a new value (mcrs_cache_store() with
/// `compare_cas`); MCRS_INFO_STALE, the value is out of date; MCRS_INFO_SENT,
/// somebody else is at it; MCRS_INFO_CREATED, there was none.
///
/// MCRS_NOT_FOUND: there is no item, and none was made.
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
            expiry: has(MCRS_META_TTL).then(|| cache.expires(options.ttl)),
            recache: (options.recache != 0).then(|| cache.expires(options.recache)),
            recache_late: false,
            vivify: has(MCRS_META_CREATE).then(|| cache.expires(options.create_ttl)),
            cas: (options.new_cas != 0).then_some(options.new_cas),
            refused: false,
            client: 0,
        };
        let shown = cache.cache.meta_get(key, &request, |entry, tokens| {
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

fn remove(cache: &mcrs_cache, key: &[u8], request: &MetaDelete) -> Outcome {
    match cache.cache.meta_delete(key, request) {
        Deleted::Deleted => Ok(()),
        Deleted::NotFound => Err(mcrs_status::MCRS_NOT_FOUND.into()),
        Deleted::Exists => Err(mcrs_status::MCRS_EXISTS.into()),
        Deleted::NoMemory => Err(mcrs_status::MCRS_NO_MEMORY.into()),
    }
}

/// Deletes an item, or part of it, as `options` say; NULL is a plain delete.
/// MCRS_NOT_FOUND: there is none. MCRS_EXISTS: `compare_cas` is not the item's.
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
        known(options.reserved_bits, 0, &[])?;
        let has = |bit| options.bits & bit != 0;
        remove(cache, key, &MetaDelete {
            compare: (options.compare_cas != 0).then_some(options.compare_cas),
            cas: (options.new_cas != 0).then_some(options.new_cas),
            stale: has(MCRS_DELETE_STALE),
            drop_value: has(MCRS_DELETE_VALUE).then_some(options.flags),
            expiry: has(MCRS_DELETE_TTL).then(|| cache.expires(options.ttl)),
            client: 0,
        })
    })
}

/// Marks an item stale and gives it `ttl` seconds more, or MCRS_NEVER: the next
/// caller of mcrs_cache_meta_get() wins, and others may use the old value until then.
/// MCRS_NOT_FOUND: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_invalidate(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len) }, {
        remove(cache, key, &MetaDelete { stale: true, expiry: Some(cache.expires(ttl)), ..MetaDelete::default() })
    })
}

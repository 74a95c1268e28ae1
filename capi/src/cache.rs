//! The cache: its handle, and the plain ways to read it. To store is in
//! `store.rs`.

use std::ffi::c_void;
use std::sync::Arc;

use memcache_core::internal::fork::ForkMark;
use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{Cache, ItemInfo, PinnedValue};

use crate::arguments::{Out, Room, mcrs_slice};
use crate::config::mcrs_config;
use crate::guard::{self, Handle, LOCKED, Outcome, inside};
use crate::item::{mcrs_info, mcrs_item};
use crate::status::mcrs_status;

/// A TTL that does not end.
pub const MCRS_NEVER: u32 = 0;

/// A cache. Several handles may be of the same one, which lives until the last
/// of them is freed and no server serves it. Any thread may use a handle at any
/// time.
pub struct mcrs_cache {
    pub(crate) cache: Arc<Cache>,
    mark: ForkMark,
}

impl mcrs_cache {
    /// A handle of this process.
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, mark: ForkMark::of_this_process() }
    }

    /// The second of its clock at which what is stored now expires.
    #[inline]
    pub(crate) fn expires(&self, ttl: u32) -> u32 {
        match ttl {
            MCRS_NEVER => 0,
            seconds => self.cache.clock().now().saturating_add(seconds),
        }
    }
}

impl Handle for mcrs_cache {
    #[inline]
    fn check(&self) -> Outcome {
        guard::not_forked(self.mark)?;
        guard::not_inside(LOCKED)?;
        self.cache.settle();
        Ok(())
    }
}

/// Shows a caller an item. `index` is the position of its key in the call's
/// list, 0 if there is one key. `value` and `info` are good until the function
/// returns.
///
/// It runs while a part of the cache is locked, so it should be short, and it
/// must not call this library, but for mcrs_error_message(), mcrs_status_text()
/// and the mcrs_item_ functions that are not mcrs_item_free(): others return
/// MCRS_IN_CALLBACK.
pub type mcrs_found_fn = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        index: usize,
        value: *const mcrs_slice,
        info: *const mcrs_info,
    ),
>;

/// A cache that no server serves, with those settings of `config` that concern
/// caches; `config` may be NULL for defaults. Free it with mcrs_cache_free(). It
/// has one thread, which keeps its clock and frees what has expired.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_new(
    config: *const mcrs_config,
    cache: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!({ config: maybe_handle(config), place: out_handle(cache) }, {
        let settings = config.map(|config| config.settings.cache.clone()).unwrap_or_default();
        place.give(mcrs_cache::new(Cache::new(settings)?));
        Ok(())
    })
}

/// Another handle of the same cache, to be freed by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_share(
    cache: *const mcrs_cache,
    other: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!(cache, { place: out_handle(other) }, {
        place.give(mcrs_cache::new(Arc::clone(&cache.cache)));
        Ok(())
    })
}

/// Frees a handle, and the cache with the last one; NULL does nothing. In a
/// child of fork() the memory stays, as it does in a callback that may not call
/// the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_free(cache: *mut mcrs_cache) {
    // SAFETY: the caller passes NULL or a handle that lives and nobody else uses.
    unsafe { guard::free(cache) }
}

/// Changes the memory limit, in bytes. Memory is given back soon after, in the
/// background. MCRS_INVALID_ARGUMENT: 0, or more than was reserved at start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_set_memory_limit(cache: *const mcrs_cache, bytes: usize) -> mcrs_status {
    entry!(cache, {}, {
        if bytes == 0 || !cache.cache.store().set_limit(bytes) {
            return Err(guard::invalid("the memory limit cannot become 0 or so much"));
        }
        cache.cache.maintainer().wake();
        Ok(())
    })
}

/// Copies the value of a key to `buffer`; `*value_len` is its length.
///
/// MCRS_NOT_FOUND: there is no such item. MCRS_BUFFER_TOO_SMALL: the value is
/// longer than `buffer_size`, and `*value_len` says how long; `buffer` may be
/// NULL if `buffer_size` is 0. What the call returns whatever, `buffer` may have
/// been written to, up to its size. By the time of another call the
/// value may have changed: ask in a loop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    buffer: *mut c_void,
    buffer_size: usize,
    value_len: *mut usize,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), room: room(buffer, buffer_size), value_len: out(value_len) }, {
        copy(cache, key, None, room, value_len)
    })
}

/// As mcrs_cache_get(), and gives the item a new TTL in seconds, or MCRS_NEVER: also
/// if the buffer is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_and_touch(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    ttl: u32,
    buffer: *mut c_void,
    buffer_size: usize,
    value_len: *mut usize,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), room: room(buffer, buffer_size), value_len: out(value_len) }, {
        copy(cache, key, Some(cache.expires(ttl)), room, value_len)
    })
}

#[expect(clippy::inline_always, reason = "with a `touch` that is known a get takes 57 ns in place of 84")]
#[inline(always)]
fn copy(
    cache: &mcrs_cache,
    key: &[u8],
    touch: Option<u32>,
    mut room: Room<'_>,
    value_len: Out<'_, usize>,
) -> Outcome {
    let length = cache.cache.fetch(key, touch, 0, |entry| {
        if let Some(room) = room.part(0, entry.len()) {
            entry.fill(room)?;
        }
        Ok(entry.len())
    });
    let Some(length) = length else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
    value_len.set(length);
    if length > room.size() { Err(mcrs_status::MCRS_BUFFER_TOO_SMALL.into()) } else { Ok(()) }
}

/// Keeps the value of a key readable. One of more than 4 KiB is not copied (but if
/// very many values are kept, of a small cache a handful); a smaller one mostly
/// is, which takes less time than to keep it. Free the item with
/// mcrs_item_free(). MCRS_NOT_FOUND: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_item(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    item: *mut *mut mcrs_item,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), place: out_handle(item) }, {
        let pinned = cache.cache.fetch(key, None, 0, pin);
        let Some((value, info)) = pinned else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
        place.give(mcrs_item::new(value, mcrs_info::new(&info, 0)));
        Ok(())
    })
}

/// Pins and describes an item that was found.
pub(crate) fn pin(entry: &mut EntryRef<'_>) -> Result<(PinnedValue, ItemInfo), ReadConflict> {
    let info = ItemInfo::of(entry);
    Ok((entry.pin()?, info))
}

/// Shows the value of a key to `found`, once and in one piece: where it lies, or a
/// copy for the time of the call. MCRS_NOT_FOUND: there is none, and `found` is
/// not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_with(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    found: mcrs_found_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), found: callback(found) }, {
        let shown = cache.cache.fetch(key, None, 0, |entry| {
            show(entry, &mut Vec::new(), |value, info| {
                // SAFETY: the caller's function gets what it is declared to take.
                inside(LOCKED, || unsafe { found(userdata, 0, value, info) });
            })
        });
        shown.ok_or_else(|| mcrs_status::MCRS_NOT_FOUND.into())
    })
}

/// Shows an item that was found in C's words.
pub(crate) fn show(
    entry: &EntryRef<'_>,
    joined: &mut Vec<u8>,
    found: impl FnOnce(*const mcrs_slice, *const mcrs_info),
) -> Result<(), ReadConflict> {
    let info = mcrs_info::new(&ItemInfo::of(entry), 0);
    entry.show(joined, |value| {
        let value = mcrs_slice::of(value);
        found(&raw const value, &raw const info);
    })
}

/// What there is to know of an item beside its value: its remaining TTL, flags,
/// CAS. This is no use of the item. MCRS_NOT_FOUND: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_info(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    info: *mut mcrs_info,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), place: out(info) }, {
        let Some(info) = cache.cache.info(key) else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
        place.set(mcrs_info::new(&info, 0));
        Ok(())
    })
}

/// Gives an item a new TTL in seconds, or MCRS_NEVER. MCRS_NOT_FOUND: there is
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_touch(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len) }, {
        if !cache.cache.touch_for(key, cache.expires(ttl), 0) {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        }
        Ok(())
    })
}

/// Removes an item. MCRS_NOT_FOUND: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_delete(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len) }, {
        if !cache.cache.delete(key) {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        }
        Ok(())
    })
}

/// Removes all items: at once if `delay` is 0, else in so many seconds of the
/// cache's clock those that are older by then. A later call replaces the plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_flush(cache: *const mcrs_cache, delay: u32) -> mcrs_status {
    entry!(cache, {}, {
        // As `flush_all` of a client: what is stored in that second stays.
        let at = (delay > 0).then(|| cache.expires(delay).saturating_sub(1));
        cache.cache.flush(at);
        Ok(())
    })
}

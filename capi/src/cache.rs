//! The cache: its handle, and plain reads. Stores are in `store.rs`.

use std::ffi::c_void;
use std::sync::Arc;

use memcache_core::internal::base::fork::ForkMark;
use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{Cache, ItemInfo, PinnedValue};
use memcache_embed::ttl;

use crate::arguments::{Out, Room, mcrs_slice};
use crate::config::mcrs_config;
use crate::guard::{self, Failure, Handle, LOCKED, Outcome, inside};
use crate::item::{mcrs_info, mcrs_item};
use crate::status::mcrs_status;

/// Lets an item live until it is deleted, evicted or flushed.
///
/// It is 0, so zeroed options and a TTL of 0 mean it, as memcached's exptime 0 does.
pub const MCRS_NEVER: u32 = 0;

/// Refers to a cache.
///
/// Several handles may refer to one cache. It lives until its last handle is freed and no server
/// serves it. Any thread may use a handle at any time.
pub struct mcrs_cache {
    pub(crate) cache: Arc<Cache>,
    mark: ForkMark,
}

impl mcrs_cache {
    /// Makes a handle of this process.
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, mark: ForkMark::of_this_process() }
    }

    /// Returns the second of the clock at which an item stored now expires.
    #[inline]
    pub(crate) fn expires(&self, ttl: u32) -> Result<u32, Failure> {
        match ttl {
            MCRS_NEVER => Ok(0),
            seconds => ttl::after_whole(&self.cache, seconds).map_err(|_| too_long(seconds)),
        }
    }
}

#[cold]
fn too_long(seconds: u32) -> Failure {
    let most = ttl::LONGEST;
    guard::invalid(format!("a TTL must be at most {most} seconds (100 years), got {seconds}"))
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

/// Takes an item that was found.
///
/// `index` is the position of its key in the call's list, or 0 for a call with one key. `value` and
/// `info` are valid until the callback returns.
///
/// A part of the cache is locked then, so the callback should be short. It may call only
/// mcrs_error_message(), mcrs_status_text() and the mcrs_item_ functions except mcrs_item_free().
/// Other functions return MCRS_IN_CALLBACK.
///
/// ```c
/// static void print_value(void *userdata, size_t index, const mcrs_slice *value,
///                         const mcrs_info *info) {
///     (void)userdata;
///     printf("%zu: %.*s", index, (int)value->len, (const char *)value->data);
///     printf(", which has %u seconds left\n", info->ttl);
/// }
/// ```
pub type mcrs_found_fn = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        index: usize,
        value: *const mcrs_slice,
        info: *const mcrs_info,
    ),
>;

/// Creates a cache that no server serves yet.
///
/// The cache has one thread, which keeps its clock and frees expired items.
///
/// ```c
/// mcrs_cache *own = NULL;
/// if (mcrs_cache_new(NULL, &own) != MCRS_OK) {
///     fprintf(stderr, "%s\n", mcrs_error_message());
///     exit(1);
/// }
/// mcrs_cache_free(own);
/// ```
///
/// @param config  Settings, of which those of caches are used; NULL for defaults.
/// @param cache  Receives the handle. Free it with mcrs_cache_free().
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if settings contradict each other; MCRS_SYSTEM_ERROR if
///     the system refuses the memory or a thread; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_new(
    config: *const mcrs_config,
    cache: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!({ config: maybe_handle(config), output: out_handle(cache) }, {
        let settings = config.map(|config| config.settings.cache.clone()).unwrap_or_default();
        output.give(mcrs_cache::new(Cache::new(settings)?));
        Ok(())
    })
}

/// Creates another handle of the same cache.
///
/// @param cache  Cache to work on.
/// @param other  Receives the handle. Free it with mcrs_cache_free().
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_share(
    cache: *const mcrs_cache,
    other: *mut *mut mcrs_cache,
) -> mcrs_status {
    entry!(cache, { output: out_handle(other) }, {
        output.give(mcrs_cache::new(Arc::clone(&cache.cache)));
        Ok(())
    })
}

/// Frees a handle, and the cache with its last handle.
///
/// In a child of fork(), and in a callback that may not call it, it does nothing.
///
/// @param cache  Handle to free, which no other call uses; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_free(cache: *mut mcrs_cache) {
    // SAFETY: the caller passes NULL or a handle that lives, which no other call uses.
    unsafe { guard::free(cache) }
}

/// Changes the memory limit of a cache.
///
/// The background thread gives memory back soon afterwards.
///
/// @param cache  Cache to work on.
/// @param bytes  Limit in bytes, from 1 to the size reserved when the cache was made.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `bytes` is out of range; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_set_memory_limit(cache: *const mcrs_cache, bytes: usize) -> mcrs_status {
    entry!(cache, {}, {
        if bytes == 0 || !cache.cache.store().set_limit(bytes) {
            return Err(guard::invalid(format!(
                "memory limit must be between 1 and the size reserved at start, got {bytes}"
            )));
        }
        cache.cache.maintainer().wake();
        Ok(())
    })
}

/// Copies the value of a key into a buffer.
///
/// `buffer` may be modified even if the call fails. The value may change between two calls, so
/// repeat a call that returned MCRS_BUFFER_TOO_SMALL in a loop.
///
/// ```c
/// char buffer[100];
/// size_t length = 0;
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// assert(mcrs_cache_get(cache, "greeting", 8, buffer, sizeof buffer, &length) == MCRS_OK);
/// assert(length == 5 && memcmp(buffer, "hello", 5) == 0);
/// assert(mcrs_cache_get(cache, "missing", 7, buffer, sizeof buffer, &length) == MCRS_NOT_FOUND);
/// length = 0;
/// assert(mcrs_cache_get(cache, "greeting", 8, NULL, 0, &length) == MCRS_BUFFER_TOO_SMALL);
/// assert(length == 5);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
/// @param buffer_size  Size of `buffer` in bytes.
/// @param value_len  Receives the length of the value in bytes.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BUFFER_TOO_SMALL if the value is
///     longer than `buffer_size`, then `*value_len` is its length; MCRS_BAD_KEY; or a common
///     status.
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

/// Copies the value of a key into a buffer and sets its TTL.
///
/// It sets the TTL even if the buffer is too small. `buffer` may be modified even if the call
/// fails.
///
/// ```c
/// char user[100];
/// size_t length = 0;
/// assert(mcrs_cache_set(cache, "cart", 4, "ann", 3, 60) == MCRS_OK);
/// assert(mcrs_cache_get_and_touch(cache, "cart", 4, 3600, user, sizeof user, &length) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @param buffer  Receives the value; may be NULL if `buffer_size` is 0.
/// @param buffer_size  Size of `buffer` in bytes.
/// @param value_len  Receives the length of the value in bytes.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BUFFER_TOO_SMALL if the value is
///     longer than `buffer_size`, then `*value_len` is its length; MCRS_BAD_KEY; or a common
///     status.
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
        copy(cache, key, Some(cache.expires(ttl)?), room, value_len)
    })
}

#[expect(clippy::inline_always, reason = "a get takes 57 ns, not 84, if `touch` is a constant")]
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

/// Returns a handle that keeps the value of a key readable.
///
/// Values over 4 KiB are pinned, not copied, unless too much of the cache is already pinned.
/// Smaller values are usually copied, because that is faster.
///
/// ```c
/// mcrs_item *item = NULL;
/// mcrs_slice value;
/// assert(mcrs_cache_set(cache, "page", 4, "<h1>hi</h1>", 11, 60) == MCRS_OK);
/// assert(mcrs_cache_get_item(cache, "page", 4, &item) == MCRS_OK);
/// assert(mcrs_cache_delete(cache, "page", 4) == MCRS_OK);    // the item stays readable
/// assert(mcrs_item_value(item, &value) == MCRS_OK && value.len == 11);
/// mcrs_item_free(item);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param item  Receives the handle. Free it with mcrs_item_free().
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_get_item(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    item: *mut *mut mcrs_item,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), output: out_handle(item) }, {
        let pinned = cache.cache.fetch(key, None, 0, pin);
        let Some((value, info)) = pinned else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
        output.give(mcrs_item::new(value, mcrs_info::new(&info, 0)));
        Ok(())
    })
}

/// Pins an item, and returns its metadata.
pub(crate) fn pin(entry: &mut EntryRef<'_>) -> Result<(PinnedValue, ItemInfo), ReadConflict> {
    let info = ItemInfo::of(entry);
    Ok((entry.pin()?, info))
}

/// Calls a callback with the value of a key, in one piece.
///
/// The value lies in the cache, or in a copy that lives as long as the callback runs.
///
/// ```c
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// // print_value: see mcrs_found_fn
/// assert(mcrs_cache_get_with(cache, "greeting", 8, print_value, NULL) == MCRS_OK);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param found  Callback, which is called once if there is an item.
/// @param userdata  Pointer passed to the callback; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
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

/// Passes an item on in C's types.
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

/// Returns the metadata of an item, such as its TTL and its CAS.
///
/// It does not count as an access.
///
/// ```c
/// mcrs_info info;
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, 60) == MCRS_OK);
/// assert(mcrs_cache_info(cache, "greeting", 8, &info) == MCRS_OK);
/// assert(info.value_len == 5 && info.ttl == 60 && info.cas != 0);
/// ```
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param info  Receives the metadata.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_info(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    info: *mut mcrs_info,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len), output: out(info) }, {
        let Some(info) = cache.cache.info(key) else { return Err(mcrs_status::MCRS_NOT_FOUND.into()) };
        output.set(mcrs_info::new(&info, 0));
        Ok(())
    })
}

/// Sets the TTL of an item.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @param ttl  Seconds to live from now, or MCRS_NEVER.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_touch(
    cache: *const mcrs_cache,
    key: *const c_void,
    key_len: usize,
    ttl: u32,
) -> mcrs_status {
    entry!(cache, { key: key(key, key_len) }, {
        if !cache.cache.touch_for(key, cache.expires(ttl)?, 0) {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        }
        Ok(())
    })
}

/// Deletes an item.
///
/// @param cache  Cache to work on.
/// @param key  Bytes of the key; any byte values.
/// @param key_len  Length of `key` in bytes, 1 to 250.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no item; MCRS_BAD_KEY; or a common status.
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

/// Deletes all items, at once or later.
///
/// A later flush deletes the items that are stored before that second. The next call replaces it.
///
/// ```c
/// assert(mcrs_cache_set(cache, "greeting", 8, "hello", 5, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_flush(cache, 0) == MCRS_OK);
/// assert(mcrs_cache_delete(cache, "greeting", 8) == MCRS_NOT_FOUND);
/// ```
///
/// @param cache  Cache to work on.
/// @param delay  Seconds of the cache's clock from now; 0 deletes at once.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_flush(cache: *const mcrs_cache, delay: u32) -> mcrs_status {
    entry!(cache, {}, {
        // As `flush_all` of a client: items stored in that second stay.
        let at = (delay > 0).then(|| cache.cache.clock().now().saturating_add(delay) - 1);
        cache.cache.flush(at);
        Ok(())
    })
}

/// Limits the bytes of all items whose keys begin with a prefix.
///
/// A store that exceeds the limit evicts other items of the prefix, old ones first, and none of
/// others. Group "quotas" of mcrs_cache_stats() reports limits, bytes and evictions. A new limit
/// examines all items of the cache, so set limits before items are stored.
///
/// ```c
/// char page[1000] = "hello";
/// assert(mcrs_cache_set_quota(cache, "site1:", 6, 1500) == MCRS_OK);
/// assert(mcrs_cache_set(cache, "site1:a", 7, page, sizeof page, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_set(cache, "site1:b", 7, page, sizeof page, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_delete(cache, "site1:a", 7) == MCRS_NOT_FOUND);
/// ```
///
/// @param cache       Cache to work on.
/// @param prefix      Prefix. It must not overlap with that of another limit.
/// @param prefix_len  Length of the prefix in bytes, 1 to 250.
/// @param limit       Most bytes, as `stats` counts them; 0 removes the limit.
/// @return MCRS_OK, MCRS_INVALID_ARGUMENT, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_set_quota(
    cache: *const mcrs_cache,
    prefix: *const c_void,
    prefix_len: usize,
    limit: u64,
) -> mcrs_status {
    entry!(cache, { prefix: bytes(prefix, prefix_len) }, {
        Ok(cache.cache.set_quota(prefix, (limit > 0).then_some(limit))?)
    })
}

/// Deletes all items whose keys begin with a prefix, in constant time.
///
/// The memory of the items is freed in the background. An empty prefix is that of all items.
///
/// ```c
/// assert(mcrs_cache_set(cache, "site1:page", 10, "hello", 5, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_flush_prefix(cache, "site1:", 6) == MCRS_OK);
/// assert(mcrs_cache_delete(cache, "site1:page", 10) == MCRS_NOT_FOUND);
/// ```
///
/// @param cache       Cache to work on.
/// @param prefix      Prefix. NULL is an empty one.
/// @param prefix_len  Length of the prefix in bytes. No key begins with more than 250.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_flush_prefix(
    cache: *const mcrs_cache,
    prefix: *const c_void,
    prefix_len: usize,
) -> mcrs_status {
    entry!(cache, { prefix: bytes(prefix, prefix_len) }, {
        cache.cache.flush_prefix(prefix);
        Ok(())
    })
}

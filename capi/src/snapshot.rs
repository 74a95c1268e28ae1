//! Snapshots: saving the items of a cache to a file, and loading them.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use memcache_core::{LoadOptions, SaveOptions, SnapshotCodec, SnapshotError, SnapshotProgress, SnapshotTtl};
use memcache_embed::snapshot::SnapshotFault;

use crate::arguments::{known, maybe_text};
use crate::cache::mcrs_cache;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// In mcrs_save_options.bits: does not compress the snapshot.
pub const MCRS_SAVE_UNCOMPRESSED: u32 = 1;

/// In mcrs_load_options.bits: replaces items that are in the cache.
///
/// Without it they stay, because they are newer.
pub const MCRS_LOAD_REPLACE: u32 = 1;

/// In mcrs_load_options.bits: the time between the save and the load does not count.
///
/// An item that had a minute left when it was saved has a minute left. Without it, items expire at
/// the time at which they were to expire.
pub const MCRS_LOAD_PAUSED: u32 = 2;

/// In mcrs_load_options.bits: fails at the first damage of the file.
///
/// Without it, damaged parts are left out and counted.
pub const MCRS_LOAD_STRICT: u32 = 4;

/// Tells how far a save or a load is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_progress {
    /// Items so far.
    pub items: u64,
    /// Bytes of keys and values so far.
    pub bytes: u64,
    /// About how many items there are in all; 0 if that is not known.
    pub all_items: u64,
}

/// Receives the progress of a save or a load, about once a MiB.
///
/// It runs on the thread that called the function, and holds no lock of the cache. It must not free
/// the cache.
///
/// ```c
/// static bool print_progress(void *userdata, const mcrs_progress *progress) {
///     (void)userdata;
///     printf("%llu items\n", (unsigned long long)progress->items);
///     return true;
/// }
/// ```
///
/// @param userdata  Pointer that was passed with the function.
/// @param progress  Progress, valid during the call.
/// @return true to go on; false to end with MCRS_CANCELLED.
pub type mcrs_progress_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, progress: *const mcrs_progress) -> bool>;

/// Holds the options of mcrs_cache_save().
///
/// All zero compresses, with half of the processor's cores: write
/// `mcrs_save_options options = {0};`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_save_options {
    /// MCRS_SAVE_ bits.
    pub bits: u32,
    /// Number of threads, at most 256; 0 for half of the processor's cores.
    pub threads: u32,
    /// Most bytes to write in a second; 0 for no limit.
    pub rate: u64,
    /// Text that is kept in the file; may be NULL.
    pub note: *const c_char,
    /// Receives the progress; may be NULL.
    pub progress: mcrs_progress_fn,
    /// Pointer passed to `progress`; may be NULL.
    pub userdata: *mut c_void,
    /// Must be 0.
    pub reserved: [u64; 4],
}

impl Default for mcrs_save_options {
    fn default() -> Self {
        Self {
            bits: 0,
            threads: 0,
            rate: 0,
            note: std::ptr::null(),
            progress: None,
            userdata: std::ptr::null_mut(),
            reserved: [0; 4],
        }
    }
}

/// Describes what mcrs_cache_save() has saved.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_saved {
    /// Items.
    pub items: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Items that were left out because there was no memory to copy them.
    pub skipped: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Holds the options of mcrs_cache_load().
///
/// All zero keeps newer items and uses all cores: write `mcrs_load_options options = {0};`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_load_options {
    /// MCRS_LOAD_ bits.
    pub bits: u32,
    /// Number of threads, at most 256; 0 for one a core.
    pub threads: u32,
    /// Receives the progress; may be NULL.
    pub progress: mcrs_progress_fn,
    /// Pointer passed to `progress`; may be NULL.
    pub userdata: *mut c_void,
    /// Must be 0.
    pub reserved: [u64; 4],
}

impl Default for mcrs_load_options {
    fn default() -> Self {
        Self { bits: 0, threads: 0, progress: None, userdata: std::ptr::null_mut(), reserved: [0; 4] }
    }
}

/// Describes what mcrs_cache_load() has loaded.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_loaded {
    /// Items that were stored. Some may have been evicted again, if memory is full.
    pub items: u64,
    /// Bytes of the keys and values of those items.
    pub bytes: u64,
    /// Items that were left out because they have expired.
    pub expired: u64,
    /// Items that were left out because the cache had their keys.
    pub existing: u64,
    /// Items that were left out because they are larger than item_size_max.
    pub too_large: u64,
    /// Items that were left out because memory is full. They were not used, or nothing may be
    /// evicted.
    pub no_memory: u64,
    /// Items that are known to be lost by damage of the file.
    pub damaged: u64,
    /// Whether the file was cut off.
    pub truncated: bool,
    /// Seconds that it took.
    pub seconds: f64,
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        if let SnapshotError::Threads(_) = error {
            return invalid(format!("options->{error}"));
        }
        let status = match SnapshotFault::of(&error) {
            SnapshotFault::Bad => mcrs_status::MCRS_BAD_SNAPSHOT,
            SnapshotFault::Busy => mcrs_status::MCRS_BUSY,
            SnapshotFault::Cancelled => mcrs_status::MCRS_CANCELLED,
            SnapshotFault::System { .. } => mcrs_status::MCRS_IO_ERROR,
        };
        Self::Text(status, error.to_string())
    }
}

/// Passes the progress on to C, if it has a function for it.
fn tell(
    progress: mcrs_progress_fn,
    userdata: *mut c_void,
) -> Option<impl FnMut(&SnapshotProgress) -> ControlFlow<()>> {
    let progress = progress?;
    Some(move |so_far: &SnapshotProgress| {
        let so_far = mcrs_progress { items: so_far.items, bytes: so_far.bytes, all_items: so_far.all_items };
        // SAFETY: the caller's function gets what it is declared to take.
        if unsafe { progress(userdata, &raw const so_far) } {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })
}

/// Saves all items to a file, while the cache is in use.
///
/// The file gets its name when it is complete and on the disk. Until then, and after a failure, an
/// older file of this name stays as it is. Only the user may read the file.
///
/// Each item is saved as it is at one moment, but not all items at the same moment. An item that is
/// deleted during the save may be in the file.
///
/// ```c
/// assert(mcrs_cache_set(cache, "key", 3, "value", 5, MCRS_NEVER) == MCRS_OK);
/// mcrs_save_options options = {0};
/// mcrs_saved saved;
/// options.progress = print_progress;    // see mcrs_progress_fn
/// assert(mcrs_cache_save(cache, "cache.mcrs", &options, &saved) == MCRS_OK);
/// assert(saved.items == 1);
/// ```
///
/// @param cache  Cache to work on.
/// @param path  Path of the file.
/// @param options  Options; NULL for the defaults.
/// @param saved  Receives what was saved; may be NULL.
/// @return MCRS_OK; MCRS_IO_ERROR if the system refuses an operation on the file; MCRS_BUSY if
///     another save to this file is under way, or if flushes interrupt the save; MCRS_CANCELLED if
///     `options->progress` returned false; MCRS_INVALID_ARGUMENT if `options` is not allowed; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_save(
    cache: *const mcrs_cache,
    path: *const c_char,
    options: *const mcrs_save_options,
    saved: *mut mcrs_saved,
) -> mcrs_status {
    entry!(cache, { path: path(path), options: options(options), saved: maybe_out(saved) }, {
        known(options.bits, MCRS_SAVE_UNCOMPRESSED, &options.reserved)?;
        // SAFETY: the caller keeps the conventions for the fields of the options, too.
        let note = unsafe { maybe_text(options.note) }.map_err(|failure| failure.named("options->note"))?;
        let mut tell = tell(options.progress, options.userdata);
        let plain = options.bits & MCRS_SAVE_UNCOMPRESSED != 0;
        cache.cache.settle();
        let done = cache.cache.save(path, SaveOptions {
            codec: if plain { SnapshotCodec::None } else { SnapshotCodec::default() },
            threads: options.threads as usize,
            rate: options.rate,
            keep: 0,
            note: note.unwrap_or_default(),
            progress: tell.as_mut().map(|tell| tell as _),
        })?;
        if let Some(saved) = saved {
            saved.set(mcrs_saved {
                items: done.items,
                bytes: done.bytes,
                file_bytes: done.file_bytes,
                skipped: done.skipped,
                seconds: done.time.as_secs_f64(),
            });
        }
        Ok(())
    })
}

/// Loads the items of a snapshot, while the cache is in use.
///
/// The file may come from a cache with other settings, and from another machine. If memory is full,
/// items are evicted as by any store. After a failure, items that were loaded before it stay.
///
/// ```c
/// mcrs_loaded loaded;
/// assert(mcrs_cache_set(cache, "key", 3, "value", 5, MCRS_NEVER) == MCRS_OK);
/// assert(mcrs_cache_save(cache, "cache.mcrs", NULL, NULL) == MCRS_OK);
/// assert(mcrs_cache_flush(cache, 0) == MCRS_OK);
/// assert(mcrs_cache_load(cache, "cache.mcrs", NULL, &loaded) == MCRS_OK);
/// assert(loaded.items == 1 && loaded.damaged == 0);
/// ```
///
/// @param cache  Cache to work on.
/// @param path  Path of the file.
/// @param options  Options; NULL for the defaults.
/// @param loaded  Receives what was loaded; may be NULL.
/// @return MCRS_OK, also if parts of the file are damaged; MCRS_IO_ERROR if the file cannot be
///     read; MCRS_BAD_SNAPSHOT if it is not a snapshot that this version can read, or if it is
///     damaged and MCRS_LOAD_STRICT is set; MCRS_CANCELLED if `options->progress` returned false;
///     MCRS_INVALID_ARGUMENT if `options` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_cache_load(
    cache: *const mcrs_cache,
    path: *const c_char,
    options: *const mcrs_load_options,
    loaded: *mut mcrs_loaded,
) -> mcrs_status {
    entry!(cache, { path: path(path), options: options(options), loaded: maybe_out(loaded) }, {
        let bits = options.bits;
        known(bits, MCRS_LOAD_REPLACE | MCRS_LOAD_PAUSED | MCRS_LOAD_STRICT, &options.reserved)?;
        let mut tell = tell(options.progress, options.userdata);
        cache.cache.settle();
        let paused = bits & MCRS_LOAD_PAUSED != 0;
        let done = cache.cache.load(path, LoadOptions {
            replace: bits & MCRS_LOAD_REPLACE != 0,
            ttl: if paused { SnapshotTtl::Paused } else { SnapshotTtl::WallTime },
            strict: bits & MCRS_LOAD_STRICT != 0,
            threads: options.threads as usize,
            progress: tell.as_mut().map(|tell| tell as _),
        })?;
        if let Some(loaded) = loaded {
            loaded.set(mcrs_loaded {
                items: done.items,
                bytes: done.bytes,
                expired: done.expired,
                existing: done.existing,
                too_large: done.too_large,
                no_memory: done.no_memory,
                damaged: done.damaged,
                truncated: done.truncated,
                seconds: done.time.as_secs_f64(),
            });
        }
        Ok(())
    })
}

//! The cache: typed operations with memcached's semantics, for any caller in
//! the process. It knows no wire, socket or thread; `dispatch.rs` is one of its
//! callers, the language bindings are others.
//!
//! Every method may be called from any thread at any time.

mod delta;
mod meta;
mod store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use crate::ask::{
    Deleted, DeltaRequest, MetaDelete, MetaGet, MetaState, Mode, Number, StoreReply, StoreRequest,
    StoreValue, Stored,
};
use crate::clock::Clock;
use crate::config::CacheConfig;
use crate::error::StartError;
use crate::events;
use crate::faults::Faults;
use crate::maintainer::Maintainer;
use crate::prefix::Prefixes;
use crate::store::{AccessBatch, EntryRef, LockedEntry, Lookup, LookupHint, ReadConflict, Store};
use crate::sync::Mutex;
use crate::watch::{WatchHub, kind};

/// A cache.
pub struct Cache {
    store: Arc<Store>,
    clock: Arc<Clock>,
    watch: Arc<WatchHub>,
    faults: Faults,
    prefixes: Prefixes,
    maintainer: Maintainer,
    config: CacheConfig,
    settling: Settling,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("memory_limit", &self.config.memory_limit).finish_non_exhaustive()
    }
}

/// What a handle of the cache waits for before it does anything.
#[derive(Default)]
struct Settling {
    is_set: AtomicBool,
    settle: Mutex<Option<Settle>>,
}

/// Waits until what the clients of a server have sent is carried out.
pub type Settle = Arc<dyn Fn() + Send + Sync>;

impl Cache {
    /// An empty cache, with a thread that keeps its clock and frees what expired.
    ///
    /// # Errors
    /// If a setting cannot work, or memory or a thread cannot be had.
    pub fn new(config: CacheConfig) -> Result<Arc<Self>, StartError> {
        config.validate()?;
        let clock = Arc::new(Clock::new());
        if config.clock_frozen {
            clock.freeze();
        }
        let watch = Arc::new(WatchHub::default());
        let store =
            Store::new(&config, Arc::clone(&clock), Arc::clone(&watch)).map_err(StartError::Memory)?;
        let store = Arc::new(store);
        let maintainer =
            Maintainer::start(Arc::clone(&store), Arc::clone(&clock), &config).map_err(StartError::System)?;
        let prefixes = Prefixes::new(config.prefix_delimiter, config.detail_enabled);
        let (faults, settling) = (Faults::default(), Settling::default());
        Ok(Arc::new(Self { store, clock, watch, faults, prefixes, maintainer, config, settling }))
    }

    /// The items.
    #[doc(hidden)]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Where events are watched.
    #[doc(hidden)]
    pub fn watch_hub(&self) -> &Arc<WatchHub> {
        &self.watch
    }

    /// Injected faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Counts by key prefix.
    #[doc(hidden)]
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// The background thread.
    #[doc(hidden)]
    pub fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    /// The settings at start.
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Has [`Cache::settle`] call `settle`, in place of what it called before.
    #[doc(hidden)]
    pub fn settle_by(&self, settle: Settle) {
        *self.settling.settle.lock() = Some(settle);
        self.settling.is_set.store(true, Relaxed);
    }

    /// Whether [`Cache::settle`] may have to wait.
    #[inline]
    #[doc(hidden)]
    pub fn settles(&self) -> bool {
        self.settling.is_set.load(Relaxed)
    }

    /// Waits until what clients have sent is carried out, if the server behind this
    /// cache wants its handles to ([`crate::config::ServerConfig::settles`]). Handles
    /// of other languages call this first; the methods of this type do not.
    #[inline]
    pub fn settle(&self) {
        if self.settles() {
            let settle = self.settling.settle.lock().clone();
            settle.into_iter().for_each(|settle| settle());
        }
    }

    /// Opens a key and tells watchers who fetch.
    #[expect(
        clippy::inline_always,
        reason = "a visit is many words: to move it takes longer than to make it"
    )]
    #[inline(always)]
    fn open(&self, key: &[u8], hint: LookupHint, client: i32) -> LockedEntry<'_> {
        self.reopen(key, hint, client, false)
    }

    /// Like [`Cache::open`], but tells watchers only the first time.
    #[expect(clippy::inline_always, reason = "as for `open`")]
    #[inline(always)]
    fn reopen(&self, key: &[u8], hint: LookupHint, client: i32, again: bool) -> LockedEntry<'_> {
        let entry = self.store.visit_at(key, hint);
        if !again {
            events::fetched(&self.watch, key, &entry, client);
        }
        entry
    }

    /// Reads an item: `show` runs with it, maybe while its shard is locked, or, if
    /// it was [`ReadConflict`], a second time. `touch` gives the item a new expiry.
    /// `None`: there is none. Only what `EntryRef` returns is an error.
    #[inline]
    #[doc(hidden)]
    pub fn fetch<R>(
        &self,
        key: &[u8],
        touch: Option<u32>,
        client: i32,
        show: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        self.fetch_at(key, self.store.lookup_hint(key), None, touch, client, show)
    }

    /// The same with what is known of where the item is, by a look of this cache,
    /// and with room for a use that the caller notes later.
    #[inline]
    pub(crate) fn fetch_at<'k, R>(
        &self,
        key: &'k [u8],
        mut hint: LookupHint,
        uses: Option<&mut AccessBatch<'k>>,
        touch: Option<u32>,
        client: i32,
        mut show: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        if touch.is_none() {
            match self.try_get_unlocked(key, hint, uses, &mut show) {
                Ok(peeked) => return peeked,
                Err(found) => hint = found,
            }
        }
        let mut entry = self.open(key, hint, client);
        self.count_fetch(&mut entry, key, touch.is_some())?;
        entry.hit();
        if let Some(expiry) = touch {
            Self::retouch(&mut entry, expiry);
        }
        show(&mut entry.show()?).ok()
    }

    /// Reads an item like [`Cache::fetch`], but shows it as it was before.
    #[doc(hidden)]
    pub fn fetch_as_was<R>(
        &self,
        key: &[u8],
        mut show: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        let hint = match self.try_get_unlocked(key, self.store.lookup_hint(key), None, &mut show) {
            Ok(peeked) => return peeked,
            Err(found) => found,
        };
        let mut entry = self.open(key, hint, 0);
        self.count_fetch(&mut entry, key, false)?;
        let shown = show(&mut entry.show()?);
        entry.hit();
        shown.ok()
    }

    /// Reads an item without a lock, if nobody is to be told of it.
    ///
    /// # Errors
    /// If this takes the lock.
    #[inline]
    fn try_get_unlocked<'k, R>(
        &self,
        key: &'k [u8],
        hint: LookupHint,
        uses: Option<&mut AccessBatch<'k>>,
        show: impl FnOnce(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Result<Option<R>, LookupHint> {
        if self.prefixes.enabled() || self.watch.wants(kind::FETCHERS) {
            return Err(hint);
        }
        self.store.try_get_unlocked(key, hint, uses, show)
    }

    /// Counts a fetch. `None`: it is a miss.
    #[inline]
    fn count_fetch(&self, entry: &mut LockedEntry<'_>, key: &[u8], touches: bool) -> Option<()> {
        let found = entry.lookup() == Lookup::Found;
        if self.prefixes.enabled() {
            self.prefixes.record_get(key, found);
        }
        let missed = u64::from(!found);
        if touches {
            entry.commands().touch_cmds += 1;
            entry.commands().touch_misses += missed;
        } else {
            entry.commands().get_cmds += 1;
            entry.commands().get_misses += missed;
            entry.count_hit();
        }
        found.then_some(())
    }

    /// Counts a set whose value turned out to be bad.
    #[doc(hidden)]
    pub fn count_set(&self, key: &[u8], class: u8) {
        self.store.entry(key, self.store.hash(key)).stats(class).set_cmds += 1;
    }

    /// Counts a fetch that a fault turned into a miss.
    #[doc(hidden)]
    pub fn count_miss(&self, key: &[u8]) {
        let mut entry = self.store.entry(key, self.store.hash(key));
        entry.commands().get_cmds += 1;
        entry.commands().get_misses += 1;
    }

    fn retouch(entry: &mut LockedEntry<'_>, expiry: u32) {
        if let Some(item) = entry.item() {
            let header = item.header();
            header.set_expiry(expiry);
            let class = header.class();
            entry.stats(class).touch_hits += 1;
        }
    }

    /// Gives an item a new expiry, for a client. `false`: there is none.
    #[doc(hidden)]
    pub fn touch_for(&self, key: &[u8], expiry: u32, client: i32) -> bool {
        let mut entry = self.open(key, self.store.lookup_hint(key), client);
        entry.commands().touch_cmds += 1;
        if entry.lookup() != Lookup::Found {
            entry.commands().touch_misses += 1;
            return false;
        }
        entry.hit();
        Self::retouch(&mut entry, expiry);
        true
    }

    /// Removes an item, for a client, if its CAS is `compare`; 0 is any.
    #[doc(hidden)]
    pub fn delete_for(&self, key: &[u8], compare: u64, client: i32) -> Deleted {
        if self.prefixes.enabled() {
            self.prefixes.record_delete(key);
        }
        let mut entry = self.open(key, self.store.lookup_hint(key), client);
        let Some(item) = entry.item() else {
            entry.commands().delete_misses += 1;
            return Deleted::NotFound;
        };
        if compare != 0 && compare != item.header().cas() {
            return Deleted::Exists;
        }
        events::deleted(&self.watch, item, "delete");
        let class = item.header().class();
        entry.stats(class).delete_hits += 1;
        entry.remove();
        Deleted::Deleted
    }

    /// Runs `show` with the item as it is, without counting a use (`me`).
    #[doc(hidden)]
    pub fn inspect<R>(
        &self,
        key: &[u8],
        client: i32,
        show: impl FnOnce(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        let mut entry = self.open(key, self.store.lookup_hint(key), client);
        entry.commands().meta_cmds += 1;
        show(&mut entry.show()?).ok()
    }

    /// Removes everything: at once, or at the second `at` of the clock.
    pub fn flush(&self, at: Option<u32>) {
        /// Items freed before the call returns; more are left to the crawler.
        const AT_ONCE: usize = 4096;
        match at {
            Some(at) => self.store.flush_later(at),
            None => {
                self.store.flush();
                self.store.sweep_recent(AT_ONCE);
                self.maintainer.crawl_soon();
            }
        }
    }

    /// Sets the counters of the store to 0.
    pub fn reset_stats(&self) {
        self.store.reset_stats();
        self.prefixes.clear();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.maintainer.stop();
    }
}

fn item_cas(entry: &LockedEntry<'_>) -> u64 {
    entry.item().map_or(0, |item| item.header().cas())
}

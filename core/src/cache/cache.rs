//! The cache: its parts, and the operations on any item.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::hot_keys::{Access, KeySamples};
use super::loads::{Load, Loads};
use super::maintainer::Maintainer;
use super::prefix::Prefixes;
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::base::faults::Faults;
use crate::base::flight::SingleFlight;
use crate::base::sampler::Sampler;
use crate::base::scheduler::Scheduler;
use crate::base::sync::Mutex;
use crate::base::watch::{WatchHub, kind};
use crate::config::CacheConfig;
use crate::store::{AccessBatch, EntryRef, LockedEntry, Lookup, LookupHint, ReadConflict, Store};

use super::Deleted;
use super::events;

/// An in-process cache with memcached's semantics.
pub struct Cache {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) watch: Arc<WatchHub>,
    pub(super) faults: Faults,
    pub(super) prefixes: Prefixes,
    pub(super) maintainer: Maintainer,
    pub(super) config: CacheConfig,
    /// Values that [`Cache::get_or_insert_with`] and its async form are loading.
    pub(super) flights: Arc<SingleFlight<[u8]>>,
    pub(super) loads: Arc<Loads>,
    /// Decides which requests are sampled.
    pub(super) sampler: Sampler,
    pub(super) key_samples: KeySamples,
    settling: Settling,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("memory_limit", &self.config.memory_limit).finish_non_exhaustive()
    }
}

/// The function that the handles of C, Python and Node call before an operation. The methods of
/// [`Cache`] never call it.
#[derive(Default)]
struct Settling {
    is_set: AtomicBool,
    settle: Mutex<Option<Settle>>,
}

/// Waits until a server has carried out the commands that its clients sent.
pub type Settle = Arc<dyn Fn() + Send + Sync>;

impl Cache {
    /// Returns an empty cache. One thread of the process updates the clocks of all caches and frees
    /// expired items.
    ///
    /// # Errors
    /// A setting is invalid, or the system refuses memory or a thread.
    pub fn new(config: CacheConfig) -> Result<Arc<Self>, StartError> {
        config.validate()?;
        let scheduler = Scheduler::of_process().map_err(StartError::System)?;
        let clock = Arc::new(Clock::aligned_to(scheduler.epoch()));
        if config.clock_frozen {
            clock.freeze();
        }
        let watch = Arc::new(WatchHub::default());
        let store =
            Store::new(&config, Arc::clone(&clock), Arc::clone(&watch)).map_err(StartError::Memory)?;
        for quota in &config.quotas {
            store.set_quota(&quota.prefix, Some(quota.bytes))?;
        }
        let store = Arc::new(store);
        let maintainer = Maintainer::start(scheduler, Arc::clone(&store), Arc::clone(&clock), &config);
        let prefixes = Prefixes::new(config.prefix_delimiter, config.detail_enabled);
        let sampler = Sampler::new(config.sample_rate);
        Ok(Arc::new(Self {
            store,
            clock,
            watch,
            faults: Faults::default(),
            prefixes,
            maintainer,
            config,
            flights: Arc::default(),
            loads: Arc::default(),
            sampler,
            key_samples: KeySamples::default(),
            settling: Settling::default(),
        }))
    }

    /// Returns the store of items.
    #[doc(hidden)]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Returns the hub of watchers.
    #[doc(hidden)]
    pub fn watch_hub(&self) -> &Arc<WatchHub> {
        &self.watch
    }

    /// Returns the injected faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Returns the sampler of requests.
    #[inline]
    #[cfg(feature = "server")]
    pub(crate) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Returns the counts by key prefix.
    #[doc(hidden)]
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// Returns the handle of the background work.
    #[doc(hidden)]
    pub fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    /// Returns the settings at start.
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Begins the load of a value. Call it before the source is read, and before the last lookup
    /// that finds no item.
    #[doc(hidden)]
    pub fn begin_load(&self, key: &[u8]) -> Load {
        self.loads.begin(key)
    }

    /// Calls `store` if the load of `key` that began with `seen` marks has no more of them. `None`
    /// means that the key was deleted since.
    #[doc(hidden)]
    pub fn finish_load<R>(&self, key: &[u8], seen: u64, store: impl FnOnce() -> R) -> Option<R> {
        self.loads.finish(key, seen, store)
    }

    /// Sets the function that [`Cache::settle`] calls.
    #[doc(hidden)]
    pub fn settle_by(&self, settle: Settle) {
        *self.settling.settle.lock() = Some(settle);
        self.settling.is_set.store(true, Relaxed);
    }

    /// Returns whether [`Cache::settle`] may have to wait.
    #[inline]
    #[doc(hidden)]
    pub fn settles(&self) -> bool {
        self.settling.is_set.load(Relaxed)
    }

    /// Waits until the server behind this cache has carried out the commands that clients sent,
    /// unless [`crate::config::ServerConfig::settles`] is off. Handles of other languages call this
    /// before an operation. The methods of this type do not.
    #[inline]
    pub fn settle(&self) {
        if self.settles() {
            let settle = self.settling.settle.lock().clone();
            settle.into_iter().for_each(|settle| settle());
        }
    }

    /// Locks the shard of a key and reports the lookup to watchers, also for delete, touch and
    /// `me`, as memcached does.
    #[expect(
        clippy::inline_always,
        reason = "an entry has many words: moving it takes longer than building it"
    )]
    #[inline(always)]
    pub(super) fn open(&self, key: &[u8], hint: LookupHint, client: i32) -> LockedEntry<'_> {
        self.reopen(key, hint, client, false)
    }

    /// Like [`Cache::open`], but reports to watchers only if not `again`.
    #[expect(clippy::inline_always, reason = "as for `open`")]
    #[inline(always)]
    pub(super) fn reopen(&self, key: &[u8], hint: LookupHint, client: i32, again: bool) -> LockedEntry<'_> {
        let entry = self.store.visit_at(key, hint);
        if !again {
            events::fetched(&self.watch, key, &entry, client);
        }
        entry
    }

    /// Reads an item. `show` runs with it, possibly while its shard is locked, and a second time
    /// after a [`ReadConflict`]. `touch` gives the item a new expiry. Returns `None` if there is no
    /// such item. `show` must return only errors that `EntryRef` returned.
    #[inline]
    #[doc(hidden)]
    pub fn fetch<R>(
        &self,
        key: &[u8],
        touch: Option<u32>,
        client: i32,
        show: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        self.sample(key, Access::Read, client);
        self.fetch_at(key, self.store.lookup_hint(key), None, touch, client, show)
    }

    /// Like [`Cache::fetch`], with a hint where the item is, and with a batch for an access that
    /// the caller records later.
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

    /// Like [`Cache::fetch`], but shows the item as it was before this access.
    #[doc(hidden)]
    pub fn fetch_as_was<R>(
        &self,
        key: &[u8],
        mut show: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        self.sample(key, Access::Read, 0);
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

    /// Reads an item without a lock, unless watchers or prefix counts need the access.
    ///
    /// # Errors
    /// The read needs the lock.
    #[inline]
    pub(super) fn try_get_unlocked<'k, R>(
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

    /// Counts a fetch. Returns `None` for a miss.
    #[inline]
    pub(super) fn count_fetch(&self, entry: &mut LockedEntry<'_>, key: &[u8], touches: bool) -> Option<()> {
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

    /// Counts a set whose value was malformed.
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

    pub(super) fn retouch(entry: &mut LockedEntry<'_>, expiry: u32) {
        if let Some(item) = entry.item() {
            let class = item.header().class();
            entry.set_expiry(expiry);
            entry.stats(class).touch_hits += 1;
        }
    }

    /// Gives an item a new expiry, for a client. Returns `false` if there is no such item.
    #[doc(hidden)]
    pub fn touch_for(&self, key: &[u8], expiry: u32, client: i32) -> bool {
        self.sample(key, Access::Write, client);
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

    /// Removes an item, for a client, if its CAS is `compare`; 0 accepts any.
    #[doc(hidden)]
    pub fn delete_for(&self, key: &[u8], compare: u64, client: i32) -> Deleted {
        self.sample(key, Access::Write, client);
        if self.prefixes.enabled() {
            self.prefixes.record_delete(key);
        }
        self.loads.mark(key);
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

    /// Runs `show` with the item, without counting an access (`me`).
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

    /// Removes all items: at once, or at the second `at` of the clock.
    pub fn flush(&self, at: Option<u32>) {
        /// Items freed before the call returns. The crawler frees the others.
        const AT_ONCE: usize = 4096;
        match at {
            Some(at) => self.store.flush_later(at),
            None => {
                self.loads.mark_prefix(b"");
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
        self.key_samples.clear();
    }
}

pub(super) fn item_cas(entry: &LockedEntry<'_>) -> u64 {
    entry.item().map_or(0, |item| item.header().cas())
}

//! Reads without the lock.
//!
//! ```text
//!   version of the lock, even         -- odd: another thread changes the shard
//!   bucket, header, key               -- large, or a use must be recorded
//!   version of the lock, the same     -- not the same
//!      |
//!   not there, or found: head shown
//!   value copied
//!   version of the lock, the same     -- not the same: ReadConflict
//!      |                                 |
//!      done                              again, with the lock
//! ```
//!
//! A reader writes only to memory of its own thread. So readers on all cores share the lines of a
//! hot item and of its shard's lock.
//!
//! A fetch that changes an item takes the lock: the first fetch of a second, or one of the first
//! few of the item. A hint then says where the item is.

use super::access_batch::AccessBatch;
use super::entry_ref::{EntryRef, OptimisticEntry, ReadConflict};
use super::lookup_hint::{LookupHint, NEVER};
use crate::store::index::Table;
use crate::store::policy;
use crate::store::store::Store;

impl Store {
    /// Returns the first hint of a key: its hash.
    #[inline]
    pub fn lookup_hint(&self, key: &[u8]) -> LookupHint {
        LookupHint::from(self.hash(key))
    }

    /// Prefetches the index line of a key.
    #[inline]
    pub fn prefetch(&self, hint: &LookupHint) {
        self.table(hint.hash).prefetch(hint.hash);
    }

    /// Looks up the place of a key's item, whose index line was prefetched.
    #[inline]
    pub fn locate_hint(&self, hint: &mut LookupHint) {
        let version = self.shard(hint.hash).version();
        if let Some(at) = self.table(hint.hash).look(hint.hash) {
            // If another thread changes the shard, a prefetch may still pay.
            *hint = LookupHint { version: version.unwrap_or(NEVER), at, ..*hint };
        }
    }

    /// Prefetches the item of a hint.
    #[inline]
    pub fn prefetch_item(&self, hint: &LookupHint) {
        if !hint.at.is_none() {
            self.common.memory().prefetch(hint.at);
        }
    }

    #[inline]
    fn table(&self, hash: u64) -> &Table {
        let last = self.tables.len() - 1;
        &self.tables[self.common.shard_of(hash).min(last)]
    }

    /// Calls `show` with an item without the lock, and counts the hit or miss. Returns `None` for a
    /// miss. A use that must be recorded is added to `uses`, which must have room.
    ///
    /// # Errors
    /// The read needs the lock: the shard changed, the item needs more than a copy, or a use must
    /// be recorded and `uses` is `None`.
    #[inline]
    pub(crate) fn try_get_unlocked<'k, R>(
        &self,
        key: &'k [u8],
        hint: LookupHint,
        uses: Option<&mut AccessBatch<'k>>,
        show: impl FnOnce(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
    ) -> Result<Option<R>, LookupHint> {
        let unknown = LookupHint::from(hint.hash);
        let (shard, common) = (self.shard(hint.hash), &self.common);
        let version = shard.version().ok_or(unknown)?;
        let counters = self.read_counters.own().ok_or(unknown)?;
        // An item that is dead at this time was dead when the read began, or dies during it.
        let time = common.time();
        let at = if hint.version == version {
            hint.at
        } else {
            self.table(hint.hash).look(hint.hash).ok_or(unknown)?
        };
        if at.is_none() {
            return if shard.is_at(version) {
                counters.miss();
                Ok(None)
            } else {
                Err(unknown)
            };
        }
        let memory = common.memory();
        let found = LookupHint { version, at, ..hint };
        let (header, policy) = (memory.header(at), common.policy.get());
        let is_noted = policy::is_noted(policy, header, &time);
        if !policy::is_plain(header, &time) || (!is_noted && uses.is_none()) {
            return Err(found);
        }
        let seen = OptimisticEntry::of(memory, at, key, shard, version).ok_or(found)?;
        if !is_noted {
            // The callback sees the item as it is after this fetch.
            policy::record_access(policy, &seen.header, &time);
        }
        let shown = show(&mut EntryRef::seen(&seen, &time)).map_err(|ReadConflict| unknown)?;
        counters.hit(seen.header.class(), seen.header.queue());
        if let Some(uses) = uses
            && !is_noted
        {
            uses.push(key, found, seen.header.cas());
        }
        Ok(Some(shown))
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::watch::WatchHub;
    use crate::config::{CacheConfig, EvictionPolicy};
    use crate::store::NewItem;

    /// Keys that are read, and overwritten in place.
    const KEYS: u64 = 4;

    /// Returns a store that soon evicts each item: 16 segments of 16 KiB.
    fn store() -> Arc<Store> {
        let config = CacheConfig { memory_limit: 256 * 1024, shards: Some(1), ..CacheConfig::default() };
        let clock = Arc::new(Clock::new());
        clock.freeze();
        Arc::new(Store::new(&config, clock, Arc::new(WatchHub::default())).unwrap_or_else(|e| panic!("{e}")))
    }

    fn set(store: &Arc<Store>, key: &[u8], flags: u32, value: &[u8]) {
        let hash = store.hash(key);
        let class = store.class_for(key.len(), flags, value.len()).unwrap_or_default();
        let new = NewItem { key, flags, expiry: 0, class, bits: 0 };
        while store.entry(key, hash).publish(&new, value, store.next_cas()).is_err() {
            assert_eq!(store.make_room(hash, class), Ok(()));
        }
    }

    /// Fetches an item until a fetch changes nothing in it.
    fn settle(store: &Arc<Store>, key: &[u8]) {
        for _ in 0..8 {
            store.entry(key, store.hash(key)).hit();
        }
    }

    /// Reads `key`, whose value repeats a version. Returns that, unless the read conflicts.
    fn version_of(store: &Store, key: &[u8]) -> Option<u64> {
        let seen = store.try_get_unlocked(key, store.lookup_hint(key), None, |entry| {
            assert_eq!((entry.key(), entry.len()), (key, 160));
            let flags = u64::from(entry.flags());
            entry.show(&mut Vec::new(), |value| {
                let (words, _) = value.as_chunks::<8>();
                let version = u64::from_le_bytes(words[0]);
                assert!(words.iter().all(|&word| word == version.to_le_bytes()), "torn");
                assert_eq!(flags, 1 + version / 2, "flags of another version");
                version
            })
        });
        seen.ok()?
    }

    /// Some threads overwrite in place, others make the store compact and reuse its memory.
    /// Optimistic reads see no torn value, and no version older than the last one.
    ///
    /// Under Miri, memory is not reused. There the bytes of an entry would race with the header of
    /// a former one, and Miri has no races between accesses of different sizes.
    #[test]
    fn readers_without_the_lock_see_whole_values_in_order() {
        let (store, done, seen) = (store(), AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let (store, done, seen) = (&store, &done, &seen);
            scope.spawn(move || {
                let end = Instant::now() + Duration::from_secs(2);
                let mut version = 0_u64;
                while if cfg!(miri) { version < 30 } else { Instant::now() < end } {
                    version += 1;
                    let key = (version % KEYS).to_be_bytes();
                    set(store, &key, 1 + version as u32 / 2, &version.to_le_bytes().repeat(20));
                    settle(store, &key);
                    for _ in 0..version % 8 {
                        thread::yield_now();
                    }
                }
                done.store(true, Relaxed);
            });
            scope.spawn(move || {
                let mut n = 0_u64;
                while !cfg!(miri) && !done.load(Relaxed) {
                    n += 1;
                    set(store, &(1000 + n % 3000).to_be_bytes(), 0, &[0xff; 250]);
                    if n.is_multiple_of(64) {
                        thread::yield_now();
                    }
                }
            });
            for _ in 0..2 {
                scope.spawn(move || {
                    let mut newest = [0; KEYS as usize];
                    while !done.load(Relaxed) {
                        for (key, newest) in newest.iter_mut().enumerate() {
                            if let Some(version) = version_of(store, &(key as u64).to_be_bytes()) {
                                assert!(version >= *newest, "{version} after {newest}");
                                *newest = version;
                                seen.fetch_add(1, Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let least = if cfg!(miri) { 0 } else { 1000 };
        assert!(seen.load(Relaxed) > least, "{}", seen.load(Relaxed));
    }

    #[test]
    fn what_there_is_to_note_takes_the_lock() {
        let store = store();
        let peeks = |key: &[u8]| match store.try_get_unlocked(key, store.lookup_hint(key), None, |_| Ok(())) {
            Ok(Some(())) => "found",
            Ok(None) => "missing",
            Err(_) => "unknown",
        };
        assert_eq!(peeks(b"a"), "missing");
        set(&store, b"a", 0, b"1");
        assert_eq!(peeks(b"a"), "unknown");
        settle(&store, b"a");
        assert_eq!(peeks(b"a"), "found");
        // A use in a new second must be recorded. A dead item must be removed.
        store.common.clock.advance(1).unwrap();
        assert_eq!(peeks(b"a"), "unknown");
        settle(&store, b"a");
        assert_eq!(peeks(b"a"), "found");
        store.flush();
        assert_eq!(peeks(b"a"), "unknown");
        assert!(store.entry(b"a", store.hash(b"a")).item().is_none());
        assert_eq!(peeks(b"a"), "missing");
        // A thread with the lock may be about to change any item.
        let entry = store.entry(b"b", store.hash(b"b"));
        assert_eq!(peeks(b"a"), "unknown");
        drop(entry);
        // Reads a value below `INLINE_COPY_MAX` without the lock.
        set(&store, b"c", 0, &[1; 1800]);
        settle(&store, b"c");
        assert_eq!(peeks(b"c"), "found");
    }

    #[test]
    fn what_is_to_note_depends_on_the_policy() {
        let store = store();
        let peeks =
            |key: &[u8]| store.try_get_unlocked(key, store.lookup_hint(key), None, |_| Ok(())).is_ok();
        set(&store, b"a", 0, b"1");
        store.tune(|tuning| tuning.policy = EvictionPolicy::Flat);
        assert!(!peeks(b"a"));
        store.entry(b"a", store.hash(b"a")).hit();
        // The first fetch, and one a minute.
        store.common.clock.advance(60).unwrap();
        assert!(peeks(b"a"));
        store.common.clock.advance(1).unwrap();
        assert!(!peeks(b"a"));
        store.entry(b"a", store.hash(b"a")).hit();
        assert!(peeks(b"a"));
        store.tune(|tuning| tuning.policy = EvictionPolicy::Segmented);
        assert!(!peeks(b"a"));
    }
}

//! The state that all shards share: memory, hash, settings that may change, and hooks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

use ahash::RandomState;

use super::accounts::Quotas;
use super::beside::Beside;
use super::classes::Classes;
use super::expiry::{Flush, TimeSnapshot};
use super::mem::{HEADER, Header, Item, Memory, Queue, Rank, Ref, Segments, ShardToken, bit};
use super::policy::{PolicyCell, Weights};
use crate::base::clock::Clock;
use crate::base::sync::Mutex;
use crate::base::watch::{WatchHub, kind, push_uri_encoded};
use crate::config::CacheConfig;

/// A number that every set changes, on its own cache line. Every request reads the other fields
/// here.
#[repr(align(128))]
struct Counter(AtomicU64);

/// The state that the shards of a store share.
pub struct StoreShared {
    pub(super) segments: Segments,
    pub(super) classes: Classes,
    pub(super) sizes: Sizes,
    pub(super) flush: Flush,
    pub(super) quotas: Quotas,
    pub(super) clock: Arc<Clock>,
    pub(super) watch: Arc<WatchHub>,
    pub(super) beside: Arc<Beside>,
    hasher: RandomState,
    /// The eviction policy, for optimistic reads.
    pub(super) policy: PolicyCell,
    pub(super) weights: Weights,
    cas: Counter,
    use_cas: bool,
    /// Number of low bits of a hash that do not select the shard.
    shard_shift: u32,
}

impl StoreShared {
    /// # Errors
    /// If there is no memory for a table that a setting makes large.
    pub(super) fn new(
        config: &CacheConfig,
        segments: Segments,
        shards: usize,
        clock: Arc<Clock>,
        watch: Arc<WatchHub>,
    ) -> io::Result<Self> {
        let per_shard = match config.memory_limit {
            0 => usize::MAX,
            limit => limit / segments.size() / shards,
        };
        Ok(Self {
            weights: Weights::new(per_shard, config.evictions, config.eviction_goal),
            segments,
            classes: Classes::new(config),
            sizes: Sizes::new(config)?,
            flush: Flush::default(),
            quotas: Quotas::default(),
            clock,
            watch,
            beside: Beside::new(config.memory_limit),
            hasher: RandomState::new(),
            policy: PolicyCell::new(config.eviction_policy),
            cas: Counter(AtomicU64::new(1)),
            use_cas: config.use_cas,
            shard_shift: 64 - shards.trailing_zeros(),
        })
    }

    /// Returns the hash of a key. It is keyed, and different in each process.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the hash of the key of the item at `at`.
    #[inline]
    pub(super) fn hash_of(&self, token: &ShardToken, at: Ref) -> u64 {
        self.hash(Item::new(&self.segments, token, at).key())
    }

    /// Returns the shard of a hash.
    #[inline]
    pub fn shard_of(&self, hash: u64) -> usize {
        hash.checked_shr(self.shard_shift).unwrap_or(0) as usize
    }

    /// Returns the log of an item in `queue`.
    #[inline]
    pub(super) fn rank(&self, queue: Queue, header: &Header) -> Rank {
        self.rank_of(queue, header.uses(), header.total())
    }

    /// Returns the log of an item of `size` bytes.
    #[inline]
    pub(super) fn rank_of(&self, queue: Queue, uses: u16, size: usize) -> Rank {
        self.weights.rank_of(queue, uses, size)
    }

    /// Returns whether live items may be evicted.
    pub fn evicts(&self) -> bool {
        self.segments.evicts()
    }

    /// Returns the next CAS value, or 0 without CAS (`-C`).
    #[inline]
    pub fn next_cas(&self) -> u64 {
        if self.use_cas { self.cas.0.fetch_add(1, Relaxed) + 1 } else { 0 }
    }

    /// Returns the highest CAS so far.
    pub fn latest_cas(&self) -> u64 {
        self.cas.0.load(Relaxed)
    }

    /// Makes every later CAS greater than `cas`.
    pub fn raise_cas(&self, cas: u64) {
        self.cas.0.fetch_max(cas, Relaxed);
    }

    /// Returns `cas`, or 0 without CAS (`-C`).
    #[inline]
    pub fn given_cas(&self, cas: u64) -> u64 {
        if self.use_cas { cas } else { 0 }
    }

    /// Returns the present time.
    #[inline]
    pub fn time(&self) -> TimeSnapshot {
        self.flush.time(self.clock.now())
    }

    /// Returns whether the item was flushed or has expired, and must not be returned. `key` is its
    /// key.
    #[inline]
    pub(super) fn is_dead<'k>(
        &self,
        time: &TimeSnapshot,
        header: &Header,
        key: impl FnOnce() -> &'k [u8],
    ) -> bool {
        time.is_expired(header) || time.is_suspect(header) && self.is_flushed(time, header, key())
    }

    /// Returns whether the item was flushed, with all others or by its prefix.
    #[inline]
    pub(super) fn is_flushed(&self, time: &TimeSnapshot, header: &Header, key: &[u8]) -> bool {
        time.is_flushed(header) || time.is_suspect(header) && self.flush.covers(key, header.stamp())
    }

    /// Records that the index moved an item to where a crawl has been.
    pub(super) fn note_moved(&self, time: &TimeSnapshot, token: &ShardToken, at: Ref) {
        let item = Item::new(&self.segments, token, at);
        self.note_expiry(item.header().expiry());
        if self.is_flushed(time, item.header(), item.key()) {
            self.flush.note_moved();
        }
    }

    /// Returns whether the item at `at` is dead.
    #[inline]
    pub(super) fn is_dead_at(&self, time: &TimeSnapshot, token: &ShardToken, at: Ref) -> bool {
        self.is_dead(time, self.memory().header(at), || Item::new(&self.segments, token, at).key())
    }

    /// Notes that an item that is there dies at second `expiry`; 0 is never.
    #[inline]
    pub(super) fn note_expiry(&self, expiry: u32) {
        if self.flush.is_earliest(expiry) {
            self.lower_earliest(expiry);
        }
    }

    #[cold]
    pub(super) fn lower_earliest(&self, expiry: u32) {
        self.flush.dies_at(expiry);
        // The background thread stops ticking and then looks at what is due first. Here
        // it is the other way round, so one of them sees what the other did: a read of
        // a clock that does not tick wakes the thread.
        fence(SeqCst);
        self.clock.now();
    }

    /// The item memory.
    #[inline]
    pub(super) fn memory(&self) -> &Memory {
        &self.segments.memory
    }

    /// Reports an eviction to watchers.
    #[inline]
    pub(super) fn log_eviction(&self, item: Item<'_>, time: TimeSnapshot) {
        if !self.watch.wants(kind::EVICTIONS) {
            return;
        }
        let header = item.header();
        self.watch.event(kind::EVICTIONS, |line| {
            use std::fmt::Write as _;
            line.push_str("type=eviction key=");
            push_uri_encoded(line, item.key());
            let fetched = if header.has(bit::FETCHED) { "yes" } else { "no" };
            let ttl = match header.expiry() {
                0 => -1,
                at => i64::from(at) - i64::from(time.now),
            };
            let _ = write!(
                line,
                " fetch={fetched} ttl={ttl} la={} clsid={} size={}",
                time.idle(header),
                header.class(),
                item.len()
            );
        });
    }
}

/// The histogram behind `stats sizes`: items by size in steps of 32 bytes.
#[derive(Debug)]
pub struct Sizes {
    enabled: bool,
    counts: Mutex<Vec<i64>>,
}

impl Sizes {
    /// # Errors
    /// There is no memory for a count of each size that items may have.
    fn new(config: &CacheConfig) -> io::Result<Self> {
        let buckets = if config.track_sizes { config.item_size_max / 32 + 2 } else { 0 };
        let mut counts = Vec::new();
        counts.try_reserve_exact(buckets).map_err(|_| io::ErrorKind::OutOfMemory)?;
        counts.resize(buckets, 0);
        Ok(Self { enabled: config.track_sizes, counts: Mutex::new(counts) })
    }

    /// Returns whether sizes are tracked.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    #[inline]
    pub(super) fn add(&self, size: usize) {
        self.change(size, 1);
    }

    #[inline]
    pub(super) fn remove(&self, size: usize) {
        self.change(size, -1);
    }

    #[inline]
    fn change(&self, size: usize, by: i64) {
        if self.enabled
            && let Some(count) = self.counts.lock().get_mut(size.div_ceil(32))
        {
            *count += by;
        }
    }

    /// Returns the sizes of at most `most` steps from step `from` on, ascending, with the number of
    /// items of each. Also returns the next step, if there is one.
    pub fn list(&self, from: usize, most: usize) -> (Vec<(usize, i64)>, Option<usize>) {
        let counts = self.counts.lock();
        let end = from.saturating_add(most).min(counts.len());
        let part = counts.iter().enumerate().take(end).skip(from);
        let list = part.filter(|&(_, &n)| n != 0).map(|(i, &n)| (i * 32, n)).collect();
        (list, (end < counts.len()).then_some(end))
    }
}

const _: () = assert!(HEADER.is_multiple_of(8));

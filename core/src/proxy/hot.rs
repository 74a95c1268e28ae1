//! The local cache of a `hot` route: items of keys that are asked for often, for a short time.
//!
//! All workers share it, so a write through this proxy removes its key for all of them. A fetch
//! that began before the end of a write must not fill the cache with the old item: each fetch has a
//! *stamp*, and a write changes the stamp of its key.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::item::Item;
use crate::base::sync::Mutex;

/// Parts of a cache, each with its own lock.
const SHARDS: usize = 64;

/// Cells of a shard, each with a stamp and a count. Keys may share them.
const CELLS: usize = 256;

/// Time after which counts are halved.
const WINDOW: Duration = Duration::from_secs(1);

/// Bytes that an item takes in the order of a shard, also if it was replaced.
const ORDERED: usize = 48;

/// Bytes that an item takes beside its key and its reply, about.
const OVERHEAD: usize = 160;

/// The rules of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotRules {
    /// Longest time for which an item is answered.
    pub ttl: Duration,
    /// Requests a second from which a key is cached, about.
    pub at_least: u32,
    /// Bytes of all items at most, about.
    pub memory: usize,
}

/// The local cache of a route.
#[derive(Debug)]
pub struct HotCache {
    /// Its rules.
    pub rules: HotRules,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// Caches of equal rules make equal routes.
impl PartialEq for HotCache {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for HotCache {}

/// The state of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Its item, as the reply to `mg KEY t f c v`.
    Hit(Arc<[u8]>),
    /// It is asked for often. A fetch has this stamp.
    Fetch(u64),
    /// It is not asked for often.
    Pass,
}

#[derive(Debug)]
struct Shard {
    items: HashMap<Arc<[u8]>, Entry, RandomState>,
    /// Keys and the serials of their items, the oldest first.
    order: VecDeque<(Arc<[u8]>, u64)>,
    /// Bytes of all items.
    held: usize,
    serial: u64,
    stamps: Vec<u64>,
    /// For each cell the key that is asked for most, by its hash, and about how often.
    counts: Vec<(u64, u32)>,
    window: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    reply: Arc<[u8]>,
    until: Instant,
    serial: u64,
}

impl HotCache {
    /// Returns an empty cache.
    pub fn new(rules: HotRules) -> Self {
        let hasher = RandomState::new();
        let shard = |_| {
            Mutex::new(Shard {
                items: HashMap::with_hasher(hasher.clone()),
                order: VecDeque::new(),
                held: 0,
                serial: 0,
                stamps: vec![0; CELLS],
                counts: vec![(0, 0); CELLS],
                window: None,
            })
        };
        Self { rules, shards: (0..SHARDS).map(shard).collect(), hasher }
    }

    /// Counts a request for a key, and looks for its item.
    pub fn look(&self, key: &[u8], now: Instant) -> Look {
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shard(hash) else { return Look::Pass };
        let mut shard = shard.lock();
        let count = shard.count(hash, now);
        match shard.items.get(key) {
            Some(entry) if now < entry.until => Look::Hit(Arc::clone(&entry.reply)),
            _ if count >= self.rules.at_least => Look::Fetch(shard.stamp(hash)),
            _ => Look::Pass,
        }
    }

    /// Returns whether a fetch with this stamp may still answer requests for the key that come now.
    pub fn is_current(&self, key: &[u8], stamp: u64) -> bool {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).is_some_and(|shard| shard.lock().stamp(hash) == stamp)
    }

    /// Takes the reply to a fetch, unless the key was written since the fetch began.
    pub fn fill(&self, key: &[u8], stamp: u64, reply: &Arc<[u8]>, now: Instant) {
        let Some(item) = Item::read(reply) else { return };
        let left = u64::try_from(item.ttl).map(Duration::from_secs);
        let time = self.rules.ttl.min(left.unwrap_or(self.rules.ttl));
        let hash = self.hasher.hash_one(key);
        let limit = self.rules.memory / SHARDS;
        let Some((shard, until)) = self.shard(hash).zip(now.checked_add(time)) else { return };
        let mut shard = shard.lock();
        if shard.stamp(hash) != stamp || cost(key, reply) > limit {
            return;
        }
        shard.serial += 1;
        let (serial, key) = (shard.serial, Arc::<[u8]>::from(key));
        shard.held += cost(&key, reply);
        let earlier = shard.items.insert(Arc::clone(&key), Entry { reply: Arc::clone(reply), until, serial });
        shard.order.push_back((key, serial));
        if let Some((earlier, key)) = earlier.zip(shard.order.back().map(|(key, _)| Arc::clone(key))) {
            shard.held = shard.held.saturating_sub(cost(&key, &earlier.reply));
        }
        shard.evict(limit, now);
    }

    /// Removes a key that is written. Fetches under way do not fill it.
    pub fn remove(&self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.lock();
        if let Some(stamp) = shard.stamps.get_mut(cell(hash)) {
            *stamp += 1;
        }
        if let Some(entry) = shard.items.remove(key) {
            shard.held = shard.held.saturating_sub(cost(key, &entry.reply));
        }
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        self.shards.get(hash as usize % SHARDS)
    }
}

impl Shard {
    fn stamp(&self, hash: u64) -> u64 {
        self.stamps.get(cell(hash)).copied().unwrap_or(0)
    }

    /// Counts a request. Returns about how often its key was asked for in a window. A key that
    /// shares its cell with one that is asked for more often has a count of 0.
    fn count(&mut self, hash: u64, now: Instant) -> u32 {
        let windows = match self.window {
            Some(start) => now.saturating_duration_since(start).as_secs() / WINDOW.as_secs(),
            None => 1,
        };
        if windows > 0 {
            self.window = Some(now);
            let shift = u32::try_from(windows).unwrap_or(u32::MAX);
            self.counts.iter_mut().for_each(|(_, count)| *count = count.checked_shr(shift).unwrap_or(0));
        }
        let Some((own, count)) = self.counts.get_mut(cell(hash)) else { return 0 };
        if *own == hash {
            *count = count.saturating_add(1);
            return *count;
        }
        if *count > 1 {
            *count -= 1;
            return 0;
        }
        (*own, *count) = (hash, 1);
        1
    }

    /// Removes the oldest items: those whose time is over, and those beyond the limit.
    fn evict(&mut self, limit: usize, now: Instant) {
        while let Some((key, serial)) = self.order.front() {
            let own = self.items.get(key).filter(|entry| entry.serial == *serial);
            if own.is_some_and(|entry| now < entry.until) && self.held + self.order.len() * ORDERED <= limit {
                return;
            }
            let removed = own.is_some();
            if let Some((key, _)) = self.order.pop_front()
                && removed
                && let Some(entry) = self.items.remove(&key)
            {
                self.held = self.held.saturating_sub(cost(&key, &entry.reply));
            }
        }
    }
}

/// Returns the cell of a key in a shard, by other bits than those that choose the shard.
fn cell(hash: u64) -> usize {
    (hash >> 32) as usize % CELLS
}

fn cost(key: &[u8], reply: &[u8]) -> usize {
    key.len() + reply.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"VA 1 t-1 f0 c7\r\nx\r\n";

    fn cache(at_least: u32, memory: usize) -> HotCache {
        HotCache::new(HotRules { ttl: Duration::from_millis(500), at_least, memory })
    }

    fn fetched(cache: &HotCache, key: &[u8], reply: &[u8], now: Instant) -> bool {
        let Look::Fetch(stamp) = cache.look(key, now) else { return false };
        cache.fill(key, stamp, &reply.into(), now);
        matches!(cache.look(key, now), Look::Hit(hit) if &*hit == reply)
    }

    #[test]
    fn items_live_for_the_shorter_time() {
        let (cache, now) = (cache(1, 1 << 20), Instant::now());
        let later = |millis| now + Duration::from_millis(millis);
        assert!(fetched(&cache, b"k", REPLY, now));
        assert!(matches!(cache.look(b"k", later(499)), Look::Hit(_)));
        assert!(matches!(cache.look(b"k", later(500)), Look::Fetch(_)));
        let long = HotCache::new(HotRules { ttl: Duration::from_secs(9), ..cache.rules });
        assert!(fetched(&long, b"k", b"VA 1 t2 f0 c7\r\nx\r\n", now));
        assert!(matches!(long.look(b"k", later(1999)), Look::Hit(_)));
        assert!(matches!(long.look(b"k", later(2000)), Look::Fetch(_)));
    }

    #[test]
    fn a_write_ends_fetches_that_are_under_way() {
        let (cache, now) = (cache(1, 1 << 20), Instant::now());
        let Look::Fetch(stamp) = cache.look(b"k", now) else { panic!("no fetch") };
        assert!(cache.is_current(b"k", stamp));
        cache.remove(b"k");
        assert!(!cache.is_current(b"k", stamp));
        cache.fill(b"k", stamp, &REPLY.into(), now);
        assert!(matches!(cache.look(b"k", now), Look::Fetch(_)));
        assert!(fetched(&cache, b"k", REPLY, now));
        cache.remove(b"k");
        assert!(matches!(cache.look(b"k", now), Look::Fetch(_)));
    }

    #[test]
    fn only_keys_that_are_asked_for_often_are_fetched() {
        let (cache, mut now) = (cache(10, 1 << 20), Instant::now());
        let looks = (0..20).map(|_| cache.look(b"k", now) == Look::Pass).collect::<Vec<_>>();
        assert_eq!(looks.iter().filter(|pass| **pass).count(), 9, "{looks:?}");
        for _ in 0..10 {
            now += Duration::from_secs(1);
            cache.look(b"k", now);
        }
        assert_eq!(cache.look(b"k", now), Look::Pass);
    }

    #[test]
    fn memory_is_bounded() {
        let (cache, now) = (cache(1, SHARDS * 1000), Instant::now());
        for n in 0..20_000 {
            let key = format!("key{n}");
            if let Look::Fetch(stamp) = cache.look(key.as_bytes(), now) {
                cache.fill(key.as_bytes(), stamp, &REPLY.into(), now);
            }
            // The same key again, and a write of another one.
            if let Look::Fetch(stamp) = cache.look(b"key", now) {
                cache.fill(b"key", stamp, &REPLY.into(), now);
            }
            cache.remove(format!("key{}", n / 2).as_bytes());
        }
        for shard in &cache.shards {
            let shard = shard.lock();
            let held: usize = shard.items.iter().map(|(key, entry)| cost(key, &entry.reply)).sum();
            assert_eq!(shard.held, held);
            assert!(held <= 1000 && shard.order.len() <= 1000 / ORDERED, "{held}, {}", shard.order.len());
        }
        let large = [&b"VA 2000 t-1 f0 c7\r\n"[..], &[b'x'; 2000], b"\r\n"].concat();
        assert!(!fetched(&cache, b"large", &large, now), "an item beyond the limit is not kept");
    }
}

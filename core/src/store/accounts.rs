//! The counts behind quotas: what each prefix has used, and its items by age.
//!
//! ```text
//!   StoreShared -- Quotas        prefix -> Account: limit, bytes, items, evicted    shared
//!   Shard       -- ShardQuotas   prefix -> the same Account, and a queue of items   under its lock
//! ```
//!
//! No prefix of a quota begins with another one, so a key has at most one account. A shard counts
//! an item where it links, replaces and unlinks it. It counts items that were there before the
//! quota when it learns of the quota. So the bytes of an account are always those of its linked
//! items, dead ones included.
//!
//! The queue has the hashes of the account's items in the shard, in the order in which they came.
//! It may also have hashes of items that are gone, about as many as items at most.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Hashes that a queue may have beside those of its items.
const SPARE: usize = 1024;

/// The counts of one prefix. They change under the locks of shards.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) limit: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) items: AtomicU64,
    pub(super) evicted: AtomicU64,
}

impl Account {
    /// Returns whether the items have more bytes than they may.
    pub(super) fn is_over(&self) -> bool {
        self.bytes.load(Relaxed) > self.limit.load(Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.items.fetch_add(1, Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as u64, Relaxed);
        self.items.fetch_sub(1, Relaxed);
    }
}

/// A map by prefixes of which none begins with another.
pub(super) type ByPrefix<T> = BTreeMap<Box<[u8]>, T>;

/// Returns the prefix of a key, with its value. All texts between a prefix and a key that begins
/// with it begin with it, too.
pub(super) fn prefix_of<'m, T>(map: &'m ByPrefix<T>, key: &[u8]) -> Option<(&'m [u8], &'m T)> {
    let (prefix, value) = map.range::<[u8], _>((Unbounded, Included(key))).next_back()?;
    key.starts_with(prefix).then_some((&**prefix, value))
}

/// The accounts of a store.
#[derive(Default)]
pub(super) struct Quotas {
    /// Whether there is a quota.
    is_on: AtomicBool,
    accounts: RwLock<ByPrefix<Arc<Account>>>,
    /// Held while the shards learn of a change.
    pub(super) change: Mutex<()>,
}

impl Quotas {
    /// Returns whether there is a quota.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&ByPrefix<Arc<Account>>) -> R) -> R {
        read(&self.accounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn write<R>(&self, write: impl FnOnce(&mut ByPrefix<Arc<Account>>) -> R) -> R {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let result = write(&mut accounts);
        self.is_on.store(!accounts.is_empty(), Relaxed);
        result
    }
}

/// The accounts, as a shard knows them.
#[derive(Default)]
pub(super) struct ShardQuotas(pub(super) ByPrefix<Part>);

/// The items of an account in one shard.
pub(super) struct Part {
    pub(super) account: Arc<Account>,
    items: usize,
    bytes: usize,
    /// Items by hash, with their stamp when they were queued. Each item is in it.
    pub(super) queue: VecDeque<(u64, u32)>,
}

impl Part {
    /// Returns an account that has no items yet.
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, items: 0, bytes: 0, queue: VecDeque::new() }
    }

    /// Counts an item.
    pub(super) fn add(&mut self, bytes: usize) {
        self.items += 1;
        self.bytes += bytes;
        self.account.add(bytes);
    }
}

impl ShardQuotas {
    /// Returns the account of a key.
    pub(super) fn part_of(&mut self, key: &[u8]) -> Option<&mut Part> {
        let (prefix, part) = self.0.range_mut::<[u8], _>((Unbounded, Included(key))).next_back()?;
        key.starts_with(prefix).then_some(part)
    }

    /// Counts an item that was linked.
    pub(super) fn add(&mut self, key: &[u8], bytes: usize) {
        if let Some(part) = self.part_of(key) {
            part.add(bytes);
        }
    }

    /// Counts an item that is being unlinked.
    pub(super) fn remove(&mut self, key: &[u8], bytes: usize) {
        if let Some(part) = self.part_of(key) {
            part.items -= 1;
            part.bytes -= bytes;
            part.account.remove(bytes);
        }
    }

    /// Queues an item with a new key. Returns whether the queue must be tidied.
    pub(super) fn queue(&mut self, key: &[u8], hash: u64, stamp: u32) -> bool {
        let Some(part) = self.part_of(key) else { return false };
        part.queue.push_back((hash, stamp));
        part.queue.len() > 2 * part.items + SPARE
    }

    /// Checks the counts and the queues against the items of the shard, which `each_item` shows
    /// with their keys, hashes and bytes.
    ///
    /// # Panics
    /// If they differ.
    pub(super) fn verify(&self, each_item: impl Fn(&mut dyn FnMut(&[u8], u64, usize))) {
        for (prefix, part) in &self.0 {
            let queued: HashSet<u64> = part.queue.iter().map(|&(hash, _)| hash).collect();
            let (mut items, mut bytes) = (0, 0);
            each_item(&mut |key, hash, size| {
                if key.starts_with(prefix) {
                    assert!(queued.contains(&hash), "an item of a quota is not queued");
                    items += 1;
                    bytes += size;
                }
            });
            assert_eq!((part.items, part.bytes), (items, bytes), "counts of a quota");
        }
    }
}

//! Quotas: the most bytes of the items whose keys begin with a prefix.
//!
//! A store into a full account first adds its item and then evicts others of the same account,
//! oldest first. An item that was used since it was queued gets another turn. `accounts.rs` has the
//! counts and the queues.
//!
//! Without a quota, a shard has no `ShardQuotas`: a store tests one pointer and one flag.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::accounts::{Account, Part, prefix_of};
use super::expiry::TimeSnapshot;
use super::mem::{Ref, item_size};
use super::shard::Shard;
use super::shared::StoreShared;
use super::store::Store;
use crate::base::error::{AllocError, ConfigError};
use crate::base::sync::atomic::Ordering::Relaxed;
use crate::config::check_quota;

/// Items that get another turn before one of them is evicted.
const TURNS: usize = 16;

/// Evictions while a shard is locked.
const STEP: usize = 64;

/// A quota and what it has used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The prefix of the keys.
    pub prefix: Vec<u8>,
    /// Most bytes of the items, as `stats` counts them.
    pub limit: u64,
    /// Bytes of the items.
    pub bytes: u64,
    /// Items. Expired and flushed ones count until their memory is freed.
    pub items: u64,
    /// Items evicted because of the quota.
    pub evicted: u64,
}

impl Shard {
    /// Begins to count the items of a prefix, those that are there included.
    fn open_account(&mut self, common: &StoreShared, prefix: &[u8], account: &Arc<Account>) {
        let mut part = Part::new(Arc::clone(account));
        for bucket in 0..self.index.buckets() {
            self.index.scan(bucket, |at| {
                let item = self.item(common, at);
                if item.key().starts_with(prefix) {
                    part.add(item.header().total());
                    part.queue.push_back((common.hash(item.key()), item.header().stamp()));
                }
            });
        }
        part.queue.make_contiguous().sort_by_key(|&(_, stamp)| stamp);
        self.quotas.get_or_insert_default().0.insert(prefix.into(), part);
    }

    fn close_account(&mut self, prefix: &[u8]) {
        if let Some(quotas) = &mut self.quotas {
            quotas.0.remove(prefix);
            self.quotas.take_if(|quotas| quotas.0.is_empty());
        }
    }

    /// Returns the item with this hash whose key begins with `prefix`.
    fn queued_item(&self, common: &StoreShared, prefix: &[u8], hash: u64) -> Option<Ref> {
        self.index.find(hash, |at| {
            let key = self.item(common, at).key();
            key.starts_with(prefix) && common.hash(key) == hash
        })
    }

    /// Removes hashes of items that are gone from the queue of a key, and all but the last of each
    /// item.
    #[cold]
    pub(super) fn tidy_queue(&mut self, common: &StoreShared, key: &[u8]) {
        let Some((prefix, mut queue)) = self.quotas.as_mut().and_then(|quotas| {
            let prefix = prefix_of(&quotas.0, key)?.0.to_vec();
            Some((prefix, std::mem::take(&mut quotas.part_of(key)?.queue)))
        }) else {
            return;
        };
        let mut seen = HashSet::new();
        queue.make_contiguous().reverse();
        queue.retain(|&(hash, _)| self.queued_item(common, &prefix, hash).is_some() && seen.insert(hash));
        queue.make_contiguous().reverse();
        if let Some(part) = self.quotas.as_mut().and_then(|quotas| quotas.part_of(key)) {
            part.queue = queue;
        }
    }

    /// Frees an old item of an account. Returns `false` if it has none but the one of hash `keep`.
    fn evict_of(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        prefix: &[u8],
        keep: Option<u64>,
    ) -> bool {
        // With few items, all may have been used. Then the oldest one goes all the same.
        [TURNS, 0].into_iter().any(|turns| self.evict_after(common, time, prefix, keep, turns))
    }

    fn evict_after(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        prefix: &[u8],
        keep: Option<u64>,
        mut turns: usize,
    ) -> bool {
        fn queue<'s>(shard: &'s mut Shard, prefix: &[u8]) -> Option<&'s mut VecDeque<(u64, u32)>> {
            shard.quotas.as_mut()?.0.get_mut(prefix).map(|part| &mut part.queue)
        }
        for _ in 0..queue(self, prefix).map_or(0, |queue| queue.len()) {
            let Some((hash, queued)) = queue(self, prefix).and_then(VecDeque::pop_front) else { break };
            let Some(at) = self.queued_item(common, prefix, hash) else { continue };
            let stamp = common.memory().header(at).stamp();
            let is_dead = common.is_dead_at(&time, &self.logs.token, at);
            if Some(hash) == keep || !is_dead && stamp > queued && turns > 0 {
                turns = turns.saturating_sub(1);
                if let Some(queue) = queue(self, prefix) {
                    queue.push_back((hash, stamp));
                }
                continue;
            }
            if is_dead {
                self.reclaim(common, at, hash);
            } else {
                self.evict(common, time, at, hash);
                if let Some(part) = self.quotas.as_ref().and_then(|quotas| quotas.0.get(prefix)) {
                    part.account.evicted.fetch_add(1, Relaxed);
                }
            }
            return true;
        }
        false
    }
}

impl Store {
    /// Sets the most bytes of the items whose keys begin with `prefix`, or `None` for no limit. A
    /// lower limit than before evicts at once. Locks one shard after the other. With a new prefix,
    /// each of them examines all its items.
    ///
    /// # Errors
    /// The prefix is invalid or overlaps with that of another quota, or there are too many quotas.
    pub(crate) fn set_quota(&self, prefix: &[u8], limit: Option<u64>) -> Result<(), ConfigError> {
        let quotas = &self.common.quotas;
        let _guard = quotas.change.lock();
        let Some(limit) = limit else {
            quotas.write(|accounts| accounts.remove(prefix));
            self.shards.iter().for_each(|cell| cell.0.lock().close_account(prefix));
            return Ok(());
        };
        let (account, is_new) = quotas.write(|accounts| {
            check_quota(prefix, accounts.keys().map(|prefix| &**prefix))?;
            let is_new = !accounts.contains_key(prefix);
            let account = Arc::clone(accounts.entry(prefix.into()).or_default());
            account.limit.store(limit, Relaxed);
            Ok::<_, ConfigError>((account, is_new))
        })?;
        if is_new {
            for cell in &self.shards {
                cell.0.lock().open_account(&self.common, prefix, &account);
            }
        }
        self.evict_down(prefix, &account, 0, None);
        Ok(())
    }

    /// Returns the quotas, by prefix.
    pub fn quotas(&self) -> Vec<Quota> {
        self.common.quotas.read(|accounts| {
            let quotas = accounts.iter().map(|(prefix, account)| Quota {
                prefix: prefix.to_vec(),
                limit: account.limit.load(Relaxed),
                bytes: account.bytes.load(Relaxed),
                items: account.items.load(Relaxed),
                evicted: account.evicted.load(Relaxed),
            });
            quotas.collect()
        })
    }

    /// Sets the counts of evictions to 0.
    pub(super) fn reset_quotas(&self) {
        let quotas = &self.common.quotas;
        quotas.read(|accounts| accounts.values().for_each(|account| account.evicted.store(0, Relaxed)));
    }

    /// Returns the class of an item with a value of `length` bytes that is to be stored.
    ///
    /// # Errors
    /// The item is too large, or its quota has no room for it. If items may be evicted, a quota has
    /// room for any item that does not exceed it alone.
    #[inline]
    pub(crate) fn admit(&self, key: &[u8], flags: u32, length: usize) -> Result<u8, AllocError> {
        let class = self.class_for(key.len(), flags, length)?;
        if self.common.quotas.is_on() {
            self.check_quota(key, item_size(key.len(), flags, length) as u64)?;
        }
        Ok(class)
    }

    #[cold]
    fn check_quota(&self, key: &[u8], size: u64) -> Result<(), AllocError> {
        self.common.quotas.read(|accounts| {
            let Some((_, account)) = prefix_of(accounts, key) else { return Ok(()) };
            let stays = if self.evicts() { 0 } else { account.bytes.load(Relaxed) };
            let fits = stays.saturating_add(size) <= account.limit.load(Relaxed);
            fits.then_some(()).ok_or(AllocError::NoMemory)
        })
    }

    /// Evicts other items of the same quota after a store, until the quota holds. The caller must
    /// not hold a [`LockedEntry`](super::LockedEntry).
    #[inline]
    pub(crate) fn keep_quota(&self, key: &[u8]) {
        if self.common.quotas.is_on() {
            self.keep_quota_of(key);
        }
    }

    #[cold]
    fn keep_quota_of(&self, key: &[u8]) {
        let found = self.common.quotas.read(|accounts| {
            let (prefix, account) = prefix_of(accounts, key)?;
            account.is_over().then(|| (prefix.to_vec(), Arc::clone(account)))
        });
        if let Some((prefix, account)) = found {
            let hash = self.hash(key);
            self.evict_down(&prefix, &account, self.common.shard_of(hash), Some(hash));
        }
    }

    /// Evicts items of an account until it is within its limit, in shard `first` and then in the
    /// others.
    fn evict_down(&self, prefix: &[u8], account: &Account, first: usize, keep: Option<u64>) {
        if !self.evicts() {
            return;
        }
        let (before, from) = self.shards.split_at(first.min(self.shards.len()));
        for cell in from.iter().chain(before) {
            let mut has_more = true;
            while has_more && account.is_over() {
                let mut shard = cell.0.lock();
                let time = self.common.time();
                for _ in 0..STEP {
                    has_more = account.is_over() && shard.evict_of(&self.common, time, prefix, keep);
                    if !has_more {
                        break;
                    }
                }
            }
        }
    }
}

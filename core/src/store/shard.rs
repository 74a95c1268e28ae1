//! One shard: an index, logs of items and counters, all under one lock.
//!
//! The methods take what all shards share as [`StoreShared`]. None of them waits for another shard.
//! If memory is not available here, they return `None` or `false`, and the store tries other shards
//! without this lock.

use std::io;

use super::accounts::ShardQuotas;
use super::expiry::TimeSnapshot;
use super::index::Index;
use super::log::{AppendFor, Logs};
use super::mem::{Cursor, Header, Item, Kind, Queue, Rank, Ref, ShardToken, bit, same_key};
use super::policy::Tuning;
use super::shared::StoreShared;
use super::stats::{ClassStats, CommandStats, EvictedAges};

/// The result of the lookup of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    Missing,
    /// An item.
    Found,
    /// An item that was flushed, and is removed now.
    Flushed,
    /// An item that had expired, and is removed now.
    Expired,
}

/// The items and counters of one class in one shard. A get or set changes one cache line of it.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct ShardClass {
    /// Items by queue.
    pub(super) items: [u32; 4],
    pub(super) bytes: u64,
    pub(super) stats: ClassStats,
    pub(super) evicted_time: u32,
    /// Whether the class ever had an item here.
    pub(super) seen: bool,
}

/// The reason for the compaction of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CompactReason {
    /// Much of it is dead. Live items are not evicted.
    Dead,
    /// Its items are not in use.
    Idle,
    /// It has the lowest priority.
    LowestPriority,
}

/// A segment under compaction.
pub(super) struct Compaction {
    /// The next entry.
    pub(super) next: Cursor,
    pub(super) why: CompactReason,
}

/// One shard.
///
/// Its first cache line contains the lock and the fields that nearly every request changes. Fields
/// that requests only read are on other lines. So two alternating threads pass one line between
/// them.
#[repr(C)]
pub struct Shard {
    pub(super) bytes: u64,
    pub(super) commands: CommandStats,
    /// This shard's copy of the policies' settings.
    pub(super) tuning: Tuning,
    pub(super) classes: Box<[ShardClass]>,
    pub(super) index: Index,
    pub(super) logs: Logs,
    pub(super) compaction: Option<Compaction>,
    /// `None` if there is no quota.
    pub(super) quotas: Option<Box<ShardQuotas>>,
    /// Bytes of live entries when memory was full (see [`Shard::keep_level`]).
    pub(super) level: usize,
    /// Bucket of the index that [`Shard::sweep`] checks next.
    pub(super) swept: usize,
    /// Segments compacted, and items that were moved out of them.
    pub(super) compacted: u64,
    pub(super) moved: u64,
    /// Seconds for which evicted items had not been used.
    pub(super) evicted_ages: EvictedAges,
    /// Bytes of the index when they were last charged against the limit. The initial index does not
    /// count: it is requested in addition to the limit.
    charged: usize,
}

impl Shard {
    /// # Errors
    /// The system refuses the addresses of the index.
    pub(super) fn new(token: ShardToken, classes: usize, slots: usize, tuning: Tuning) -> io::Result<Self> {
        let index = Index::new(slots)?;
        let charged = index.bytes();
        Ok(Self {
            index,
            logs: Logs::new(token),
            compaction: None,
            quotas: None,
            level: 0,
            classes: (0..classes).map(|_| ShardClass::default()).collect(),
            commands: CommandStats::default(),
            bytes: 0,
            compacted: 0,
            moved: 0,
            evicted_ages: EvictedAges::default(),
            charged,
            swept: 0,
            tuning,
        })
    }

    /// Returns the counters of `class`.
    #[inline]
    pub(super) fn stats(&mut self, class: u8) -> &mut ClassStats {
        &mut self.class(class).stats
    }

    #[inline]
    pub(super) fn class(&mut self, class: u8) -> &mut ShardClass {
        let last = self.classes.len() - 1;
        let class = usize::from(class);
        debug_assert!(class <= last);
        &mut self.classes[class.min(last)]
    }

    /// Returns the item at `at`.
    #[inline]
    pub(super) fn item<'s>(&'s self, common: &'s StoreShared, at: Ref) -> Item<'s> {
        Item::new(&common.segments, &self.logs.token, at)
    }

    /// Returns the item with this key, dead or alive. `hint` is an item of this shard that may be
    /// the one.
    #[inline]
    pub(super) fn locate(&self, common: &StoreShared, key: &[u8], hash: u64, hint: Ref) -> Option<Ref> {
        let is_it = |at: &Ref| same_key(self.item(common, *at).key(), key);
        let hinted = hint.some().filter(is_it);
        hinted.or_else(|| self.index.find(hash, |at| is_it(&at)))
    }

    /// Returns the live item with this key, and removes a dead one. `hint` is an item of this shard
    /// that may be the one.
    #[inline]
    pub(super) fn find(
        &mut self,
        common: &StoreShared,
        time: &TimeSnapshot,
        key: &[u8],
        hash: u64,
        hint: Ref,
    ) -> (Lookup, Option<Ref>) {
        let Some(at) = self.locate(common, key, hash, hint) else { return (Lookup::Missing, None) };
        if !time.is_perhaps_dead(common.memory().header(at)) {
            return (Lookup::Found, Some(at));
        }
        self.find_suspect(common, time, key, hash, at)
    }

    /// [`Shard::find`], for an item that is perhaps dead.
    #[cold]
    fn find_suspect(
        &mut self,
        common: &StoreShared,
        time: &TimeSnapshot,
        key: &[u8],
        hash: u64,
        at: Ref,
    ) -> (Lookup, Option<Ref>) {
        let header = common.memory().header(at);
        if !common.is_dead(time, header, || key) {
            return (Lookup::Found, Some(at));
        }
        let why = if common.is_flushed(time, header, key) {
            self.commands.get_flushed += 1;
            Lookup::Flushed
        } else {
            self.commands.get_expired += 1;
            Lookup::Expired
        };
        self.unlink(common, at, hash);
        (why, None)
    }

    /// Puts the complete item at `at` into the index.
    pub(super) fn link(&mut self, common: &StoreShared, time: TimeSnapshot, at: Ref, hash: u64) {
        common.memory().header(at).set_stamp(time.stamp);
        let token = &self.logs.token;
        self.index.insert(hash, at, |at| {
            // A split may move items to where the crawler has been.
            common.note_moved(&time, token, at);
            common.hash_of(token, at)
        });
        self.count(common, at);
        self.charge(common);
        if self.quotas.is_some() {
            self.queue_for_quota(common, at, hash);
        }
    }

    #[cold]
    fn queue_for_quota(&mut self, common: &StoreShared, at: Ref, hash: u64) {
        let Some(quotas) = &mut self.quotas else { return };
        let item = Item::new(&common.segments, &self.logs.token, at);
        if quotas.queue(item.key(), hash, item.header().stamp()) {
            let key = item.key().to_vec();
            self.tidy_queue(common, &key);
        }
    }

    /// Makes the index of an empty shard large enough for this number of items.
    pub(super) fn expect(&mut self, common: &StoreShared, items: usize) {
        self.index.expect(items);
        self.charge(common);
    }

    /// Charges the present size of the index.
    #[inline]
    fn charge(&mut self, common: &StoreShared) {
        let charge = self.index.bytes();
        if charge != self.charged {
            common.segments.charge(self.charged, charge);
            self.charged = charge;
        }
    }

    /// Replaces the item at `old` by the one at `new`, of the same key.
    pub(super) fn relink(&mut self, common: &StoreShared, time: TimeSnapshot, old: Ref, new: Ref, hash: u64) {
        common.memory().header(new).set_stamp(time.stamp);
        self.index.replace(hash, old, new);
        self.count(common, new);
        self.discount(common, common.memory().header(old), old);
        self.mark_dead(common, old);
    }

    /// Removes the LINKED item at `at` from the index and marks its memory as dead.
    pub(super) fn unlink(&mut self, common: &StoreShared, at: Ref, hash: u64) {
        let removed = self.index.remove(hash, at);
        debug_assert!(removed);
        self.charge(common);
        self.discount(common, common.memory().header(at), at);
        self.mark_dead(common, at);
    }

    /// Marks the item at `at` as LINKED and counts it.
    pub(super) fn count(&mut self, common: &StoreShared, at: Ref) {
        let header = common.memory().header(at);
        header.set_kind(Kind::Linked);
        common.note_expiry(header.expiry());
        let total = header.total();
        self.commands.total_items += 1;
        self.bytes += total as u64;
        common.sizes.add(total);
        let class = self.class(header.class());
        class.items[header.queue() as usize] += 1;
        class.bytes += total as u64;
        class.seen = true;
        if let Some(quotas) = &mut self.quotas {
            quotas.add(Item::new(&common.segments, &self.logs.token, at).key(), total);
        }
    }

    /// The opposite of [`Shard::count`], for the item at `at`, whose header is or was `header`.
    pub(super) fn discount(&mut self, common: &StoreShared, header: &Header, at: Ref) {
        let total = header.total();
        self.bytes -= total as u64;
        common.sizes.remove(total);
        let class = self.class(header.class());
        class.items[header.queue() as usize] -= 1;
        class.bytes -= total as u64;
        if let Some(quotas) = &mut self.quotas {
            quotas.remove(Item::new(&common.segments, &self.logs.token, at).key(), total);
        }
    }

    /// Marks an item that is not in the index as DEAD, with its pieces.
    pub(super) fn mark_dead(&mut self, common: &StoreShared, at: Ref) {
        // Once an entry is dead, its segment may belong to another shard.
        let pieces = common.memory().pieces_from(self.item(common, at).first_piece());
        self.bury_entry(common, at);
        for at in pieces {
            self.bury_entry(common, at);
        }
    }

    fn bury_entry(&mut self, common: &StoreShared, at: Ref) {
        let size = common.segments.taken_by(at);
        common.memory().header(at).set_kind(Kind::Dead);
        self.logs.mark_dead(&common.segments, at, size);
    }

    /// Moves the LINKED item at `at` to the end of the log of `rank`. Returns `None` if there is no
    /// memory.
    pub(super) fn relocate(
        &mut self,
        common: &StoreShared,
        at: Ref,
        hash: u64,
        queue: Queue,
        rank: Rank,
    ) -> Option<()> {
        let memory = common.memory();
        let header = memory.header(at);
        let size = common.segments.taken_by(at);
        let mut writer = self.logs.append(&common.segments, rank, size, AppendFor::Survivor)?;
        writer.copy(memory, &self.logs.token, at, size);
        let new = writer.at();
        self.index.replace(hash, at, new);
        let class = self.class(header.class());
        class.items[header.queue() as usize] -= 1;
        class.items[queue as usize] += 1;
        memory.header(new).set_queue(queue);
        for piece in memory.pieces_from(self.item(common, at).first_piece()) {
            memory.header(piece).set_links(new, memory.next_of(piece));
        }
        self.bury_entry(common, at);
        Some(())
    }

    /// Moves the piece at `at` of the LINKED item at `owner` to the end of the
    /// log of `rank`.
    pub(super) fn relocate_piece(
        &mut self,
        common: &StoreShared,
        at: Ref,
        owner: Ref,
        rank: Rank,
    ) -> Option<()> {
        let memory = common.memory();
        let size = common.segments.taken_by(at);
        let mut writer = self.logs.append(&common.segments, rank, size, AppendFor::Survivor)?;
        writer.copy(memory, &self.logs.token, at, size);
        let pieces = memory.pieces_from(self.item(common, owner).first_piece());
        let before = pieces.take_while(|&piece| piece != at).last().unwrap_or(Ref::NONE);
        common.segments.link_piece(&mut self.logs.token, owner, before, writer.at());
        self.bury_entry(common, at);
        Some(())
    }

    /// Checks up to `most` items of the buckets below `below`, in descending order. Frees the dead
    /// ones of the classes in `classes` (bits). Returns the value of `below` for the next call. The
    /// order is descending because the index shrinks by moving items to lower buckets.
    pub(super) fn crawl(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        classes: u64,
        below: usize,
        most: usize,
        mut freed: impl FnMut(u8),
    ) -> Option<usize> {
        let memory = common.memory();
        let mut looked = 0;
        let mut dead = Vec::new();
        let mut earliest = u32::MAX;
        let mut bucket = below.min(self.index.buckets());
        while bucket > 0 && looked < most {
            bucket -= 1;
            // Empty buckets and other classes take time, too.
            looked += 1;
            let (index, own, token) = (&self.index, &mut self.classes, &self.logs.token);
            index.scan(bucket, |at| {
                looked += 1;
                let header = memory.header(at);
                let class = header.class();
                if classes & 1 << (class & 63) == 0 {
                    return;
                }
                if let Some(own) = own.get_mut(usize::from(class)) {
                    own.stats.crawler_items_checked += 1;
                }
                if common.is_dead_at(&time, token, at) {
                    dead.push(at);
                } else if header.expiry() != 0 {
                    earliest = earliest.min(header.expiry());
                }
            });
        }
        common.note_expiry(earliest);
        for at in dead {
            let header = memory.header(at);
            let class = header.class();
            let flushed = common.is_flushed(&time, header, self.item(common, at).key());
            let unfetched = !header.has(bit::FETCHED) && !flushed;
            let stats = self.stats(class);
            stats.crawler_reclaimed += 1;
            stats.expired_unfetched += u64::from(unfetched);
            freed(class);
            self.unlink(common, at, common.hash_of(&self.logs.token, at));
        }
        (bucket > 0).then_some(bucket)
    }

    /// Calls `look` with the entries of segment `number`, in the order in which they were written.
    pub(super) fn entries(common: &StoreShared, number: u32, look: impl FnMut(Ref)) {
        Self::first_entries(common, number, usize::MAX, look);
    }

    /// Like [`Shard::entries`], for the first `most` entries.
    pub(super) fn first_entries(common: &StoreShared, number: u32, most: usize, look: impl FnMut(Ref)) {
        let mut next = Cursor::start_of(number);
        let entries = std::iter::from_fn(|| common.segments.next_entry(&mut next));
        entries.take(most).for_each(look);
    }
}

//! Compaction: how a shard gets an empty segment. It goes through the entries of one segment in
//! order. Live items move to the end of a log or are evicted, as the policy decides. Then the
//! segment is empty.
//!
//! A mostly dead segment is compacted without evictions. If there is none and memory is short, the
//! items of the segment with the lowest priority are judged.
//!
//! Each store pays for a part of the work: a few times the bytes it takes
//! ([`Shard::pay_compaction_debt`]). So a store waits for a whole segment only if compaction did
//! not keep up.
//!
//! In a full cache, compaction goes on while there are spare segments: a store evicts about as many
//! bytes as it adds. So watchers see evictions with the store that causes them, not a whole segment
//! at a later store.

use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{Cursor, Kind, Queue, Rank, Ref, bit};
use crate::store::policy;
use crate::store::shard::{CompactReason, Compaction, Shard};
use crate::store::shared::StoreShared;

/// Bytes compacted for each byte stored.
const COMPACTION_PER_BYTE: usize = 4;

/// Entries examined together, so that their index lines are fetched at once.
const GROUP: usize = 8;

/// Bytes after which a group ends early. So a store of a large item evicts one such item and not
/// eight.
const GROUP_BYTES: usize = 4096;

/// Segments compacted without gaining one, before all items of a segment are evicted.
const MAX_FRUITLESS_ROUNDS: usize = 8;

/// Most segments that one store waits for.
const ROUNDS: usize = 64;

/// A segment is compacted if this part of it is dead (a third). At most two bytes are then copied
/// for each byte gained, which stores pay for.
const DEAD_PART: usize = 3;

/// Entries of a segment that are sampled to decide whether it is in use.
const SAMPLE_ENTRIES: usize = 256;

/// Entries in the oldest segment of each log that are checked for expired items.
const TAIL: usize = 512;

/// Buckets that are searched for dead items before a store is refused.
const SWEEP: usize = 128;

/// Which items compaction may evict.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EvictionMode {
    /// The items that the policy rejects.
    Judging,
    /// All except temporary items.
    Emptying,
}

impl Shard {
    /// Pays for `bytes` that were stored: compacts a little, if memory is short or much of this
    /// shard is dead.
    #[inline]
    pub(in crate::store) fn pay_compaction_debt(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        bytes: usize,
    ) {
        if common.segments.is_exhausted() || self.compaction.is_some() || self.is_bloated(common) {
            self.pay(common, time, bytes);
        }
    }

    /// Returns whether much of this shard is dead. Then compaction does not wait until memory is
    /// short.
    #[inline]
    fn is_bloated(&self, common: &StoreShared) -> bool {
        self.is_compacting_dead(common) && self.logs.is_bloated(&common.segments)
    }

    /// The rare part of [`Shard::pay_compaction_debt`]. Most stores into a cache that is not full
    /// skip it.
    #[inline(never)]
    fn pay(&mut self, common: &StoreShared, time: TimeSnapshot, bytes: usize) {
        let exhausted = common.segments.is_exhausted();
        let short = exhausted && !self.logs.has_spare();
        let full = exhausted && !short && common.evicts();
        if full && self.logs.live() > self.level {
            self.keep_level(common, time, bytes);
        } else if short || self.compaction.is_some() && !full || self.is_bloated(common) {
            self.compact(common, time, bytes * COMPACTION_PER_BYTE, EvictionMode::Judging);
            if short {
                self.level = self.level.min(self.logs.live());
            }
        }
    }

    /// Evicts as many bytes as live entries exceed the level at which memory was full, roughly.
    /// Goes through at most a few times the `bytes` that were stored.
    ///
    /// Compaction for want of memory lowers the level (see [`Shard::pay_compaction_debt`]). The
    /// level rises when there is an empty segment more than needed.
    fn keep_level(&mut self, common: &StoreShared, time: TimeSnapshot, bytes: usize) {
        let size = common.segments.size();
        let mut groups = 1 + bytes * COMPACTION_PER_BYTE / GROUP_BYTES;
        while self.logs.live() > self.level && groups > 0 {
            let cleaned = self.compaction.as_ref().map_or(0, |compaction| compaction.next.offset());
            if self.logs.surplus() * size + cleaned >= size + size / 4 + bytes {
                self.level = self.logs.live();
                return;
            }
            // One group.
            if !self.compact(common, time, 1, EvictionMode::Judging) {
                return;
            }
            groups -= 1;
        }
    }

    /// Frees expired items at the old end of each log, up to the first live item. Returns their
    /// number.
    pub(in crate::store) fn reclaim_tails(&mut self, common: &StoreShared, time: TimeSnapshot) -> usize {
        let memory = common.memory();
        let mut dead = Vec::new();
        for rank in Rank::all() {
            let Some(number) = self.logs.oldest(&common.segments, rank) else { continue };
            let mut next = Cursor::start_of(number);
            let entries = std::iter::from_fn(|| common.segments.next_entry(&mut next)).take(TAIL);
            let linked = entries.filter(|&at| memory.header(at).kind() == Kind::Linked);
            let token = &self.logs.token;
            dead.extend(linked.take_while(|&at| common.is_dead_at(&time, token, at)));
        }
        for &at in &dead {
            self.reclaim(common, at, common.hash_of(&self.logs.token, at));
        }
        dead.len()
    }

    /// Ensures that a new segment can be opened. Returns `false` if this shard has no memory to
    /// free.
    pub(in crate::store) fn ensure_free_segment(&mut self, common: &StoreShared, time: TimeSnapshot) -> bool {
        for round in 0..ROUNDS {
            while self.logs.take_spare(&common.segments) {
                if self.logs.has_spare() {
                    return true;
                }
            }
            let zeal =
                if round < MAX_FRUITLESS_ROUNDS { EvictionMode::Judging } else { EvictionMode::Emptying };
            // Another shard may have filled the pool during the compaction.
            if !self.compact(common, time, usize::MAX, zeal) && common.segments.is_exhausted() {
                return false;
            }
        }
        false
    }

    /// Frees the dead items of some buckets, different ones each time. Returns `false` if there are
    /// none.
    pub(in crate::store) fn sweep(&mut self, common: &StoreShared, time: TimeSnapshot) -> bool {
        let mut dead = Vec::new();
        for _ in 0..SWEEP.min(self.index.buckets()) {
            self.index.scan(self.swept, |at| {
                if common.is_dead_at(&time, &self.logs.token, at) {
                    dead.push(at);
                }
            });
            self.swept = (self.swept + 1) % self.index.buckets();
        }
        for &at in &dead {
            self.reclaim(common, at, common.hash_of(&self.logs.token, at));
        }
        !dead.is_empty()
    }

    /// Frees the dead item at `at`.
    pub(in crate::store) fn reclaim(&mut self, common: &StoreShared, at: Ref, hash: u64) {
        let header = common.memory().header(at);
        let unfetched = !header.has(bit::FETCHED);
        let stats = self.stats(header.class());
        stats.reclaimed += 1;
        stats.expired_unfetched += u64::from(unfetched);
        self.unlink(common, at, hash);
    }

    /// Compacts about `budget` bytes of one segment. Returns `false` if no segment can be
    /// compacted.
    fn compact(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        budget: usize,
        zeal: EvictionMode,
    ) -> bool {
        let Compaction { mut next, why } = match self.compaction.take() {
            Some(under_way) => under_way,
            None => match self.choose(common) {
                Some((number, why)) => {
                    self.logs.start_compaction(&common.segments, number);
                    Compaction { next: Cursor::start_of(number), why }
                }
                None => return false,
            },
        };
        let (memory, number) = (common.memory(), next.number());
        let filled = common.segments.get(number).filled();
        let end = next.offset().saturating_add(budget).min(filled);
        while next.offset() < end {
            let mut group = [(Ref::NONE, 0); GROUP];
            let (mut count, start) = (0, next.offset());
            while count < GROUP
                && next.offset() - start < GROUP_BYTES
                && let Some(at) = common.segments.next_entry(&mut next)
            {
                let header = memory.header(at);
                if header.kind() == Kind::Linked {
                    let hash = common.hash_of(&self.logs.token, at);
                    self.index.table().prefetch(hash);
                    group[count] = (at, hash);
                    count += 1;
                } else if header.kind() == Kind::Piece {
                    group[count] = (at, 0);
                    count += 1;
                }
            }
            for &(at, hash) in &group[..count] {
                if !self.compact_entry(common, time, at, hash, why, zeal) {
                    // There is no room to move it, and it must not be evicted.
                    self.logs.end_compaction(&common.segments, number);
                    return false;
                }
            }
        }
        if next.offset() < filled {
            self.compaction = Some(Compaction { next, why });
        } else {
            self.compacted += 1;
            self.logs.end_compaction(&common.segments, number);
        }
        true
    }

    /// Returns whether mostly dead segments are compacted. That changes the order of items, which
    /// some policies keep while items may be evicted.
    fn is_compacting_dead(&self, common: &StoreShared) -> bool {
        !self.tuning.policy.keeps_order() || !common.evicts()
    }

    /// Chooses the segment to compact next.
    fn choose(&mut self, common: &StoreShared) -> Option<(u32, CompactReason)> {
        let segments = &common.segments;
        let size = segments.size();
        let emptiest = self
            .logs
            .sealed(segments)
            .map(|number| (number, segments.get(number)))
            .filter(|(_, segment)| self.is_compacting_dead(common) && segment.holds() == 0)
            .filter(|(_, segment)| {
                !segments.is_exhausted() || self.logs.has_room(segments, segment.rank(), segment.live())
            })
            .map(|(number, segment)| (segment.filled() - segment.live(), number))
            .max();
        // The gain must be worth the copying. Without evictions, there is no other way to gain
        // memory.
        let least = if common.evicts() { size / DEAD_PART } else { size / 16 };
        match emptiest {
            Some((dead, number)) if dead >= least => Some((number, CompactReason::Dead)),
            _ if common.evicts() && segments.is_exhausted() => match self.idle(common) {
                Some(number) => Some((number, CompactReason::Idle)),
                None => Some((self.logs.take_lowest_priority(segments)?, CompactReason::LowestPriority)),
            },
            _ => None,
        }
    }

    /// Returns a segment that is not in use, if there is one.
    ///
    /// A segment is sampled each time that clients have stored as many bytes as are live. It may be
    /// idle for as many samples as it was in use. So an unused segment goes after one sample, and
    /// one used for long outlasts a scan. Without this, small items would stay for very long after
    /// the sizes of requested items have changed.
    fn idle(&self, common: &StoreShared) -> Option<u32> {
        let segments = &common.segments;
        let number = self
            .logs
            .sealed(segments)
            .filter(|&number| segments.get(number).rank().is_weighted() && segments.get(number).holds() == 0)
            .min_by_key(|&number| segments.get(number).seen())?;
        let segment = segments.get(number);
        if self.logs.stored() < segment.seen() + self.logs.live() as u64 {
            return None;
        }
        let memory = common.memory();
        let mut used = false;
        Self::first_entries(common, number, SAMPLE_ENTRIES, |at| {
            let header = memory.header(at);
            used |= match header.kind() {
                Kind::Linked => header.has(bit::RECENT),
                Kind::Piece => memory.header(memory.owner_of(at)).has(bit::RECENT),
                Kind::Dead | Kind::Reserved => false,
            };
            header.unmark(bit::RECENT);
        });
        segment.note_look(used, self.logs.stored()).then_some(number)
    }

    /// Moves or evicts one entry. Returns `false` if it can do neither.
    fn compact_entry(
        &mut self,
        common: &StoreShared,
        time: TimeSnapshot,
        at: Ref,
        hash: u64,
        why: CompactReason,
        zeal: EvictionMode,
    ) -> bool {
        let memory = common.memory();
        let piece = match memory.header(at).kind() {
            Kind::Linked => None,
            Kind::Piece => Some(at),
            // It died after it was put into the group.
            Kind::Dead | Kind::Reserved => return true,
        };
        let (item, hash) = match piece {
            None => (at, hash),
            Some(_) => {
                let owner = memory.owner_of(at);
                if memory.header(owner).kind() != Kind::Linked {
                    return true;
                }
                (owner, common.hash_of(&self.logs.token, owner))
            }
        };
        let header = memory.header(item);
        if common.is_dead_at(&time, &self.logs.token, item) {
            self.reclaim(common, item, hash);
            return true;
        }
        let keeps = match zeal {
            _ if why == CompactReason::Dead => Some(header.queue()),
            // A piece follows its item, which lies before it.
            EvictionMode::Judging if piece.is_some() => Some(header.queue()),
            EvictionMode::Judging => policy::judge(self.tuning.policy, header, why == CompactReason::Idle),
            EvictionMode::Emptying => (header.queue() == Queue::Temp).then_some(Queue::Temp),
        };
        if let Some(queue) = keeps {
            let was = header.queue();
            let class = header.class();
            let rank = if why == CompactReason::Dead {
                common.segments.of(at).rank()
            } else {
                common.rank(queue, header)
            };
            let moved = match piece {
                None => self.relocate(common, item, hash, queue, rank),
                Some(piece) => self.relocate_piece(common, piece, item, rank),
            };
            if moved.is_some() {
                self.moved += 1;
                let stats = self.stats(class);
                match (was, queue) {
                    (Queue::Hot, Queue::Warm) => stats.moves_to_warm += 1,
                    _ => stats.moves_within_lru += 1,
                }
                return true;
            }
            if !common.evicts() || queue == Queue::Temp {
                return false;
            }
        }
        self.evict(common, time, item, hash);
        true
    }

    /// Evicts the live item at `at`.
    pub(in crate::store) fn evict(&mut self, common: &StoreShared, time: TimeSnapshot, at: Ref, hash: u64) {
        let memory = common.memory();
        let header = memory.header(at);
        let idle = time.idle(header);
        let own = self.class(header.class());
        own.evicted_time = idle;
        own.stats.evicted += 1;
        own.stats.evicted_nonzero += u64::from(header.expiry() != 0);
        own.stats.evicted_unfetched += u64::from(!header.has(bit::FETCHED));
        own.stats.evicted_active += u64::from(header.has(bit::ACTIVE));
        self.evicted_ages.record(idle);
        common.log_eviction(self.item(common, at), time);
        self.unlink(common, at, hash);
    }
}

//! Cleaning: how a shard gets an empty segment. The entries of one segment are
//! gone through in order; live items move to the end of a log or are evicted,
//! as the policy judges, and then the segment is empty.
//!
//! A segment of which much is dead is compacted: nothing in it is evicted. Only
//! when there is none such, and memory is short, one is judged: that which is due
//! first.
//!
//! The work is paid in instalments by those who store, a few times the bytes
//! they take ([`Shard::repay`]), so that no store waits for a whole segment
//! unless cleaning did not keep up.

use super::common::Common;
use super::item::{Item, Kind, Queue, Ref, bit};
use super::policy::{self, Moment};
use super::shard::{Cleaning, Shard, Why};

/// Bytes cleaned for each byte stored.
const INSTALMENT: usize = 4;

/// Entries looked at together, so that their index lines are fetched at once.
const GROUP: usize = 8;

/// Segments cleaned without gaining one before everything in one is evicted.
const PATIENCE: usize = 8;

/// Most segments that one store has to wait for.
const ROUNDS: usize = 64;

/// A segment of which so great a part is dead is compacted: at most two bytes are
/// copied for each that is gained, which the instalments pay for.
const DEAD_PART: usize = 3;

/// Entries of a segment that are looked at to learn whether it is in use.
const LOOKED_AT: usize = 256;

/// Buckets that are searched for dead items before a store is refused.
const SWEEP: usize = 128;

/// How hard a segment is cleaned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zeal {
    /// The policy judges.
    Judging,
    /// Only what may never be evicted stays.
    Emptying,
}

impl Shard {
    /// Pays for `bytes` that were stored: cleans a little, if memory is short or
    /// much of this shard's is dead.
    #[inline]
    pub(super) fn repay(&mut self, common: &Common, moment: Moment, bytes: usize) {
        let short = common.segments.is_exhausted() && !self.logs.has_spare();
        let bloated = || self.compacts(common) && self.logs.is_bloated(&common.segments);
        if short || self.cleaning.is_some() || bloated() {
            self.clean(common, moment, bytes * INSTALMENT, Zeal::Judging);
        }
    }

    /// Sees to it that a new segment can be opened. `false`: there is no memory
    /// that this shard could free.
    pub(super) fn make_spare(&mut self, common: &Common, moment: Moment) -> bool {
        for round in 0..ROUNDS {
            while self.logs.take_spare(&common.segments) {
                if self.logs.has_spare() {
                    return true;
                }
            }
            let zeal = if round < PATIENCE { Zeal::Judging } else { Zeal::Emptying };
            // Another shard may have filled the pool meanwhile.
            if !self.clean(common, moment, usize::MAX, zeal) && common.segments.is_exhausted() {
                return false;
            }
        }
        false
    }

    /// Frees what is dead among some items, others each time. `false`: nothing.
    pub(super) fn sweep(&mut self, common: &Common, moment: Moment) -> bool {
        let memory = common.memory();
        let mut dead = Vec::new();
        for _ in 0..SWEEP.min(self.index.buckets()) {
            self.index.walk(self.swept, |at| {
                if moment.is_dead(memory.header(at)) {
                    dead.push(at);
                }
            });
            self.swept = (self.swept + 1) % self.index.buckets();
        }
        for &at in &dead {
            self.reclaim(common, at, common.hash_of(at));
        }
        !dead.is_empty()
    }

    /// Frees the dead item at `at`.
    fn reclaim(&mut self, common: &Common, at: Ref, hash: u64) {
        let header = common.memory().header(at);
        let unfetched = !header.has(bit::FETCHED);
        let stats = self.stats(header.class());
        stats.reclaimed += 1;
        stats.expired_unfetched += u64::from(unfetched);
        self.unlink(common, at, hash);
    }

    /// Cleans up to about `budget` bytes of one segment. `false`: there is none
    /// that could be cleaned.
    fn clean(&mut self, common: &Common, moment: Moment, budget: usize, zeal: Zeal) -> bool {
        let (number, mut offset, why) = match self.cleaning.take() {
            Some(under_way) => (under_way.number, under_way.offset, under_way.why),
            None => match self.choose(common) {
                Some((number, why)) => {
                    self.logs.start_cleaning(&common.segments, number);
                    (number, 0, why)
                }
                None => return false,
            },
        };
        let memory = common.memory();
        let filled = common.segments.get(number).filled();
        let end = offset.saturating_add(budget).min(filled);
        while offset < end {
            let mut group = [(Ref::NONE, 0); GROUP];
            let mut count = 0;
            while count < GROUP && offset < filled {
                let at = common.segments.entry(number, offset);
                let header = memory.header(at);
                if header.kind() == Kind::Linked {
                    let hash = common.hash_of(at);
                    self.index.table().prefetch(hash);
                    group[count] = (at, hash);
                    count += 1;
                } else if header.kind() == Kind::Piece {
                    group[count] = (at, 0);
                    count += 1;
                }
                offset += common.segments.taken_by(at);
            }
            for &(at, hash) in &group[..count] {
                if !self.clean_entry(common, moment, at, hash, why, zeal) {
                    // Nowhere to move it, and it must not be evicted.
                    self.logs.end_cleaning(&common.segments, number);
                    return false;
                }
            }
        }
        if offset < filled {
            self.cleaning = Some(Cleaning { number, offset, why });
        } else {
            self.cleaned += 1;
            self.logs.end_cleaning(&common.segments, number);
        }
        true
    }

    /// Whether mostly dead segments are compacted. That changes the order of
    /// items, which flat mode promises to keep while it may evict.
    fn compacts(&self, common: &Common) -> bool {
        !self.tuning.is_flat() || !common.evicts()
    }

    /// The segment to clean next.
    fn choose(&mut self, common: &Common) -> Option<(u32, Why)> {
        let segments = &common.segments;
        let size = segments.size();
        let emptiest = self
            .logs
            .sealed(segments)
            .map(|number| (number, segments.get(number)))
            .filter(|(_, segment)| self.compacts(common) && segment.holds() == 0)
            .filter(|(_, segment)| {
                !segments.is_exhausted() || self.logs.has_room(segments, segment.rank(), segment.live())
            })
            .map(|(number, segment)| (segment.filled() - segment.live(), number))
            .max();
        // What is to be gained must be worth the copying; without evictions
        // there is no other way to gain anything.
        let least = if common.evicts() { size / DEAD_PART } else { size / 16 };
        match emptiest {
            Some((dead, number)) if dead >= least => Some((number, Why::Dead)),
            _ if common.evicts() && segments.is_exhausted() => match self.idle(common) {
                Some(number) => Some((number, Why::Idle)),
                None => Some((self.logs.due_first(segments)?, Why::Due)),
            },
            _ => None,
        }
    }

    /// A segment that is not in use. It is looked at once each time that clients
    /// have stored as much as is alive, and may be idle for as many looks as it
    /// was in use: so what was never used goes after one, and what was used for
    /// long outlasts a scan. Without this, small items would stay for ages after
    /// the sizes of what is asked for have changed.
    fn idle(&self, common: &Common) -> Option<u32> {
        let segments = &common.segments;
        let number = self
            .logs
            .sealed(segments)
            .filter(|&number| segments.get(number).rank().is_by_credit() && segments.get(number).holds() == 0)
            .min_by_key(|&number| segments.get(number).seen())?;
        let segment = segments.get(number);
        if self.logs.stored() < segment.seen() + self.logs.live() as u64 {
            return None;
        }
        let memory = common.memory();
        let mut used = false;
        Self::first_entries(common, number, LOOKED_AT, |at| {
            let header = memory.header(at);
            used |= match header.kind() {
                Kind::Linked => header.has(bit::RECENT),
                Kind::Piece => memory.header(header.owner()).has(bit::RECENT),
                Kind::Dead | Kind::Draft => false,
            };
            header.unmark(bit::RECENT);
        });
        segment.note_look(used, self.logs.stored()).then_some(number)
    }

    /// Moves or evicts one entry. `false`: it can be neither.
    fn clean_entry(
        &mut self,
        common: &Common,
        moment: Moment,
        at: Ref,
        hash: u64,
        why: Why,
        zeal: Zeal,
    ) -> bool {
        let memory = common.memory();
        let piece = match memory.header(at).kind() {
            Kind::Linked => None,
            Kind::Piece => Some(at),
            // It died since it was seen.
            Kind::Dead | Kind::Draft => return true,
        };
        let (item, hash) = match piece {
            None => (at, hash),
            Some(_) => {
                let owner = memory.header(at).owner();
                if memory.header(owner).kind() != Kind::Linked {
                    return true;
                }
                (owner, common.hash_of(owner))
            }
        };
        let header = memory.header(item);
        if moment.is_dead(header) {
            self.reclaim(common, item, hash);
            return true;
        }
        let keeps = match zeal {
            _ if why == Why::Dead => Some(header.queue()),
            // A piece follows its item, which lies before it.
            Zeal::Judging if piece.is_some() => Some(header.queue()),
            Zeal::Judging => policy::judge(self.tuning.mode, header, why == Why::Idle),
            Zeal::Emptying => (header.queue() == Queue::Temp).then_some(Queue::Temp),
        };
        if let Some(queue) = keeps {
            let was = header.queue();
            let class = header.class();
            let rank =
                if why == Why::Dead { common.segments.of(at).rank() } else { common.rank(queue, header) };
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
        self.evict(common, moment, item, hash);
        true
    }

    /// Evicts the live item at `at`.
    fn evict(&mut self, common: &Common, moment: Moment, at: Ref, hash: u64) {
        let memory = common.memory();
        let header = memory.header(at);
        let idle = moment.idle(header);
        let own = self.class(header.class());
        own.evicted_time = idle;
        own.stats.evicted += 1;
        own.stats.evicted_nonzero += u64::from(header.expiry() != 0);
        own.stats.evicted_unfetched += u64::from(!header.has(bit::FETCHED));
        own.stats.evicted_active += u64::from(header.has(bit::ACTIVE));
        common.log_eviction(Item::new(memory, at), moment);
        self.unlink(common, at, hash);
    }
}

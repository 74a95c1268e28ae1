//! The logs of a shard: which segments it owns, in which order they were
//! filled, and where the next entry goes.

use super::item::Ref;
use super::policy::Rank;
use super::segment::{Segment, Segments, State};

/// Spare segments that a shard keeps for cleaning, once it owns any, and those
/// that cleaning may make in advance.
const SPARES: usize = 2;

/// Further spare segments that a shard may keep in a full cache that evicts. An item
/// of several segments frees as many at once. In the pool they would end the
/// evictions of all shards until they are used.
const SURPLUS: usize = 4;

/// One log: a row of sealed segments, which are linked in the table of segments
/// (numbers plus one, 0 is none), and the open one.
#[derive(Clone, Copy, Default)]
struct Log {
    oldest: usize,
    newest: usize,
    open: Option<u32>,
}

impl Log {
    /// Sealed segments, oldest first.
    fn sealed(self, segments: &Segments) -> impl Iterator<Item = u32> {
        row(self.oldest, move |number| segments.get(number).newer())
    }

    /// Puts a segment at the end of the row.
    fn push(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        segment.set_older(self.newest);
        segment.set_newer(0);
        let link = number as usize + 1;
        match number_of(self.newest) {
            Some(before) => segments.get(before).set_newer(link),
            None => self.oldest = link,
        }
        self.newest = link;
    }

    /// Takes a segment out of the row.
    fn remove(&mut self, segments: &Segments, number: u32) {
        let (older, newer) = (segments.get(number).older(), segments.get(number).newer());
        match number_of(older) {
            Some(older) => segments.get(older).set_newer(newer),
            None => self.oldest = newer,
        }
        match number_of(newer) {
            Some(newer) => segments.get(newer).set_older(older),
            None => self.newest = older,
        }
    }
}

/// The segment that a link leads to.
fn number_of(link: usize) -> Option<u32> {
    link.checked_sub(1).map(|number| number as u32)
}

/// Segments from the one that `first` leads to on.
fn row(first: usize, next: impl Fn(u32) -> usize) -> impl Iterator<Item = u32> {
    std::iter::successors(number_of(first), move |&number| number_of(next(number)))
}

/// Who wants memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AppendFor {
    /// A new item: the last spare segment is not for it.
    Client,
    /// An item that moves out of a segment that is being cleaned.
    Survivor,
}

/// The logs of one shard.
#[derive(Default)]
pub(super) struct Logs {
    by_rank: [Log; Rank::COUNT],
    /// The due of what was evicted last: see `policy.rs`.
    inflation: u64,
    /// Bytes that clients stored.
    stored: u64,
    spare: Vec<u32>,
    /// Segments owned, spare and held ones included.
    owned: usize,
    /// Segments with holds.
    holding: usize,
    /// Bytes of entries that are not DEAD.
    live: usize,
}

impl Logs {
    /// Segments owned.
    pub(super) fn owned(&self) -> usize {
        self.owned
    }

    /// Bytes of entries that are not DEAD.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Sealed segments of all logs.
    pub(super) fn sealed(&self, segments: &Segments) -> impl Iterator<Item = u32> {
        self.by_rank.iter().flat_map(|log| log.sealed(segments))
    }

    /// Segments of the log of `rank`, newest first.
    pub(super) fn newest_first(&self, segments: &Segments, rank: Rank) -> impl Iterator<Item = u32> {
        let log = &self.by_rank[rank.index()];
        log.open.into_iter().chain(row(log.newest, |number| segments.get(number).older()))
    }

    /// The oldest segment of the log of `rank`.
    pub(super) fn oldest(&self, segments: &Segments, rank: Rank) -> Option<u32> {
        let log = &self.by_rank[rank.index()];
        log.sealed(segments).next().or(log.open)
    }

    /// Bytes that clients stored.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Of the oldest segment of each log that nobody holds the one that is due
    /// first. The level rises to its due.
    pub(super) fn take_lowest_priority(&mut self, segments: &Segments) -> Option<u32> {
        let evictable = self.by_rank.iter().enumerate().filter(|&(rank, _)| rank != Rank::TEMPORARY.index());
        let oldest = evictable.filter_map(|(_, log)| {
            let mut all = log.sealed(segments).chain(log.open);
            all.find(|&number| segments.get(number).holds() == 0)
        });
        let first = oldest.min_by_key(|&number| segments.get(number).priority())?;
        self.inflation = self.inflation.max(segments.get(first).priority());
        Some(first)
    }

    /// Whether a spare segment is there for a new item.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.len() >= SPARES
    }

    /// Spare segments beyond those needed.
    pub(super) fn surplus(&self) -> usize {
        self.spare.len().saturating_sub(SPARES)
    }

    /// Whether `live` bytes of the log of `rank` can move without the pool.
    pub(super) fn has_room(&self, segments: &Segments, rank: Rank, live: usize) -> bool {
        !self.spare.is_empty() || self.remaining(segments, rank) >= live
    }

    /// Whether more of the memory owned is dead than alive, by a margin.
    pub(super) fn is_bloated(&self, segments: &Segments) -> bool {
        let size = segments.size();
        let spare = self.spare.len() * size;
        self.owned * size > 2 * self.live + spare + 8 * size
    }

    /// Appends an entry of `size` bytes (rounded) to the log of `rank`. The
    /// caller writes its header before the lock is released. `None`: no memory.
    #[inline]
    pub(super) fn append(
        &mut self,
        segments: &Segments,
        rank: Rank,
        size: usize,
        who: AppendFor,
    ) -> Option<Ref> {
        let number = match self.by_rank[rank.index()].open {
            Some(number) if segments.get(number).filled() + size <= segments.size() => number,
            _ => self.advance(segments, rank, size, who)?,
        };
        let segment = segments.get(number);
        let offset = segment.filled();
        segment.set_filled(offset + size);
        segment.set_live(segment.live() + size);
        self.live += size;
        if who == AppendFor::Client {
            self.stored += size as u64;
        }
        Some(segments.entry(number, offset))
    }

    /// Bytes that still fit the open segment of `rank`.
    pub(super) fn remaining(&self, segments: &Segments, rank: Rank) -> usize {
        self.by_rank[rank.index()].open.map_or(0, |number| segments.size() - segments.get(number).filled())
    }

    /// Seals the open segment of `rank` and opens another one.
    #[cold]
    fn advance(&mut self, segments: &Segments, rank: Rank, size: usize, who: AppendFor) -> Option<u32> {
        if self.spare.is_empty() {
            self.take(segments);
        }
        let fresh = match who {
            AppendFor::Survivor if self.spare.is_empty() && rank.is_weighted() => {
                // Rather in another log than lost.
                let others = Rank::all().filter(|rank| rank.is_weighted());
                return others
                    .filter(|&rank| self.remaining(segments, rank) >= size)
                    .find_map(|rank| self.by_rank[rank.index()].open);
            }
            AppendFor::Survivor => self.spare.pop(),
            AppendFor::Client if self.has_spare() => self.spare.pop(),
            // The one spare segment stays: with it cleaning can begin.
            AppendFor::Client if !self.spare.is_empty() && self.take(segments) => self.spare.pop(),
            AppendFor::Client => None,
        }?;
        let old = self.by_rank[rank.index()].open.replace(fresh);
        self.reopen(segments.get(fresh), rank);
        if let Some(old) = old {
            self.seal(segments, old);
        }
        Some(fresh)
    }

    fn reopen(&self, segment: &Segment, rank: Rank) {
        segment.open(rank, rank.priority(self.inflation), self.stored);
    }

    fn seal(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        if segment.live() == 0 && segment.holds() == 0 {
            self.recycle(segments, number);
            return;
        }
        segment.set_state(State::Sealed);
        self.by_rank[segment.rank().index()].push(segments, number);
    }

    /// Takes a segment from the pool.
    fn take(&mut self, segments: &Segments) -> bool {
        let Some(number) = segments.take() else { return false };
        self.owned += 1;
        self.spare.push(number);
        true
    }

    /// Takes a segment from the pool if the shard has none to spare.
    pub(super) fn take_spare(&mut self, segments: &Segments) -> bool {
        self.has_spare() || self.take(segments)
    }

    /// Puts an empty segment that is in no log aside, or back into the pool.
    fn recycle(&mut self, segments: &Segments, number: u32) {
        segments.get(number).set_state(State::Free);
        // Even if the limit was lowered: without spares nothing can be cleaned or
        // stored. `Store::shrink_to_limit` gives them back.
        let kept = if segments.is_exhausted() && segments.evicts() { SPARES + SURPLUS } else { SPARES };
        if self.spare.len() >= kept {
            self.owned -= 1;
            segments.give(number);
        } else {
            self.spare.push(number);
        }
    }

    /// Gives a spare segment to the pool, but not the last one.
    pub(super) fn give_spare(&mut self, segments: &Segments) -> bool {
        if !self.has_spare() {
            return false;
        }
        let Some(number) = self.spare.pop() else { return false };
        self.owned -= 1;
        segments.give(number);
        true
    }

    /// Takes a segment out of its log, to be cleaned.
    pub(super) fn start_compaction(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        let log = &mut self.by_rank[segment.rank().index()];
        if log.open == Some(number) {
            log.open = None;
        } else {
            log.remove(segments, number);
        }
        segment.set_state(State::Compaction);
    }

    /// Ends the cleaning of a segment. What is left in it is either in use by
    /// somebody without the lock, or could not be moved.
    pub(super) fn end_compaction(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        if segment.holds() > 0 {
            segment.set_state(State::SeqLockGuard);
        } else {
            self.seal(segments, number);
        }
    }

    /// Notes that an entry of `size` bytes died.
    #[inline]
    pub(super) fn mark_dead(&mut self, segments: &Segments, at: Ref, size: usize) {
        let number = segments.number_of(at);
        let segment = segments.get(number);
        let live = segment.live() - size;
        segment.set_live(live);
        self.live -= size;
        if live == 0 && segment.holds() == 0 {
            self.emptied(segments, number);
        }
    }

    #[cold]
    fn emptied(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        match segment.state() {
            State::Open => self.reopen(segment, segment.rank()),
            State::Sealed => {
                self.start_compaction(segments, number);
                self.recycle(segments, number);
            }
            State::Free | State::Compaction | State::SeqLockGuard => {}
        }
    }

    /// Holds the segment of an entry: it is not used again before
    /// [`Logs::release`]. `false` if a quarter of the shard's part is held, unless
    /// `urgent`: each may keep a whole segment from being cleaned.
    pub(super) fn hold(&mut self, segments: &Segments, at: Ref, urgent: bool) -> bool {
        let segment = segments.of(at);
        let holds = segment.holds();
        if holds == 0 {
            // Most have not a quarter of what there is now, which needs no lock.
            let many = |of: usize| self.holding >= (of / 4).max(4);
            if !urgent && many(self.owned) && many(segments.share()) {
                return false;
            }
            self.holding += 1;
        }
        segment.set_holds(holds + 1);
        true
    }

    /// Ends a [`Logs::hold`].
    pub(super) fn release(&mut self, segments: &Segments, at: Ref) {
        let number = segments.number_of(at);
        let segment = segments.get(number);
        let holds = segment.holds() - 1;
        segment.set_holds(holds);
        if holds > 0 {
            return;
        }
        self.holding -= 1;
        if segment.state() == State::SeqLockGuard {
            self.seal(segments, number);
        } else if segment.live() == 0 {
            self.emptied(segments, number);
        }
    }
}

//! The logs of a shard: the segments it owns, the order in which they were filled, and the place of
//! the next entry.

use crate::store::mem::{EntryWriter, Hold, Rank, Ref, Segments, ShardToken, State};

/// Spare segments that a shard with segments keeps for compaction, and those that compaction may
/// empty in advance.
const SPARES: usize = 2;

/// Further spare segments that a shard may keep in a full cache that evicts. An item of several
/// segments frees all of them at once. In the pool, they would end the evictions of all shards
/// until they are used.
const SURPLUS: usize = 4;

/// One log: a list of sealed segments, and the open one. The list is linked in the table of
/// segments (numbers plus one, 0 is none).
#[derive(Clone, Copy, Default)]
struct Log {
    oldest: usize,
    newest: usize,
    open: Option<u32>,
}

impl Log {
    /// Iterates over the sealed segments, oldest first.
    fn sealed(self, segments: &Segments) -> impl Iterator<Item = u32> {
        row(self.oldest, move |number| segments.get(number).newer())
    }

    /// Adds a segment at the end of the list.
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

    /// Removes a segment from the list.
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

/// Returns the number of the segment of a link.
fn number_of(link: usize) -> Option<u32> {
    link.checked_sub(1).map(|number| number as u32)
}

/// Iterates over linked segments, from the one of the link `first` on.
fn row(first: usize, next: impl Fn(u32) -> usize) -> impl Iterator<Item = u32> {
    std::iter::successors(number_of(first), move |&number| number_of(next(number)))
}

/// The purpose of an append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum AppendFor {
    /// A new item, which may not take the last spare segment.
    Client,
    /// An item that moves out of a segment under compaction.
    Survivor,
}

/// The logs of one shard.
pub(in crate::store) struct Logs {
    /// The right to the entries of the shard.
    pub(in crate::store) token: ShardToken,
    by_rank: [Log; Rank::COUNT],
    /// GDSF's L: the priority of the segment judged last (see `policy.rs`).
    inflation: u64,
    /// Bytes that clients stored.
    stored: u64,
    spare: Vec<u32>,
    /// Segments owned, including spare and held ones.
    owned: usize,
    /// Segments with holds.
    holding: usize,
    /// Bytes of entries that are not DEAD.
    live: usize,
}

impl Logs {
    pub(in crate::store) fn new(token: ShardToken) -> Self {
        Self {
            token,
            by_rank: [Log::default(); Rank::COUNT],
            inflation: 0,
            stored: 0,
            spare: Vec::new(),
            owned: 0,
            holding: 0,
            live: 0,
        }
    }

    /// Returns the number of segments owned.
    pub(in crate::store) fn owned(&self) -> usize {
        self.owned
    }

    /// Bytes of entries that are not DEAD.
    pub(in crate::store) fn live(&self) -> usize {
        self.live
    }

    /// Iterates over the sealed segments of all logs.
    pub(in crate::store) fn sealed(&self, segments: &Segments) -> impl Iterator<Item = u32> {
        self.by_rank.iter().flat_map(|log| log.sealed(segments))
    }

    /// Iterates over the segments of the log of `rank`, newest first.
    pub(in crate::store) fn newest_first(
        &self,
        segments: &Segments,
        rank: Rank,
    ) -> impl Iterator<Item = u32> {
        let log = &self.by_rank[rank.index()];
        log.open.into_iter().chain(row(log.newest, |number| segments.get(number).older()))
    }

    /// Returns the oldest segment of the log of `rank`.
    pub(in crate::store) fn oldest(&self, segments: &Segments, rank: Rank) -> Option<u32> {
        let log = &self.by_rank[rank.index()];
        log.sealed(segments).next().or(log.open)
    }

    /// Bytes that clients stored.
    pub(in crate::store) fn stored(&self) -> u64 {
        self.stored
    }

    /// Chooses the segment with the lowest priority, among the oldest segment without holds of each
    /// log. The inflation rises to its priority.
    pub(in crate::store) fn take_lowest_priority(&mut self, segments: &Segments) -> Option<u32> {
        let evictable = self.by_rank.iter().enumerate().filter(|&(rank, _)| rank != Rank::TEMPORARY.index());
        let oldest = evictable.filter_map(|(_, log)| {
            let mut all = log.sealed(segments).chain(log.open);
            all.find(|&number| segments.get(number).holds() == 0)
        });
        let first = oldest.min_by_key(|&number| segments.get(number).priority())?;
        self.inflation = self.inflation.max(segments.get(first).priority());
        Some(first)
    }

    /// Returns whether there is a spare segment for a new item.
    pub(in crate::store) fn has_spare(&self) -> bool {
        self.spare.len() >= SPARES
    }

    /// Returns the number of spare segments beyond those needed.
    pub(in crate::store) fn surplus(&self) -> usize {
        self.spare.len().saturating_sub(SPARES)
    }

    /// Returns whether `live` bytes of the log of `rank` can move without the pool.
    pub(in crate::store) fn has_room(&self, segments: &Segments, rank: Rank, live: usize) -> bool {
        !self.spare.is_empty() || self.remaining(segments, rank) >= live
    }

    /// Returns whether more of the owned memory is dead than live, by a margin.
    pub(in crate::store) fn is_bloated(&self, segments: &Segments) -> bool {
        let size = segments.size();
        let spare = self.spare.len() * size;
        self.owned * size > 2 * self.live + spare + 8 * size
    }

    /// Appends an entry of `size` bytes (rounded) to the log of `rank`. The caller writes its
    /// header before it releases the lock, and holds it if it writes on after that. Returns `None`
    /// if there is no memory.
    #[inline]
    pub(in crate::store) fn append(
        &mut self,
        segments: &Segments,
        rank: Rank,
        size: usize,
        who: AppendFor,
    ) -> Option<EntryWriter<'static>> {
        let fits = |number| Some((number, segments.append(&mut self.token, number, size)?));
        let (number, writer) = match self.by_rank[rank.index()].open.and_then(fits) {
            Some(appended) => appended,
            None => {
                let number = self.advance(segments, rank, size, who)?;
                (number, segments.append(&mut self.token, number, size)?)
            }
        };
        let segment = segments.get(number);
        segment.set_live(segment.live() + size);
        self.live += size;
        if who == AppendFor::Client {
            self.stored += size as u64;
        }
        Some(writer)
    }

    /// Returns the bytes that still fit the open segment of `rank`.
    pub(in crate::store) fn remaining(&self, segments: &Segments, rank: Rank) -> usize {
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
                // Another log is better than losing the item.
                let others = Rank::all().filter(|rank| rank.is_weighted());
                return others
                    .filter(|&rank| self.remaining(segments, rank) >= size)
                    .find_map(|rank| self.by_rank[rank.index()].open);
            }
            AppendFor::Survivor => self.spare.pop(),
            AppendFor::Client if self.has_spare() => self.spare.pop(),
            // The last spare segment stays, so that compaction can begin.
            AppendFor::Client if !self.spare.is_empty() && self.take(segments) => self.spare.pop(),
            AppendFor::Client => None,
        }?;
        let old = self.by_rank[rank.index()].open.replace(fresh);
        self.reopen(segments, fresh, rank);
        if let Some(old) = old {
            self.seal(segments, old);
        }
        Some(fresh)
    }

    fn reopen(&mut self, segments: &Segments, number: u32, rank: Rank) {
        let priority = rank.priority(self.inflation);
        segments.get(number).open(&mut self.token, rank, priority, self.stored);
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
        self.receive(segments, number);
        true
    }

    /// Adds a spare segment that came from the pool or from another shard.
    pub(in crate::store) fn receive(&mut self, segments: &Segments, number: u32) {
        segments.assign(number, &self.token);
        self.owned += 1;
        self.spare.push(number);
    }

    /// Takes out a spare segment for another shard, except the last one.
    pub(in crate::store) fn hand_over(&mut self) -> Option<u32> {
        let number = self.has_spare().then(|| self.spare.pop()).flatten()?;
        self.owned -= 1;
        Some(number)
    }

    /// Takes a segment from the pool if the shard has no spare one.
    pub(in crate::store) fn take_spare(&mut self, segments: &Segments) -> bool {
        self.has_spare() || self.take(segments)
    }

    /// Keeps an empty segment as a spare one, or returns it to the pool. It must not be in a log.
    fn recycle(&mut self, segments: &Segments, number: u32) {
        segments.get(number).set_state(State::Free);
        // This is so even if the limit was lowered: without spares, compaction and stores are
        // impossible. `Store::shrink_to_limit` gives them back.
        let kept = if segments.is_exhausted() && segments.evicts() { SPARES + SURPLUS } else { SPARES };
        if self.spare.len() >= kept {
            self.owned -= 1;
            segments.give(number);
        } else {
            self.spare.push(number);
        }
    }

    /// Gives a spare segment to the pool, except the last one.
    pub(in crate::store) fn give_spare(&mut self, segments: &Segments) -> bool {
        let given = self.hand_over();
        if let Some(number) = given {
            segments.give(number);
        }
        given.is_some()
    }

    /// Takes a segment out of its log, for compaction.
    pub(in crate::store) fn start_compaction(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        let log = &mut self.by_rank[segment.rank().index()];
        if log.open == Some(number) {
            log.open = None;
        } else {
            log.remove(segments, number);
        }
        segment.set_state(State::Compacting);
    }

    /// Ends the compaction of a segment. The remaining entries are in use without the lock, or
    /// could not be moved.
    pub(in crate::store) fn end_compaction(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        if segment.holds() > 0 {
            segment.set_state(State::Held);
        } else {
            self.seal(segments, number);
        }
    }

    /// Records that an entry of `size` bytes died.
    #[inline]
    pub(in crate::store) fn mark_dead(&mut self, segments: &Segments, at: Ref, size: usize) {
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
            State::Open => self.reopen(segments, number, segment.rank()),
            State::Sealed => {
                self.start_compaction(segments, number);
                self.recycle(segments, number);
            }
            State::Free | State::Compacting | State::Held => {}
        }
    }

    /// Like [`Logs::hold`], unless a quarter of the shard's part is held already. The bound exists
    /// because each hold may block the compaction of a whole segment.
    pub(in crate::store) fn try_hold(&mut self, segments: &Segments, at: Ref) -> Option<Hold> {
        if segments.of(at).holds() == 0 {
            // The first comparison mostly suffices, and needs no lock.
            let many = |of: usize| self.holding >= (of / 4).max(4);
            if many(self.owned) && many(segments.share()) {
                return None;
            }
        }
        Some(self.hold(segments, at))
    }

    /// Holds the segment of an entry, so that it is not reused before [`Logs::release`].
    pub(in crate::store) fn hold(&mut self, segments: &Segments, at: Ref) -> Hold {
        let hold = segments.hold(&mut self.token, at);
        if segments.of(at).holds() == 1 {
            self.holding += 1;
        }
        hold
    }

    /// Ends a [`Logs::hold`].
    pub(in crate::store) fn release(&mut self, segments: &Segments, hold: Hold) {
        let number = segments.number_of(hold.at());
        if segments.end_hold(&mut self.token, hold) > 0 {
            return;
        }
        self.holding -= 1;
        let segment = segments.get(number);
        if segment.state() == State::Held {
            self.seal(segments, number);
        } else if segment.live() == 0 {
            self.emptied(segments, number);
        }
    }
}

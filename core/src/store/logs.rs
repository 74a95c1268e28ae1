//! The logs of a shard: which segments it owns, in which order they were
//! filled, and where the next entry goes.

use std::collections::VecDeque;

use super::item::{QUEUES, Queue, Ref};
use super::segment::{Segments, State};

/// Spare segments that a shard keeps for cleaning, once it owns any, and those
/// that cleaning may make in advance.
const SPARES: usize = 2;

/// One log: sealed segments, oldest first, and the open one.
#[derive(Default)]
struct Log {
    sealed: VecDeque<u32>,
    open: Option<u32>,
}

impl Log {
    fn segments(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }
}

/// Who wants memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A new item: the last spare segment is not for it.
    Client,
    /// An item that moves out of a segment that is being cleaned.
    Survivor,
}

/// The logs of one shard.
#[derive(Default)]
pub(super) struct Logs {
    by_queue: [Log; 4],
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

    /// Segments of each log.
    pub(super) fn lengths(&self) -> [usize; 4] {
        std::array::from_fn(|queue| self.by_queue[queue].segments())
    }

    /// Sealed segments of each log.
    pub(super) fn sealed_lengths(&self) -> [usize; 4] {
        std::array::from_fn(|queue| self.by_queue[queue].sealed.len())
    }

    /// Sealed segments of all logs.
    pub(super) fn sealed(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_queue.iter().flat_map(|log| log.sealed.iter().copied())
    }

    /// Segments of the log of `queue`, newest first.
    pub(super) fn newest_first(&self, queue: Queue) -> impl Iterator<Item = u32> + '_ {
        let log = &self.by_queue[queue as usize];
        log.open.into_iter().chain(log.sealed.iter().rev().copied())
    }

    /// The oldest sealed segment of the log of `queue` that nobody holds.
    pub(super) fn oldest(&self, segments: &Segments, queue: Queue) -> Option<u32> {
        let sealed = &self.by_queue[queue as usize].sealed;
        sealed.iter().copied().find(|&number| segments.get(number).holds() == 0)
    }

    /// Whether a spare segment is there for a new item.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.len() >= SPARES
    }

    /// Whether `live` bytes of the log with index `queue` can move without the
    /// pool.
    pub(super) fn has_room(&self, segments: &Segments, queue: usize, live: usize) -> bool {
        !self.spare.is_empty()
            || QUEUES.get(queue).is_some_and(|&queue| self.remaining(segments, queue) >= live)
    }

    /// Whether more of the memory owned is dead than alive, by a margin.
    pub(super) fn is_bloated(&self, segments: &Segments) -> bool {
        let size = segments.size();
        let spare = self.spare.len() * size;
        self.owned * size > 2 * self.live + spare + 8 * size
    }

    /// Appends an entry of `size` bytes (rounded) to the log of `queue`. The
    /// caller writes its header before the lock is released. `None`: no memory.
    #[inline]
    pub(super) fn append(&mut self, segments: &Segments, queue: Queue, size: usize, who: For) -> Option<Ref> {
        let number = match self.by_queue[queue as usize].open {
            Some(number) if segments.get(number).filled() + size <= segments.size() => number,
            _ => self.advance(segments, queue, who)?,
        };
        let segment = segments.get(number);
        let offset = segment.filled();
        segment.set_filled(offset + size);
        segment.set_live(segment.live() + size);
        self.live += size;
        Some(segments.entry(number, offset))
    }

    /// Bytes that still fit the open segment of `queue`.
    pub(super) fn remaining(&self, segments: &Segments, queue: Queue) -> usize {
        self.by_queue[queue as usize].open.map_or(0, |number| segments.size() - segments.get(number).filled())
    }

    /// Seals the open segment of `queue` and opens another one.
    #[cold]
    fn advance(&mut self, segments: &Segments, queue: Queue, who: For) -> Option<u32> {
        if self.spare.is_empty() {
            self.take(segments);
        }
        let fresh = match who {
            For::Survivor => self.spare.pop(),
            For::Client if self.has_spare() => self.spare.pop(),
            // The one spare segment stays: with it cleaning can begin.
            For::Client if !self.spare.is_empty() && self.take(segments) => self.spare.pop(),
            For::Client => None,
        }?;
        let old = self.by_queue[queue as usize].open.replace(fresh);
        segments.get(fresh).open(queue as usize);
        if let Some(old) = old {
            self.seal(segments, old);
        }
        Some(fresh)
    }

    fn seal(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        if segment.live() == 0 && segment.holds() == 0 {
            self.recycle(segments, number);
            return;
        }
        segment.set_state(State::Sealed);
        self.by_queue[segment.queue()].sealed.push_back(number);
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
        // stored. `Store::tidy` gives them back.
        if self.has_spare() {
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

    /// Takes a sealed segment out of its log, to be cleaned.
    pub(super) fn start_cleaning(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        self.by_queue[segment.queue()].sealed.retain(|&other| other != number);
        segment.set_state(State::Cleaning);
    }

    /// Ends the cleaning of a segment. What is left in it is either in use by
    /// somebody without the lock, or could not be moved.
    pub(super) fn end_cleaning(&mut self, segments: &Segments, number: u32) {
        let segment = segments.get(number);
        if segment.holds() > 0 {
            segment.set_state(State::Held);
        } else {
            self.seal(segments, number);
        }
    }

    /// Notes that an entry of `size` bytes died.
    #[inline]
    pub(super) fn bury(&mut self, segments: &Segments, at: Ref, size: usize) {
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
            State::Open => segment.set_filled(0),
            State::Sealed => {
                self.start_cleaning(segments, number);
                self.recycle(segments, number);
            }
            State::Free | State::Cleaning | State::Held => {}
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
        if segment.state() == State::Held {
            self.seal(segments, number);
        } else if segment.live() == 0 {
            self.emptied(segments, number);
        }
    }
}

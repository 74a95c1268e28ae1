//! Moves slab pages between classes: empties a page, item by item, and hands
//! it to another class or to the pool.
//!
//! A step locks all shards in ascending order and looks at a few chunks; in
//! between, everything goes on. Chunks of the page that become free in the
//! meantime are not used again (see `Shard::free_chunk`).

use std::sync::atomic::{Ordering::Acquire, fence};

use super::common::Common;
use super::item::{Item, Kind, Ref, bit};
use super::shard::{Shard, move_chunk};
use super::slab::{GIVEN_BACK, LIMBO, POOL};
use super::stats::MoverStats;

/// Chunks looked at while all shards are locked.
const STEP: usize = 32;

/// Steps in a row without progress after which a page that must be free at
/// once is given up.
const PATIENCE: usize = 3;

/// Evictions for one chunk to copy to, at most.
const TRIES: usize = 8;

/// Why a page move was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// Another move is under way.
    Busy,
    /// No such class.
    BadClass,
    /// The source has no page to spare.
    NoSpare,
    /// Source and destination are the same.
    Same,
}

/// A page move under way.
struct Move {
    page: u32,
    from: u8,
    to: u8,
    /// Chunks that still hold something or were not looked at.
    left: Vec<Ref>,
    /// Whether eviction may make room.
    evict: bool,
}

/// The page mover.
#[derive(Default)]
pub(super) struct Mover {
    current: Option<Move>,
    pub(super) stats: MoverStats,
    /// Class that was last robbed by choice of the mover.
    last_source: u8,
}

enum Progress {
    /// Not finished; something was done.
    Some,
    /// Not finished; everything left is in use.
    None,
    Finished,
}

impl Mover {
    /// Starts to move a page from class `from` (negative: the mover's choice)
    /// to class `to` (0: the pool).
    pub(super) fn start(&mut self, common: &Common, from: i32, to: i32) -> Result<(), MoveError> {
        let largest = i32::from(common.slabs.largest());
        if self.current.is_some() {
            return Err(MoveError::Busy);
        }
        if from == to {
            return Err(MoveError::Same);
        }
        let usage = common.slabs.usage();
        let pages =
            |class: i32| usize::try_from(class).ok().and_then(|c| usage.get(c)).map_or(0, |u| u.pages);
        // A limit that was lowered may take a class's last page.
        let spare = usize::from(!(to == i32::from(POOL) && common.slabs.shrinks()));
        let from = if from == -1 {
            let next = i32::from(self.last_source);
            let found = (1..=largest)
                .map(|step| (next + step - 1) % largest + 1)
                .find(|&class| class != to && pages(class) > spare);
            found.ok_or(MoveError::NoSpare)?
        } else {
            from
        };
        if !(1..=largest).contains(&from) || !(0..=largest).contains(&to) {
            return Err(MoveError::BadClass);
        }
        if pages(from) <= spare {
            return Err(MoveError::NoSpare);
        }
        self.last_source = from as u8;
        self.begin(common, from as u8, to as u8, true);
        Ok(())
    }

    fn begin(&mut self, common: &Common, from: u8, to: u8, evict: bool) -> bool {
        let Some(page) = common.slabs.start_draining(from) else { return false };
        let left = common.slabs.chunks_of(page, from);
        self.current = Some(Move { page, from, to, left, evict });
        self.stats.running = true;
        true
    }

    /// Whether a move is under way.
    pub(super) fn is_running(&self) -> bool {
        self.current.is_some()
    }

    /// Does a little of the move under way. `false`: nothing to do, or all
    /// that is left is in use.
    pub(super) fn step(&mut self, common: &Common, shards: &mut Locked<'_>) -> bool {
        matches!(self.advance(common, shards), Progress::Some)
    }

    /// Empties a page of some other class at once and gives it to `to`, which
    /// has none. `false`: every candidate is in use.
    pub(super) fn steal<'a>(&mut self, common: &Common, to: u8, lock_all: impl Fn() -> Locked<'a>) -> bool {
        while self.current.is_some() {
            let mut shards = lock_all();
            if matches!(self.advance(common, &mut shards), Progress::None) {
                self.abort(common, &mut shards);
            }
        }
        if !common.slabs.is_full() {
            return true;
        }
        let mut sources: Vec<(usize, u8)> = common
            .slabs
            .usage()
            .iter()
            .enumerate()
            .filter(|&(class, usage)| {
                class != usize::from(POOL) && class != usize::from(to) && usage.pages > 0
            })
            .map(|(class, usage)| (usage.pages, class as u8))
            .collect();
        sources.sort_unstable();
        for (_, from) in sources.into_iter().rev() {
            if !self.begin(common, from, to, common.evicts()) {
                continue;
            }
            let mut stuck = 0;
            while self.current.is_some() {
                let mut shards = lock_all();
                match self.advance(common, &mut shards) {
                    Progress::Finished => return true,
                    Progress::Some => stuck = 0,
                    Progress::None => stuck += 1,
                }
                if stuck == PATIENCE {
                    self.abort(common, &mut shards);
                } else if stuck > 0 {
                    // Most who hold a chunk are about to store into it.
                    drop(shards);
                    std::thread::yield_now();
                }
            }
        }
        false
    }

    fn advance(&mut self, common: &Common, shards: &mut Locked<'_>) -> Progress {
        let Some(mut work) = self.current.take() else { return Progress::None };
        let before = work.left.len();
        let take = before.min(STEP);
        let mut busy = Vec::new();
        for at in work.left.split_off(before - take) {
            if !self.vacate(common, shards, &work, at) {
                busy.push(at);
            }
        }
        let done = take - busy.len();
        // Those in use come last, after all others had their turn.
        busy.append(&mut work.left);
        work.left = busy;
        if !work.left.is_empty() {
            self.current = Some(work);
            return if done > 0 { Progress::Some } else { Progress::None };
        }
        common.slabs.finish_draining(work.page, work.from, work.to);
        self.stats.moved += 1;
        self.stats.running = false;
        Progress::Finished
    }

    /// Gives up the move under way.
    fn abort(&mut self, common: &Common, shards: &mut Locked<'_>) {
        let Some(work) = self.current.take() else { return };
        common.slabs.stop_draining();
        self.stats.running = false;
        let Some(shard) = shards.first_mut() else { return };
        for at in common.slabs.chunks_of(work.page, work.from) {
            let header = common.slabs.memory.header(at);
            if header.kind() == Kind::Free && header.expiry() == LIMBO {
                shard.free_chunk(common, at, work.from);
            }
        }
    }

    /// Makes the chunk at `at` hold nothing. `false`: it is in use.
    fn vacate(&mut self, common: &Common, shards: &mut Locked<'_>, work: &Move, at: Ref) -> bool {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        match header.kind() {
            Kind::Free => {
                match header.expiry() {
                    LIMBO => {}
                    GIVEN_BACK => common.slabs.withdraw(at, work.from),
                    owner => {
                        if let Some(shard) = shards.get_mut(owner as usize) {
                            shard.unlink_free(common, at, work.from);
                        }
                    }
                }
                true
            }
            Kind::Detached => self.busy("busy_floating"),
            Kind::Linked => self.vacate_item(common, shards, work, at),
            Kind::Chunk => {
                // Pairs with the fence in `Draft::add_chunk`.
                fence(Acquire);
                let owner = Ref(header.cas() as u32);
                let owner_header = memory.header(owner);
                if owner_header.kind() != Kind::Linked {
                    return self.busy("busy_uploading");
                }
                if owner_header.has(bit::PINNED) {
                    return self.busy("busy_active");
                }
                let size = common.slabs.class(work.from).size;
                if let Some(new) = self.room(common, shards, work, owner) {
                    if header.kind() != Kind::Chunk {
                        // Making room evicted the owner.
                        if let Some(shard) = shards.first_mut() {
                            shard.free_chunk(common, new, work.from);
                        }
                        return true;
                    }
                    move_chunk(common, at, new, size);
                    self.stats.chunk_rescues += 1;
                    retire(common, at, work.from);
                    return true;
                }
                if header.kind() == Kind::Chunk {
                    if !work.evict {
                        return self.busy("nomem");
                    }
                    drop_item(common, shards, owner);
                }
                true
            }
        }
    }

    fn vacate_item(&mut self, common: &Common, shards: &mut Locked<'_>, work: &Move, at: Ref) -> bool {
        let memory = &common.slabs.memory;
        let header = memory.header(at);
        let moment = common.moment();
        if header.has(bit::PINNED) {
            if moment.is_dead(header) {
                self.stats.busy_deletes += 1;
                drop_item(common, shards, at);
                return self.busy("busy_floating");
            }
            if !header.has(bit::CHUNKED)
                && let Some(new) = self.room(common, shards, work, at)
            {
                self.leave_floating(common, shards, work, at, new);
                return self.busy("busy_floating");
            }
            return self.busy("busy_active");
        }
        if moment.is_dead(header) {
            drop_item(common, shards, at);
            return true;
        }
        let Some(new) = self.room(common, shards, work, at) else {
            if header.kind() == Kind::Linked && !work.evict {
                return self.busy("nomem");
            }
            if header.kind() == Kind::Linked {
                self.stats.inline_reclaim += 1;
                drop_item(common, shards, at);
            }
            return true;
        };
        let shard = common.shard_of(common.hash(Item::new(memory, at).key()));
        let Some(shard) = shards.get_mut(shard) else { return true };
        if header.kind() != Kind::Linked {
            // Making room evicted the item itself.
            shard.free_chunk(common, new, work.from);
            return true;
        }
        shard.move_item(common, at, new, common.slabs.class(work.from).size);
        self.stats.rescues += 1;
        retire(common, at, work.from);
        true
    }

    /// Moves a pinned item to `new`: readers keep the old copy, which is freed
    /// when they are done.
    fn leave_floating(&mut self, common: &Common, shards: &mut Locked<'_>, work: &Move, at: Ref, new: Ref) {
        let memory = &common.slabs.memory;
        let shard = common.shard_of(common.hash(Item::new(memory, at).key()));
        let Some(shard) = shards.get_mut(shard) else { return };
        shard.move_item(common, at, new, common.slabs.class(work.from).size);
        memory.header(new).unmark(bit::PINNED);
        memory.header(at).set_kind(Kind::Detached);
        self.stats.rescues += 1;
    }

    /// A free chunk of the class that is being robbed, outside the page.
    /// May evict the item at `mover` itself; the caller looks again.
    fn room(&mut self, common: &Common, shards: &mut Locked<'_>, work: &Move, mover: Ref) -> Option<Ref> {
        let memory = &common.slabs.memory;
        let own = common.shard_of(common.hash(Item::new(memory, mover).key()));
        let count = shards.len();
        for step in 0..count {
            let shard = shards.get_mut((own + step) % count)?;
            if let Some(at) = shard.take_free(common, work.from) {
                return Some(at);
            }
        }
        if let Some(at) = unowned(common, work.from) {
            return Some(at);
        }
        self.stats.busy_nomem += 1;
        self.stats.last_busy = "nomem";
        if !work.evict {
            return None;
        }
        let moment = common.moment();
        let lru_class = memory.header(mover).class();
        // What an eviction frees may lie in the page itself: try some more.
        for _ in 0..TRIES {
            let evicted = (0..count).find_map(|step| {
                let shard = shards.get_mut((own + step) % count)?;
                shard.evict(common, moment, lru_class).then(|| freed(common, shard, work.from))
            });
            match evicted {
                None => return None,
                Some(Some(at)) => return Some(at),
                Some(None) => {}
            }
        }
        None
    }

    fn busy(&mut self, why: &'static str) -> bool {
        self.stats.busy_items += 1;
        self.stats.last_busy = why;
        false
    }
}

/// Removes the item at `at`.
fn drop_item(common: &Common, shards: &mut Locked<'_>, at: Ref) {
    let hash = common.hash(Item::new(&common.slabs.memory, at).key());
    if let Some(shard) = shards.get_mut(common.shard_of(hash)) {
        shard.unlink(common, at, hash);
    }
}

/// A chunk that an eviction in `shard` freed.
fn freed(common: &Common, shard: &mut Shard, class: u8) -> Option<Ref> {
    shard.take_free(common, class).or_else(|| unowned(common, class))
}

/// A chunk of `class` that belongs to no shard.
fn unowned(common: &Common, class: u8) -> Option<Ref> {
    let mut found = None;
    common.slabs.carve(class, 1, false, |at| found = Some(at));
    let at = found?;
    common.slabs.memory.header(at).set_kind(Kind::Detached);
    Some(at)
}

/// Marks a chunk of the page whose contents moved away.
fn retire(common: &Common, at: Ref, class: u8) {
    let header = common.slabs.memory.header(at);
    header.set_state(Kind::Free as u16);
    header.set_class(class);
    header.set_expiry(LIMBO);
}

/// All shards, locked in ascending order.
pub(super) type Locked<'a> = Vec<parking_lot::MutexGuard<'a, Shard>>;

//! Counters of optimistic reads. Each thread has cache lines of its own, so that counting does not
//! contend.
//!
//! A thread has one *slot* in the counters of all stores, from its first read until it ends. There
//! are [`SLOTS`] of them. A thread without one takes the lock for each read.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::base::sync::Mutex;
use crate::store::classes::CLASSES;
use crate::store::mem::{Mapped, QUEUES, Queue, atomics};
use crate::store::stats::{ClassStats, CommandStats};

/// Most threads with a slot.
const SLOTS: usize = 64;

/// Number of counters of a thread: hits by class and queue, then misses.
const COUNTER_COUNT: usize = CLASSES * QUEUES.len() + 1;

/// Index of the counter of misses, the last one.
const MISSES: usize = COUNTER_COUNT - 1;

/// The counters of one thread. Other threads only read them.
#[repr(C, align(128))]
struct Counters {
    counts: [AtomicU64; COUNTER_COUNT],
}

atomics!(Counters { counts });

/// The counters of a store's optimistic reads.
pub(in crate::store) struct ReadCounters {
    table: Mapped<Counters>,
    /// The sums when statistics were last reset.
    before: Mutex<Vec<u64>>,
}

/// The counters of the current thread.
#[derive(Clone, Copy)]
pub(in crate::store) struct ThreadCounters<'a>(&'a Counters);

impl ReadCounters {
    /// # Errors
    /// The system refuses the memory.
    pub(in crate::store) fn new() -> io::Result<Self> {
        let table = Mapped::zeroed(SLOTS)?;
        Ok(Self { table, before: Mutex::new(vec![0; COUNTER_COUNT]) })
    }

    /// Returns the counters of this thread, if it has a slot.
    #[inline]
    pub(in crate::store) fn own(&self) -> Option<ThreadCounters<'_>> {
        let number = SLOT.try_with(CounterSlot::number).ok()?;
        self.table.get(number).map(ThreadCounters)
    }

    /// Adds the counts since the last reset.
    pub(in crate::store) fn add_to<'c>(
        &self,
        commands: &mut CommandStats,
        classes: impl Iterator<Item = &'c mut ClassStats>,
    ) {
        // Sum under the lock, so that the sums of a reset are not higher.
        let before = self.before.lock();
        let now = self.sums();
        let since = |counter: usize| now[counter].wrapping_sub(before[counter]);
        commands.get_cmds += since(MISSES);
        commands.get_misses += since(MISSES);
        for (class, counts) in classes.enumerate() {
            for queue in QUEUES {
                let hits = since(counter(class as u8, queue));
                commands.get_cmds += hits;
                *counts.hits_to(queue) += hits;
            }
        }
    }

    /// Resets the counters to 0.
    pub(in crate::store) fn reset(&self) {
        let mut before = self.before.lock();
        *before = self.sums();
    }

    fn sums(&self) -> Vec<u64> {
        let mut sums = vec![0; COUNTER_COUNT];
        for own in self.table.iter() {
            for (sum, count) in sums.iter_mut().zip(&own.counts) {
                *sum += count.load(Relaxed);
            }
        }
        sums
    }
}

impl ThreadCounters<'_> {
    /// Counts a get that found an item.
    #[inline]
    pub(in crate::store) fn hit(self, class: u8, queue: Queue) {
        self.count(counter(class, queue));
    }

    /// Counts a get that found no item.
    #[inline]
    pub(in crate::store) fn miss(self) {
        self.count(MISSES);
    }

    #[inline]
    fn count(self, counter: usize) {
        let counter = &self.0.counts[counter];
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }
}

/// Returns the index of the counter of hits on items of a class in a queue.
#[inline]
fn counter(class: u8, queue: Queue) -> usize {
    usize::from(class) % CLASSES * QUEUES.len() + queue as usize
}

/// The slots, and which of them are taken.
struct SlotTable {
    /// One bit for each slot.
    taken: AtomicU64,
}

const _: () = assert!(SLOTS == u64::BITS as usize);

impl SlotTable {
    const fn new() -> Self {
        Self { taken: AtomicU64::new(0) }
    }

    /// Takes a slot, if one is free.
    fn take(&self) -> Option<usize> {
        let taken = self.taken.fetch_update(Acquire, Relaxed, |taken| {
            let free = !taken;
            (free != 0).then(|| taken | free & free.wrapping_neg())
        });
        taken.ok().map(|before| (!before).trailing_zeros() as usize)
    }

    /// Gives a slot back. The next thread in it sees its counts.
    fn give(&self, number: usize) {
        self.taken.fetch_and(!(1 << number), Release);
    }
}

/// The slots of all threads of the process. In a child of `fork`, those of the parent's other
/// threads stay taken.
static ALL: SlotTable = SlotTable::new();

thread_local! {
    static SLOT: CounterSlot = const { CounterSlot(Cell::new(CounterSlot::UNKNOWN)) };
}

/// The slot of a thread.
struct CounterSlot(Cell<usize>);

impl CounterSlot {
    /// The thread has not asked for a slot yet.
    const UNKNOWN: usize = usize::MAX;
    /// There was no free slot when the thread asked.
    const NONE: usize = SLOTS;

    #[inline]
    fn number(&self) -> usize {
        match self.0.get() {
            Self::UNKNOWN => self.take(),
            number => number,
        }
    }

    #[cold]
    fn take(&self) -> usize {
        self.0.set(ALL.take().unwrap_or(Self::NONE));
        self.0.get()
    }
}

impl Drop for CounterSlot {
    fn drop(&mut self) {
        if self.0.get() < SLOTS {
            ALL.give(self.0.get());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    fn counted(read_counters: &ReadCounters) -> (u64, u64, u64) {
        let (mut commands, mut classes) = (CommandStats::default(), vec![ClassStats::default(); CLASSES]);
        read_counters.add_to(&mut commands, classes.iter_mut());
        let warm = classes.iter().map(|class| class.hits_to_warm).sum();
        (commands.get_cmds, commands.get_misses, warm)
    }

    #[test]
    fn what_all_threads_count_is_added() {
        /// Few enough to leave slots to tests that run at the same time.
        const THREADS: u64 = 16;
        const HITS: u64 = if cfg!(miri) { 20 } else { 1000 };
        let read_counters = Arc::new(ReadCounters::new().unwrap_or_else(|e| unreachable!("{e}")));
        let barrier = Arc::new(Barrier::new(THREADS as usize));
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (read_counters, barrier) = (Arc::clone(&read_counters), Arc::clone(&barrier));
                thread::spawn(move || {
                    let own = read_counters.own();
                    barrier.wait();
                    for _ in 0..HITS {
                        own.inspect(|own| own.hit(n as u8, Queue::Warm));
                    }
                    own.inspect(|own| own.miss());
                    barrier.wait();
                    own.is_some()
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|counted| counted)));
        assert_eq!(counted(&read_counters), (THREADS * (HITS + 1), THREADS, THREADS * HITS));
        read_counters.reset();
        assert_eq!(counted(&read_counters), (0, 0, 0));
    }

    #[test]
    fn places_are_had_by_one_and_given_back() {
        let places = SlotTable::new();
        let mut had: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        had.sort_unstable();
        assert_eq!(had, (0..SLOTS).collect::<Vec<_>>());
        places.give(17);
        assert_eq!((places.take(), places.take()), (Some(17), None));
    }

    #[test]
    fn threads_that_end_make_place() {
        for _ in 0..3 * SLOTS {
            let had = thread::spawn(|| SLOT.with(CounterSlot::number)).join();
            assert!(had.is_ok_and(|number| number < SLOTS));
        }
    }
}

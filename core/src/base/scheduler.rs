//! The background thread of the process, which runs the tasks of all caches in turns.
//!
//! [`Scheduler::of_process`] starts the thread. Dropping the last [`Scheduled`] ends it. It sleeps
//! without a timeout while no task is due. It does not depend on caches: a [`Task`] does a piece of
//! its work in a turn, and returns the time of its next turn.
//!
//! ```text
//!   Scheduled -- Arc -> Scheduler          the last one ends the thread and waits for it
//!       |                   |
//!       |                 Queue -- thread  each pass gives each task that is due one turn
//!       v                   |
//!     Entry <---------------'
//!     task, due             removed by the drop of Scheduled
//! ```
//!
//! A child of `fork` has no such thread. There [`Scheduler::of_process`] starts another one and
//! leaves the parent's tasks alone.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::fork::{ForkMark, PerProcess};
use crate::base::signals::block_signals;
use crate::base::sync::{Condvar, Mutex};

/// Time between a turn that panicked and the next one.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// Work that is done in pieces.
pub(crate) trait Task: Send + 'static {
    /// Does one piece, of a few milliseconds at most. Returns the time of the next turn, or `None`
    /// to wait for a [`Waker`].
    fn turn(&mut self) -> Option<Instant>;

    /// Prepares the task for another turn after one that panicked.
    fn recover(&mut self);
}

/// The background thread.
pub(crate) struct Scheduler {
    queue: Arc<Queue>,
    epoch: Instant,
    mark: ForkMark,
    /// `None` only during the drop.
    thread: Option<JoinHandle<()>>,
}

/// The scheduler of each process.
static CURRENT: PerProcess<Mutex<Weak<Scheduler>>> = PerProcess::new();

impl Scheduler {
    /// Returns the scheduler of this process. Starts it if there is none.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn of_process() -> io::Result<Arc<Self>> {
        let mut current = CURRENT.get().lock();
        if let Some(scheduler) = current.upgrade() {
            return Ok(scheduler);
        }
        let scheduler = Arc::new(Self::start()?);
        *current = Arc::downgrade(&scheduler);
        Ok(scheduler)
    }

    fn start() -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let own = Arc::clone(&queue);
        let thread = thread::Builder::new().name("mcrs-maintain".into()).spawn(move || {
            block_signals();
            own.run();
        })?;
        Ok(Self { queue, epoch: Instant::now(), mark: ForkMark::of_this_process(), thread: Some(thread) })
    }

    /// Returns a moment from which all tasks may count whole seconds.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Adds the task that `make` returns; it may keep the waker. Its first turn is due at once.
    pub(crate) fn add<T: Task>(self: Arc<Self>, make: impl FnOnce(&Waker) -> T) -> Scheduled {
        let waker = Waker(Arc::new(Signal { queue: Arc::clone(&self.queue), woken: AtomicBool::new(false) }));
        let task: Box<dyn Task> = Box::new(make(&waker));
        let work = Mutex::new(Work { task: Some(task), due: Some(Instant::now()) });
        let entry = Arc::new(Entry { waker, work });
        let number = {
            let mut state = self.queue.state.lock();
            state.added += 1;
            let number = state.added;
            state.entries.insert(number, Arc::clone(&entry));
            state.rung = true;
            number
        };
        self.queue.bell.notify_all();
        Scheduled { scheduler: self, number, entry }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.mark.holds() {
            // A child of `fork` has no such thread, and the lock may stay locked there.
            mem::forget(thread);
            return;
        }
        self.queue.state.lock().ended = true;
        self.queue.bell.notify_all();
        // The panic hook has reported a panic of the thread.
        let _ = thread.join();
    }
}

/// A task that gets turns. Dropping this waits for a running turn and drops the task.
pub(crate) struct Scheduled {
    scheduler: Arc<Scheduler>,
    number: u64,
    entry: Arc<Entry>,
}

impl Scheduled {
    /// Returns the waker of the task.
    pub(crate) fn waker(&self) -> &Waker {
        &self.entry.waker
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        if !self.scheduler.mark.holds() {
            return;
        }
        self.scheduler.queue.state.lock().entries.remove(&self.number);
        let task = self.entry.work.lock().task.take();
        drop(task);
    }
}

/// Asks for a turn of a task. Takes only the last lock in the order of locks.
#[derive(Clone)]
pub(crate) struct Waker(Arc<Signal>);

struct Signal {
    queue: Arc<Queue>,
    /// Whether a turn was asked for and has not begun.
    woken: AtomicBool,
}

impl Waker {
    /// Asks for a turn of the task in the thread's next pass.
    pub(crate) fn wake(&self) {
        if !self.0.woken.swap(true, SeqCst) {
            self.0.queue.state.lock().rung = true;
            self.0.queue.bell.notify_all();
        }
    }
}

struct Entry {
    waker: Waker,
    work: Mutex<Work>,
}

struct Work {
    /// `None` after the task was removed.
    task: Option<Box<dyn Task>>,
    due: Option<Instant>,
}

impl Entry {
    /// Gives the task a turn if one is due. Returns the time of the next one. A panic ends only its
    /// turn; the panic hook reports it.
    fn turn(&self) -> Option<Instant> {
        let mut work = self.work.lock();
        let Work { task, due } = &mut *work;
        let task = task.as_mut()?;
        if self.waker.0.woken.swap(false, SeqCst) || due.is_some_and(|due| due <= Instant::now()) {
            *due = panic::catch_unwind(AssertUnwindSafe(|| task.turn())).unwrap_or_else(|_| {
                // A second panic must not end the thread, which keeps all clocks.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| task.recover()));
                Instant::now().checked_add(AFTER_PANIC)
            });
        }
        *due
    }
}

/// The tasks, and the requests for turns.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Arc<Entry>>,
    /// Entries that were ever added.
    added: u64,
    /// Whether a task was added or woken since the last pass began.
    rung: bool,
    ended: bool,
}

impl Queue {
    fn run(&self) {
        loop {
            let due = self.pass();
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            if !state.rung {
                state = match due {
                    None => self.bell.wait(state),
                    Some(due) => match due.saturating_duration_since(Instant::now()) {
                        Duration::ZERO => state,
                        time => self.bell.wait_for(state, time),
                    },
                };
            }
            state.rung = false;
        }
    }

    /// Gives each task that is due one turn. Returns when the next turn is due.
    fn pass(&self) -> Option<Instant> {
        let (mut from, mut earliest) = (0, None);
        while let Some((number, entry)) = self.next(from) {
            from = number + 1;
            earliest = [earliest, entry.turn()].into_iter().flatten().min();
        }
        earliest
    }

    /// The first entry with a number of at least `from`.
    fn next(&self, from: u64) -> Option<(u64, Arc<Entry>)> {
        let state = self.state.lock();
        state.entries.range(from..).next().map(|(&number, entry)| (number, Arc::clone(entry)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{self, Sender};

    use super::*;

    /// A scheduler whose thread is this one: [`Queue::pass`] is called by hand.
    fn by_hand() -> Arc<Scheduler> {
        let queue = Arc::default();
        Arc::new(Scheduler { queue, epoch: Instant::now(), mark: ForkMark::of_this_process(), thread: None })
    }

    /// Counts its turns, of which some panic.
    struct Counting {
        turns: Arc<AtomicUsize>,
        panics: fn(usize) -> bool,
        recovered: Arc<AtomicUsize>,
    }

    impl Task for Counting {
        fn turn(&mut self) -> Option<Instant> {
            let turn = self.turns.fetch_add(1, SeqCst);
            assert!(!(self.panics)(turn), "a panic of the test");
            // Its work is never done.
            Some(Instant::now())
        }

        fn recover(&mut self) {
            self.recovered.fetch_add(1, SeqCst);
        }
    }

    fn counting(scheduler: &Arc<Scheduler>, panics: fn(usize) -> bool) -> (Scheduled, [Arc<AtomicUsize>; 2]) {
        let counts = <[Arc<AtomicUsize>; 2]>::default();
        let [turns, recovered] = counts.clone();
        let task = Counting { turns, panics, recovered };
        (Arc::clone(scheduler).add(|_| task), counts)
    }

    fn read<const N: usize>(counts: &[Arc<AtomicUsize>; N]) -> [usize; N] {
        std::array::from_fn(|n| counts[n].load(SeqCst))
    }

    #[test]
    fn one_cache_does_not_delay_the_work_of_others() {
        let scheduler = by_hand();
        let tasks: Vec<_> = (0..3).map(|_| counting(&scheduler, |_| false)).collect();
        for pass in 1..=10 {
            assert!(scheduler.queue.pass().is_some());
            assert!(tasks.iter().all(|(_, counts)| read(counts) == [pass, 0]));
        }
    }

    #[test]
    fn a_panic_in_one_cache_does_not_end_the_work_of_others() {
        let scheduler = by_hand();
        let (first, panicking) = counting(&scheduler, |turn| turn == 1);
        let (_second, other) = counting(&scheduler, |_| false);
        scheduler.queue.pass();
        scheduler.queue.pass();
        assert_eq!((read(&panicking), read(&other)), ([2, 1], [2, 0]));
        first.waker().wake();
        scheduler.queue.pass();
        assert_eq!((read(&panicking), read(&other)), ([3, 1], [3, 0]));
    }

    /// Says when it has a turn, and when it is dropped.
    struct Telling(Sender<&'static str>);

    impl Task for Telling {
        fn turn(&mut self) -> Option<Instant> {
            let _ = self.0.send("turn");
            None
        }

        fn recover(&mut self) {}
    }

    impl Drop for Telling {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[test]
    fn a_task_has_turns_only_when_it_is_woken() {
        let (sender, told) = mpsc::channel();
        let scheduler = Arc::new(Scheduler::start().unwrap_or_else(|e| unreachable!("{e}")));
        let task = scheduler.add(|_| Telling(sender));
        assert_eq!(told.recv(), Ok("turn"));
        for _ in 0..100 {
            task.waker().wake();
            assert_eq!(told.recv(), Ok("turn"));
        }
        drop(task);
        assert_eq!(told.iter().collect::<Vec<_>>(), ["dropped"]);
    }
}

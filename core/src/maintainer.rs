//! The thread behind a cache: moves the clock's hand, frees expired items,
//! touches memory ahead of a cache that grows, and gives memory back when the
//! limit was lowered.
//!
//! Nothing waits for it but `lru_crawler crawl`'s result.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::CacheConfig;
use crate::store::{Prefault, Store};
use crate::sync::{Condvar, Mutex};

/// Items of a shard that one step of the crawler looks at.
const CRAWL_STEP: usize = 256;

/// Time between rounds of the thread while the cache grows or gives memory back.
const ROUND: Duration = Duration::from_millis(100);

/// Seconds between crawls of everything when nothing asks for one.
const CRAWL_EVERY: u32 = 1;

/// Longest time between crawls when they find next to nothing.
const CRAWL_AT_LEAST: u32 = 60;

/// Settings and counters of the background work; commands change them.
#[derive(Debug)]
pub struct Background {
    /// Whether the crawler works.
    pub crawler: AtomicBool,
    /// Microseconds between its steps.
    pub crawler_sleep: AtomicU32,
    /// Most items it looks at a run; 0: all.
    pub crawler_tocrawl: AtomicU32,
    /// Whether it is at work.
    pub crawler_running: AtomicBool,
    /// Runs begun.
    pub crawler_starts: AtomicU64,
    /// Rounds of the thread.
    pub juggles: AtomicU64,
    /// Reported: 0, 1 or 2, how pages move in memcached.
    pub automove: AtomicU32,
    /// Reported: `slab_automove_ratio` (f64 bits).
    pub automove_ratio: AtomicU64,
    /// Reported: `slab_automove_window`.
    pub automove_window: AtomicU32,
    /// Whether the thread looks for expired items without being asked.
    crawls: bool,
    /// Classes (bits) that a command wants crawled.
    wanted: AtomicU64,
    /// Many items died at once.
    soon: AtomicBool,
    stop: AtomicBool,
    wake: Condvar,
    /// Whether the thread may sleep: nothing woke it since its last round began.
    sleeping: Mutex<bool>,
}

impl Background {
    /// Ends the thread's sleep, or the one that it is about to begin.
    fn wake(&self) {
        *self.sleeping.lock() = false;
        self.wake.notify_all();
    }
}

/// Handle of the background thread.
#[derive(Debug)]
pub struct Maintainer {
    state: Arc<Background>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Maintainer {
    /// Starts the thread.
    pub(crate) fn start(store: Arc<Store>, clock: Arc<Clock>, config: &CacheConfig) -> io::Result<Self> {
        let state = Arc::new(Background {
            crawler: AtomicBool::new(config.lru_crawler),
            crawler_sleep: AtomicU32::new(config.lru_crawler_sleep),
            crawler_tocrawl: AtomicU32::new(config.lru_crawler_tocrawl),
            crawler_running: AtomicBool::new(false),
            crawler_starts: AtomicU64::new(0),
            juggles: AtomicU64::new(0),
            automove: AtomicU32::new(config.slab_automove),
            automove_ratio: AtomicU64::new(config.slab_automove_ratio.to_bits()),
            automove_window: AtomicU32::new(config.slab_automove_window),
            crawls: config.lru_maintainer,
            wanted: AtomicU64::new(0),
            soon: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wake: Condvar::new(),
            sleeping: Mutex::new(true),
        });
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("mcrs-maintain".into())
            .spawn(move || run(&store, &clock, &shared))?;
        Ok(Self { state, thread: Mutex::new(Some(thread)) })
    }

    /// Settings and counters.
    pub fn state(&self) -> &Background {
        &self.state
    }

    /// Asks for a crawl of `classes` (bits). `false`: one is under way.
    pub fn crawl(&self, classes: u64) -> bool {
        if self.state.crawler_running.swap(true, Relaxed) {
            return false;
        }
        self.state.wanted.store(classes, Relaxed);
        self.wake();
        true
    }

    /// Has the crawler, if it is on, look for dead items before its time.
    pub fn crawl_soon(&self) {
        if self.state.crawler.load(Relaxed) && self.state.crawls {
            self.state.soon.store(true, Relaxed);
            self.state.wake();
        }
    }

    /// Has the thread look at once whether there is something to do.
    pub fn wake(&self) {
        self.state.wake();
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        self.state.stop.store(true, Relaxed);
        self.wake();
        if let Some(thread) = self.thread.lock().take() {
            // Its panic was reported where it happened; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// The thread: rounds until it is told to stop. A panic costs the round in which it
/// happens, for without this thread time would stand still. The panic hook reports it.
fn run(store: &Store, clock: &Clock, state: &Arc<Background>) {
    while !state.stop.load(Relaxed) {
        let rounds = || Rounds::new(store, clock, state).run();
        if panic::catch_unwind(AssertUnwindSafe(rounds)).is_err() {
            state.crawler_running.store(false, Relaxed);
            thread::sleep(ROUND);
        }
    }
}

/// State of the thread.
struct Rounds<'a> {
    store: &'a Store,
    clock: &'a Clock,
    state: &'a Arc<Background>,
    prefault: Prefault,
    next_crawl: u32,
    /// Second of the last look at the logs' old ends.
    looked: u32,
}

impl<'a> Rounds<'a> {
    fn new(store: &'a Store, clock: &'a Clock, state: &'a Arc<Background>) -> Self {
        let now = clock.now();
        Self {
            store,
            clock,
            state,
            prefault: Prefault::default(),
            next_crawl: now + CRAWL_EVERY,
            looked: now,
        }
    }

    fn run(&mut self) {
        while !self.state.stop.load(Relaxed) {
            *self.state.sleeping.lock() = true;
            self.clock.tick();
            let now = self.clock.now();
            if self.next_crawl > now.saturating_add(CRAWL_AT_LEAST) {
                // The clock was moved back.
                self.next_crawl = now;
            }
            self.shrink_to_limit();
            if self.state.crawls && self.looked != now {
                self.looked = now;
                (0..self.store.shard_count()).for_each(|shard| {
                    self.store.reclaim_tails(shard);
                });
            }
            let grew = self.prefault();
            let wanted = self.state.wanted.swap(0, Relaxed);
            if wanted != 0 {
                self.crawl(wanted);
                self.state.crawler_running.store(false, Relaxed);
            } else if self.state.crawler.load(Relaxed)
                && self.state.crawls
                && (now >= self.next_crawl || self.state.soon.swap(false, Relaxed))
                && !self.state.crawler_running.swap(true, Relaxed)
            {
                let freed = self.crawl(u64::MAX);
                self.state.crawler_running.store(false, Relaxed);
                let items = self.store.totals().curr_items;
                let pause = if freed * 100 > items { CRAWL_EVERY } else { pause_after(items) };
                self.next_crawl = self.clock.now().saturating_add(pause);
            }
            self.sleep(grew || self.store.shrinks());
        }
    }

    /// Sleeps until the next second begins, a command or a stop wants something, or
    /// the cache grows. `busy`: at most for a round.
    fn sleep(&self, busy: bool) {
        let mut time = self.clock.until_next_second();
        if busy {
            time = time.min(ROUND);
        } else {
            let state = Arc::clone(self.state);
            self.store.wake_on_growth(Arc::new(move || state.wake()));
        }
        let sleeping = self.state.sleeping.lock();
        if *sleeping && !self.state.stop.load(Relaxed) {
            drop(self.state.wake.wait_for(sleeping, time));
        }
    }

    /// Keeps to a limit that was lowered.
    fn shrink_to_limit(&self) {
        while self.store.shrinks() && !self.state.stop.load(Relaxed) {
            let before = self.store.totals().usage.malloced;
            for shard in 0..self.store.shard_count() {
                self.store.shrink_to_limit(shard);
            }
            if self.store.totals().usage.malloced == before {
                // Too much is in use; the next round tries again.
                break;
            }
        }
        self.state.juggles.fetch_add(1, Relaxed);
    }

    /// Touches memory that will be needed soon. Returns whether the cache grew.
    fn prefault(&mut self) -> bool {
        self.store.prefault(&mut self.prefault, || {
            self.clock.tick();
            self.state.stop.load(Relaxed)
        })
    }

    /// Frees dead items of `classes`. Returns how many.
    fn crawl(&mut self, classes: u64) -> u64 {
        self.state.crawler_starts.fetch_add(1, Relaxed);
        let mut freed = 0;
        let mut looked = 0u32;
        let mut began = Instant::now();
        let most = self.state.crawler_tocrawl.load(Relaxed);
        for shard in 0..self.store.shard_count() {
            let mut bucket = Some(usize::MAX);
            while let Some(below) = bucket {
                bucket = self.store.crawl(shard, below, CRAWL_STEP, classes, |_| freed += 1);
                looked = looked.saturating_add(CRAWL_STEP as u32);
                if self.state.stop.load(Relaxed) || (most != 0 && looked >= most) {
                    return freed;
                }
                if began.elapsed() >= ROUND {
                    // It takes seconds to look at millions of items.
                    began = Instant::now();
                    self.prefault();
                }
                if bucket.is_some() {
                    let micros = self.state.crawler_sleep.load(Relaxed);
                    thread::sleep(Duration::from_micros(u64::from(micros)));
                }
                self.clock.tick();
            }
        }
        freed
    }
}

/// Crawling costs a cache miss or two an item: at most about 1% of a core.
fn pause_after(items: u64) -> u32 {
    ((items / 100_000) as u32).clamp(CRAWL_EVERY, CRAWL_AT_LEAST)
}

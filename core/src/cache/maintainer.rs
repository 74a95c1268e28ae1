//! The background work of a cache. It updates the clock, frees expired items, touches memory ahead
//! of a cache that grows, and gives memory back after the limit was lowered.
//!
//! It is a task of the process's background thread (`scheduler.rs`), in turns of a few
//! milliseconds. No turn is due while the clock is not read, no item expires, and the cache neither
//! grows nor gives memory back.
//!
//! Nothing waits for it, except clients for the result of `lru_crawler crawl`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::base::clock::Clock;
use crate::base::scheduler::{Scheduled, Scheduler, Task, Waker};
use crate::config::CacheConfig;
use crate::store::{CrawlBegin, Prefault, Store};

/// Items of a shard that one step of the crawler looks at.
const CRAWL_STEP: usize = 256;

/// Time between rounds while the cache grows or gives memory back.
const ROUND: Duration = Duration::from_millis(100);

/// Time after which a turn touches no further page.
const TURN: Duration = Duration::from_millis(5);

/// Seconds between crawls of everything, at least, when nothing asks for one.
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
    /// Rounds of the work on memory.
    pub juggles: AtomicU64,
    /// Whether it looks for expired items without being asked.
    crawls: bool,
    /// Classes (bits) that a command wants crawled.
    wanted: AtomicU64,
    /// Many items died at once.
    soon: AtomicBool,
}

/// Handle of the background work of a cache, which ends with it.
pub struct Maintainer {
    state: Arc<Background>,
    task: Scheduled,
}

opaque_debug!(Maintainer);

impl Maintainer {
    /// Starts the work on a cache whose clock is aligned to the scheduler's epoch.
    pub(crate) fn start(
        scheduler: Arc<Scheduler>,
        store: Arc<Store>,
        clock: Arc<Clock>,
        config: &CacheConfig,
    ) -> Self {
        let state = Arc::new(Background {
            crawler: AtomicBool::new(config.lru_crawler),
            crawler_sleep: AtomicU32::new(config.lru_crawler_sleep),
            crawler_tocrawl: AtomicU32::new(config.lru_crawler_tocrawl),
            crawler_running: AtomicBool::new(false),
            crawler_starts: AtomicU64::new(0),
            juggles: AtomicU64::new(0),
            crawls: config.lru_maintainer,
            wanted: AtomicU64::new(0),
            soon: AtomicBool::new(false),
        });
        let own = Arc::clone(&state);
        let task = scheduler.add(|waker| Upkeep::new(store, clock, own, waker.clone()));
        Self { state, task }
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
            self.wake();
        }
    }

    /// Has the thread look at once whether there is something to do.
    pub fn wake(&self) {
        self.task.waker().wake();
    }
}

/// The work and its progress.
struct Upkeep {
    store: Arc<Store>,
    clock: Arc<Clock>,
    state: Arc<Background>,
    waker: Waker,
    prefault: Prefault,
    /// Time of the next round of the work on memory.
    next_round: Instant,
    /// Progress of a round that gives memory back: the next shard, and the bytes in use before the
    /// first one.
    tidying: Option<(usize, usize)>,
    /// Second of the clock before which nothing is crawled without being asked.
    next_crawl: u32,
    /// Second of the last look at the old ends of the logs, and the next shard of that look.
    looked: u32,
    tail: usize,
    crawl: Option<Crawl>,
}

/// A crawl in progress.
struct Crawl {
    /// Bits of the classes in which dead items are freed.
    classes: u64,
    /// Whether a command asked for it.
    is_wanted: bool,
    shard: usize,
    /// The bucket of the shard below which the crawl continues.
    below: usize,
    looked: u32,
    freed: u64,
    /// The earliest death of an item, as known before the crawl.
    earliest: Option<u32>,
    begin: CrawlBegin,
    /// The second of the clock and the time at its begin.
    began: (u32, Instant),
    next_step: Instant,
}

impl Upkeep {
    fn new(store: Arc<Store>, clock: Arc<Clock>, state: Arc<Background>, waker: Waker) -> Self {
        clock.attended_by(Some(waker.clone()));
        let next_crawl = clock.now().saturating_add(CRAWL_EVERY);
        Self {
            store,
            clock,
            state,
            waker,
            prefault: Prefault::default(),
            next_round: Instant::now(),
            tidying: None,
            next_crawl,
            looked: next_crawl,
            tail: usize::MAX,
            crawl: None,
        }
    }

    /// Does the work on memory, in rounds. Returns the time of the next round, if the cache grows
    /// or gives memory back.
    fn look_after_memory(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if now >= self.next_round {
            if self.shrink_to_limit() || !self.store.prefault(&mut self.prefault, || now.elapsed() >= TURN) {
                return Some(now);
            }
            self.state.juggles.fetch_add(1, Relaxed);
            self.next_round = now + ROUND;
            if !self.prefault.grew() {
                self.store.wake_on_growth(self.waker.clone());
            }
        }
        // Asked after the waker is registered: a limit that is lowered in between is not missed.
        let waits = self.store.wakes_on_growth() && !self.store.shrinks();
        if waits { None } else { Some(self.next_round) }
    }

    /// Gives memory back after the limit was lowered, a shard a turn. Returns whether there is more
    /// to do.
    fn shrink_to_limit(&mut self) -> bool {
        if !self.store.shrinks() {
            self.tidying = None;
            return false;
        }
        let malloced = self.store.usage().malloced;
        let (shard, before) = self.tidying.take().unwrap_or((0, malloced));
        if shard < self.store.shard_count() {
            self.store.shrink_to_limit(shard);
            self.tidying = Some((shard + 1, before));
            return true;
        }
        // Otherwise too much is in use, and the next round tries again.
        malloced < before
    }

    /// Frees expired items at the old ends of the logs, once in each second `now` by which items
    /// may have died. Takes a few milliseconds a turn. Returns the time of the next turn.
    fn reclaim_tails(&mut self, now: u32) -> Option<Instant> {
        let may_be_dead = || self.store.earliest_death().is_some_and(|second| second <= now);
        if self.state.crawls && self.looked != now && may_be_dead() {
            self.looked = now;
            self.tail = 0;
        }
        let begun = Instant::now();
        while self.tail < self.store.shard_count() {
            self.store.reclaim_tails(self.tail);
            self.tail += 1;
            if begun.elapsed() >= TURN {
                return Some(begun);
            }
        }
        None
    }

    /// Frees dead items, a step a turn, at second `now`. Returns the time of the next step.
    fn crawl(&mut self, now: u32) -> Option<Instant> {
        if self.next_crawl > now.saturating_add(CRAWL_AT_LEAST) {
            // The clock was moved back.
            self.next_crawl = now;
        }
        let Some(crawl) = &mut self.crawl else { return self.begin_crawl(now) };
        let begun = Instant::now();
        if begun < crawl.next_step {
            return Some(crawl.next_step);
        }
        let freed = &mut crawl.freed;
        match self.store.crawl(crawl.shard, crawl.below, CRAWL_STEP, crawl.classes, |_| *freed += 1) {
            Some(below) => crawl.below = below,
            None => (crawl.shard, crawl.below) = (crawl.shard + 1, usize::MAX),
        }
        crawl.looked = crawl.looked.saturating_add(CRAWL_STEP as u32);
        // A crawl that is cut short frees no mark of a prefix.
        let most = match self.store.flushed_prefixes() {
            0 => self.state.crawler_tocrawl.load(Relaxed),
            _ => 0,
        };
        let is_through = crawl.shard >= self.store.shard_count();
        if is_through || (most != 0 && crawl.looked >= most) {
            return self.end_crawl(now, is_through);
        }
        if crawl.below != usize::MAX {
            let micros = self.state.crawler_sleep.load(Relaxed);
            crawl.next_step = begun + Duration::from_micros(u64::from(micros));
        }
        Some(crawl.next_step)
    }

    /// Begins a crawl, if one is due at second `now`. Returns the time of the next step.
    fn begin_crawl(&mut self, now: u32) -> Option<Instant> {
        let wanted = self.state.wanted.swap(0, Relaxed);
        if wanted == 0 {
            if !self.state.crawler.load(Relaxed) || !self.state.crawls {
                return None;
            }
            let due = self.store.earliest_death().map(|second| second.max(self.next_crawl));
            if due.is_none_or(|due| due > now) && !self.state.soon.swap(false, Relaxed) {
                return self.clock.moment_of(due?);
            }
            if self.state.crawler_running.swap(true, Relaxed) {
                // A command asks for a crawl just now and wakes this task.
                return None;
            }
        }
        self.state.crawler_starts.fetch_add(1, Relaxed);
        let next_step = Instant::now();
        self.crawl = Some(Crawl {
            classes: if wanted == 0 { u64::MAX } else { wanted },
            is_wanted: wanted != 0,
            shard: 0,
            below: usize::MAX,
            looked: 0,
            freed: 0,
            earliest: self.store.forget_earliest_death(),
            begin: self.store.begin_crawl(),
            began: (now, next_step),
            next_step,
        });
        Some(next_step)
    }

    /// Ends a crawl at second `now`. Returns the time of the next one.
    fn end_crawl(&mut self, now: u32, is_through: bool) -> Option<Instant> {
        let crawl = self.crawl.take()?;
        if !is_through || crawl.classes != u64::MAX {
            crawl.earliest.into_iter().for_each(|second| self.store.note_death(second));
        } else if !self.store.end_crawl(crawl.begin) {
            self.store.note_dead();
        }
        self.state.crawler_running.store(false, Relaxed);
        if !crawl.is_wanted {
            let items = self.store.totals().curr_items;
            let pause = if crawl.freed * 100 > items { CRAWL_EVERY } else { pause_after(items) };
            // If the clock was moved since the begin, items that the crawl has passed may be dead.
            let (second, begin) = crawl.began;
            let took = begin.elapsed().as_secs() as u32;
            self.next_crawl = second.saturating_add(took).saturating_add(pause);
        }
        self.begin_crawl(now)
    }
}

impl Task for Upkeep {
    fn turn(&mut self) -> Option<Instant> {
        // First, because a reader that finds the clock stale wakes this task.
        let (now, next_second) = self.clock.tick();
        let tails = self.reclaim_tails(now);
        [next_second, tails, self.look_after_memory(), self.crawl(now)].into_iter().flatten().min()
    }

    fn recover(&mut self) {
        self.prefault = Prefault::default();
        self.tidying = None;
        self.next_round = Instant::now() + ROUND;
        if self.crawl.take().is_some() {
            self.state.crawler_running.store(false, Relaxed);
            // Items that the crawl has not seen may be dead.
            self.store.note_dead();
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.clock.attended_by(None);
    }
}

/// Crawling costs a cache miss or two an item: at most about 1% of a core.
fn pause_after(items: u64) -> u32 {
    ((items / 100_000) as u32).clamp(CRAWL_EVERY, CRAWL_AT_LEAST)
}

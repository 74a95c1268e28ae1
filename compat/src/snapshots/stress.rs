//! Saves and loads of a cache that threads use. It evicts and is flushed, and its limit moves.
//!
//! A round saves the cache and loads the snapshot into a new one. Each item of that one must be a
//! version that was current at some moment of the save. It must expire when it was to expire.
//! While the cache has room and is not flushed, each item that did not change must be there.
//!
//! After some rounds the threads go on with another cache: an empty one, or one that loads the
//! snapshot at the same time and must not take older items for newer ones.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use memcache_core::{
    Cache, CacheConfig, DeltaError, LoadOptions, PinnedValue, SaveOptions, SnapshotCodec, SnapshotError,
    StoreError, Ttl,
};

use super::model::{Class, Model, check};
use super::value::{Stamp, name, size};
use super::{Directory, Length};
use crate::rng::Rng;
use crate::{Fault, Outcome};

/// Operations that a thread makes before it looks whether the cache was replaced.
const BATCH: usize = 64;

/// Limit of a cache that keeps everything.
const ROOMY: usize = 512 << 20;

/// Values that a reader keeps pinned.
const PINNED: usize = 16;

/// How to run the check.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Where the snapshots are.
    pub directory: &'a Path,
    /// When it ends.
    pub length: Length,
    /// Number of keys.
    pub keys: u64,
    /// Seed of all decisions. Threads make a run differ from another with the same seed.
    pub seed: u64,
}

/// Counts of a check.
#[derive(Debug, Default)]
pub struct Report {
    rounds: u64,
    /// Saves that flushes ended.
    flushed: u64,
    saved: u64,
    loaded: u64,
    evicted: u64,
    taken_over: u64,
    operations: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds: {} items saved, {} loaded, {} caches taken over, {} saves ended by flushes, \
             {} evictions, {} operations; nothing torn, stale or foreign",
            self.rounds,
            self.saved,
            self.loaded,
            self.taken_over,
            self.flushed,
            self.evicted,
            self.operations
        )
    }
}

/// Runs the check.
///
/// # Errors
/// The first item that is wrong, or an error of a save or a load.
pub fn run(settings: &Settings<'_>) -> Outcome<Report> {
    let directory = Directory::create(settings.directory, "stress")?;
    let mut rng = Rng::new(settings.seed);
    let arena = Arena {
        names: (0..settings.keys).map(name).collect(),
        model: Model::new(settings.keys),
        world: RwLock::new(World { cache: cache(ROOMY, &mut rng)?, is_roomy: true, is_loading: false }),
        ends: AtomicBool::new(false),
        fault: Mutex::default(),
        operations: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let writers = 2;
        for number in 0..writers {
            let (arena, rng) = (&arena, Rng::new(settings.seed + 1 + number));
            scope.spawn(move || arena.repeat(rng, |rng, world| arena.write(rng, world, number, writers)));
        }
        for number in 0..2 {
            let (arena, rng) = (&arena, Rng::new(settings.seed + 100 + number));
            let mut held = Vec::new();
            scope.spawn(move || arena.repeat(rng, |rng, world| arena.read(rng, world, &mut held)));
        }
        let (disturbed, other) = (&arena, Rng::new(settings.seed + 200));
        scope.spawn(move || disturbed.repeat(other, |rng, world| disturbed.disturb(rng, world)));
        let outcome = Rounds { arena: &arena, file: directory.file("stress.mcrs"), rng }.run(settings);
        arena.ends.store(true, Relaxed);
        // The fault of a thread comes before what follows from it.
        match arena.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(fault) => Err(fault),
            None => outcome,
        }
    })
}

/// The cache that the threads use now.
struct World {
    cache: Arc<Cache>,
    /// Nothing is evicted or flushed.
    is_roomy: bool,
    /// The cache loads a snapshot: no item may be deleted, because an older one may follow.
    is_loading: bool,
}

/// The state that all threads share.
struct Arena {
    names: Vec<Vec<u8>>,
    model: Model,
    world: RwLock<World>,
    ends: AtomicBool,
    fault: Mutex<Option<Fault>>,
    operations: AtomicU64,
}

impl Arena {
    fn name(&self, key: u64) -> &[u8] {
        &self.names[key as usize]
    }

    fn world(&self) -> std::sync::RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Repeats batches of an operation until the check ends or the operation fails.
    fn repeat(&self, mut rng: Rng, mut act: impl FnMut(&mut Rng, &World) -> Outcome<()>) {
        while !self.ends.load(Relaxed) {
            let world = self.world();
            if let Err(fault) = (0..BATCH).try_for_each(|_| act(&mut rng, &world)) {
                self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                self.ends.store(true, Relaxed);
            }
            self.operations.fetch_add(BATCH as u64, Relaxed);
        }
    }

    /// Changes one of the keys of writer `number` of `writers`.
    fn write(&self, rng: &mut Rng, world: &World, number: u64, writers: u64) -> Outcome<()> {
        let all = self.names.len() as u64;
        let key = rng.bits() % (all / writers) * writers + number;
        let (cache, text) = (&world.cache, self.name(key));
        if rng.chance(1, 8) && !world.is_loading {
            let version = self.model.begin(key, true);
            cache.delete(text);
            self.model.end(key, version);
            return Ok(());
        }
        let counts = Class::of(key) == Class::Counter && !world.is_loading && self.model.is_settled(key);
        let version = self.model.begin(key, false);
        let stamp = Stamp { key, version, expires: 0 };
        let stored = match Class::of(key) {
            Class::Counter if counts => match cache.incr(text, 1) {
                Ok(number) if number == stamp.counter() => Ok(()),
                Ok(number) => return Err(format!("key {key}: incr to {number}, not {}", stamp.counter())),
                Err(DeltaError::NotFound) => cache.set(text, stamp.counter().to_string(), Ttl::Never),
                Err(DeltaError::NoMemory) if !world.is_roomy => Err(StoreError::NoMemory),
                Err(error) => return Err(format!("key {key}: incr: {error}")),
            },
            Class::Counter => cache.set(text, stamp.counter().to_string(), Ttl::Never),
            Class::Expiring => {
                let ttl = 1 + rng.below(30) as u64;
                let value = Stamp { expires: unix(cache) + ttl as i64, ..stamp }.value(size(rng));
                cache.set(text, value, Duration::from_secs(ttl))
            }
            Class::Plain => cache.set(text, stamp.value(size(rng)), Ttl::Never),
        };
        match stored {
            Ok(()) => self.model.end(key, version),
            // The item may be too large for a cache that has little memory.
            Err(StoreError::NoMemory | StoreError::TooLarge) if !world.is_roomy => {}
            Err(error) => return Err(format!("key {key}: {error}")),
        }
        Ok(())
    }

    /// Reads a key of any writer, and may keep its value.
    fn read(&self, rng: &mut Rng, world: &World, held: &mut Vec<(u64, PinnedValue)>) -> Outcome<()> {
        let key = rng.bits() % self.names.len() as u64;
        let (cache, text) = (&world.cache, self.name(key));
        if rng.chance(1, 16) && Class::of(key) == Class::Plain {
            cache.touch(text, Duration::from_secs(1_000_000));
        }
        if rng.chance(1, 16) {
            #[expect(
                clippy::redundant_closure_for_method_calls,
                reason = "the method is not general enough"
            )]
            held.extend(cache.fetch(text, None, 0, |hit| hit.pin()).map(|value| (key, value)));
            if held.len() > PINNED {
                let (key, value) = held.swap_remove(rng.below(PINNED));
                let bytes: Vec<u8> = value.slices().flatten().copied().collect();
                Class::read(key, &bytes)?;
            }
        }
        let low = self.model.done(key);
        let Some(value) = cache.get(text) else { return Ok(()) };
        let high = self.model.begun(key);
        check(key, Class::read(key, &value)?.version, low, high).map_err(|fault| format!("a get: {fault}"))
    }

    /// Moves the limit or flushes the cache, once in a while.
    fn disturb(&self, rng: &mut Rng, world: &World) -> Outcome<()> {
        if !world.is_roomy && rng.chance(1, 2000) {
            world.cache.store().set_limit(limit(rng));
        }
        if !world.is_roomy && rng.chance(1, 20_000) {
            self.flush(&world.cache);
        }
        self.read(rng, world, &mut Vec::new())
    }

    fn flush(&self, cache: &Cache) {
        let before = self.model.all_done();
        cache.flush(None);
        self.model.flushed(&before);
    }
}

/// The rounds of the check.
struct Rounds<'a> {
    arena: &'a Arena,
    file: std::path::PathBuf,
    rng: Rng,
}

/// A snapshot, and the versions that it may have.
struct Snapshot {
    low: Vec<u64>,
    high: Vec<u64>,
    /// The second since 1970 at which the save began.
    at: i64,
}

impl Rounds<'_> {
    fn run(&mut self, settings: &Settings<'_>) -> Outcome<Report> {
        let (mut report, began) = (Report::default(), Instant::now());
        while settings.length.goes_on(report.rounds, began) && !self.arena.ends.load(Relaxed) {
            report.rounds += 1;
            self.pass_time()?;
            let Some(snapshot) = self.save(&mut report)? else { continue };
            let warm = self.load(&snapshot, &mut report)?;
            match self.rng.below(8) {
                0 => self.take_over(&snapshot, &mut report)?,
                1 => self.begin_anew(&mut report)?,
                // Sometimes the threads go on with the loaded cache: with its items, not its CAS.
                2 => self.go_on_with(warm, &mut report),
                _ => {}
            }
        }
        report.operations = self.arena.operations.load(Relaxed);
        report.evicted += evictions(&self.arena.world().cache);
        Ok(report)
    }

    /// Advances the clock while no thread stores.
    fn pass_time(&mut self) -> Outcome<()> {
        let seconds = self.rng.below(4) as i64;
        self.stop().cache.clock().advance(seconds).map_err(|error| format!("the clock: {error}"))
    }

    /// Waits until no thread uses the cache.
    fn stop(&self) -> std::sync::RwLockWriteGuard<'_, World> {
        self.arena.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the cache. Returns `None` if flushes have ended the save.
    fn save(&mut self, report: &mut Report) -> Outcome<Option<Snapshot>> {
        let arena = self.arena;
        let (cache, is_roomy) = {
            let world = arena.world();
            (Arc::clone(&world.cache), world.is_roomy)
        };
        let mut low = arena.model.all_done();
        // Every fourth save of a cache that may be flushed is.
        let mut flushes = !is_roomy && self.rng.chance(1, 4);
        let mut progress = |_: &_| {
            if std::mem::take(&mut flushes) {
                arena.flush(&cache);
                low = arena.model.all_done();
            }
            ControlFlow::Continue(())
        };
        let codec = if self.rng.chance(1, 2) { SnapshotCodec::None } else { SnapshotCodec::Lz4 };
        let threads = 1 + self.rng.below(3);
        let options = SaveOptions { codec, threads, progress: Some(&mut progress), ..SaveOptions::default() };
        let at = unix(&cache);
        let saved = match cache.save(&self.file, options) {
            Ok(saved) => saved,
            Err(SnapshotError::Flushed) if !is_roomy => {
                report.flushed += 1;
                return Ok(None);
            }
            Err(error) => return Err(format!("save: {error}")),
        };
        report.saved += saved.items;
        Ok(Some(Snapshot { low, high: arena.model.all_begun(), at }))
    }

    /// Loads the snapshot into a new cache, and checks each of its items.
    fn load(&mut self, snapshot: &Snapshot, report: &mut Report) -> Outcome<Arc<Cache>> {
        let (model, is_roomy) = (&self.arena.model, self.arena.world().is_roomy);
        let keeps_all = self.rng.chance(1, 2);
        let warm = cache(if keeps_all { ROOMY } else { limit(&mut self.rng) }, &mut self.rng)?;
        set_time(&warm, snapshot.at + self.rng.below(3) as i64)?;
        let options = LoadOptions {
            threads: 1 + self.rng.below(3),
            replace: self.rng.chance(1, 2),
            strict: true,
            ..LoadOptions::default()
        };
        let loaded = warm.load(&self.file, options).map_err(|error| format!("load: {error}"))?;
        if loaded.truncated || loaded.damaged > 0 {
            return Err(format!("a damaged snapshot: {loaded:?}"));
        }
        report.loaded += loaded.items;
        for key in model.keys() {
            let (low, high) = (snapshot.low[key as usize], snapshot.high[key as usize]);
            // It was a value during the whole save.
            let must_be = low == high && low.is_multiple_of(2) && low > 0;
            match found(&warm, key, self.arena.name(key))? {
                Some(version) => {
                    check(key, version, low, high).map_err(|fault| format!("a load: {fault}"))?;
                }
                None if must_be && keeps_all && is_roomy && Class::of(key) != Class::Expiring => {
                    return Err(format!("key {key}: version {low} is missing"));
                }
                None => {}
            }
        }
        Ok(warm)
    }

    /// Goes on with a cache that loads the snapshot while the threads use it.
    fn take_over(&mut self, snapshot: &Snapshot, report: &mut Report) -> Outcome<()> {
        let next = cache(ROOMY, &mut self.rng)?;
        set_time(&next, snapshot.at)?;
        let model = &self.arena.model;
        {
            let mut world = self.stop();
            report.evicted += evictions(&world.cache);
            *world = World { cache: Arc::clone(&next), is_roomy: true, is_loading: true };
            model.keys().for_each(|key| model.allow_since(key, snapshot.low[key as usize]));
        }
        let options = LoadOptions { threads: 1 + self.rng.below(3), strict: true, ..LoadOptions::default() };
        next.load(&self.file, options).map_err(|error| format!("load under use: {error}"))?;
        let mut world = self.stop();
        for key in model.keys() {
            let found = found(&next, key, self.arena.name(key))?;
            if let Some(version) = found {
                check(key, version, model.done(key), model.begun(key))
                    .map_err(|fault| format!("a load under use: {fault}"))?;
            }
            model.observe(key, found);
        }
        world.is_loading = false;
        report.taken_over += 1;
        Ok(())
    }

    /// Goes on with an empty cache, which may be small.
    fn begin_anew(&mut self, report: &mut Report) -> Outcome<()> {
        let is_roomy = self.rng.chance(1, 4);
        let limit = if is_roomy { ROOMY } else { limit(&mut self.rng) };
        let next = cache(limit, &mut self.rng)?;
        let mut world = self.stop();
        report.evicted += evictions(&world.cache);
        set_time(&next, unix(&world.cache))?;
        *world = World { cache: next, is_roomy, is_loading: false };
        let model = &self.arena.model;
        model.keys().for_each(|key| model.observe(key, None));
        Ok(())
    }

    /// Goes on with a cache that was loaded.
    fn go_on_with(&self, warm: Arc<Cache>, report: &mut Report) {
        let mut world = self.stop();
        report.evicted += evictions(&world.cache);
        let model = &self.arena.model;
        for key in model.keys() {
            let value = warm.get(self.arena.name(key));
            let version = value.and_then(|value| Class::read(key, &value).ok()).map(|stamp| stamp.version);
            model.observe(key, version);
        }
        *world = World { cache: warm, is_roomy: false, is_loading: false };
    }
}

/// Returns the version of a key in a cache that no thread changes, and checks when it expires.
fn found(cache: &Cache, key: u64, text: &[u8]) -> Outcome<Option<u64>> {
    let Some(value) = cache.get(text) else { return Ok(None) };
    let stamp = Class::read(key, &value)?;
    if stamp.expires != 0 {
        let ends = cache.info(text).and_then(|info| info.ttl).map(|ttl| unix(cache) + i64::from(ttl));
        if ends != Some(stamp.expires) {
            return Err(format!("key {key}: {stamp:?} expires at {ends:?}"));
        }
        if stamp.expires <= unix(cache) {
            return Err(format!("key {key}: {stamp:?} has expired"));
        }
    }
    Ok(Some(stamp.version))
}

/// Returns a cache with a clock that stands still.
fn cache(memory_limit: usize, rng: &mut Rng) -> Outcome<Arc<Cache>> {
    let config = CacheConfig {
        memory_limit,
        item_size_max: 512 * 1024,
        slab_chunk_max: 64 * 1024,
        shards: [None, Some(1), Some(2), Some(8)][rng.below(4)],
        clock_frozen: true,
        ..CacheConfig::default()
    };
    Cache::new(config).map_err(|error| format!("a cache: {error}"))
}

/// Returns a limit that does not suffice for all items.
fn limit(rng: &mut Rng) -> usize {
    (2 + rng.below(14)) << 20
}

/// Returns the time of a cache's clock, in seconds since 1970.
fn unix(cache: &Cache) -> i64 {
    cache.clock().origin() + i64::from(cache.clock().now())
}

/// Advances the clock of a cache to this second since 1970, if it is later.
fn set_time(cache: &Cache, to: i64) -> Outcome<()> {
    let ahead = (to - unix(cache)).max(0);
    cache.clock().advance(ahead).map_err(|error| format!("the clock: {error}"))
}

fn evictions(cache: &Cache) -> u64 {
    cache.store().totals().class_sum().evicted
}

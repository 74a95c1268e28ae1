//! Loading a snapshot into a cache, which may be in use.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::decode::{Damage, Decoder, Event, Packed};
use super::error::SnapshotError;
use super::format::{Entry, SnapshotInfo};
use super::save::{OnProgress, Progress, threads};
use crate::base::sync::Mutex;
use crate::cache::{Cache, Restored, RestoredItem};
use crate::store::{Loading, bit};

/// Most places of damage that are reported.
const DAMAGE_MAX: usize = 10;

/// Entries whose index lines are prefetched together.
const GROUP: usize = 16;

/// How the lives of loaded items go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotTtl {
    /// Items expire at the time at which they were to expire.
    #[default]
    WallTime,
    /// The time between the save and the load does not count: an item that had a minute left has a
    /// minute left.
    Paused,
}

/// How to load.
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// Replaces items that are in the cache. By default they stay, because they are newer.
    pub replace: bool,
    /// How the lives of items go on.
    pub ttl: SnapshotTtl,
    /// Returns an error at the first damage. By default the rest is loaded.
    pub strict: bool,
    /// Number of threads, at most 256, or 0 for one a core.
    pub threads: usize,
    /// Receives the progress.
    pub progress: Option<&'a mut OnProgress<'a>>,
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("replace", &self.replace)
            .field("ttl", &self.ttl)
            .field("strict", &self.strict)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The outcome of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded {
    /// The header of the snapshot.
    pub info: SnapshotInfo,
    /// Items that were stored. Some may have been evicted again, if memory is full.
    pub items: u64,
    /// Bytes of the keys and values of those items.
    pub bytes: u64,
    /// Items that were left out because they have expired.
    pub expired: u64,
    /// Items that were left out because the cache had their keys.
    pub existing: u64,
    /// Items that were left out because they are larger than `item_size_max`.
    pub too_large: u64,
    /// Items that were left out because memory is full. They were not used since they were stored,
    /// or nothing may be evicted.
    pub no_memory: u64,
    /// Items that are known to be lost by damage.
    pub damaged: u64,
    /// The places of damage in the file, the first ten.
    pub damage: Vec<(u64, Damage)>,
    /// Whether the snapshot has no end: it was cut off.
    pub truncated: bool,
    /// The time it took.
    pub time: Duration,
}

/// Reads the header of the snapshot at `path`, if there is one. An empty file has no items.
///
/// # Errors
/// The file cannot be read, or is not a snapshot of this version.
#[cfg(feature = "server")]
pub(crate) fn check_header(path: &Path) -> Result<(), SnapshotError> {
    if path.metadata().is_ok_and(|found| found.len() > 0) {
        Decoder::new(File::open(path).map_err(SnapshotError::at(path, "open"))?)?;
    }
    Ok(())
}

impl Cache {
    /// Loads the items of a snapshot, while the cache is in use.
    ///
    /// Items that are in the cache stay, unless [`LoadOptions::replace`] is set. The snapshot may
    /// come from a cache with other settings, and from another machine. If memory is full, items
    /// that were used evict others, and the rest is left out. Damaged parts are left out and
    /// counted.
    ///
    /// # Errors
    /// The file cannot be read, or is not a snapshot of this version. With
    /// [`LoadOptions::strict`], also damage. There are too many threads. Items that were loaded
    /// before an error stay.
    ///
    /// # Examples
    /// See [`Cache::save`].
    pub fn load(&self, path: impl AsRef<Path>, options: LoadOptions<'_>) -> Result<Loaded, SnapshotError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(SnapshotError::at(path, "open"))?;
        self.load_from(file, options).map_err(|e| match e {
            SnapshotError::Io(e) => SnapshotError::at(path, "read")(e),
            e => e,
        })
    }

    /// Like [`Cache::load`], from any reader.
    ///
    /// # Errors
    /// As [`Cache::load`].
    pub fn load_from(&self, reader: impl Read, options: LoadOptions<'_>) -> Result<Loaded, SnapshotError> {
        let began = Instant::now();
        let threads = threads(options.threads, 1)?;
        let mut decoder = Decoder::new(reader)?;
        self.store().expect(decoder.info().items);
        let loader = Loader::new(self, decoder.info(), &options);
        let mut progress = options.progress;
        match threads {
            0 | 1 => {
                let mut buffer = Vec::new();
                loader.read(&mut decoder, &mut progress, &mut |packed| loader.load(&packed, &mut buffer))?;
            }
            many => thread::scope(|scope| {
                // Each thread may have one block that waits for it.
                let (send, blocks) = mpsc::sync_channel::<Packed<'static>>(many);
                let blocks = Arc::new(Mutex::new(blocks));
                for number in 0..many {
                    let (blocks, loader) = (Arc::clone(&blocks), &loader);
                    let body = move || {
                        let mut buffer = Vec::new();
                        loop {
                            // The lock ends with this statement.
                            let received = blocks.lock().recv();
                            let Ok(block) = received else { break };
                            loader.load(&block, &mut buffer);
                        }
                    };
                    let named = thread::Builder::new().name(format!("mcrs-load-{number}"));
                    named.spawn_scoped(scope, body).map_err(SnapshotError::Io)?;
                }
                drop(blocks);
                // All threads have ended only if one of them panicked. The scope passes that on.
                loader.read(&mut decoder, &mut progress, &mut |packed| drop(send.send(packed.into_owned())))
            })?,
        }
        loader.check()?;
        let info = decoder.info().clone();
        self.store().raise_cas(info.highest_cas.max(loader.highest_cas.load(Relaxed)));
        Ok(loader.finish(info, began))
    }
}

/// The state that the threads of a load share.
struct Loader<'a> {
    cache: &'a Cache,
    replace: bool,
    strict: bool,
    /// The time of the cache, in seconds since 1970.
    now: i64,
    /// Seconds that are added to each time of expiry.
    shift: i64,
    /// Seconds since the save.
    elapsed: u32,
    loading: Loading<'a>,
    items: AtomicU64,
    bytes: AtomicU64,
    expired: AtomicU64,
    existing: AtomicU64,
    too_large: AtomicU64,
    no_memory: AtomicU64,
    damaged: AtomicU64,
    highest_cas: AtomicU64,
    damage: Mutex<Vec<(u64, Damage)>>,
    truncated: AtomicBool,
}

impl<'a> Loader<'a> {
    fn new(cache: &'a Cache, info: &SnapshotInfo, options: &LoadOptions<'_>) -> Self {
        let now = cache.clock().unix();
        let elapsed = now.saturating_sub(info.saved_at.div_euclid(1_000_000));
        // If the clock was set back, no time has passed: that loses no item.
        let shift = match options.ttl {
            SnapshotTtl::WallTime => elapsed.min(0),
            SnapshotTtl::Paused => elapsed,
        };
        Self {
            cache,
            replace: options.replace,
            strict: options.strict,
            now,
            shift,
            elapsed: u32::try_from(elapsed.max(0)).unwrap_or(u32::MAX),
            loading: cache.store().begin_load(),
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            existing: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            no_memory: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            highest_cas: AtomicU64::new(0),
            damage: Mutex::default(),
            truncated: AtomicBool::new(false),
        }
    }

    /// Reads a snapshot to its end, and passes on the blocks.
    fn read<R: Read>(
        &self,
        decoder: &mut Decoder<R>,
        progress: &mut Option<&mut OnProgress<'_>>,
        pass_on: &mut dyn FnMut(Packed<'_>),
    ) -> Result<(), SnapshotError> {
        let all_items = decoder.info().items;
        while let Some(event) = decoder.next_event().map_err(SnapshotError::Io)? {
            match event {
                Event::Block(packed) => pass_on(packed),
                Event::Damage(damage, offset) => self.note(damage, offset),
                Event::End(_) => {}
            }
            self.check()?;
            if let Some(progress) = progress {
                let (items, bytes) = (self.items.load(Relaxed), self.bytes.load(Relaxed));
                if progress(&Progress { items, bytes, all_items }).is_break() {
                    return Err(SnapshotError::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Returns the first damage as an error, if the load is strict.
    fn check(&self) -> Result<(), SnapshotError> {
        match self.damage.lock().first() {
            Some(&(offset, _)) if self.strict => Err(SnapshotError::Damaged { offset }),
            _ => Ok(()),
        }
    }

    /// Counts damage.
    fn note(&self, damage: Damage, offset: u64) {
        match damage {
            Damage::Data { items } | Damage::Codec { items, .. } | Damage::NoMemory { items } => {
                self.damaged.fetch_add(u64::from(items), Relaxed);
            }
            Damage::Truncated => self.truncated.store(true, Relaxed),
            Damage::Lost { .. } => {}
        }
        let mut all = self.damage.lock();
        if all.len() < DAMAGE_MAX {
            all.push((offset, damage));
        }
    }

    /// Stores the items of a block.
    fn load(&self, packed: &Packed<'_>, buffer: &mut Vec<u8>) {
        let mut entries = match packed.unpack(buffer) {
            Ok(entries) => entries,
            Err(damage) => return self.note(damage, packed.offset()),
        };
        let (mut items, mut bytes, mut highest) = (0, 0, 0);
        let mut group = Vec::with_capacity(GROUP);
        loop {
            group.extend(entries.by_ref().take(GROUP).map(|entry| (self.hash(entry.key), entry)));
            if group.is_empty() {
                break;
            }
            for (hash, entry) in group.drain(..) {
                if self.store(hash, &entry) {
                    items += 1;
                    bytes += (entry.key.len() + entry.value.len()) as u64;
                    highest = highest.max(entry.cas);
                }
            }
        }
        self.items.fetch_add(items, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.highest_cas.fetch_max(highest, Relaxed);
        if entries.left() > 0 {
            self.note(Damage::Data { items: entries.left() }, packed.offset());
        }
    }

    /// Returns the hash of a key, and prefetches its line of the index.
    fn hash(&self, key: &[u8]) -> u64 {
        let hash = self.cache.store().hash(key);
        self.cache.store().prefetch(&hash.into());
        hash
    }

    /// Stores an item. Returns `false` after counting why not.
    fn store(&self, hash: u64, entry: &Entry<'_>) -> bool {
        // An item that was never used is worth no more than those that it would evict.
        if entry.uses == 0 && self.cache.store().is_full() {
            self.no_memory.fetch_add(1, Relaxed);
            return false;
        }
        let expiry = match entry.expires_at.map(|at| at.saturating_add(self.shift)) {
            None => 0,
            Some(at) if at <= self.now => {
                self.expired.fetch_add(1, Relaxed);
                return false;
            }
            // Items that live longer than the clock can count never expire before it ends.
            Some(at) => u32::try_from(at.saturating_sub(self.cache.clock().origin())).unwrap_or(u32::MAX),
        };
        let restored = self.cache.restore(
            &RestoredItem {
                hash,
                key: entry.key,
                value: entry.value,
                flags: entry.flags,
                expiry,
                cas: entry.cas,
                idle: entry.idle.saturating_add(self.elapsed),
                uses: u16::from(entry.uses),
                bits: state_bits(entry),
                began: self.loading.began(),
            },
            self.replace,
        );
        let count = match restored {
            Restored::Stored => return true,
            Restored::Existing => &self.existing,
            Restored::TooLarge => &self.too_large,
            Restored::NoMemory => &self.no_memory,
        };
        count.fetch_add(1, Relaxed);
        false
    }

    fn finish(self, info: SnapshotInfo, began: Instant) -> Loaded {
        let mut damage = std::mem::take(&mut *self.damage.lock());
        damage.sort_by_key(|&(offset, _)| offset);
        Loaded {
            info,
            items: self.items.into_inner(),
            bytes: self.bytes.into_inner(),
            expired: self.expired.into_inner(),
            existing: self.existing.into_inner(),
            too_large: self.too_large.into_inner(),
            no_memory: self.no_memory.into_inner(),
            damaged: self.damaged.into_inner(),
            damage,
            truncated: self.truncated.into_inner(),
            time: began.elapsed(),
        }
    }
}

/// Returns the bits of an item's header.
fn state_bits(entry: &Entry<'_>) -> u16 {
    [
        (entry.fetched, bit::FETCHED),
        (entry.active, bit::ACTIVE),
        (entry.won, bit::WIN),
        (entry.stale, bit::STALE),
        (entry.key_binary, bit::KEY_BINARY),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .fold(0, |bits, (_, bit)| bits | bit)
}

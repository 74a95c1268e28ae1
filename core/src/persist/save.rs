//! Saving a cache that is in use.
//!
//! Threads take the shards in turn. They copy a few items at a time under the shard's lock, so that
//! no client waits long. A value of more than [`INLINE_COPY_MAX`] bytes is pinned, and copied
//! without the lock.
//!
//! So each item is consistent, but the snapshot is not of one moment: an item that changes during
//! the save is saved as it was before or after. An item that is deleted after it was copied is in
//! the snapshot.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::encode::{Block, header, trailer};
use super::error::SnapshotError;
use super::file::NewFile;
use super::format::{BLOCK, Codec, Entry, SnapshotInfo, Summary};
use crate::base::sync::Mutex;
use crate::cache::Cache;
use crate::config::THREADS_MOST;
use crate::store::{Bucket, INLINE_COPY_MAX, Item, TimeSnapshot, bit};

/// Bytes of items that are copied under a lock, about.
const STEP: usize = 64 * 1024;

/// Most items that are copied under a lock, but for the rest of a bucket.
const STEP_ITEMS: usize = 256;

/// Attempts of a save to a file that flushes interrupt.
const ATTEMPTS: u32 = 3;

/// Longest wait for the rate without a call of the progress callback.
const WAIT: Duration = Duration::from_millis(100);

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items so far.
    pub items: u64,
    /// Bytes of keys and values so far.
    pub bytes: u64,
    /// About how many items there are in all, or 0 if that is not known.
    pub all_items: u64,
}

/// A function that receives the progress, and may end the operation. It is called about once a MiB,
/// and every 0.1 seconds while [`SaveOptions::rate`] delays a save.
pub type OnProgress<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// How to save.
#[derive(Default)]
pub struct SaveOptions<'a> {
    /// How the items are stored.
    pub codec: Codec,
    /// Number of threads, at most 256, or 0 for half of the processor's cores.
    pub threads: usize,
    /// Most bytes that are written in a second, or 0 for no limit.
    pub rate: u64,
    /// Number of older files that [`Cache::save`] keeps, as `FILE.1`, `FILE.2` and so on.
    pub keep: u32,
    /// A text that is kept in the snapshot.
    pub note: &'a str,
    /// Receives the progress.
    pub progress: Option<&'a mut OnProgress<'a>>,
}

impl fmt::Debug for SaveOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveOptions")
            .field("codec", &self.codec)
            .field("threads", &self.threads)
            .field("rate", &self.rate)
            .field("keep", &self.keep)
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

/// The outcome of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Items.
    pub items: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Bytes of the snapshot.
    pub file_bytes: u64,
    /// Items that were left out because there was no memory to copy them.
    pub skipped: u64,
    /// The time it took.
    pub time: Duration,
}

impl Cache {
    /// Saves all items to a file, while the cache is in use.
    ///
    /// The file gets its name when it is complete and on the disk. Until then, and after an error,
    /// an older file of this name stays as it is. Only the user may read the file.
    ///
    /// Each item is saved as it is at one moment, but not all items at the same moment. An item
    /// that is deleted during the save may be in the snapshot.
    ///
    /// # Errors
    /// The system refuses an operation on the file, or another save to it is under way. Three
    /// flushes interrupt the save, or the progress callback ends it. There are too many threads.
    ///
    /// # Examples
    /// ```
    /// use memcache_rs::{Cache, CacheConfig, LoadOptions, SaveOptions, Ttl};
    ///
    /// let directory = std::env::temp_dir().join(format!("snapshot-{}", std::process::id()));
    /// std::fs::create_dir_all(&directory)?;
    /// let file = directory.join("cache.mcrs");
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// cache.set("greeting", "hello", Ttl::Never)?;
    /// assert_eq!(cache.save(&file, SaveOptions::default())?.items, 1);
    ///
    /// let warm = Cache::new(CacheConfig::default())?;
    /// assert_eq!(warm.load(&file, LoadOptions::default())?.items, 1);
    /// assert_eq!(warm.get("greeting").as_deref(), Some(&b"hello"[..]));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>, mut options: SaveOptions<'_>) -> Result<Saved, SnapshotError> {
        let mut file = NewFile::create(path.as_ref())?;
        for _ in 1..ATTEMPTS {
            match save(self, &mut file, &mut options) {
                Err(SnapshotError::Flushed) => file.restart()?,
                Err(SnapshotError::Io(e)) => return Err(file.error(e)),
                Err(e) => return Err(e),
                Ok(saved) => return file.commit(options.keep).map(|()| saved),
            }
        }
        let saved = save(self, &mut file, &mut options)?;
        file.commit(options.keep).map(|()| saved)
    }

    /// Like [`Cache::save`], to any writer.
    ///
    /// # Errors
    /// The writer's, `flush_all` ran during the save, or the progress callback ended it. There are
    /// too many threads.
    pub fn save_to(&self, mut to: impl Write, mut options: SaveOptions<'_>) -> Result<Saved, SnapshotError> {
        save(self, &mut to, &mut options)
    }
}

fn save(cache: &Cache, to: &mut dyn Write, options: &mut SaveOptions<'_>) -> Result<Saved, SnapshotError> {
    let threads = threads(options.threads, 2)?;
    let began = Instant::now();
    let flushed = cache.store().flushes();
    let id = RandomState::new().hash_one(std::process::id());
    let totals = cache.store().totals();
    let all_items = totals.curr_items;
    let info = SnapshotInfo {
        saved_at: micros(cache),
        highest_cas: cache.store().latest_cas(),
        items: all_items,
        bytes: 0,
        program: concat!("memcache-rs ", env!("CARGO_PKG_VERSION")).into(),
        note: options.note.into(),
    };
    let mut output = Output { to, began, rate: options.rate, written: 0 };
    let mut bytes = Vec::new();
    header(id, &info, &mut bytes);
    output.write(&bytes)?;
    let mut summary = Summary::default();
    let mut skipped = 0;
    let progress = &mut options.progress;
    let mut accept = |part: &mut Part| -> Result<(), SnapshotError> {
        output.write(&part.bytes)?;
        summary.blocks += part.summary.blocks;
        summary.items += part.summary.items;
        summary.bytes += part.summary.bytes;
        skipped += part.skipped;
        let so_far = Progress { items: summary.items, bytes: summary.bytes, all_items };
        loop {
            if let Some(progress) = progress
                && progress(&so_far).is_break()
            {
                return Err(SnapshotError::Cancelled);
            }
            if !output.wait() {
                return Ok(());
            }
        }
    };
    let shards = (0..cache.store().shard_count()).map(|shard| (shard, Bucket::default())).collect();
    let saver = Saver { cache, shards: &Mutex::new(shards), id, codec: options.codec };
    match threads.min(cache.store().shard_count()) {
        0 | 1 => saver.run(&mut accept)?,
        many => thread::scope(|scope| {
            // Each thread may be one block ahead of the writer.
            let (send, parts) = mpsc::sync_channel(many);
            for number in 0..many {
                let (saver, send) = (saver.clone(), send.clone());
                let mut pass_on = move |part: &mut Part| {
                    send.send(std::mem::take(part)).map_err(|_| SnapshotError::Cancelled)
                };
                let body = move || saver.run(&mut pass_on);
                thread::Builder::new()
                    .name(format!("mcrs-save-{number}"))
                    .spawn_scoped(scope, body)
                    .map_err(SnapshotError::Io)?;
            }
            drop(send);
            parts.into_iter().try_for_each(|mut part| accept(&mut part))
        })?,
    }
    if cache.store().flushes() != flushed {
        return Err(SnapshotError::Flushed);
    }
    summary.finished_at = micros(cache);
    bytes.clear();
    trailer(id, &summary, &mut bytes);
    output.write(&bytes)?;
    output.to.flush().map_err(SnapshotError::Io)?;
    let (items, bytes) = (summary.items, summary.bytes);
    Ok(Saved { items, bytes, file_bytes: output.written, skipped, time: began.elapsed() })
}

/// Returns the number of threads of an operation: `wanted`, or the cores divided by `share`.
pub(super) fn threads(wanted: usize, share: usize) -> Result<usize, SnapshotError> {
    match wanted {
        0 => Ok(thread::available_parallelism().map_or(1, |cores| cores.get() / share).max(1)),
        1..=THREADS_MOST => Ok(wanted),
        _ => Err(SnapshotError::Threads(wanted)),
    }
}

/// Returns the time of the cache's clock, in microseconds since 1970.
fn micros(cache: &Cache) -> i64 {
    cache.clock().unix().saturating_mul(1_000_000)
}

/// The output of a save, with its limit of bytes in a second.
struct Output<'a> {
    to: &'a mut dyn Write,
    began: Instant,
    rate: u64,
    written: u64,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.to.write_all(bytes).map_err(SnapshotError::Io)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Waits for the rate, but not longer than [`WAIT`]. Returns whether it must wait longer.
    fn wait(&self) -> bool {
        if self.rate == 0 {
            return false;
        }
        let due =
            Duration::try_from_secs_f64(self.written as f64 / self.rate as f64).unwrap_or(Duration::MAX);
        let left = due.saturating_sub(self.began.elapsed());
        thread::sleep(left.min(WAIT));
        left > WAIT
    }
}

/// A block in the form of the file.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    summary: Summary,
    /// Items for which there was no memory.
    skipped: u64,
}

/// One of the threads that save shards.
#[derive(Clone)]
struct Saver<'a> {
    cache: &'a Cache,
    /// Shards that are not saved yet and that no thread has, and how far each one is. Threads take
    /// them in turn: a client that waits for the lock of one gets it while another one is copied.
    shards: &'a Mutex<VecDeque<(usize, Bucket)>>,
    id: u64,
    codec: Codec,
}

impl Saver<'_> {
    /// Saves shards until none is left, and passes on the blocks. `accept` may take a block, or
    /// leave its memory for the next one.
    fn run(
        &self,
        accept: &mut dyn FnMut(&mut Part) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let store = self.cache.store();
        let mut copier = Copier { cache: self.cache, block: Block::default(), large: Vec::new(), skipped: 0 };
        // Grows with the first items.
        let mut most = 16;
        // The lock of the list ends with each of these statements.
        let take = || self.shards.lock().pop_front();
        while let Some((shard, from)) = take() {
            let (mut seen, mut bytes) = (0, 0);
            let next = store.scan(shard, from, most, |item, time| {
                seen += 1;
                bytes += copier.take(item, time);
            });
            if let Some(next) = next {
                self.shards.lock().push_back((shard, next));
            }
            if seen > 0 {
                most = (STEP * seen / bytes.max(1)).clamp(1, STEP_ITEMS);
            }
            copier.take_large(|copier| self.pass_on(copier, accept))?;
            if copier.block.is_full() {
                self.pass_on(&mut copier, accept)?;
            }
        }
        self.pass_on(&mut copier, accept)
    }

    fn pass_on(
        &self,
        copier: &mut Copier<'_>,
        accept: &mut dyn FnMut(&mut Part) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let mut part = Part::default();
        let items = copier.block.items();
        if items > 0 {
            match copier.block.finish(self.id, self.codec, &mut part.summary) {
                Some(bytes) => part.bytes = bytes,
                None => copier.skipped += u64::from(items),
            }
        }
        part.skipped = std::mem::take(&mut copier.skipped);
        if part.bytes.is_empty() && part.skipped == 0 {
            return Ok(());
        }
        accept(&mut part)?;
        copier.block.reuse(part.bytes);
        Ok(())
    }
}

/// Copies items into a block.
struct Copier<'a> {
    cache: &'a Cache,
    block: Block,
    /// Keys of items that are copied after the lock is released.
    large: Vec<Box<[u8]>>,
    skipped: u64,
}

impl Copier<'_> {
    /// Copies an item whose shard is locked, or keeps its key for [`Copier::take_large`]. Returns
    /// the number of bytes that were copied.
    fn take(&mut self, item: Item<'_>, time: &TimeSnapshot) -> usize {
        if item.len() > INLINE_COPY_MAX {
            self.large.push(item.key().into());
            return item.key().len();
        }
        let entry = entry(self.cache, item.key(), item, time);
        let fill = |to: &mut Vec<u8>| item.slices().for_each(|piece| to.extend_from_slice(piece));
        if !self.block.push(&entry, item.len() as u32, fill) {
            self.skipped += 1;
        }
        item.key().len() + item.len()
    }

    /// Copies the large items. `emit` takes the block when it is full.
    fn take_large(
        &mut self,
        mut emit: impl FnMut(&mut Self) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let store = self.cache.store();
        for key in std::mem::take(&mut self.large) {
            if self.block.raw_len() >= BLOCK / 2 {
                emit(self)?;
            }
            let mut locked = store.entry(&key, store.hash(&key));
            let time = *locked.time();
            // Gone, or replaced by another value, since the lock was released.
            let Some(item) = locked.item() else { continue };
            let entry = entry(self.cache, &key, item, &time);
            let Some(value) = locked.pin_briefly() else { continue };
            drop(locked);
            let fill = |to: &mut Vec<u8>| value.slices().for_each(|piece| to.extend_from_slice(piece));
            if !self.block.push(&entry, value.len() as u32, fill) {
                self.skipped += 1;
            }
        }
        Ok(())
    }
}

/// Returns an item's entry, without its value.
fn entry<'k>(cache: &Cache, key: &'k [u8], item: Item<'_>, time: &TimeSnapshot) -> Entry<'k> {
    let header = item.header();
    Entry {
        key,
        value: &[],
        flags: item.flags(),
        expires_at: Some(header.expiry())
            .filter(|&second| second != 0)
            .map(|second| cache.clock().origin() + i64::from(second)),
        cas: header.cas(),
        idle: time.idle(header),
        uses: header.uses() as u8,
        fetched: header.has(bit::FETCHED),
        active: header.has(bit::ACTIVE),
        won: header.has(bit::WIN),
        stale: header.has(bit::STALE),
        key_binary: header.has(bit::KEY_BINARY),
    }
}

impl From<io::Error> for SnapshotError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

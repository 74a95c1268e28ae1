//! Writes a snapshot item by item, and puts the damage of one into words.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::time::SystemTime;

use memcache_core::SnapshotCodec;
use memcache_core::internal::persist::{Block, Damage, Entry, SnapshotInfo, Summary, header, trailer};

/// Writes a snapshot to `to`.
pub struct Writer<W> {
    to: W,
    id: u64,
    block: Block,
    summary: Summary,
}

impl<W: Write> Writer<W> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(mut to: W, info: &SnapshotInfo) -> io::Result<Self> {
        let id = RandomState::new().hash_one(std::process::id());
        let mut bytes = Vec::new();
        header(id, info, &mut bytes);
        to.write_all(&bytes)?;
        Ok(Self { to, id, block: Block::default(), summary: Summary::default() })
    }

    /// Adds an item.
    ///
    /// # Errors
    /// The writer's, or there is no memory for the item.
    pub fn push(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if !self.block.push(entry, entry.value.len() as u32, |to| to.extend_from_slice(entry.value)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if self.block.is_full() { self.end_block() } else { Ok(()) }
    }

    /// Writes the rest, and returns the number of items and bytes, and the writer.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<(Summary, W)> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.summary.finished_at = now_micros();
        let mut bytes = Vec::new();
        trailer(self.id, &self.summary, &mut bytes);
        self.to.write_all(&bytes)?;
        self.to.flush()?;
        Ok((self.summary, self.to))
    }

    fn end_block(&mut self) -> io::Result<()> {
        let block = self.block.finish(self.id, SnapshotCodec::Lz4, &mut self.summary);
        let block = block.ok_or(io::ErrorKind::OutOfMemory)?;
        self.to.write_all(&block)?;
        self.block.reuse(block);
        Ok(())
    }
}

/// Returns the time in microseconds since 1970.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}

/// Describes a damage.
pub fn describe(damage: Damage) -> String {
    match damage {
        Damage::Data { items } => format!("a block of {items} items has a wrong checksum or is malformed"),
        Damage::Lost { bytes } => format!("{bytes} bytes are not a block"),
        Damage::Codec { codec, items } => format!("a block of {items} items has the unknown codec {codec}"),
        Damage::NoMemory { items } => format!("there is no memory for a block of {items} items"),
        Damage::Truncated => "the file is cut off here".into(),
        _ => "unknown damage".into(),
    }
}

//! Items to bytes.

use std::collections::TryReserveError;

use super::format::{
    BLOCK, BLOCK_HEADER, BLOCK_MARK, Codec, Entry, HEADER_MAX, MAGIC, MAJOR, MINOR, SnapshotInfo, Summary,
    TRAILER_MARK, checksum, tag,
};
use crate::cache::is_key;

/// Most bytes of the header's texts.
const TEXT_MAX: usize = 4096;

/// Most bytes of entries that are compressed.
const COMPRESS_MAX: usize = 16 * BLOCK;

/// Most bytes that are added to a block, so that its length is a multiple of 8.
const PADDING: usize = 7;

/// Entries that become a block.
#[derive(Debug, Default)]
pub struct Block {
    /// Room for the header, and the entries. Nothing if there is no entry.
    raw: Vec<u8>,
    items: u32,
    bytes: u64,
}

impl Block {
    /// Adds an entry whose value has `length` bytes. `fill` appends them; [`Entry::value`] is
    /// ignored.
    ///
    /// An entry is left out if its key does not have 1 to 250 bytes, if `fill` appends another
    /// number of bytes, or if there is no memory. Returns whether the entry was added.
    pub fn push(&mut self, entry: &Entry<'_>, length: u32, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
        if !is_key(entry.key) {
            return false;
        }
        // The fields before the key, and the padding, take at most 64 bytes.
        if self.raw.try_reserve(BLOCK_HEADER + 64 + entry.key.len() + length as usize).is_err() {
            return false;
        }
        if self.raw.is_empty() {
            self.raw.resize(BLOCK_HEADER, 0);
        }
        let before = self.raw.len();
        self.raw.extend([entry.key.len() as u8, entry.bits(), entry.uses]);
        push_number(&mut self.raw, entry.idle);
        push_number(&mut self.raw, length);
        if entry.flags != 0 {
            self.raw.extend(entry.flags.to_le_bytes());
        }
        if let Some(expiry) = entry.expires_at {
            self.raw.extend(expiry.to_le_bytes());
        }
        if entry.cas != 0 {
            self.raw.extend(entry.cas.to_le_bytes());
        }
        self.raw.extend_from_slice(entry.key);
        let value = self.raw.len();
        fill(&mut self.raw);
        if self.raw.len() - value != length as usize {
            self.raw.truncate(before);
            return false;
        }
        self.items += 1;
        self.bytes += entry.key.len() as u64 + u64::from(length);
        true
    }

    /// Returns whether the block should be written before another entry is added.
    pub fn is_full(&self) -> bool {
        self.raw_len() >= BLOCK
    }

    /// Returns whether the block has no entry.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Returns the number of entries.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Returns the bytes of the entries.
    pub fn raw_len(&self) -> usize {
        self.raw.len().saturating_sub(BLOCK_HEADER)
    }

    /// Returns the block as bytes of the snapshot `id`, and counts it in `summary`. Afterwards it
    /// has no entries. Returns `None` if there is no memory for it.
    pub fn finish(&mut self, id: u64, codec: Codec, summary: &mut Summary) -> Option<Vec<u8>> {
        let raw_len = self.raw_len();
        let (items, bytes) = (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes));
        // Compressing takes as much memory again. A very large value is not worth that.
        let packed = match codec {
            Codec::Lz4 if raw_len <= COMPRESS_MAX => self.packed(),
            _ => Ok(None),
        };
        let (codec, mut block) = match packed {
            Ok(Some(packed)) => {
                self.raw.clear();
                (Codec::Lz4, packed)
            }
            Ok(None) => (Codec::None, std::mem::take(&mut self.raw)),
            Err(_) => {
                self.raw.clear();
                return None;
            }
        };
        let data = block.get(BLOCK_HEADER..).unwrap_or_default();
        let mut head = Vec::with_capacity(BLOCK_HEADER);
        head.extend(BLOCK_MARK);
        head.extend([codec as u8, 0, 0, 0]);
        head.extend((raw_len as u32).to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes());
        head.extend(items.to_le_bytes());
        head.extend(checksum(id, data).to_le_bytes());
        head.extend([0; 4]);
        head.extend(checksum(id, &head).to_le_bytes());
        block.get_mut(..BLOCK_HEADER)?.copy_from_slice(&head);
        block.resize(block.len().next_multiple_of(8), 0);
        summary.blocks += 1;
        summary.items += u64::from(items);
        summary.bytes += bytes;
        Some(block)
    }

    /// Returns the compressed entries behind room for the header, unless they are not shorter.
    fn packed(&self) -> Result<Option<Vec<u8>>, TryReserveError> {
        let raw = self.raw.get(BLOCK_HEADER..).unwrap_or_default();
        let most = BLOCK_HEADER + lz4_flex::block::get_maximum_output_size(raw.len());
        let mut packed = Vec::new();
        packed.try_reserve_exact(most + PADDING)?;
        packed.resize(most, 0);
        let to = packed.get_mut(BLOCK_HEADER..).unwrap_or_default();
        let Ok(length) = lz4_flex::block::compress_into(raw, to) else { return Ok(None) };
        packed.truncate(BLOCK_HEADER + length);
        Ok((length < raw.len()).then_some(packed))
    }

    /// Takes memory for the next entries: that of a block that was written.
    pub fn reuse(&mut self, mut memory: Vec<u8>) {
        if self.raw.capacity() < memory.capacity() {
            memory.clear();
            self.raw = memory;
        }
        self.raw.shrink_to(2 * BLOCK);
    }
}

/// Appends the header of a snapshot to `out`. `id` must be random.
pub fn header(id: u64, info: &SnapshotInfo, out: &mut Vec<u8>) {
    let first = out.len();
    out.extend(MAGIC);
    out.extend(MAJOR.to_le_bytes());
    out.extend(MINOR.to_le_bytes());
    let length = out.len();
    out.extend([0; 4]);
    out.extend(id.to_le_bytes());
    field(out, tag::SAVED_AT, &info.saved_at.to_le_bytes());
    field(out, tag::HIGHEST_CAS, &info.highest_cas.to_le_bytes());
    field(out, tag::ITEMS, &info.items.to_le_bytes());
    field(out, tag::BYTES, &info.bytes.to_le_bytes());
    field(out, tag::PROGRAM, text(&info.program));
    field(out, tag::NOTE, text(&info.note));
    // Tag 0 ends the fields.
    out.extend([0; 4]);
    while !(out.len() - first + 4).is_multiple_of(8) {
        out.push(0);
    }
    let whole = out.len() - first + 4;
    debug_assert!(whole <= HEADER_MAX);
    if let Some(to) = out.get_mut(length..length + 4) {
        to.copy_from_slice(&(whole as u32).to_le_bytes());
    }
    let crc = crc32fast::hash(out.get(first..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

/// Appends the trailer to `out`.
pub fn trailer(id: u64, summary: &Summary, out: &mut Vec<u8>) {
    let first = out.len();
    out.extend(TRAILER_MARK);
    out.extend([0; 4]);
    for number in [summary.blocks, summary.items, summary.bytes] {
        out.extend(number.to_le_bytes());
    }
    out.extend(summary.finished_at.to_le_bytes());
    out.extend([0; 4]);
    let crc = checksum(id, out.get(first..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

fn field(out: &mut Vec<u8>, tag: u16, bytes: &[u8]) {
    out.extend(tag.to_le_bytes());
    out.extend((bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Returns at most [`TEXT_MAX`] bytes of whole characters.
fn text(text: &str) -> &[u8] {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.as_bytes().get(..end).unwrap_or_default()
}

/// Appends a number as LEB128.
fn push_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

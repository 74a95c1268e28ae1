//! Bytes to items. No input makes it panic. It allocates no more than a block, and only as the
//! bytes of the block arrive.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use super::format::{
    BLOCK_HEADER, BLOCK_MARK, BLOCK_MAX, Codec, Entry, HEADER_MAX, MAGIC, MAJOR, SnapshotInfo, Summary,
    TRAILER, TRAILER_MARK, bits, checksum, tag,
};
use crate::cache::is_key;

/// Bytes that one read asks for.
const READ: usize = 256 * 1024;

/// A file is not a snapshot that this version can read.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormatError {
    /// The file could not be read.
    Io(io::Error),
    /// The file does not begin as a snapshot does.
    NotASnapshot,
    /// The file has another major version of the format.
    Version {
        /// The major version of the file.
        found: u16,
        /// The major version that this program reads.
        known: u16,
    },
    /// The header is cut off or damaged.
    DamagedHeader,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "failed to read the snapshot: {e}"),
            Self::NotASnapshot => f.write_str("the file is not a snapshot of memcache-rs"),
            Self::Version { found, known } => {
                write!(f, "the snapshot has format version {found}, and this program reads version {known}")
            }
            Self::DamagedHeader => f.write_str("the header of the snapshot is damaged"),
        }
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            _ => None,
        }
    }
}

/// A part of a snapshot that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// The data of a block differs from its checksum. The block is skipped.
    Data {
        /// Number of items that are lost.
        items: u32,
    },
    /// These bytes are not a block. The reader has found the next part behind them. No bytes: whole
    /// blocks are missing.
    Lost {
        /// Number of bytes.
        bytes: u64,
    },
    /// A block is stored in a way that this version does not know. The block is skipped.
    Codec {
        /// The number of the codec.
        codec: u8,
        /// Number of items that are lost.
        items: u32,
    },
    /// There is no memory for a block. The block is skipped.
    NoMemory {
        /// Number of items that are lost.
        items: u32,
    },
    /// The file ends without a trailer. Blocks at its end are lost.
    Truncated,
}

/// The next part of a snapshot.
#[derive(Debug)]
pub enum Event<'a> {
    /// A block of items. Its data agrees with its checksum.
    Block(Packed<'a>),
    /// A part that cannot be used, and its offset in the file.
    Damage(Damage, u64),
    /// The end, with the trailer.
    End(Summary),
}

/// Reads a snapshot.
#[derive(Debug)]
pub struct Decoder<R> {
    source: Source<R>,
    id: u64,
    info: SnapshotInfo,
    /// Bytes of the current block or trailer in the source.
    current: usize,
    /// Blocks that were read.
    blocks: u64,
    /// Whether damage was reported.
    damaged: bool,
    ended: bool,
}

impl<R: Read> Decoder<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`FormatError`] if this is not a snapshot of this version, or its header is damaged.
    pub fn new(reader: R) -> Result<Self, FormatError> {
        let mut source = Source { reader, bytes: Vec::new(), head: 0, offset: 0, ended: false };
        let start = source.peek(MAGIC.len() + 16).map_err(FormatError::Io)?;
        if !start.starts_with(&MAGIC) {
            return Err(FormatError::NotASnapshot);
        }
        let (Some(found), Some(length), Some(id)) = (number(start, 8), number(start, 12), number(start, 16))
        else {
            return Err(FormatError::DamagedHeader);
        };
        let found = u16::from_le_bytes(found);
        if found != MAJOR {
            return Err(FormatError::Version { found, known: MAJOR });
        }
        let (length, id) = (u32::from_le_bytes(length) as usize, u64::from_le_bytes(id));
        if !(28..=HEADER_MAX).contains(&length) || !length.is_multiple_of(8) {
            return Err(FormatError::DamagedHeader);
        }
        let header = source.peek(length).map_err(FormatError::Io)?;
        let Some((body, crc)) = header.split_last_chunk() else { return Err(FormatError::DamagedHeader) };
        if header.len() != length || crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(FormatError::DamagedHeader);
        }
        let info = fields(body.get(24..).unwrap_or_default());
        source.consume(length);
        Ok(Self { source, id, info, current: 0, blocks: 0, damaged: false, ended: false })
    }

    /// Returns the header.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// Returns the number of bytes that were read and used.
    pub fn position(&self) -> u64 {
        self.source.offset
    }

    /// Returns the next part. After [`Event::End`] or [`Damage::Truncated`] it returns `None`.
    ///
    /// # Errors
    /// The reader's.
    pub fn next_event(&mut self) -> io::Result<Option<Event<'_>>> {
        self.source.consume(std::mem::take(&mut self.current));
        if self.ended {
            return Ok(None);
        }
        let at = self.source.offset;
        let part = self.source.part(self.id)?;
        match &part {
            Part::Block(_) => self.blocks += 1,
            // Whole blocks may be missing, although what is left fits together.
            Part::End(summary) if summary.blocks > self.blocks && !self.damaged => {
                self.damaged = true;
                return Ok(Some(Event::Damage(Damage::Lost { bytes: 0 }, at)));
            }
            Part::End(_) => {}
            Part::Lost => self.damaged = true,
        }
        match part {
            Part::End(summary) => {
                (self.current, self.ended) = (TRAILER, true);
                Ok(Some(Event::End(summary)))
            }
            Part::Lost if self.source.find_part(self.id)? => {
                Ok(Some(Event::Damage(Damage::Lost { bytes: self.source.offset - at }, at)))
            }
            Part::Lost => {
                self.ended = true;
                Ok(Some(Event::Damage(Damage::Truncated, at)))
            }
            Part::Block(block) => self.block(&block, at),
        }
    }

    fn block(&mut self, block: &BlockHeader, at: u64) -> io::Result<Option<Event<'_>>> {
        let padded = BLOCK_HEADER + block.stored.next_multiple_of(8);
        let whole = match self.source.peek(padded) {
            Ok(whole) => whole,
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory => {
                let skipped = self.source.skip(padded)?;
                self.ended = !skipped;
                let damage =
                    if skipped { Damage::NoMemory { items: block.items } } else { Damage::Truncated };
                return Ok(Some(Event::Damage(damage, at)));
            }
            Err(e) => return Err(e),
        };
        let Some(data) = whole.get(BLOCK_HEADER..BLOCK_HEADER + block.stored) else {
            self.ended = true;
            return Ok(Some(Event::Damage(Damage::Truncated, at)));
        };
        let intact = checksum(self.id, data) == block.data_crc;
        self.current = padded.min(whole.len());
        if !intact {
            // The length of the block may be right, or bytes may be missing in it. In the second
            // case a part that follows lies inside of it.
            self.current = 0;
            self.source.consume(BLOCK_HEADER);
            self.source.find_part(self.id)?;
            return Ok(Some(Event::Damage(Damage::Data { items: block.items }, at)));
        }
        let data = self.source.ready(BLOCK_HEADER, block.stored);
        Ok(Some(Event::Block(Packed {
            codec: block.codec,
            raw: block.raw,
            items: block.items,
            offset: at,
            data: Cow::Borrowed(data),
        })))
    }
}

/// A block as it is in the file.
#[derive(Clone, Debug)]
pub struct Packed<'a> {
    codec: u8,
    raw: usize,
    items: u32,
    offset: u64,
    data: Cow<'a, [u8]>,
}

impl Packed<'_> {
    /// Returns the block with a copy of its data, for another thread.
    pub fn into_owned(self) -> Packed<'static> {
        Packed { data: Cow::Owned(self.data.into_owned()), ..self }
    }

    /// Returns the offset of the block in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of the codec. This version may not know it.
    pub fn codec(&self) -> u8 {
        self.codec
    }

    /// Returns the number of entries, by the header of the block.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Returns the bytes of the entries, by the header of the block.
    pub fn raw_len(&self) -> usize {
        self.raw
    }

    /// Returns the bytes of the data in the file.
    pub fn stored_len(&self) -> usize {
        self.data.len()
    }

    /// Returns the entries. `buffer` takes them if they were compressed.
    ///
    /// # Errors
    /// The block cannot be unpacked. All of its items are lost.
    pub fn unpack<'b>(&'b self, buffer: &'b mut Vec<u8>) -> Result<Entries<'b>, Damage> {
        let (items, left) = (self.items, self.items);
        match self.codec {
            0 if self.raw == self.data.len() => Ok(Entries { raw: &self.data, left }),
            1 => {
                buffer.clear();
                buffer.try_reserve_exact(self.raw).map_err(|_| Damage::NoMemory { items })?;
                buffer.resize(self.raw, 0);
                match lz4_flex::block::decompress_into(&self.data, buffer) {
                    Ok(length) if length == self.raw => Ok(Entries { raw: buffer, left }),
                    _ => Err(Damage::Data { items }),
                }
            }
            0 => Err(Damage::Data { items }),
            codec => Err(Damage::Codec { codec, items }),
        }
    }
}

/// The entries of a block.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    raw: &'a [u8],
    left: u32,
}

impl Entries<'_> {
    /// Returns the number of entries that the block has left, by its header.
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    /// Returns the next entry. An entry that is malformed ends the block, and
    /// [`Entries::left`] is the number of those that are lost.
    fn next(&mut self) -> Option<Entry<'a>> {
        let left = self.left.checked_sub(1)?;
        let (entry, rest) = entry(self.raw)?;
        (self.raw, self.left) = (rest, left);
        Some(entry)
    }
}

fn entry(raw: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (&[key_length, mark, uses], rest) = raw.split_first_chunk()?;
    let (idle, rest) = take_number(rest)?;
    let (length, mut rest) = take_number(rest)?;
    let mut entry = Entry { idle, uses: uses & 7, ..Entry::new(&[], &[]) };
    if mark & bits::HAS_FLAGS != 0 {
        let (flags, after) = rest.split_first_chunk()?;
        (entry.flags, rest) = (u32::from_le_bytes(*flags), after);
    }
    if mark & bits::HAS_EXPIRY != 0 {
        let (expiry, after) = rest.split_first_chunk()?;
        (entry.expires_at, rest) = (Some(i64::from_le_bytes(*expiry)), after);
    }
    if mark & bits::HAS_CAS != 0 {
        let (cas, after) = rest.split_first_chunk()?;
        (entry.cas, rest) = (u64::from_le_bytes(*cas), after);
    }
    (entry.key, rest) = rest.split_at_checked(usize::from(key_length))?;
    (entry.value, rest) = rest.split_at_checked(length as usize)?;
    if !is_key(entry.key) {
        return None;
    }
    entry.fetched = mark & bits::FETCHED != 0;
    entry.active = mark & bits::ACTIVE != 0;
    entry.won = mark & bits::WON != 0;
    entry.stale = mark & bits::STALE != 0;
    entry.key_binary = mark & bits::KEY_BINARY != 0;
    Some((entry, rest))
}

/// Takes a number in LEB128.
fn take_number(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((u32::try_from(number).ok()?, bytes));
        }
    }
    None
}

/// Reads the fields of the header. A field with an unknown tag or length is skipped.
fn fields(mut rest: &[u8]) -> SnapshotInfo {
    let mut info = SnapshotInfo::default();
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
        let name = u16::from_le_bytes([a, b]);
        let Some((bytes, after)) = after.split_at_checked(usize::from(u16::from_le_bytes([c, d]))) else {
            break;
        };
        if name == 0 {
            break;
        }
        rest = after;
        let text = || String::from_utf8_lossy(bytes).into_owned();
        match (name, bytes.try_into().map(u64::from_le_bytes)) {
            (tag::SAVED_AT, Ok(value)) => info.saved_at = value.cast_signed(),
            (tag::HIGHEST_CAS, Ok(value)) => info.highest_cas = value,
            (tag::ITEMS, Ok(value)) => info.items = value,
            (tag::BYTES, Ok(value)) => info.bytes = value,
            (tag::PROGRAM, _) => info.program = text(),
            (tag::NOTE, _) => info.note = text(),
            _ => {}
        }
    }
    info
}

/// The header of a block.
#[derive(Clone, Copy, Debug)]
struct BlockHeader {
    codec: u8,
    raw: usize,
    stored: usize,
    items: u32,
    data_crc: u32,
}

enum Part {
    Block(BlockHeader),
    End(Summary),
    /// Anything else.
    Lost,
}

/// Input that is read in large pieces.
#[derive(Debug)]
struct Source<R> {
    reader: R,
    bytes: Vec<u8>,
    /// Used bytes of `bytes`.
    head: usize,
    /// Used bytes of the file.
    offset: u64,
    ended: bool,
}

impl<R: Read> Source<R> {
    /// Returns the next `length` bytes, or fewer if the file ends before.
    ///
    /// # Errors
    /// The reader's, or `OutOfMemory`.
    fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.bytes.len() - self.head < length && !self.ended {
            if self.head > 0 {
                self.bytes.drain(..self.head);
                self.head = 0;
            }
            // Memory grows with the bytes that arrive, not with the length that the file claims.
            self.bytes.try_reserve(READ).map_err(|_| io::ErrorKind::OutOfMemory)?;
            let wanted = length.saturating_sub(self.bytes.len()).clamp(READ, 4 * READ);
            let read = (&mut self.reader).take(wanted as u64).read_to_end(&mut self.bytes)?;
            self.ended = read < wanted;
        }
        let end = self.bytes.len().min(self.head + length);
        Ok(self.bytes.get(self.head..end).unwrap_or_default())
    }

    /// Returns bytes that [`Source::peek`] has returned before.
    fn ready(&self, from: usize, length: usize) -> &[u8] {
        self.bytes.get(self.head + from..self.head + from + length).unwrap_or_default()
    }

    fn consume(&mut self, length: usize) {
        let length = length.min(self.bytes.len() - self.head);
        self.head += length;
        self.offset += length as u64;
    }

    /// Consumes `length` bytes without keeping them. Returns `false` if the file ends before.
    fn skip(&mut self, mut length: usize) -> io::Result<bool> {
        while length > 0 {
            let part = self.peek(length.min(READ))?.len();
            if part == 0 {
                return Ok(false);
            }
            self.consume(part);
            length -= part;
        }
        Ok(true)
    }

    /// Reads the header of a block, or the trailer.
    fn part(&mut self, id: u64) -> io::Result<Part> {
        let start = self.peek(TRAILER)?;
        if let Some(block) = start.get(..BLOCK_HEADER).and_then(|header| block_header(id, header)) {
            return Ok(Part::Block(block));
        }
        Ok(start.get(..TRAILER).and_then(|trailer| summary(id, trailer)).map_or(Part::Lost, Part::End))
    }

    /// Consumes bytes up to the next block or trailer. Returns `false` if there is none.
    fn find_part(&mut self, id: u64) -> io::Result<bool> {
        // Blocks begin at multiples of 8, but bytes may be missing.
        loop {
            let window = self.peek(READ)?;
            let found = (0..window.len()).find(|&at| {
                let rest = window.get(at..).unwrap_or_default();
                let block = |header| block_header(id, header).is_some();
                rest.starts_with(&BLOCK_MARK) && rest.get(..BLOCK_HEADER).is_some_and(block)
                    || rest.starts_with(&TRAILER_MARK)
                        && rest.get(..TRAILER).is_some_and(|trailer| summary(id, trailer).is_some())
            });
            let (length, all) = (window.len(), window.len() < READ);
            match found {
                Some(at) => {
                    self.consume(at);
                    return Ok(true);
                }
                None if all => {
                    self.consume(length);
                    return Ok(false);
                }
                // A part may begin in the last bytes of the window.
                None => self.consume(length - TRAILER),
            }
        }
    }
}

/// Returns `N` bytes from `at` on.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Returns the header of a block if `header` is one.
fn block_header(id: u64, header: &[u8]) -> Option<BlockHeader> {
    let (body, crc) = header.split_last_chunk()?;
    if !body.starts_with(&BLOCK_MARK) || checksum(id, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let word = |at| number(body, at).map(u32::from_le_bytes);
    let block = BlockHeader {
        codec: *body.get(4)?,
        raw: word(8)? as usize,
        stored: word(12)? as usize,
        items: word(16)?,
        data_crc: word(20)?,
    };
    (block.raw <= BLOCK_MAX && block.stored <= BLOCK_MAX).then_some(block)
}

/// Returns the contents of a trailer if `trailer` is one.
fn summary(id: u64, trailer: &[u8]) -> Option<Summary> {
    let (body, crc) = trailer.split_last_chunk()?;
    if !body.starts_with(&TRAILER_MARK) || checksum(id, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let word = |at| number(body, at).map(u64::from_le_bytes);
    Some(Summary {
        blocks: word(8)?,
        items: word(16)?,
        bytes: word(24)?,
        finished_at: word(32)?.cast_signed(),
    })
}

/// The codecs that [`Decoder`] knows.
const _: () = assert!(Codec::None as u8 == 0 && Codec::Lz4 as u8 == 1);

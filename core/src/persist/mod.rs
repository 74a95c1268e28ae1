//! Snapshots: the items of a cache as a file that any machine can read.
//!
//! The format (`encode.rs`, `decode.rs`) is pure: bytes to items and back. It does not depend on a
//! setting of the cache, on its version, or on the processor. All numbers are little endian.
//! `docs/snapshots.md` describes it for readers in other languages.
//!
//! ```text
//!  file    header, blocks, trailer
//!
//!  header  | 89 "MCRS" 0d 0a 1a | major 2 | minor 2 | length 4 | id 8 | fields | padding | crc 4 |
//!          length: bytes of the header, a multiple of 8      id: random, seeds the other checksums
//!          field: | tag 2 | length 2 | bytes |               a reader skips tags that it does not know
//!
//!  block   | "BLK1" | codec 1 | 0 3 | raw 4 | stored 4 | items 4 | data crc 4 | 0 4 | crc 4 | data |
//!          raw, stored: bytes of the entries, and of the data in the file, padded to 8
//!
//!  entry   | key length 1 | bits 1 | uses 1 | idle n | value length n | flags 4 | expiry 8 | cas 8 |
//!          | key | value |
//!          n: LEB128                                         flags, expiry, cas: if their bit is set
//!
//!  trailer | "END1" | 0 4 | blocks 8 | items 8 | bytes 8 | finished 8 | 0 4 | crc 4 |
//! ```
//!
//! A checksum is the CRC-32 of zlib. Those of blocks and of the trailer begin with the file's id. A
//! reader that has lost its place looks for the next block. Because a client does not know the id,
//! no value that it stored can pass for a block.
//!
//! One damaged byte loses at most one block. A block has about [`BLOCK`] bytes of entries, or one
//! larger entry.

mod decode;
mod encode;
mod error;
mod file;
mod load;
mod save;

pub use self::decode::{Damage, Decoder, Entries, Event, FormatError, Packed};
pub use self::encode::{Block, header, trailer};
pub use self::error::SnapshotError;
pub use self::load::{LoadOptions, Loaded, SnapshotTtl};
pub use self::save::{OnProgress, Progress, SaveOptions, Saved};

/// The first bytes of a snapshot. A transfer that changes line ends or drops the eighth bit damages
/// them.
pub const MAGIC: [u8; 8] = *b"\x89MCRS\r\n\x1a";

/// The version of the format. A reader refuses a file of another major version.
pub const MAJOR: u16 = 1;

/// The revision of the format. A reader accepts later ones.
pub const MINOR: u16 = 0;

/// Bytes of entries from which a block is full.
pub const BLOCK: usize = 1 << 20;

/// Most bytes of the entries of a block: a full one, and one entry of the largest size, a GiB.
const BLOCK_MAX: usize = BLOCK + (1 << 30) + 1024;

/// Most bytes of a header.
const HEADER_MAX: usize = 64 * 1024;

/// Bytes of a block's header and of the trailer.
const BLOCK_HEADER: usize = 32;
const TRAILER: usize = 48;

const BLOCK_MARK: [u8; 4] = *b"BLK1";
const TRAILER_MARK: [u8; 4] = *b"END1";

/// Tags of the header's fields.
mod tag {
    pub(super) const SAVED_AT: u16 = 1;
    pub(super) const HIGHEST_CAS: u16 = 2;
    pub(super) const ITEMS: u16 = 3;
    pub(super) const BYTES: u16 = 4;
    pub(super) const PROGRAM: u16 = 5;
    pub(super) const NOTE: u16 = 6;
}

/// Bits of an entry.
mod bits {
    pub(super) const FETCHED: u8 = 1 << 0;
    pub(super) const ACTIVE: u8 = 1 << 1;
    pub(super) const WON: u8 = 1 << 2;
    pub(super) const STALE: u8 = 1 << 3;
    pub(super) const KEY_BINARY: u8 = 1 << 4;
    pub(super) const HAS_FLAGS: u8 = 1 << 5;
    pub(super) const HAS_EXPIRY: u8 = 1 << 6;
    pub(super) const HAS_CAS: u8 = 1 << 7;
}

/// How the data of a block is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Codec {
    /// As it is.
    None = 0,
    /// Compressed as an LZ4 block. A block that would not shrink is stored as it is.
    #[default]
    Lz4 = 1,
}

/// The header of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The time of the snapshot, in microseconds since 1970.
    pub saved_at: i64,
    /// The highest CAS that the cache had given to an item.
    pub highest_cas: u64,
    /// About how many items the snapshot has, for a progress bar. 0 if that is not known.
    pub items: u64,
    /// About how many bytes of keys and values the snapshot has. 0 if that is not known.
    pub bytes: u64,
    /// Name and version of the program that wrote the snapshot.
    pub program: String,
    /// A note of the caller. At most 4,096 bytes are kept.
    pub note: String,
}

/// The trailer of a snapshot: what its writer has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blocks.
    pub blocks: u64,
    /// Items in all blocks.
    pub items: u64,
    /// Bytes of keys and values in all blocks.
    pub bytes: u64,
    /// The time at which the snapshot was complete, in microseconds since 1970.
    pub finished_at: i64,
}

/// An item in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key, 1 to 250 bytes.
    pub key: &'a [u8],
    /// The value. When an entry is written, [`Block::push`] receives the value beside it.
    pub value: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// The second since 1970 at which the item expires, or `None` if it never does.
    pub expires_at: Option<i64>,
    /// The CAS, or 0 if the cache kept none.
    pub cas: u64,
    /// Seconds between the last use and the snapshot.
    pub idle: u32,
    /// Uses that the eviction policy has counted, 0 to 7.
    pub uses: u8,
    /// Whether the item was read.
    pub fetched: bool,
    /// Whether the item was read again.
    pub active: bool,
    /// Whether a client has won the right to recache the item.
    pub won: bool,
    /// Whether the item was invalidated and is still served.
    pub stale: bool,
    /// Whether the key came in base64.
    pub key_binary: bool,
}

impl<'a> Entry<'a> {
    /// Returns an entry without expiry, flags or history.
    pub fn new(key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            key,
            value,
            flags: 0,
            expires_at: None,
            cas: 0,
            idle: 0,
            uses: 0,
            fetched: false,
            active: false,
            won: false,
            stale: false,
            key_binary: false,
        }
    }

    fn bits(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.fetched, bits::FETCHED)
            | bit(self.active, bits::ACTIVE)
            | bit(self.won, bits::WON)
            | bit(self.stale, bits::STALE)
            | bit(self.key_binary, bits::KEY_BINARY)
            | bit(self.flags != 0, bits::HAS_FLAGS)
            | bit(self.expires_at.is_some(), bits::HAS_EXPIRY)
            | bit(self.cas != 0, bits::HAS_CAS)
    }
}

/// Returns the checksum of `bytes` in the file with this id.
fn checksum(id: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

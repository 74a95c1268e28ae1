//! The parts of a snapshot, their limits and the checksum.

pub use crate::config::Codec;

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
pub(super) const BLOCK_MAX: usize = BLOCK + (1 << 30) + 1024;

/// Most bytes of a header.
pub(super) const HEADER_MAX: usize = 64 * 1024;

/// Bytes of a block's header and of the trailer.
pub(super) const BLOCK_HEADER: usize = 32;
pub(super) const TRAILER: usize = 48;

pub(super) const BLOCK_MARK: [u8; 4] = *b"BLK1";
pub(super) const TRAILER_MARK: [u8; 4] = *b"END1";

/// Tags of the header's fields.
pub(super) mod tag {
    pub(in crate::persist) const SAVED_AT: u16 = 1;
    pub(in crate::persist) const HIGHEST_CAS: u16 = 2;
    pub(in crate::persist) const ITEMS: u16 = 3;
    pub(in crate::persist) const BYTES: u16 = 4;
    pub(in crate::persist) const PROGRAM: u16 = 5;
    pub(in crate::persist) const NOTE: u16 = 6;
}

/// Bits of an entry.
pub(super) mod bits {
    pub(in crate::persist) const FETCHED: u8 = 1 << 0;
    pub(in crate::persist) const ACTIVE: u8 = 1 << 1;
    pub(in crate::persist) const WON: u8 = 1 << 2;
    pub(in crate::persist) const STALE: u8 = 1 << 3;
    pub(in crate::persist) const KEY_BINARY: u8 = 1 << 4;
    pub(in crate::persist) const HAS_FLAGS: u8 = 1 << 5;
    pub(in crate::persist) const HAS_EXPIRY: u8 = 1 << 6;
    pub(in crate::persist) const HAS_CAS: u8 = 1 << 7;
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
    /// The value. [`super::encode::Block::push`] ignores it and receives the value beside it.
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

    pub(super) fn bits(&self) -> u8 {
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
pub(super) fn checksum(id: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

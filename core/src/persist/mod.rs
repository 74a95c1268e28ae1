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
mod format;
mod load;
#[cfg(feature = "server")]
pub(crate) mod meta;
mod save;
mod temporary;

pub use self::decode::{Damage, Decoder, Entries, Event, FormatError, Packed};
pub use self::encode::{Block, header, trailer};
pub use self::error::SnapshotError;
pub use self::file::NewFile;
#[cfg(feature = "server")]
pub(crate) use self::file::{check, check_place, keep_as, suffixed};
pub use self::format::{BLOCK, Codec, Entry, MAGIC, MAJOR, MINOR, SnapshotInfo, Summary};
#[cfg(feature = "server")]
pub(crate) use self::load::check_header;
pub use self::load::{LoadOptions, Loaded, SnapshotTtl};
pub use self::save::{OnProgress, Progress, SaveOptions, Saved};

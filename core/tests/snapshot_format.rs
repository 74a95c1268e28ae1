//! The bytes of snapshots: what is written is read again, and damage loses one block at most.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read};

use memcache_rs::internal::persist::{
    Block, Codec, Damage, Decoder, Entry, Event, FormatError, SnapshotInfo, Summary, header, trailer,
};
use proptest::prelude::*;

const ID: u64 = 0x0123_4567_89ab_cdef;

/// An entry that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    key: Vec<u8>,
    value: Vec<u8>,
    flags: u32,
    expires_at: Option<i64>,
    cas: u64,
    idle: u32,
    uses: u8,
    bits: [bool; 5],
}

impl Owned {
    fn plain(key: &str, value: &[u8]) -> Self {
        Self::of(&Entry::new(key.as_bytes(), value))
    }

    fn of(entry: &Entry<'_>) -> Self {
        Self {
            key: entry.key.to_vec(),
            value: entry.value.to_vec(),
            flags: entry.flags,
            expires_at: entry.expires_at,
            cas: entry.cas,
            idle: entry.idle,
            uses: entry.uses,
            bits: [entry.fetched, entry.active, entry.won, entry.stale, entry.key_binary],
        }
    }

    fn push(&self, block: &mut Block) {
        let [fetched, active, won, stale, key_binary] = self.bits;
        let entry = Entry {
            flags: self.flags,
            expires_at: self.expires_at,
            cas: self.cas,
            idle: self.idle,
            uses: self.uses,
            fetched,
            active,
            won,
            stale,
            key_binary,
            ..Entry::new(&self.key, &[])
        };
        assert!(block.push(&entry, self.value.len() as u32, |out| out.extend_from_slice(&self.value)));
    }
}

fn info() -> SnapshotInfo {
    SnapshotInfo {
        saved_at: 1_700_000_000_123_456,
        highest_cas: 77,
        items: 3,
        bytes: 4,
        program: "memcache-rs 0.1.0".into(),
        note: "before the upgrade".into(),
    }
}

/// Returns a snapshot with these blocks.
fn snapshot(codec: Codec, blocks: &[Vec<Owned>]) -> Vec<u8> {
    let mut file = Vec::new();
    header(ID, &info(), &mut file);
    let mut summary = Summary { finished_at: 5, ..Summary::default() };
    for entries in blocks {
        let mut block = Block::default();
        entries.iter().for_each(|entry| entry.push(&mut block));
        file.extend(block.finish(ID, codec, &mut summary).unwrap());
    }
    trailer(ID, &summary, &mut file);
    assert_eq!(summary.blocks, blocks.len() as u64);
    assert_eq!(summary.items, blocks.iter().map(|entries| entries.len() as u64).sum::<u64>());
    file
}

/// The contents of a snapshot, as far as they can be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    blocks: Vec<Vec<Owned>>,
    damage: Vec<Damage>,
    end: Option<Summary>,
}

fn read(file: impl Read) -> Result<Contents, FormatError> {
    let mut decoder = Decoder::new(file)?;
    let mut contents = Contents::default();
    while let Some(event) = decoder.next_event().map_err(FormatError::Io)? {
        match event {
            Event::Block(packed) => match packed.unpack(&mut Vec::new()) {
                Ok(mut entries) => {
                    let block = entries.by_ref().map(|entry| Owned::of(&entry)).collect();
                    assert_eq!(entries.left(), 0);
                    contents.blocks.push(block);
                }
                Err(damage) => contents.damage.push(damage),
            },
            Event::Damage(damage, _) => contents.damage.push(damage),
            Event::End(summary) => contents.end = Some(summary),
        }
    }
    Ok(contents)
}

/// Returns pieces of a file, as a socket does.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len().min(to.len()).min(self.1);
        to[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn small_blocks() -> Vec<Vec<Owned>> {
    let mut third = Owned::plain("c", b"");
    third.expires_at = Some(-1);
    third.flags = 9;
    third.bits[3] = true;
    vec![
        vec![Owned::plain("a", b"first"), Owned::plain("b", &[7; 40])],
        vec![third],
        vec![Owned::plain("d", b"BLK1 is no block")],
    ]
}

fn entries() -> impl Strategy<Value = Owned> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..50),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let numbers = (any::<u32>(), any::<Option<i64>>(), any::<u64>(), any::<u32>(), 0..8_u8);
    (proptest::collection::vec(any::<u8>(), 1..=250), value, numbers, any::<[bool; 5]>()).prop_map(
        |(key, value, (flags, expires_at, cas, idle, uses), bits)| Owned {
            key,
            value,
            flags,
            expires_at,
            cas,
            idle,
            uses,
            bits,
        },
    )
}

fn all_blocks() -> impl Strategy<Value = Vec<Vec<Owned>>> {
    proptest::collection::vec(proptest::collection::vec(entries(), 1..12), 0..6)
}

proptest! {
    #[test]
    fn what_was_written_is_read(blocks in all_blocks(), compress: bool, piece in 1..5000_usize) {
        let codec = if compress { Codec::Lz4 } else { Codec::None };
        let file = snapshot(codec, &blocks);
        prop_assert_eq!(file.len() % 8, 0);
        let contents = read(Pieces(&file, piece)).unwrap();
        prop_assert_eq!(contents.blocks, blocks);
        prop_assert_eq!(contents.damage, []);
        prop_assert_eq!(contents.end.map(|end| end.finished_at), Some(5));
    }

    #[test]
    fn random_bytes_behind_a_header_are_survived(bytes: Vec<u8>, compress: bool) {
        let mut file = snapshot(if compress { Codec::Lz4 } else { Codec::None }, &small_blocks());
        let end = file.len() - 48;
        file.truncate(end);
        file.extend(&bytes);
        let contents = read(file.as_slice()).unwrap();
        prop_assert_eq!(contents.blocks, small_blocks());
        prop_assert_eq!(contents.damage.last(), Some(&Damage::Truncated));
    }

    #[test]
    fn random_bytes_are_no_snapshot(bytes: Vec<u8>) {
        prop_assert!(matches!(read(bytes.as_slice()), Err(FormatError::NotASnapshot)));
    }

    #[test]
    fn removed_bytes_lose_the_blocks_they_were_in(at in 0..400_usize, length in 1..60_usize) {
        let blocks = small_blocks();
        let mut file = snapshot(Codec::None, &blocks);
        let header = file.windows(4).position(|bytes| bytes == b"BLK1").unwrap();
        let from = (header + at).min(file.len());
        file.drain(from..(from + length).min(file.len()));
        let contents = read(file.as_slice()).unwrap();
        // The blocks that are read are whole, and in order.
        let mut left = blocks.iter();
        for block in &contents.blocks {
            prop_assert!(left.any(|known| known == block));
        }
        prop_assert!(from >= file.len() || !contents.damage.is_empty());
    }
}

#[test]
fn a_flipped_bit_loses_at_most_one_block() {
    let blocks = small_blocks();
    for codec in [Codec::None, Codec::Lz4] {
        let file = snapshot(codec, &blocks);
        let first = file.windows(4).position(|bytes| bytes == b"BLK1").unwrap();
        for (at, bit) in (0..file.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let contents = match read(damaged.as_slice()) {
                Ok(contents) => contents,
                Err(FormatError::Io(e)) => panic!("{e}"),
                Err(_) => {
                    assert!(at < first, "byte {at} of a block hid all others");
                    continue;
                }
            };
            assert!(at >= first, "byte {at} of the header was not checked");
            assert!(contents.blocks.len() + 1 >= blocks.len(), "byte {at}: {contents:?}");
            assert!(contents.blocks.iter().all(|block| blocks.contains(block)), "byte {at}: {contents:?}");
            // Bytes of the padding are not read.
            assert_eq!(contents.damage.is_empty(), contents.blocks == blocks && contents.end.is_some());
        }
    }
}

#[test]
fn every_prefix_yields_its_whole_blocks() {
    let blocks = small_blocks();
    let file = snapshot(Codec::None, &blocks);
    let mut most = 0;
    for length in 0..file.len() {
        match read(&file[..length]) {
            Ok(contents) => {
                assert_eq!(contents.damage, [Damage::Truncated]);
                assert_eq!(contents.blocks, blocks[..contents.blocks.len()]);
                assert!(contents.blocks.len() >= most);
                most = contents.blocks.len();
            }
            Err(FormatError::NotASnapshot | FormatError::DamagedHeader) => assert_eq!(most, 0),
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(most, blocks.len());
}

#[test]
fn the_header_is_read() {
    let file = snapshot(Codec::None, &[]);
    assert_eq!(Decoder::new(file.as_slice()).unwrap().info(), &info());
    let long = SnapshotInfo { note: "ä".repeat(40_000), ..info() };
    let mut file = Vec::new();
    header(ID, &long, &mut file);
    assert_eq!(Decoder::new(file.as_slice()).unwrap().info().note, "ä".repeat(2048));
}

/// Changes a header, and its checksum with it.
fn with_header(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = Vec::new();
    header(ID, &info(), &mut file);
    let rest = snapshot(Codec::None, &small_blocks()).split_off(file.len());
    file.truncate(file.len() - 4);
    change(&mut file);
    let length = (file.len() + 4) as u32;
    file[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&file);
    file.extend(crc.to_le_bytes());
    file.extend(rest);
    file
}

#[test]
fn another_major_version_is_refused_with_both_numbers() {
    let error = read(with_header(|header| header[8] = 2).as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "the snapshot has format version 2, and this program reads version 1");
}

#[test]
fn a_later_minor_version_with_unknown_fields_is_read() {
    let file = with_header(|header| {
        header[10] = 7;
        // The fields begin behind the id. An unknown one is the first.
        header.splice(24..24, [99, 0, 4, 0, 1, 2, 3, 4]);
    });
    assert_eq!(Decoder::new(file.as_slice()).unwrap().info(), &info());
    assert_eq!(read(file.as_slice()).unwrap().blocks, small_blocks());
}

#[test]
fn a_value_cannot_pass_for_a_block() {
    // A client stores a whole snapshot as a value. Then the block of that value is damaged.
    let mut block = Block::default();
    Owned::plain("admin", b"yes").push(&mut block);
    let forged = block.finish(ID + 1, Codec::None, &mut Summary::default()).unwrap();
    let blocks = [vec![Owned::plain("k", &forged)], vec![Owned::plain("last", b"1")]];
    let mut file = snapshot(Codec::None, &blocks);
    let first = file.windows(4).position(|bytes| bytes == b"BLK1").unwrap();
    file[first + 20] ^= 1;
    let contents = read(file.as_slice()).unwrap();
    assert_eq!(contents.blocks, blocks[1..]);
}

#[test]
fn a_block_of_an_unknown_codec_is_skipped() {
    let mut file = snapshot(Codec::None, &small_blocks());
    let first = file.windows(4).position(|bytes| bytes == b"BLK1").unwrap();
    file[first + 4] = 9;
    let crc = {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&ID.to_le_bytes());
        hasher.update(&file[first..first + 28]);
        hasher.finalize()
    };
    file[first + 28..first + 32].copy_from_slice(&crc.to_le_bytes());
    let contents = read(file.as_slice()).unwrap();
    assert_eq!(contents.blocks, small_blocks()[1..]);
    assert_eq!(contents.damage, [Damage::Codec { codec: 9, items: 2 }]);
}

#[test]
fn entries_that_cannot_be_stored_are_left_out() {
    let mut block = Block::default();
    let nothing = |_: &mut Vec<u8>| ();
    assert!(!block.push(&Entry::new(b"", b""), 0, nothing));
    assert!(!block.push(&Entry::new(&[b'k'; 251], b""), 0, nothing));
    assert!(!block.push(&Entry::new(b"k", b""), 1, nothing));
    assert!(block.is_empty());
    assert!(block.push(&Entry::new(b"k", b""), 0, nothing));
    assert!(!block.is_empty() && !block.is_full());
}

#[test]
fn the_error_of_the_reader_is_passed_on() {
    #[derive(Debug)]
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let file = snapshot(Codec::None, &small_blocks());
    let error = Decoder::new(Broken).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the snapshot: the disk is gone");
    // The first read takes the header and all blocks, the second one fails.
    assert!(read(file.as_slice().take(200).chain(Broken)).is_err());
}

/// A snapshot that version 1 of the format has written. Every later version must read it.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/version-1.mcrs");

#[test]
fn a_snapshot_of_version_1_is_read() {
    let mut flags = Owned::plain("flags", b"value");
    (flags.flags, flags.cas, flags.idle, flags.uses) = (0xdead_beef, 7, 300, 3);
    flags.bits = [true, true, false, false, true];
    let mut expiry = Owned::plain("expiry", b"");
    expiry.expires_at = Some(1_700_000_100);
    let repeated: Vec<u8> = (0..3000).map(|n| b"abcdefg"[n % 7]).collect();
    let blocks =
        [vec![Owned::plain("plain", b"value"), flags], vec![expiry, Owned::plain("repeated", &repeated)]];
    if std::env::var_os("WRITE_SNAPSHOT").is_some() {
        std::fs::write(GOLDEN, snapshot(Codec::Lz4, &blocks)).unwrap();
    }
    let file = std::fs::read(GOLDEN).unwrap();
    let contents = read(file.as_slice()).unwrap();
    assert_eq!(contents.blocks, blocks);
    assert_eq!((contents.damage.len(), contents.end.map(|end| end.items)), (0, Some(4)));
    assert_eq!(Decoder::new(file.as_slice()).unwrap().info(), &info());
    // The second block is compressed.
    assert!(file.len() < 700);
}

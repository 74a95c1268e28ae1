//! Snapshots: bytes that claim to be one, and blocks whose checksums are right.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::persist::{Damage, Decoder, Event, SnapshotInfo, header};

const ID: u64 = 7;

/// Reads a file to its end. Every event but the last must use some of it.
fn read(file: &[u8]) {
    let Ok(mut decoder) = Decoder::new(file) else { return };
    let (mut buffer, mut before, mut ended) = (Vec::new(), 0, false);
    while let Ok(Some(event)) = decoder.next_event() {
        assert!(!ended);
        match event {
            Event::Block(packed) => {
                let Ok(mut entries) = packed.unpack(&mut buffer) else { continue };
                for entry in entries.by_ref() {
                    assert!((1..=250).contains(&entry.key.len()) && entry.uses <= 7);
                }
            }
            Event::Damage(Damage::Truncated, _) | Event::End(_) => ended = true,
            Event::Damage(_, at) => assert!(at >= before && at <= file.len() as u64),
        }
        assert!(decoder.position() >= before && decoder.position() <= file.len() as u64);
        before = decoder.position();
    }
    assert!(ended);
}

/// Returns a snapshot with `data` as the data of a block, which claims to have `raw` bytes.
fn with_block(codec: u8, raw: u32, items: u32, data: &[u8]) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&ID.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    };
    let mut file = Vec::new();
    header(ID, &SnapshotInfo::default(), &mut file);
    let mut block = b"BLK1".to_vec();
    block.extend([codec, 0, 0, 0]);
    block.extend(raw.to_le_bytes());
    block.extend((data.len() as u32).to_le_bytes());
    block.extend(items.to_le_bytes());
    block.extend(checksum(data));
    block.extend([0; 4]);
    block.extend(checksum(&block));
    file.extend(block);
    file.extend(data);
    file.resize(file.len().next_multiple_of(8), 0);
    file
}

fuzz_target!(|input: &[u8]| {
    read(input);
    let mut behind = Vec::new();
    header(ID, &SnapshotInfo::default(), &mut behind);
    behind.extend(input);
    read(&behind);
    if let Some((&[codec, a, b, items], data)) = input.split_first_chunk() {
        read(&with_block(0, data.len() as u32, u32::from(items), data));
        read(&with_block(codec % 4, u32::from(u16::from_le_bytes([a, b])), u32::from(items), data));
    }
});

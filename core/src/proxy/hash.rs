//! Hashes of keys, as clients and other proxies compute them.
//!
//! C code of clients often reads keys as signed bytes. Such a hash extends the sign of each byte,
//! which matters for keys that are not ASCII only. Each hash is a row of [`KEY_HASHES`]. The
//! vectors of `core/tests/data/placement.toml` come from the real clients.

use md5::{Digest, Md5};
use twox_hash::XxHash3_64;

/// A hash of keys.
#[derive(Debug)]
pub struct KeyHash {
    /// Name in configurations.
    pub name: &'static str,
    hash: fn(key: &[u8], seed: u64) -> u64,
}

impl KeyHash {
    /// Returns the hash of a key. Only `xxh3` uses the seed.
    pub fn hash(&self, key: &[u8], seed: u64) -> u64 {
        (self.hash)(key, seed)
    }

    /// Returns the hash with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEY_HASHES.iter().find(|hash| hash.name == name)
    }

    /// Returns whether the hash depends on the seed of the pool.
    pub fn is_seeded(&self) -> bool {
        self.name == "xxh3"
    }
}

/// All hashes.
pub static KEY_HASHES: [KeyHash; 11] = [
    KeyHash { name: "xxh3", hash: |key, seed| XxHash3_64::oneshot_with_seed(seed, key) },
    KeyHash { name: "md5", hash: |key, _| md5_part(&md5(key), 0).into() },
    KeyHash { name: "one_at_a_time", hash: |key, _| one_at_a_time(key).into() },
    // crc32 is the hash of libmemcached and python-memcached, which use 15 bits of the checksum.
    KeyHash { name: "crc32", hash: |key, _| ((crc32fast::hash(key) >> 16) & 0x7fff).into() },
    KeyHash { name: "crc32a", hash: |key, _| crc32fast::hash(key).into() },
    KeyHash { name: "fnv1_32", hash: |key, _| fnv1(key, FNV_32).into() },
    KeyHash { name: "fnv1a_32", hash: |key, _| fnv1a(key, FNV_32).into() },
    KeyHash { name: "fnv1_64", hash: |key, _| fnv1(key, FNV_64).into() },
    KeyHash { name: "fnv1a_64", hash: |key, _| fnv1a(key, FNV_64).into() },
    KeyHash { name: "murmur", hash: |key, _| murmur2(key).into() },
    KeyHash { name: "java", hash: |key, _| java(key).into() },
];

/// Returns the XXH3 of a text, without a seed.
pub fn xxh3(text: &[u8]) -> u64 {
    XxHash3_64::oneshot(text)
}

/// Returns the MD5 of a text.
pub fn md5(text: &[u8]) -> [u8; 16] {
    Md5::digest(text).into()
}

/// Returns 32 of the 128 bits of an MD5, as ketama numbers them: `part` is 0 to 3.
pub fn md5_part(digest: &[u8; 16], part: usize) -> u32 {
    let mut bytes = digest.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]);
    bytes.nth(part).map_or(0, u32::from_le_bytes)
}

/// Extends the sign of a byte, as C does with a `char`.
fn signed(byte: u8) -> u32 {
    i32::from(byte.cast_signed()).cast_unsigned()
}

/// Returns Bob Jenkins's one-at-a-time hash, the default of libmemcached.
pub fn one_at_a_time(text: &[u8]) -> u32 {
    let mut value = 0u32;
    for byte in text {
        value = value.wrapping_add(signed(*byte));
        value = value.wrapping_add(value << 10);
        value ^= value >> 6;
    }
    value = value.wrapping_add(value << 3);
    value ^= value >> 11;
    value.wrapping_add(value << 15)
}

/// Start and prime of FNV.
type Fnv = (u32, u32);
const FNV_32: Fnv = (0x811c_9dc5, 0x0100_0193);
/// The lower halves of those with 64 bits. Clients use the lower half of the result only, which
/// depends on no other bits.
const FNV_64: Fnv = (0x8422_2325, 0x0000_01b3);

fn fnv1(key: &[u8], (start, prime): Fnv) -> u32 {
    key.iter().fold(start, |value, byte| value.wrapping_mul(prime) ^ signed(*byte))
}

fn fnv1a(key: &[u8], (start, prime): Fnv) -> u32 {
    key.iter().fold(start, |value, byte| (value ^ signed(*byte)).wrapping_mul(prime))
}

/// Returns `MurmurHash2`, with libmemcached's seed.
fn murmur2(key: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    let length = key.len() as u32;
    let mut value = 0xdead_beef_u32.wrapping_mul(length) ^ length;
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        let block = little_endian(block).wrapping_mul(FACTOR);
        value = value.wrapping_mul(FACTOR) ^ (block ^ block >> 24).wrapping_mul(FACTOR);
    }
    if !blocks.remainder().is_empty() {
        value = (value ^ little_endian(blocks.remainder())).wrapping_mul(FACTOR);
    }
    value = (value ^ value >> 13).wrapping_mul(FACTOR);
    value ^ value >> 15
}

/// Returns `MurmurHash3` with 32 bits, seed 0.
pub fn murmur3(text: &[u8]) -> u32 {
    let scramble = |block: &[u8]| {
        little_endian(block).wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    };
    let mut blocks = text.chunks_exact(4);
    let mut value = 0u32;
    for block in &mut blocks {
        value = (value ^ scramble(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    value ^= scramble(blocks.remainder()) ^ text.len() as u32;
    value = (value ^ value >> 16).wrapping_mul(0x85eb_ca6b);
    value = (value ^ value >> 13).wrapping_mul(0xc2b2_ae35);
    value ^ value >> 16
}

/// Returns the number that up to four bytes form.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// Returns the size of Java's `String.hashCode`, as memjs computes it: over the UTF-16 units of the
/// key. A key that is not UTF-8 is hashed by bytes.
fn java(key: &[u8]) -> u32 {
    let add = |value: u32, unit: u32| value.wrapping_mul(31).wrapping_add(unit);
    let value = match str::from_utf8(key) {
        Ok(text) => text.encode_utf16().map(u32::from).fold(0, add),
        Err(_) => key.iter().copied().map(u32::from).fold(0, add),
    };
    value.cast_signed().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3(b"hello"), 0x248b_fa47);
        assert_eq!(murmur3(b"hello, world"), 0x149b_bb7f);
        assert_eq!(one_at_a_time(b"a"), 0xca2e_9442);
        assert_eq!(KeyHash::named("fnv1a_32").map(|hash| hash.hash(b"a", 0)), Some(0xe40c_292c));
        assert_eq!(KeyHash::named("java").map(|hash| hash.hash(b"hello", 0)), Some(99_162_322));
        assert_eq!(xxh3(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(md5_part(&md5(b""), 3), 0x7e42_f8ec);
    }

    #[test]
    fn only_seeded_hashes_use_the_seed() {
        for hash in &KEY_HASHES {
            assert_eq!(hash.hash(b"key", 1) != hash.hash(b"key", 2), hash.is_seeded(), "{}", hash.name);
        }
    }
}

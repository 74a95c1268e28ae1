//! The items of a run: key text and value bytes, both functions of the item's number.
//!
//! A key is `k`, then the number in decimal with leading zeros. A value is a window into one block
//! of fixed pseudo-random bytes. The number determines the position of the window. So writing a
//! value is one copy, checking one is one compare, and the block stays in the cache of the load's
//! core.

use crate::lengths::Lengths;
use crate::random::{Random, mix};

/// Default length of keys.
pub const KEY_LENGTH: u32 = 16;

/// Length of the longest key in all protocols.
pub const LONGEST_KEY: usize = 250;

/// Number of positions of a window.
const WINDOWS: usize = 1 << 16;

const ZEROS: [u8; LONGEST_KEY] = [b'0'; LONGEST_KEY];

/// Key text and value bytes of every item.
#[derive(Debug)]
pub struct Items {
    keys: Lengths,
    values: Lengths,
    /// Length of the shortest key, so that all keys differ.
    shortest_key: usize,
    block: Vec<u8>,
}

impl Items {
    /// Makes items numbered below `count`.
    pub fn new(count: u64, keys: Lengths, values: Lengths) -> Self {
        let digits = itoa::Buffer::new().format(count.saturating_sub(1)).len();
        let mut random = Random::new(0);
        let words = (WINDOWS + values.longest()).div_ceil(8);
        let block = (0..words).flat_map(|_| random.bits().to_le_bytes()).collect();
        Self { keys, values, shortest_key: digits + 1, block }
    }

    /// Returns the length of the key of `id`.
    #[inline]
    pub fn key_length(&self, id: u64) -> usize {
        self.keys.of(id).clamp(self.shortest_key, LONGEST_KEY)
    }

    /// Returns the length of the value of `id`.
    #[inline]
    pub fn value_length(&self, id: u64) -> usize {
        self.values.of(id)
    }

    /// Appends the key of `id`.
    #[inline]
    pub fn put_key(&self, id: u64, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(id).as_bytes();
        let zeros = self.key_length(id).saturating_sub(1 + digits.len());
        out.push(b'k');
        out.extend_from_slice(&ZEROS[..zeros]);
        out.extend_from_slice(digits);
    }

    /// Returns whether `key` is the key of `id`.
    #[inline]
    pub fn is_key(&self, id: u64, key: &[u8]) -> bool {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(id).as_bytes();
        key.len() == self.key_length(id).max(1 + digits.len())
            && key.first() == Some(&b'k')
            && key.ends_with(digits)
            && key[1..key.len() - digits.len()].iter().all(|&byte| byte == b'0')
    }

    /// Returns the value of `id`.
    #[inline]
    pub fn value(&self, id: u64) -> &[u8] {
        let start = mix(id) as usize % WINDOWS;
        &self.block[start..start + self.value_length(id)]
    }
}

#[cfg(test)]
mod tests {
    use super::Items;
    use crate::lengths::Lengths;

    fn key(items: &Items, id: u64) -> Vec<u8> {
        let mut out = Vec::new();
        items.put_key(id, &mut out);
        out
    }

    #[test]
    fn keys_are_padded_and_recognised() {
        let items = Items::new(10_000, Lengths::Fixed(8), Lengths::Fixed(100));
        assert_eq!(key(&items, 42), b"k0000042");
        assert!(items.is_key(42, b"k0000042"));
        for other in [&b"k0000043"[..], b"k1000042", b"k000042", b"x0000042", b"k00000042", b""] {
            assert!(!items.is_key(42, other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn keys_too_short_for_their_number_grow() {
        let items = Items::new(1_000, Lengths::Fixed(1), Lengths::Fixed(1));
        assert_eq!(key(&items, 7), b"k007");
        assert_eq!(key(&items, 999), b"k999");
        assert_eq!(items.key_length(999), 4);
    }

    #[test]
    fn values_have_their_length_and_differ() {
        let items = Items::new(1_000, Lengths::Fixed(16), Lengths::Table((0..1_000).collect()));
        assert!((0..1_000).all(|id| items.value(id).len() == id as usize));
        assert_ne!(items.value(500)[..100], items.value(501)[..100]);
    }
}

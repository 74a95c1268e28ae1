//! Values that describe themselves, so that a reader can check each without knowing what was
//! written.
//!
//! ```text
//!  value    key 8 | version 8 | expires 8 | length 8 | bytes that follow from these
//!  counter  decimal digits of (key + 1) * 10^12 + version / 2
//! ```

use crate::Outcome;
use crate::rng::Rng;

/// Bytes of the shortest value: the head, and a word that follows from it.
pub const SHORTEST: usize = 40;

/// Number of versions of a counter.
const STRIDE: u64 = 1_000_000_000_000;

/// The statement of a value about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The key that it was written under.
    pub key: u64,
    /// Its version.
    pub version: u64,
    /// The second since 1970 at which it expires, or 0.
    pub expires: i64,
}

/// Returns the text of a key. Keys have all lengths up to 250.
pub fn name(key: u64) -> Vec<u8> {
    let mut name = format!("k{key}.").into_bytes();
    name.resize(name.len() + (key as usize * 37) % 220, b'x');
    name
}

/// Returns a length of a value. Lengths have all magnitudes up to 256 KiB, and most are small.
pub fn size(rng: &mut Rng) -> usize {
    let magnitudes = if rng.chance(1, 8) { 14 } else { 8 };
    let scale = 1 << (5 + rng.below(magnitudes));
    rng.below(scale)
}

impl Stamp {
    /// Returns a value with this stamp, of `length` bytes or the shortest one.
    pub fn value(&self, length: usize) -> Vec<u8> {
        let length = length.max(SHORTEST);
        let mut value = Vec::with_capacity(length + 8);
        for word in [self.key, self.version, self.expires.cast_unsigned(), length as u64] {
            value.extend(word.to_le_bytes());
        }
        let mut fill = Rng::new(
            self.key
                ^ self.version.rotate_left(32)
                ^ self.expires.cast_unsigned().rotate_left(16)
                ^ length as u64,
        );
        // Every second version can be compressed.
        let constant = (self.version & 2 == 0).then(|| fill.bits());
        while value.len() < length {
            value.extend(constant.unwrap_or_else(|| fill.bits()).to_le_bytes());
        }
        value.truncate(length);
        value
    }

    /// Reads a value that was found under `key`.
    ///
    /// # Errors
    /// The value is torn, or it was written under another key.
    pub fn read(key: u64, value: &[u8]) -> Outcome<Self> {
        let word = |at: usize| value.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let (Some(own), Some(version), Some(expires)) = (word(0), word(8), word(16)) else {
            return Err(format!("key {key}: torn value of {} bytes", value.len()));
        };
        let stamp = Self { key: own, version, expires: expires.cast_signed() };
        if value.len() < SHORTEST || stamp.value(value.len()) != value {
            return Err(format!("key {key}: torn value of {} bytes, {stamp:?}", value.len()));
        }
        if own == key { Ok(stamp) } else { Err(format!("key {key}: a value of key {own}")) }
    }

    /// Returns the counter with this stamp, which does not expire.
    pub fn counter(&self) -> u64 {
        (self.key + 1) * STRIDE + self.version / 2
    }

    /// Reads a counter that was found under `key`.
    ///
    /// # Errors
    /// It is not a number, or it was written under another key.
    pub fn read_counter(key: u64, value: &[u8]) -> Outcome<Self> {
        let number: Option<u64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        let Some(number) = number.filter(|&number| number >= STRIDE) else {
            return Err(format!("key {key}: torn counter \"{}\"", value.escape_ascii()));
        };
        let stamp = Self { key: number / STRIDE - 1, version: number % STRIDE * 2, expires: 0 };
        let own = stamp.key;
        if own == key { Ok(stamp) } else { Err(format!("key {key}: a counter of key {own}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn a_changed_byte_is_found() {
        let stamp = Stamp { key: 7, version: 6, expires: 1_700_000_000 };
        for length in [0, 41, 1000] {
            let value = stamp.value(length);
            assert_eq!(Stamp::read(7, &value), Ok(stamp));
            assert_eq!(Stamp::read(8, &value), Err("key 8: a value of key 7".to_owned()));
            for at in 0..value.len() {
                let mut torn = value.clone();
                torn[at] ^= 1;
                assert!(Stamp::read(7, &torn).is_err(), "byte {at}");
                assert!(Stamp::read(7, &value[..at]).is_err(), "{at} bytes");
            }
            let other = Stamp { version: 8, ..stamp }.value(length);
            let half = value.len() / 2;
            assert!(Stamp::read(7, &[&other[..half], &value[half..]].concat()).is_err());
        }
    }

    #[test]
    fn a_counter_names_its_key() {
        let stamp = Stamp { key: 7, version: 10, expires: 0 };
        let text = stamp.counter().to_string();
        assert_eq!(Stamp::read_counter(7, text.as_bytes()), Ok(stamp));
        assert!(Stamp::read_counter(8, text.as_bytes()).is_err());
        assert!(Stamp::read_counter(7, &text.as_bytes()[1..]).is_err());
    }
}

//! Reads of memory that other threads may write at the same time.
//!
//! No reference to the memory exists: a key is compared by volatile reads of whole words, a value
//! is copied by address. Formally a race with a plain write is undefined nevertheless, even though
//! the caller discards what it read if another thread wrote (`read/seqlock.rs`). The seqlock of
//! crossbeam's `AtomicCell`, for types without an atomic instruction, says the same of its reads.
//!
//! Volatile copies of values were tried. They cost a get of 100 bytes 40 instructions more.

#![expect(unsafe_code, reason = "racing reads, by address; each block says what it relies on")]

use std::mem::MaybeUninit;

/// A word at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned<T>(T);

/// Reads a word that may change.
///
/// # Safety
/// The word is mapped memory that was initialized, and any bits are a valid T.
#[inline]
unsafe fn load<T: Copy>(from: *const u8) -> T {
    // SAFETY: the contract. An `Unaligned` has no alignment.
    unsafe { from.cast::<Unaligned<T>>().read_volatile() }.0
}

/// Fills `to` with bytes that may change.
///
/// # Safety
/// As many bytes at `from` are mapped memory that was initialized.
#[inline]
pub(super) unsafe fn copy(from: *const u8, to: &mut [MaybeUninit<u8>]) {
    // SAFETY: the contract. `to` is borrowed exclusively.
    unsafe { std::ptr::copy_nonoverlapping(from.cast(), to.as_mut_ptr(), to.len()) };
}

/// Returns whether a word that may change is the one at `key`.
///
/// # Safety
/// As for [`load`]. The word at `key` may be read.
#[inline]
unsafe fn is_word<T: Copy + Eq>(from: *const u8, key: *const u8) -> bool {
    // SAFETY: the contract.
    let (seen, key) = unsafe { (load::<T>(from), key.cast::<T>().read_unaligned()) };
    seen == key
}

/// Returns whether bytes that may change are those of `key`.
///
/// # Safety
/// As many bytes at `from` are mapped memory that was initialized.
#[inline]
pub(super) unsafe fn is_equal(from: *const u8, key: &[u8]) -> bool {
    let (key, length) = (key.as_ptr(), key.len());
    // SAFETY: every word lies within the `length` bytes.
    unsafe {
        match length {
            0 => true,
            1 => is_word::<u8>(from, key),
            2..4 => is_word::<u16>(from, key) && is_word::<u16>(from.add(length - 2), key.add(length - 2)),
            4..8 => is_word::<u32>(from, key) && is_word::<u32>(from.add(length - 4), key.add(length - 4)),
            // Most keys are short.
            8..=16 => is_word::<u64>(from, key) && is_word::<u64>(from.add(length - 8), key.add(length - 8)),
            _ => {
                let last = length - 8;
                let mut at = 0;
                while at < last {
                    if !is_word::<u64>(from.add(at), key.add(at)) {
                        return false;
                    }
                    at += 8;
                }
                is_word::<u64>(from.add(last), key.add(last))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_key_counts() {
        let bytes: Vec<u8> = (0..=250).collect();
        for length in 0..=250 {
            let mut key = bytes[1..][..length].to_vec();
            // SAFETY: `bytes` has as many from 1 on.
            let is_key = |key: &[u8]| unsafe { is_equal(bytes[1..].as_ptr(), key) };
            assert!(is_key(&key), "{length}");
            for at in 0..length {
                key[at] ^= 1;
                assert!(!is_key(&key), "{at} of {length}");
                key[at] ^= 1;
            }
        }
    }
}

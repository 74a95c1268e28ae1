//! Reads of memory that other threads may write at the same time.
//!
//! They are volatile reads of whole words, and no reference to the memory exists. Formally a race
//! with a plain write is undefined nevertheless, even though the caller discards what it read if
//! another thread wrote (`read/seqlock.rs`). The seqlock of crossbeam's `AtomicCell`, for types
//! without an atomic instruction, reads in this way, too, and says the same.

#![expect(unsafe_code, reason = "racing reads, by address; each block says what it relies on")]

use std::mem::MaybeUninit;

/// The widest word of the processor that is always there.
#[cfg(target_arch = "x86_64")]
type Wide = std::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Wide = u128;

const WIDE: usize = size_of::<Wide>();

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

/// Copies a word that may change.
///
/// # Safety
/// As for [`load`]. `to` may be written.
#[inline]
unsafe fn copy_word<T: Copy>(from: *const u8, to: *mut u8) {
    // SAFETY: the contract.
    unsafe { to.cast::<Unaligned<T>>().write(Unaligned(load(from))) };
}

/// Copies the first and the last word of `length` bytes, which together are all of them.
///
/// # Safety
/// As for [`copy`]. `length` is one or two words, or between.
#[inline]
unsafe fn copy_ends<T: Copy>(from: *const u8, to: *mut u8, length: usize) {
    let last = length - size_of::<T>();
    // SAFETY: both words lie within the `length` bytes.
    unsafe {
        copy_word::<T>(from, to);
        copy_word::<T>(from.add(last), to.add(last));
    }
}

/// Fills `to` with bytes that may change.
///
/// # Safety
/// As many bytes at `from` are mapped memory that was initialized.
#[inline]
pub(super) unsafe fn copy(from: *const u8, to: &mut [MaybeUninit<u8>]) {
    let (to, length) = (to.as_mut_ptr().cast::<u8>(), to.len());
    // SAFETY: every word lies within the `length` bytes.
    unsafe {
        match length {
            0 => {}
            1 => copy_word::<u8>(from, to),
            2..4 => copy_ends::<u16>(from, to, length),
            4..8 => copy_ends::<u32>(from, to, length),
            8..WIDE => copy_ends::<u64>(from, to, length),
            _ => {
                let last = length - WIDE;
                let mut at = 0;
                while at + 4 * WIDE <= length {
                    for word in 0..4 {
                        copy_word::<Wide>(from.add(at + word * WIDE), to.add(at + word * WIDE));
                    }
                    at += 4 * WIDE;
                }
                while at < last {
                    copy_word::<Wide>(from.add(at), to.add(at));
                    at += WIDE;
                }
                copy_word::<Wide>(from.add(last), to.add(last));
            }
        }
    }
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
    fn copies_are_whole_at_any_length_and_address() {
        let bytes: Vec<u8> = (0..600_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for (start, length) in (0..9).flat_map(|start| (0..300).map(move |length| (start, length))) {
            let part = &bytes[start..start + length];
            let mut to = vec![MaybeUninit::new(0xee); length + 1];
            // SAFETY: the bytes are those of `part`.
            unsafe { copy(part.as_ptr(), &mut to[..length]) };
            // SAFETY: all bytes were written at first.
            let to: Vec<u8> = to.iter().map(|byte| unsafe { byte.assume_init() }).collect();
            assert_eq!((&to[..length], to[length]), (part, 0xee), "{start} {length}");
        }
    }

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

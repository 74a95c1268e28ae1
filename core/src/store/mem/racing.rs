//! Accesses to bytes that one thread writes while others read them: the one place of races.
//!
//! An optimistic read copies a value while a writer may overwrite it. The reader then checks the
//! version of the lock (`read/seqlock.rs`), and discards the copy if there was a writer. Both sides
//! are plain copies by address. No thread has a reference to bytes that another one may write.
//!
//! Rust calls such a race undefined, because the language has no copy for it. The copies are sound
//! in practice:
//!
//! - LLVM defines a load that races as a load of an undefined value, and nothing more. A copy into
//!   `MaybeUninit` moves such bytes without looking at them. They are first used after the check.
//! - A key must be compared before the check. A branch on an undefined value is not allowed, so
//!   [`is_equal`] reads volatile words, whose values LLVM leaves to the processor.
//! - Headers are relaxed atomics. They race with plain bytes only if their memory was reused. The
//!   reader checks the length in a header against the open memory before it uses the length.
//! - The fence before the check keeps the copy before it, in the compiler and in the processor.
//!
//! Linux' seqlocks and Masstree read plain memory in this way. The seqlock of crossbeam's
//! `AtomicCell` reads volatile words. Those of Abseil and Chromium copy relaxed atomic words on
//! both sides, which is within the rules of C++. Here the other side includes the kernel, which
//! writes values from a socket straight into an entry. So atomic reads would not end the race.
//!
//! They would take time, too. A plain copy of 100 bytes takes 27 instructions. Volatile words take
//! 32 more, and aligned relaxed atomic words 95 to 140 more. A copy of atomic bytes (RFC 3301)
//! would be the right tool, when Rust has one.
//!
//! Under Miri, both sides of a short copy are atomic bytes. So Miri checks all the rest of
//! optimistic reads of small values.

#![expect(unsafe_code, reason = "racing accesses, by address; each block says what it relies on")]

use std::mem::MaybeUninit;
#[cfg(miri)]
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Longest copy of atomic bytes under Miri, which takes long for each.
#[cfg(miri)]
const SHORT: usize = 256;

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
pub(super) unsafe fn read(from: *const u8, to: &mut [MaybeUninit<u8>]) {
    #[cfg(miri)]
    if to.len() <= SHORT {
        for (at, byte) in to.iter_mut().enumerate() {
            // SAFETY: the contract.
            byte.write(unsafe { AtomicU8::from_ptr(from.add(at).cast_mut()) }.load(Relaxed));
        }
        return;
    }
    // SAFETY: the contract. `to` is borrowed exclusively.
    unsafe { std::ptr::copy_nonoverlapping(from.cast(), to.as_mut_ptr(), to.len()) };
}

/// Copies `len` bytes. Other threads may read those at `to`.
///
/// # Safety
/// Both are mapped memory, and do not overlap. Those at `from` were initialized. No other thread
/// writes any of them.
#[inline]
pub(super) unsafe fn write(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(miri)]
    if len <= SHORT {
        for at in 0..len {
            // SAFETY: the contract.
            unsafe { AtomicU8::from_ptr(to.add(at)).store(*from.add(at), Relaxed) };
        }
        return;
    }
    // SAFETY: the contract.
    unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
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
            8.. => {
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
            4.. => is_word::<u32>(from, key) && is_word::<u32>(from.add(length - 4), key.add(length - 4)),
            2.. => is_word::<u16>(from, key) && is_word::<u16>(from.add(length - 2), key.add(length - 2)),
            1 => is_word::<u8>(from, key),
            0 => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_key_counts() {
        let bytes: Vec<u8> = (0..=250).collect();
        // Miri takes a minute for all lengths.
        for length in (0..=250).filter(|length| !cfg!(miri) || *length < 25) {
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

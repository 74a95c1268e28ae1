//! Keys and values as JavaScript gives them (`BinaryLike`): strings, which are stored as UTF-8, or
//! Buffers and other `Uint8Array`s.

use std::mem::MaybeUninit;
use std::ops::Deref;

use memcache_core::internal::config::KEY_MAX;

use crate::errors::{self, Failure};
use crate::raw::{Units, Value};

/// Room for the longest key in UTF-16, one unit more to detect a longer one, and the final 0.
const KEY_UNITS: usize = KEY_MAX + 2;

/// Shorter strings are read through the stack; in units of UTF-16.
const STACK_UNITS: usize = 512;

/// A key, on the stack.
pub struct Key {
    bytes: [MaybeUninit<u8>; KEY_MAX],
    /// At most `KEY_MAX`. This many bytes are initialised.
    length: usize,
}

impl Key {
    const EMPTY: Self = Self { bytes: [MaybeUninit::uninit(); KEY_MAX], length: 0 };

    /// Appends a byte. Returns `false` if the key is full.
    #[inline]
    fn push(&mut self, byte: u8) -> bool {
        let Some(at) = self.bytes.get_mut(self.length) else { return false };
        at.write(byte);
        self.length += 1;
        true
    }

    fn extend(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.push(byte))
    }
}

impl Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "bytes that are not cleared first")]
        // SAFETY: the first `length` bytes were written.
        unsafe {
            std::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.length)
        }
    }
}

/// Reads a key, and puts the prefix of its namespace before it. The prefix has at most `KEY_MAX`
/// bytes.
#[inline]
pub fn key(prefix: &[u8], value: Value<'_>) -> Result<Key, Failure> {
    let mut units = [MaybeUninit::uninit(); KEY_UNITS];
    let mut key = Key::EMPTY;
    key.extend(prefix);
    let start = key.length;
    let refused = |length: usize| Err(errors::bad_key(start + length));
    match value.utf16(&mut units) {
        Some(Units::Whole(units)) if narrow(units, key.bytes.get_mut(start..).unwrap_or_default()) => {
            key.length += units.len();
        }
        Some(Units::Whole(units)) => {
            if !transcode(units, |bytes| key.extend(bytes)) {
                return refused(value.utf8_length());
            }
        }
        Some(Units::More) => return refused(value.utf8_length()),
        None => {
            let bytes = bytes(value, "key", "String()")?;
            if bytes.len() > KEY_MAX || !key.extend(bytes) {
                return refused(bytes.len());
            }
        }
    }
    if key.length == 0 { refused(0) } else { Ok(key) }
}

/// Copies units of ASCII. Returns `false` if some are not ASCII or do not fit.
#[inline]
fn narrow(units: &[u16], to: &mut [MaybeUninit<u8>]) -> bool {
    let Some(to) = to.get_mut(..units.len()) else { return false };
    let mut all = 0;
    for (to, &unit) in to.iter_mut().zip(units) {
        all |= unit;
        to.write(unit as u8);
    }
    all < 0x80
}

/// Passes the characters to `put` in UTF-8. A lone surrogate becomes U+FFFD, as in `Buffer.from`.
/// Returns `false` if `put` did.
#[cold]
fn transcode(units: &[u16], mut put: impl FnMut(&[u8]) -> bool) -> bool {
    char::decode_utf16(units.iter().copied()).all(|decoded| {
        let mut bytes = [0; 4];
        put(decoded.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut bytes).as_bytes())
    })
}

/// Reads a value. The bytes of a string are put into `scratch`.
#[inline]
pub fn value<'a>(value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Failure> {
    let Some(units) = value.units() else {
        return bytes(value, "value", "String() or JSON.stringify()");
    };
    if units < STACK_UNITS {
        let mut short = [MaybeUninit::uninit(); STACK_UNITS];
        if let Some(Units::Whole(units)) = value.utf16(&mut short) {
            scratch.clear();
            scratch.reserve(units.len());
            if narrow(units, scratch.spare_capacity_mut()) {
                #[expect(unsafe_code, reason = "bytes that are not cleared first")]
                // SAFETY: `narrow` has written this many.
                unsafe {
                    scratch.set_len(units.len());
                }
                return Ok(scratch);
            }
            transcode(units, |bytes| {
                scratch.extend_from_slice(bytes);
                true
            });
            return Ok(scratch);
        }
    }
    value.utf8(units, scratch);
    Ok(scratch)
}

/// Returns the bytes of a `Uint8Array`. `name` and `remedy` are for the error.
#[inline]
fn bytes<'a>(value: Value<'a>, name: &str, remedy: &str) -> Result<&'a [u8], Failure> {
    value.bytes().ok_or_else(|| {
        errors::bad_type(format!(
            "{name} must be a string, a Buffer or another Uint8Array, got {}; convert it first, for example with \
             {remedy}",
            value.type_name()
        ))
    })
}

//! Writing of the text protocols' parts: lines, numbers, values.

use crate::protocol::output::{Mark, Output};
use crate::store::{EntryRef, INLINE_COPY_MAX, ReadConflict};

/// Appends a line to the output.
#[inline]
pub fn push_line(out: &mut Output, line: &str) {
    let bytes = out.bytes();
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

/// Appends a decimal number.
#[inline]
pub fn push_number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes such as a key, mostly 8 to 16 of them: two overlapping words in place of a call.
#[inline]
pub(super) fn push_short(to: &mut Vec<u8>, bytes: &[u8]) {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() <= 16 => {
            let start = to.len();
            to.extend_from_slice(first);
            to.truncate(start + bytes.len() - 8);
            to.extend_from_slice(last);
        }
        _ => to.extend_from_slice(bytes),
    }
}

/// Appends a value. A small one is copied, a large one pinned.
///
/// # Errors
/// [`ReadConflict`]. Nothing was appended then.
#[inline]
pub fn push_data(out: &mut Output, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
    if entry.len() <= INLINE_COPY_MAX {
        return entry.copy_to(out.bytes());
    }
    out.pin(entry.pin()?);
    Ok(())
}

/// Appends a value and its line end. On a conflict, removes the bytes appended since `mark`.
///
/// # Errors
/// [`ReadConflict`].
#[inline]
pub fn push_value(out: &mut Output, entry: &mut EntryRef<'_>, mark: &Mark) -> Result<(), ReadConflict> {
    push_data(out, entry).inspect_err(|_| out.rewind(mark))?;
    out.bytes().extend_from_slice(b"\r\n");
    Ok(())
}

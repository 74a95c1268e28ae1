//! Replies of the classic protocol.

use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, Response, Stored};
use crate::protocol::output::Output;
use crate::protocol::text;
use crate::protocol::write::{push_line, push_number, push_short, push_value};
use crate::store::{EntryRef, INLINE_COPY_MAX, ReadConflict};

/// Writes a found item. With `with_cas`, the line contains the CAS.
///
/// # Errors
/// [`ReadConflict`]. Nothing was written then.
#[inline]
pub fn found(out: &mut Output, with_cas: bool, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
    let mark = out.mark();
    let bytes = out.bytes();
    let (key, length) = (entry.key(), entry.len());
    bytes.reserve(length.min(INLINE_COPY_MAX) + key.len() + 64);
    bytes.extend_from_slice(b"VALUE ");
    push_short(bytes, key);
    match entry.flags() {
        0 => bytes.extend_from_slice(b" 0 "),
        flags => {
            bytes.push(b' ');
            push_number(bytes, u64::from(flags));
            bytes.push(b' ');
        }
    }
    push_number(bytes, length as u64);
    if with_cas {
        bytes.push(b' ');
        push_number(bytes, entry.header().cas());
    }
    bytes.extend_from_slice(b"\r\n");
    push_value(out, entry, &mark)
}

/// Writes a response.
#[inline]
pub fn encode(out: &mut Output, response: &Response<'_>) {
    let line = match response {
        // The end of the keys is the only sign of a miss.
        Response::Missing => return,
        Response::Stored(reply) => match reply.stored {
            Stored::Stored => "STORED",
            Stored::NotStored => "NOT_STORED",
            Stored::Exists => "EXISTS",
            Stored::NotFound => "NOT_FOUND",
        },
        Response::Refused(AllocError::TooLarge) => text::TOO_LARGE,
        Response::Refused(AllocError::NoMemory) => text::NO_MEMORY,
        Response::RefusedMidway => text::NO_MEMORY_READ,
        Response::BadChunk => text::BAD_CHUNK,
        Response::Deleted(Deleted::Deleted) => "DELETED",
        Response::Touched(true) => "TOUCHED",
        Response::Deleted(_)
        | Response::Touched(false)
        | Response::Number(Err(DeltaError::NotFound | DeltaError::CasMismatch)) => "NOT_FOUND",
        Response::Number(Ok(number)) => {
            push_number(out.bytes(), number.value);
            return out.push(b"\r\n");
        }
        Response::Number(Err(DeltaError::NonNumeric)) => text::NON_NUMERIC,
        Response::Number(Err(DeltaError::NoMemory)) => text::NO_MEMORY_DELTA,
        Response::ServerError(text) => return push_line(out, &format!("SERVER_ERROR {text}")),
    };
    push_line(out, line);
}

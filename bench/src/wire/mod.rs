//! The three protocols from the client's side: the bytes of requests and the beginnings of replies.
//!
//! `Head` is the result of one step of reading. A `Head` announces a value, but does not contain
//! it. The bytes of the value are checked as they arrive (see `checker`), so that a reply of any
//! size needs no buffer. Nothing here knows a socket or the outstanding requests.

mod binary;
mod classic;
mod meta;

use clap::ValueEnum;
use serde::Serialize;

use crate::items::Items;

/// Longest line of a valid reply.
const LONGEST_LINE: usize = 1024;

/// A protocol of memcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Classic,
    Meta,
    Binary,
}

/// The beginning of a reply; `used` bytes of input belong to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// The input is incomplete.
    Partial,
    /// `length` bytes of value and the protocol's trailer follow. With a key, further replies to
    /// the same request follow those. Without one, the value completes the reply.
    Value { key: Option<&'a [u8]>, length: usize, used: usize },
    /// The end of a get. Keys still unanswered are misses.
    End { used: usize },
    /// A set succeeded.
    Stored { used: usize },
    /// A set was refused for lack of memory or by policy.
    Refused { used: usize },
    /// Anything else.
    Wrong,
}

impl Protocol {
    /// Appends one request for the keys of `ids`.
    #[inline]
    pub fn get(self, items: &Items, ids: &[u64], out: &mut Vec<u8>) {
        match self {
            Self::Classic => classic::get(items, ids, out),
            Self::Meta => meta::get(items, ids, out),
            Self::Binary => binary::get(items, ids, out),
        }
    }

    /// Appends one request that stores item `id` for `ttl` seconds. With 0 the item never expires.
    #[inline]
    pub fn set(self, items: &Items, id: u64, ttl: u32, out: &mut Vec<u8>) {
        match self {
            Self::Classic => classic::set(items, id, ttl, out),
            Self::Meta => meta::set(items, id, ttl, out),
            Self::Binary => binary::set(items, id, ttl, out),
        }
    }

    /// Reads the beginning of a reply from the front of `input`.
    #[inline]
    pub fn head(self, input: &[u8]) -> Head<'_> {
        match self {
            Self::Classic => classic::head(input),
            Self::Meta => meta::head(input),
            Self::Binary => binary::head(input),
        }
    }

    /// Returns the bytes that follow every value.
    #[inline]
    pub fn trailer(self) -> &'static [u8] {
        match self {
            Self::Classic | Self::Meta => b"\r\n",
            Self::Binary => b"",
        }
    }
}

/// Reads the beginning of a reply in a text protocol. `value` parses the line after `prefix`, and
/// `status` the other lines. The error for lack of memory is the same in both text protocols.
#[inline]
fn text_head<'a>(
    input: &'a [u8],
    prefix: &[u8],
    value: fn(&'a [u8], usize) -> Option<Head<'a>>,
    status: fn(&[u8], usize) -> Option<Head<'static>>,
) -> Head<'a> {
    let (line, used) = match line(input) {
        Ok(found) => found,
        Err(head) => return head,
    };
    let head = match line.strip_prefix(prefix) {
        Some(rest) => value(rest, used),
        None if line.starts_with(b"SERVER_ERROR out of memory") => Some(Head::Refused { used }),
        None => status(line, used),
    };
    head.unwrap_or(Head::Wrong)
}

/// Appends the end of a line, and a value with its own line end.
fn put_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Returns the first line of `input` without its CR LF, and its length with them.
#[inline]
fn line(input: &[u8]) -> Result<(&[u8], usize), Head<'static>> {
    match memchr::memchr(b'\n', input) {
        Some(end) => match input[..end].strip_suffix(b"\r") {
            Some(line) => Ok((line, end + 1)),
            None => Err(Head::Wrong),
        },
        None if input.len() <= LONGEST_LINE => Err(Head::Partial),
        None => Err(Head::Wrong),
    }
}

/// Parses a decimal number of at most nine digits.
#[inline]
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_usize, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

fn put_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Head, Protocol, number};

    #[test]
    fn numbers() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"104857600"), Some(104_857_600));
        for wrong in [&b""[..], b"-1", b"1x", b"+1", b"9999999999"] {
            assert_eq!(number(wrong), None);
        }
    }

    #[test]
    fn lines_are_bounded_and_end_in_cr_lf() {
        for protocol in [Protocol::Classic, Protocol::Meta] {
            assert_eq!(protocol.head(b""), Head::Partial);
            assert_eq!(protocol.head(b"EN"), Head::Partial);
            assert_eq!(protocol.head(b"END\n"), Head::Wrong);
            assert_eq!(protocol.head(&[b'x'; 2_000]), Head::Wrong);
        }
    }
}

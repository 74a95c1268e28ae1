//! The three protocols from the client's side: the bytes of requests and the beginnings of replies.
//!
//! `Head` is the result of one step of reading. A `Head` announces a value, but does not contain
//! it. The bytes of the value are checked as they arrive (see `checker`), so that a reply of any
//! size needs no buffer. Nothing here knows a socket or the outstanding requests.

mod binary;
mod classic;
mod head;
mod meta;
mod text;

use clap::ValueEnum;
use serde::Serialize;

use crate::items::Items;

pub use head::Head;

/// A protocol of memcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Classic,
    Meta,
    Binary,
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

#[cfg(test)]
mod tests {
    use super::{Head, Protocol};

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

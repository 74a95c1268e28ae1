//! An item that one backend returned and another one stores, or the client gets.

use crate::protocol::tokens::{Tokens, strip_line_end};

/// The item of a reply to `mg KEY t f c v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The rest of its life in seconds, or less than 0 if it never expires.
    pub ttl: i64,
    /// Client flags.
    pub flags: u32,
    /// Its CAS.
    pub cas: u64,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Item<'a> {
    /// Reads a whole reply. Returns `None` if it has no item.
    pub fn read(reply: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', reply)? + 1;
        let tokens = Tokens::new(strip_line_end(reply.get(..end)?));
        if tokens.get(0) != Some(b"VA") {
            return None;
        }
        let value = reply.get(end..)?.strip_suffix(b"\r\n")?;
        let mut item = Self { ttl: -1, flags: 0, cas: 0, value };
        for token in tokens.from(2) {
            let (letter, text) = token.split_first()?;
            let text = str::from_utf8(text).ok()?;
            match letter {
                b't' => item.ttl = text.parse().ok()?,
                b'f' => item.flags = text.parse().ok()?,
                b'c' => item.cas = text.parse().ok()?,
                _ => {}
            }
        }
        // An item in its last second still has one.
        if item.ttl == 0 {
            item.ttl = 1;
        }
        Some(item)
    }
}

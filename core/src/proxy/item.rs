//! An item that one backend returned and another one stores, or the client gets.

use super::request::ClientRequest;
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

    /// Appends the reply to a request that reads. Flags of `mg` that change the item are left out.
    pub fn push_reply(&self, request: &ClientRequest, out: &mut Vec<u8>) {
        let Self { ttl, flags, cas, value } = *self;
        let with_cas = matches!(request.command.word, "gets" | "gats");
        if !request.command.is_meta() {
            out.extend_from_slice(b"VALUE ");
            out.extend_from_slice(request.key());
            let cas = if with_cas { format!(" {cas}") } else { String::new() };
            out.extend_from_slice(format!(" {flags} {}{cas}\r\n", value.len()).as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\nEND\r\n");
            return;
        }
        let tokens = Tokens::new(request.line());
        let has_value = tokens.from(2).any(|token| token == b"v");
        out.extend_from_slice(if has_value { format!("VA {}", value.len()) } else { "HD".into() }.as_bytes());
        for token in tokens.from(2) {
            let text = match token.first() {
                Some(b'f') => format!(" f{flags}"),
                Some(b't') => format!(" t{ttl}"),
                Some(b's') => format!(" s{}", value.len()),
                Some(b'c') => format!(" c{cas}"),
                Some(b'b') => " b".into(),
                Some(b'k') => {
                    out.extend_from_slice(b" k");
                    out.extend_from_slice(request.key());
                    continue;
                }
                Some(b'O') => {
                    out.push(b' ');
                    out.extend_from_slice(token);
                    continue;
                }
                _ => continue,
            };
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if has_value {
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

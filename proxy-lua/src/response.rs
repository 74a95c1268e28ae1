//! A reply, as Lua programs see it: its type, code and status.

use std::ops::Range;
use std::rc::Rc;

use memcache_core::internal::protocol::tokens::{Tokens, strict_u32, strip_line_end};
use memcache_core::internal::proxy::line::{Flags, range_of};

use crate::wait::Rank;

/// memcached's numbers of types.
mod kind {
    pub const GET: u8 = 100;
    pub const META: u8 = 101;
    pub const STAT: u8 = 102;
    pub const GENERIC: u8 = 104;
    pub const END: u8 = 105;
    pub const VERSION: u8 = 106;
    pub const NUMERIC: u8 = 107;
    pub const ERROR: u8 = 108;
    pub const FAIL: u8 = 109;
}

/// memcached's numbers of codes.
pub mod code {
    /// No code: of two letters that mean nothing.
    pub const NONE: i64 = 1;
    /// `STORED`.
    pub const STORED: i64 = 8;
    /// `EXISTS` and `EX`.
    pub const EXISTS: i64 = 9;
    /// `DELETED`.
    pub const DELETED: i64 = 10;
    /// `TOUCHED`.
    pub const TOUCHED: i64 = 11;
    /// `VERSION`.
    pub const VERSION: i64 = 12;
    /// `NOT_FOUND` and `NF`.
    pub const NOT_FOUND: i64 = 13;
    /// `NOT_STORED` and `NS`.
    pub const NOT_STORED: i64 = 14;
    /// `OK`, `HD`, `VA`, `VALUE`, `ME`, and numbers.
    pub const OK: i64 = 15;
    /// `MN`.
    pub const NOP: i64 = 16;
    /// `END` and `EN`: a miss.
    pub const END: i64 = 17;
    /// `ERROR`.
    pub const ERROR: i64 = 21;
    /// `CLIENT_ERROR`.
    pub const CLIENT_ERROR: i64 = 22;
    /// `SERVER_ERROR`, or no reply.
    pub const SERVER_ERROR: i64 = 23;
    /// A line that is too short for a code.
    pub const SHORT: i64 = 18;
    /// A line that has no form of a reply.
    pub const PARSE: i64 = 19;
}

/// A reply to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The whole reply. Empty if there is none.
    bytes: Vec<u8>,
    /// Length of its first line with the end.
    line: usize,
    /// Length of the value with its end, or 0.
    value: usize,
    /// The flags of a meta reply: what follows its code, and its size.
    rest: Option<Range<usize>>,
    kind: u8,
    code: i64,
    is_ok: bool,
    /// Microseconds from the request to the reply.
    pub elapsed: u64,
    /// The backend that has replied, as `HOST:PORT`. `None` for the local cache.
    pub backend: Option<Rc<str>>,
}

impl Response {
    /// Parses a whole reply.
    pub fn parse(bytes: Vec<u8>) -> Self {
        let mut response = Self { bytes, ..Self::default() };
        response.read();
        response
    }

    /// Returns the response of a backend that did not reply.
    pub fn failed() -> Self {
        Self { code: code::SERVER_ERROR, ..Self::default() }
    }

    /// Returns a response without bytes and code: that of a function that returned none.
    pub fn empty() -> Self {
        Self::default()
    }

    fn read(&mut self) {
        let Some(end) = memchr::memchr(b'\n', &self.bytes) else {
            (self.kind, self.code) = (kind::FAIL, code::PARSE);
            return;
        };
        self.line = end + 1;
        let line = strip_line_end(self.bytes.get(..=end).unwrap_or_default());
        let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let (kind, code) = match word {
            [b'0'..=b'9', ..] => (kind::NUMERIC, code::OK),
            [] | [_] => (kind::FAIL, code::SHORT),
            b"HD" | b"ME" => (kind::META, code::OK),
            b"EN" => (kind::META, code::END),
            b"EX" => (kind::META, code::EXISTS),
            b"NF" => (kind::META, code::NOT_FOUND),
            b"NS" => (kind::META, code::NOT_STORED),
            b"MN" => (kind::META, code::NOP),
            b"OK" => (kind::GENERIC, code::OK),
            b"VA" => match Tokens::new(line).get(1).and_then(strict_u32) {
                Some(size) => {
                    self.value = size as usize + 2;
                    (kind::META, code::OK)
                }
                None => (kind::FAIL, code::PARSE),
            },
            [_, _] => (kind::META, code::NONE),
            b"END" => (kind::END, code::END),
            b"VALUE" => match Tokens::new(line).get(3).and_then(strict_u32) {
                Some(size) => {
                    self.value = size as usize + 2;
                    (kind::GET, code::OK)
                }
                None => (kind::FAIL, code::PARSE),
            },
            b"STORED" => (kind::GENERIC, code::STORED),
            b"EXISTS" => (kind::GENERIC, code::EXISTS),
            b"DELETED" => (kind::GENERIC, code::DELETED),
            b"TOUCHED" => (kind::GENERIC, code::TOUCHED),
            b"NOT_FOUND" => (kind::GENERIC, code::NOT_FOUND),
            b"NOT_STORED" => (kind::GENERIC, code::NOT_STORED),
            b"VERSION" => (kind::VERSION, code::VERSION),
            b"STAT" => (kind::STAT, code::OK),
            b"ERROR" => (kind::ERROR, code::ERROR),
            b"CLIENT_ERROR" => (kind::ERROR, code::CLIENT_ERROR),
            b"SERVER_ERROR" => (kind::ERROR, code::SERVER_ERROR),
            _ => (kind::FAIL, code::PARSE),
        };
        (self.kind, self.code) = (kind, code);
        self.is_ok = !matches!(kind, kind::ERROR | kind::FAIL) && code != code::NONE;
        self.rest = if kind == kind::META {
            let tokens = Tokens::new(line);
            let first = if word == b"VA" { 2 } else { 1 };
            tokens.rest(first).map(|rest| range_of(line, rest))
        } else {
            None
        };
    }

    /// Marks the response as ok, as each reply of the local cache is.
    pub fn set_ok(&mut self) {
        self.is_ok = true;
    }

    /// Returns whether it is a well-formed reply that is not an error.
    pub fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// Returns whether it is ok and not a miss of a read.
    pub fn is_hit(&self) -> bool {
        self.is_ok && self.code != code::END
    }

    /// Returns whether it is an error line, which the client gets as it is.
    pub fn is_error_line(&self) -> bool {
        self.kind == kind::ERROR
    }

    /// Returns whether it is a reply of the meta protocol.
    pub fn is_meta(&self) -> bool {
        self.kind == kind::META
    }

    /// Returns whether memcached would not parse it at all.
    pub fn is_garbage(&self) -> bool {
        self.kind == kind::FAIL
    }

    /// Returns the rank of the response.
    pub fn rank(&self) -> Rank {
        match (self.is_ok, self.code) {
            (true, code::END) => Rank::Ok,
            (true, _) => Rank::Good,
            (false, _) => Rank::Error,
        }
    }

    /// Returns memcached's number of its type, or 0 if there is none.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Returns memcached's number of its code.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// Returns memcached's number of its status: 0 if it is ok, or else -1.
    pub fn status(&self) -> i64 {
        if self.is_ok { 0 } else { -1 }
    }

    /// Returns the length of the value without its end, or 0 if there is none.
    pub fn value_length(&self) -> usize {
        self.value.saturating_sub(2)
    }

    /// Returns the value with its end, or nothing if there is none.
    pub fn value(&self) -> &[u8] {
        self.bytes.get(self.line..).and_then(|rest| rest.get(..self.value)).unwrap_or_default()
    }

    /// Returns the first line without its end.
    pub fn line(&self) -> &[u8] {
        strip_line_end(self.bytes.get(..self.line).unwrap_or_default())
    }

    /// Returns the flags of a meta reply as they are in its line, if there are any.
    pub fn rest(&self) -> Option<&[u8]> {
        self.bytes.get(self.rest.clone()?)
    }

    /// Returns the whole reply.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the bytes out of the response, and closes it.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        self.close();
        bytes
    }

    /// Frees the bytes. The status stays.
    pub fn close(&mut self) {
        *self = Self { is_ok: self.is_ok, elapsed: self.elapsed, ..Self::default() };
    }

    /// Returns the flags of a meta reply, by their letters.
    pub fn flags(&self) -> Flags {
        let tokens = Tokens::new(self.rest().unwrap_or_default());
        Flags::of(tokens.from(0)).unwrap_or_default()
    }

    /// Returns the text behind the first flag with this letter.
    pub fn flag(&self, letter: u8) -> Option<&[u8]> {
        Tokens::new(self.rest()?).from(0).find_map(|token| token.strip_prefix(&[letter]))
    }

    /// Overwrites the first flag with this letter with spaces. Returns `false` if there is none.
    pub fn blank_flag(&mut self, letter: u8) -> bool {
        let Some(range) = &self.rest else { return false };
        let Some(rest) = self.bytes.get_mut(range.clone()) else { return false };
        let Some(found) = Tokens::new(rest).from(0).find(|token| token.first() == Some(&letter)) else {
            return false;
        };
        let found = range_of(rest, found);
        if let Some(found) = rest.get_mut(found) {
            found.fill(b' ');
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Response {
        Response::parse(text.as_bytes().to_vec())
    }

    #[test]
    fn types_codes_and_ranks() {
        let replies = [
            ("18\r\n", 107, 15, Rank::Good),
            ("HD\r\n", 101, 15, Rank::Good),
            ("HD t5\n", 101, 15, Rank::Good),
            ("VA 2 t5\r\nab\r\n", 101, 15, Rank::Good),
            ("ME k exp=-1\r\n", 101, 15, Rank::Good),
            ("EN\r\n", 101, 17, Rank::Ok),
            ("EX\r\n", 101, 9, Rank::Good),
            ("NF\r\n", 101, 13, Rank::Good),
            ("NS\r\n", 101, 14, Rank::Good),
            ("MN\r\n", 101, 16, Rank::Good),
            ("XX\r\n", 101, 1, Rank::Error),
            ("OK\r\n", 104, 15, Rank::Good),
            ("END\r\n", 105, 17, Rank::Ok),
            ("VALUE k 0 2\r\nab\r\nEND\r\n", 100, 15, Rank::Good),
            ("STORED\r\n", 104, 8, Rank::Good),
            ("EXISTS\r\n", 104, 9, Rank::Good),
            ("DELETED\r\n", 104, 10, Rank::Good),
            ("TOUCHED\r\n", 104, 11, Rank::Good),
            ("NOT_FOUND\r\n", 104, 13, Rank::Good),
            ("NOT_STORED\r\n", 104, 14, Rank::Good),
            ("VERSION 1.6.45\r\n", 106, 12, Rank::Good),
            ("ERROR\r\n", 108, 21, Rank::Error),
            ("ERROR why\r\n", 108, 21, Rank::Error),
            ("CLIENT_ERROR bad data chunk\r\n", 108, 22, Rank::Error),
            ("SERVER_ERROR out of memory\r\n", 108, 23, Rank::Error),
            ("VA x\r\n", 109, 19, Rank::Error),
            ("nonsense\r\n", 109, 19, Rank::Error),
            ("x\r\n", 109, 18, Rank::Error),
            ("no end", 109, 19, Rank::Error),
        ];
        for (text, kind, code, rank) in replies {
            let response = parse(text);
            assert_eq!((response.kind(), response.code(), response.rank()), (kind, code, rank), "{text}");
            assert_eq!(response.is_ok(), rank != Rank::Error, "{text}");
            assert_eq!(response.is_hit(), rank == Rank::Good, "{text}");
            assert_eq!(response.bytes(), text.as_bytes());
        }
        let failed = Response::failed();
        assert_eq!((failed.kind(), failed.code(), failed.status()), (0, 23, -1));
    }

    #[test]
    fn values_and_flags() {
        let mut response = parse("VA 2 t5 Oab f\r\nhi\r\n");
        assert_eq!((response.value_length(), response.value()), (2, &b"hi\r\n"[..]));
        assert_eq!(response.rest(), Some(&b"t5 Oab f"[..]));
        assert_eq!((response.flag(b'O'), response.flag(b'f')), (Some(&b"ab"[..]), Some(&b""[..])));
        assert_eq!(response.flag(b'k'), None);
        assert!(response.flags().has(b't') && !response.flags().has(b'2'));
        assert!(response.blank_flag(b'O') && !response.blank_flag(b'O'));
        assert_eq!(response.bytes(), b"VA 2 t5     f\r\nhi\r\n");
        for text in ["HD\r\n", "VA 0\r\n\r\n", "STORED x\r\n", "VALUE t 0 1\r\nt\r\nEND\r\n"] {
            let mut response = parse(text);
            assert!(response.rest().is_none() && !response.blank_flag(b't'), "{text}");
        }
    }

    #[test]
    fn a_closed_response_has_no_bytes() {
        let mut response = parse("VA 2 t5\r\nhi\r\n");
        response.close();
        assert_eq!((response.value_length(), response.line(), response.rest()), (0, &b""[..], None));
        assert!(response.is_ok() && response.bytes().is_empty());
    }
}

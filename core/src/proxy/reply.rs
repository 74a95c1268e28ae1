//! The reply of a backend: where it ends, and what it means for a route.
//!
//! A reply is one line, or a line with a value. To a get of several keys it is an item for each key
//! that the backend has, and a line. This module finds ends and keeps the bytes as they are.

use memchr::memchr;

use super::failure::Reason;
use crate::protocol::tokens::{strict_u64, strip_line_end};

/// Longest line of a reply, with its end. A line of the meta protocol repeats the key and flags of
/// its request, which fit into a line of half that length.
const LINE_MAX: usize = 4096;

/// The bytes behind a classic value.
const END: &[u8] = b"\r\nEND\r\n";

/// The meaning of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A value.
    Value,
    /// An item of a reply to a get of several keys, which goes on.
    Item,
    /// A line that is neither a miss of a get nor an error, such as `STORED` or `NOT_FOUND`.
    Done,
    /// A get found nothing: `END` or `EN`.
    Miss,
    /// The version of the backend.
    Version,
    /// `SERVER_ERROR`: the backend could not carry out the request.
    ServerError,
    /// `ERROR` or `CLIENT_ERROR`: the backend did not understand the request.
    Refused,
}

/// The start of a backend's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The reply is not complete. It has at least this many bytes.
    Part(usize),
    /// A reply of this many bytes.
    Whole(usize, Meaning),
    /// No reply. The rest of the input cannot be understood either.
    Bad(Reason),
}

/// Looks for the end of the reply at the start of `input`. A value may have `value_max` bytes.
pub fn scan(input: &[u8], value_max: usize) -> Scan {
    let Some(end) = memchr(b'\n', input) else {
        return if input.len() < LINE_MAX { Scan::Part(input.len() + 1) } else { Scan::Bad(Reason::Parsing) };
    };
    let length = end + 1;
    let line = strip_line_end(input.get(..length).unwrap_or_default());
    let (word, rest) = match memchr(b' ', line) {
        Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
        None => (line, &[][..]),
    };
    let meaning = match word {
        b"VALUE" => return value(input, length, token(rest, 2), END, value_max),
        b"VA" => return value(input, length, token(rest, 0), b"\r\n", value_max),
        b"END" | b"EN" => Meaning::Miss,
        b"HD" | b"ME" | b"EX" | b"NF" | b"NS" | b"OK" | b"STORED" | b"EXISTS" | b"DELETED" | b"TOUCHED"
        | b"NOT_FOUND" | b"NOT_STORED"
        // The result of `incr`.
        | [b'0'..=b'9', ..] => Meaning::Done,
        b"VERSION" => Meaning::Version,
        b"SERVER_ERROR" => Meaning::ServerError,
        b"ERROR" | b"CLIENT_ERROR" => Meaning::Refused,
        b"STAT" | b"MN" | b"RESET" => return Scan::Bad(Reason::Unexpected),
        _ => return Scan::Bad(Reason::Parsing),
    };
    Scan::Whole(length, meaning)
}

/// Looks for the end of the next item of a reply to a get of several keys. If there is none, it
/// looks for the end of the reply, as [`scan`] does.
pub fn scan_item(input: &[u8], value_max: usize) -> Scan {
    let line = input.strip_prefix(b"VALUE ").and_then(|rest| rest.get(..=memchr(b'\n', rest)?));
    let Some(line) = line else { return scan(input, value_max) };
    let length = b"VALUE ".len() + line.len();
    match value(input, length, token(strip_line_end(line), 2), b"\r\n", value_max) {
        Scan::Whole(length, _) => Scan::Whole(length, Meaning::Item),
        other => other,
    }
}

/// Returns the key of an item.
pub fn key_of(item: &[u8]) -> &[u8] {
    item.strip_prefix(b"VALUE ").map_or(&[], |rest| token(rest, 0))
}

/// Returns what memcached's proxy has not read of a part of a reply: it takes a line with a value
/// and the value out of its input at once.
pub fn unread(input: &[u8]) -> &[u8] {
    let Some(end) = memchr(b'\n', input) else { return input };
    let mut tokens = input.get(..end).unwrap_or_default().split(|&byte| matches!(byte, b' ' | b'\r'));
    let digits = match tokens.next() {
        Some(b"VALUE") => tokens.nth(2),
        Some(b"VA") => tokens.next(),
        _ => return input,
    };
    let length = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let value_end = length.and_then(|length| length.checked_add(end + 3));
    value_end.map_or(input, |value_end| input.get(value_end..).unwrap_or_default())
}

/// Returns a token of a line, from 0. Each space ends one.
fn token(mut line: &[u8], number: usize) -> &[u8] {
    for _ in 0..number {
        let Some(at) = line.iter().position(|&byte| byte == b' ') else { return &[] };
        line = line.get(at + 1..).unwrap_or_default();
    }
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// Handles a line with a value, whose length is `digits`, and `tail` behind it.
fn value(input: &[u8], line: usize, digits: &[u8], tail: &[u8], value_max: usize) -> Scan {
    let number = if digits.is_empty() { None } else { strict_u64(digits) };
    let length = number.and_then(|number| usize::try_from(number).ok());
    let Some(length) = length.filter(|length| *length <= value_max) else {
        return Scan::Bad(Reason::Parsing);
    };
    let value_end = line.saturating_add(length);
    let whole = value_end.saturating_add(tail.len());
    if input.get(value_end..whole) == Some(tail) {
        return Scan::Whole(whole, Meaning::Value);
    }
    // A wrong byte is found before the rest has come.
    let rest = input.get(value_end..).unwrap_or_default();
    match tail.iter().zip(rest).position(|(wanted, found)| wanted != found) {
        Some(at) if at < 2 => Scan::Bad(Reason::Parsing),
        Some(_) => Scan::Bad(Reason::MissingEnd),
        None => Scan::Part(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &str) -> Scan {
        scan(input.as_bytes(), 100)
    }

    #[test]
    fn every_reply_ends_where_it_ends() {
        let replies = [
            ("END\r\n", Meaning::Miss),
            ("EN\r\n", Meaning::Miss),
            ("VALUE k 0 3\r\nabc\r\nEND\r\n", Meaning::Value),
            ("VALUE k 0 0 17\r\n\r\nEND\r\n", Meaning::Value),
            ("VALUE k 4294967295 5\r\n\r\nEND\r\nEND\r\n", Meaning::Value),
            ("VA 2 t1\r\nab\r\n", Meaning::Value),
            ("VA 0\r\n\r\n", Meaning::Value),
            ("HD\r\n", Meaning::Done),
            ("HD t1 Oabc\r\n", Meaning::Done),
            ("NF\r\n", Meaning::Done),
            ("ME k exp=-1 la=0\r\n", Meaning::Done),
            ("STORED\r\n", Meaning::Done),
            ("NOT_STORED\r\n", Meaning::Done),
            ("18446744073709551615\r\n", Meaning::Done),
            ("5 \r\n", Meaning::Done),
            ("VERSION 1.6.45\r\n", Meaning::Version),
            ("SERVER_ERROR out of memory\r\n", Meaning::ServerError),
            ("ERROR\r\n", Meaning::Refused),
            ("CLIENT_ERROR bad data chunk\r\n", Meaning::Refused),
            ("TOUCHED\n", Meaning::Done),
        ];
        for (reply, meaning) in replies {
            assert_eq!(whole(reply), Scan::Whole(reply.len(), meaning), "{reply}");
            assert_eq!(whole(&format!("{reply}END\r\n")), Scan::Whole(reply.len(), meaning), "{reply}");
            for end in 0..reply.len() {
                let Scan::Part(least) = whole(&reply[..end]) else { panic!("{:?}", &reply[..end]) };
                assert!(end < least && least <= reply.len(), "{reply}: {least} of {end}");
            }
        }
    }

    #[test]
    fn a_reply_to_several_keys_comes_by_items() {
        let replies = [
            ("VALUE a 0 3\r\nabc\r\n", Meaning::Item),
            ("VALUE b 1 7 9\r\nEND\r\nVA\r\n", Meaning::Item),
            ("END\r\n", Meaning::Miss),
            ("SERVER_ERROR out of memory\r\n", Meaning::ServerError),
        ];
        for (reply, meaning) in replies {
            let input = format!("{reply}END\r\n");
            assert_eq!(scan_item(input.as_bytes(), 100), Scan::Whole(reply.len(), meaning), "{reply}");
            for end in 0..reply.len() {
                let Scan::Part(least) = scan_item(&reply.as_bytes()[..end], 100) else { panic!("{end}") };
                assert!(end < least && least <= reply.len(), "{reply}: {least} of {end}");
            }
        }
        assert_eq!(key_of(replies[1].0.as_bytes()), b"b");
        for bad in ["VALUE a 0 101\r\n", "VALUE a 0 1\r\nabc", "what\r\n"] {
            assert_eq!(scan_item(bad.as_bytes(), 100), Scan::Bad(Reason::Parsing), "{bad}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_at_once() {
        let bad = [
            ("VALUE k 0\r\n", Reason::Parsing),
            ("VALUE k 0 101\r\n", Reason::Parsing),
            ("VALUE k 0 -1\r\n", Reason::Parsing),
            ("VALUE k 0 +1\r\n", Reason::Parsing),
            ("VALUE k 0 99999999999999999999999\r\n", Reason::Parsing),
            ("VALUE k 0 1\r\nabc", Reason::Parsing),
            ("VALUE k 0 1\r\na\r\nVALUE", Reason::MissingEnd),
            ("VA x\r\n", Reason::Parsing),
            ("VA 1\r\nabc", Reason::Parsing),
            ("\r\n", Reason::Parsing),
            ("STAT pid 1\r\n", Reason::Unexpected),
            ("MN\r\n", Reason::Unexpected),
            ("stored\r\n", Reason::Parsing),
            ("STOREDx\r\n", Reason::Parsing),
        ];
        for (reply, reason) in bad {
            assert_eq!(whole(reply), Scan::Bad(reason), "{reply}");
        }
        assert_eq!(scan(&[b'x'; LINE_MAX], 100), Scan::Bad(Reason::Parsing));
        assert_eq!(scan(&[b'x'; LINE_MAX - 1], 100), Scan::Part(LINE_MAX));
    }
}

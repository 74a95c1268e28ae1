//! Decides whether two replies are equal.
//!
//! Replies are compared byte for byte, except where two correct servers may differ:
//! - CAS numbers come from each server's own counter. The two servers' numbers must map to each
//!   other one to one. Numbers that only a client can choose (0 and those from [`CHOSEN_CAS`]) must
//!   be equal.
//! - Remaining TTL and time since the last access may differ by [`SECONDS`].
//! - `cls=` and `size=` in the reply to `me` depend on each server's memory layout.
//!
//! Replies of the binary protocol are compared packet by packet, and only the CAS may differ. The
//! packets of one statistic are passed on together.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::Outcome;
use crate::packet::{Header, Packet, opcode};

/// CAS numbers from here on come from the client, never from a server's counter.
pub const CHOSEN_CAS: u64 = 1_000_000_000;

/// Largest difference between two times. The servers' clocks tick once a second, but not at the
/// same moment.
pub const SECONDS: i64 = 2;

/// memcached records an access at most once in this many seconds. The two servers may differ by
/// one.
const ACCESS_INTERVAL: i64 = 60;

/// Maps the CAS numbers of the left server to those of the right one.
#[derive(Debug, Default)]
pub struct Comparison {
    right_of: HashMap<(u64, u64), u64>,
    left_of: HashMap<(u64, u64), u64>,
    /// Set if each key has numbers of its own: a hash of the key of the current command.
    pub key: Option<u64>,
}

impl Comparison {
    /// Compares two replies, and appends the pairs of CAS numbers in them to `numbers`.
    ///
    /// # Errors
    ///
    /// A description of the difference.
    pub fn compare(&mut self, left: &[u8], right: &[u8], numbers: &mut Vec<(u64, u64)>) -> Outcome<()> {
        let (mut left, mut right) = (left, right);
        loop {
            let (one, two) = (line(left), line(right));
            (left, right) = (&left[one.len()..], &right[two.len()..]);
            if one.is_empty() && two.is_empty() {
                return Ok(());
            }
            self.compare_lines(one, two, numbers)?;
            if let Some(length) = value_length(one) {
                let (a, b) = (&left[..left.len().min(length)], &right[..right.len().min(length)]);
                if a != b {
                    return Err("the values differ".to_owned());
                }
                (left, right) = (&left[a.len()..], &right[b.len()..]);
            }
        }
    }

    /// Compares replies of the binary protocol. `statistics` compares two lists of `NAME VALUE`.
    ///
    /// # Errors
    ///
    /// A description of the difference.
    pub fn compare_packets(
        &mut self,
        left: &[u8],
        right: &[u8],
        numbers: &mut Vec<(u64, u64)>,
        statistics: fn(&[String], &[String]) -> Outcome<()>,
    ) -> Outcome<()> {
        let ((one, left_over), (two, right_over)) = (Packet::split(left), Packet::split(right));
        let (mut one, mut two) = (one.as_slice(), two.as_slice());
        while let ([a, ..], [b, ..]) = (one, two) {
            if is_statistic(a) && is_statistic(b) && a.header.opaque == b.header.opaque {
                statistics(&take_statistics(&mut one, a.header)?, &take_statistics(&mut two, a.header)?)?;
                continue;
            }
            if (Header { cas: 0, ..a.header }) != (Header { cas: 0, ..b.header }) {
                return Err("the headers differ".to_owned());
            }
            let pair = (a.header.cas, b.header.cas);
            if pair != (0, 0) && !self.same_cas(pair.0, pair.1, numbers) {
                return Err("the CAS numbers differ".to_owned());
            }
            if a.body != b.body {
                return Err("the bodies differ".to_owned());
            }
            (one, two) = (&one[1..], &two[1..]);
        }
        match (one.len(), two.len()) {
            (0, 0) if left_over == right_over => Ok(()),
            (0, 0) => Err("something is left over".to_owned()),
            (0, more) => Err(format!("the right reply has {more} packets more")),
            (more, _) => Err(format!("the left reply has {more} packets more")),
        }
    }

    fn compare_lines(&mut self, left: &[u8], right: &[u8], numbers: &mut Vec<(u64, u64)>) -> Outcome<()> {
        let kind = Kind::of(left);
        if self.key.is_some() && kind == Kind::Value {
            self.key = left.split(|&byte| byte == b' ').nth(1).map(hash);
        }
        if kind == Kind::Plain {
            return if left == right { Ok(()) } else { Err("a line differs".to_owned()) };
        }
        let one: Vec<&[u8]> = left.split(|&byte| byte == b' ').collect();
        let two: Vec<&[u8]> = right.split(|&byte| byte == b' ').collect();
        if one.len() != two.len() {
            return Err("a line has more words than the other".to_owned());
        }
        for (at, (a, b)) in one.iter().zip(&two).enumerate() {
            let same = match kind.role(at, a) {
                Role::Exact => a == b,
                Role::Cas(skip) => {
                    let pair = number(a, skip).zip(number(b, skip));
                    pair.is_some_and(|(a, b)| self.same_cas(a, b, numbers))
                }
                Role::Seconds(skip) => {
                    number(a, skip).zip(number(b, skip)).is_some_and(|(a, b)| near(a, b)) || a == b
                }
                Role::Access(skip) => {
                    number(a, skip).zip(number(b, skip)).is_some_and(|(a, b)| near(a, b) || wrapped(a, b))
                }
                Role::Layout(skip) => number(a, skip).is_some() && number(b, skip).is_some(),
            };
            if !same {
                return Err(format!("word {} of a line differs", at + 1));
            }
        }
        Ok(())
    }

    fn same_cas(&mut self, left: u64, right: u64, numbers: &mut Vec<(u64, u64)>) -> bool {
        numbers.push((left, right));
        let chosen = |number| number == 0 || number >= CHOSEN_CAS;
        if chosen(left) || chosen(right) {
            return left == right;
        }
        let key = self.key.unwrap_or_default();
        *self.right_of.entry((key, left)).or_insert(right) == right
            && *self.left_of.entry((key, right)).or_insert(left) == left
    }
}

/// Returns a number for a key.
pub fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn is_statistic(packet: &Packet<'_>) -> bool {
    packet.header.opcode == opcode::STAT && packet.header.status == 0
}

/// Removes the packets of a statistic, up to the empty packet behind them.
fn take_statistics(packets: &mut &[Packet<'_>], like: Header) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    while let [packet, rest @ ..] = *packets {
        *packets = rest;
        let (_, key, value) = packet.parts();
        if packet.header != (Header { key: packet.header.key, body: packet.header.body, cas: 0, ..like }) {
            return Err("a statistic has another header".to_owned());
        }
        if packet.body.is_empty() {
            return Ok(lines);
        }
        lines.push(format!("{} {}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
    }
    Err("the statistics do not end".to_owned())
}

/// The kind of a reply's line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Value,
    Meta,
    Debug,
}

/// How a word of a line is compared, and how many of its bytes come before the number.
pub(crate) enum Role {
    Exact,
    Cas(usize),
    Seconds(usize),
    Access(usize),
    Layout(usize),
}

impl Kind {
    pub(crate) fn of(line: &[u8]) -> Self {
        match line {
            [b'V', b'A', b'L', b'U', b'E', b' ', ..] => Self::Value,
            [b'M', b'E', b' ', ..] => Self::Debug,
            [b'V', b'A', b' ', ..]
            | [b'H', b'D', b' ', ..]
            | [b'E', b'N' | b'X', b' ', ..]
            | [b'N', b'S' | b'F', b' ', ..] => Self::Meta,
            _ => Self::Plain,
        }
    }

    /// Returns the role of the word at index `at` of such a line.
    pub(crate) fn role(self, at: usize, word: &[u8]) -> Role {
        match (self, at, word) {
            (Self::Value, 4, _) => Role::Cas(0),
            (Self::Meta, 1.., [b'c', b'0'..=b'9', ..]) => Role::Cas(1),
            (Self::Meta, 1.., [b't', ..]) => Role::Seconds(1),
            (Self::Meta, 1.., [b'l', b'0'..=b'9', ..]) => Role::Access(1),
            (Self::Debug, 2.., word) if word.starts_with(b"exp=") => Role::Seconds(4),
            (Self::Debug, 2.., word) if word.starts_with(b"la=") => Role::Access(3),
            (Self::Debug, 2.., word) if word.starts_with(b"cas=") => Role::Cas(4),
            (Self::Debug, 2.., word) if word.starts_with(b"cls=") => Role::Layout(4),
            (Self::Debug, 2.., word) if word.starts_with(b"size=") => Role::Layout(5),
            _ => Role::Exact,
        }
    }
}

/// Returns the first line of `bytes` with its end, or all bytes if it has no end.
pub(crate) fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
    &bytes[..end]
}

/// Returns the length of the value, with its line end, that follows this line.
pub(crate) fn value_length(line: &[u8]) -> Option<usize> {
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    let length = match words.next()? {
        b"VALUE" => words.nth(2)?,
        b"VA" => words.next()?,
        _ => return None,
    };
    number(length, 0).map(|length| length as usize + 2)
}

pub(crate) fn number(word: &[u8], skip: usize) -> Option<u64> {
    std::str::from_utf8(word.get(skip..)?.trim_ascii_end()).ok()?.parse().ok()
}

/// Returns whether two times differ by at most [`SECONDS`], in 32 bits. memcached prints a time in
/// the past as a 32-bit number that wrapped.
pub(crate) fn near(left: u64, right: u64) -> bool {
    i64::from((left as u32).wrapping_sub(right as u32) as i32).abs() <= SECONDS
}

fn wrapped(left: u64, right: u64) -> bool {
    let (low, high) = (left.min(right) as i64, left.max(right) as i64);
    low <= SECONDS && (ACCESS_INTERVAL - SECONDS..=ACCESS_INTERVAL + 2 * SECONDS).contains(&high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(pairs: &[(&str, &str)]) -> bool {
        let mut comparison = Comparison::default();
        pairs.iter().all(|(a, b)| comparison.compare(a.as_bytes(), b.as_bytes(), &mut Vec::new()).is_ok())
    }

    #[test]
    fn cas_numbers_map_one_to_one() {
        assert!(same(&[
            ("HD c5 t10\r\n", "HD c9 t11\r\n"),
            ("VALUE a 0 1 5\r\nx\r\nEND\r\n", "VALUE a 0 1 9\r\nx\r\nEND\r\n")
        ]));
        assert!(!same(&[("HD c5\r\n", "HD c9\r\n"), ("HD c5\r\n", "HD c10\r\n")]));
        assert!(!same(&[("HD c5\r\n", "HD c9\r\n"), ("HD c6\r\n", "HD c9\r\n")]));
        assert!(!same(&[("HD c0\r\n", "HD c9\r\n")]));
        assert!(!same(&[("HD c1000000001\r\n", "HD c1000000002\r\n")]));
    }

    #[test]
    fn packets_are_exact_but_for_their_cas_numbers() {
        fn never(_: &[String], _: &[String]) -> Outcome<()> {
            Err("no statistics here".to_owned())
        }
        let packet = |header: Header, body: &[u8]| {
            let header = Header { magic: 0x81, body: body.len() as u32, ..header };
            [&header.bytes()[..], body].concat()
        };
        let get = Header { extras: 4, opaque: 9, ..Header::request(opcode::GET) };
        let left = packet(Header { cas: 5, ..get }, b"\0\0\0\x01value");
        let mut numbers = Vec::new();
        let mut comparison = Comparison::default();
        let mut same = |right: &[u8]| comparison.compare_packets(&left, right, &mut numbers, never).is_ok();
        assert!(same(&packet(Header { cas: 8, ..get }, b"\0\0\0\x01value")));
        assert!(!same(&packet(Header { cas: 9, ..get }, b"\0\0\0\x01value")));
        assert!(!same(&packet(Header { cas: 0, ..get }, b"\0\0\0\x01value")));
        assert!(!same(&packet(Header { cas: 8, status: 1, ..get }, b"\0\0\0\x01value")));
        assert!(!same(&packet(Header { cas: 8, opaque: 8, ..get }, b"\0\0\0\x01value")));
        assert!(!same(&packet(Header { cas: 8, ..get }, b"\0\0\0\x02value")));
        assert!(!same(&[&packet(Header { cas: 8, ..get }, b"\0\0\0\x01value")[..], b"x"].concat()));
        assert!(!same(b""));
        assert_eq!(numbers[0], (5, 8));
    }

    #[test]
    fn statistics_are_handed_out_together() {
        fn names(left: &[String], right: &[String]) -> Outcome<()> {
            let name = |line: &String| line.split(' ').next().map(str::to_owned);
            let same = left.iter().map(name).eq(right.iter().map(name));
            if same { Ok(()) } else { Err("names".to_owned()) }
        }
        let one = |key: &str, value: &str| {
            let body = (key.len() + value.len()) as u32;
            let header = Header { magic: 0x81, key: key.len() as u16, body, ..Header::request(opcode::STAT) };
            [&header.bytes()[..], key.as_bytes(), value.as_bytes()].concat()
        };
        let many = |pairs: &[(&str, &str)]| {
            pairs.iter().flat_map(|(key, value)| one(key, value)).collect::<Vec<_>>()
        };
        let left = many(&[("pid", "7"), ("uptime", "100"), ("", "")]);
        let same = |right: &[u8]| {
            Comparison::default().compare_packets(&left, right, &mut Vec::new(), names).is_ok()
        };
        assert!(same(&many(&[("pid", "12"), ("uptime", "9"), ("", "")])));
        assert!(!same(&many(&[("pid", "12"), ("", "")])));
        assert!(!same(&many(&[("pid", "12"), ("uptime", "9")])));
    }

    #[test]
    fn the_rest_is_exact() {
        assert!(!same(&[("HD t10\r\n", "HD t17\r\n")]));
        assert!(same(&[
            ("HD t-1\r\n", "HD t-1\r\n"),
            ("ME k exp=-1 la=2 cas=3 cls=1 size=9\r\n", "ME k exp=-1 la=1 cas=3 cls=2 size=8\r\n")
        ]));
        assert!(!same(&[("VALUE a 0 4\r\nHD c\r\nEND\r\n", "VALUE a 0 4\r\nHD d\r\nEND\r\n")]));
        assert!(!same(&[("END\r\n", "")]));
    }
}

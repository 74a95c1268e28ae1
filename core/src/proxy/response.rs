//! Replies of backends: their first line, and how many bytes belong to them.
//!
//! A backend gets requests for one key, so each reply is a line, and perhaps a value. The words are
//! those that memcached's proxy knows. Other lines are faults, because nothing after them can be
//! trusted.

use memchr::memchr;

use super::run::Mark;

/// Bytes of a line at most, with its end. The longest that memcached sends has about 700.
pub const MAX_LINE: usize = 2048;

/// The end of a reply with a value to a classic get.
const END: &[u8] = b"END\r\n";

/// The meaning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `STORED`.
    Stored,
    /// `EXISTS` or `EX`.
    Exists,
    /// `DELETED`.
    Deleted,
    /// `TOUCHED`.
    Touched,
    /// `NOT_FOUND` or `NF`.
    NotFound,
    /// `NOT_STORED` or `NS`.
    NotStored,
    /// `OK`, `HD`, `ME`, a number, or a value.
    Ok,
    /// `MN`.
    Nop,
    /// `END` or `EN`: a miss.
    End,
    /// `ERROR`.
    Error,
    /// `CLIENT_ERROR`.
    ClientError,
    /// `SERVER_ERROR`.
    ServerError,
    /// Another word of two letters, which meta commands may have one day.
    Unknown,
}

/// The part of a reply behind its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Nothing,
    /// A value of this length, and the end of its line.
    Meta(usize),
    /// A value, the end of its line, and `END`.
    Classic(usize),
}

/// The first line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its meaning.
    pub code: Code,
    line: usize,
    body: Body,
}

/// A reply that cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
    /// The line is not one of a reply, or is too long.
    Unknown,
    /// `VERSION` or `STAT`: a reply to another request.
    Unhandled,
    /// The value is not followed by the end of its line, or by `END`.
    MissingEnd,
}

impl Head {
    /// Parses the line at the start of some bytes. Returns `None` if its end has not arrived.
    ///
    /// # Errors
    ///
    /// The line cannot be passed on.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ResponseFault> {
        let seen = bytes.get(..MAX_LINE).unwrap_or(bytes);
        let Some(end) = memchr(b'\n', seen) else {
            return if bytes.len() < MAX_LINE { Ok(None) } else { Err(ResponseFault::Unknown) };
        };
        let line = &bytes[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, body) = parse_line(line)?;
        Ok(Some(Self { code, line: end + 1, body }))
    }

    /// Returns the length of the whole reply.
    pub fn length(&self) -> usize {
        self.line.saturating_add(match self.body {
            Body::Nothing => 0,
            Body::Meta(value) => value + 2,
            Body::Classic(value) => value + 2 + END.len(),
        })
    }

    /// Checks the end of a whole reply.
    ///
    /// # Errors
    ///
    /// The value is not followed by what belongs there.
    pub fn check_end(&self, reply: &[u8]) -> Result<(), ResponseFault> {
        let is_whole = match self.body {
            Body::Nothing => true,
            Body::Meta(_) => reply.ends_with(b"\r\n"),
            Body::Classic(_) => reply.strip_suffix(END).is_some_and(|rest| rest.ends_with(b"\r\n")),
        };
        if is_whole { Ok(()) } else { Err(ResponseFault::MissingEnd) }
    }

    /// Returns what the reply is worth to a route.
    pub fn mark(&self) -> Mark {
        match self.code {
            Code::End => Mark::Miss,
            Code::Error | Code::ClientError | Code::ServerError | Code::Unknown => Mark::Error,
            _ => Mark::Good,
        }
    }
}

fn parse_line(line: &[u8]) -> Result<(Code, Body), ResponseFault> {
    let mut words = line.split(|byte| *byte == b' ');
    let word = words.next().unwrap_or_default();
    let code = match word {
        b"VALUE" => return value(words).ok_or(ResponseFault::Unknown),
        b"VA" => {
            let length = words.next().and_then(number::<u32>).ok_or(ResponseFault::Unknown)?;
            return Ok((Code::Ok, Body::Meta(length as usize)));
        }
        b"STORED" => Code::Stored,
        b"EXISTS" | b"EX" => Code::Exists,
        b"DELETED" => Code::Deleted,
        b"TOUCHED" => Code::Touched,
        b"NOT_FOUND" | b"NF" => Code::NotFound,
        b"NOT_STORED" | b"NS" => Code::NotStored,
        b"OK" | b"HD" | b"ME" => Code::Ok,
        b"MN" => Code::Nop,
        b"END" | b"EN" => Code::End,
        b"ERROR" => Code::Error,
        b"CLIENT_ERROR" => Code::ClientError,
        b"SERVER_ERROR" => Code::ServerError,
        b"VERSION" | b"STAT" => return Err(ResponseFault::Unhandled),
        [first, ..] if first.is_ascii_digit() => Code::Ok,
        [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => Code::Unknown,
        _ => return Err(ResponseFault::Unknown),
    };
    Ok((code, Body::Nothing))
}

/// Parses the rest of `VALUE <key> <flags> <bytes> [<cas>]`.
fn value<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<(Code, Body)> {
    let key = words.next()?;
    number::<u32>(words.next()?)?;
    let length = number::<u32>(words.next()?)?;
    if let Some(cas) = words.next() {
        number::<u64>(cas)?;
    }
    (!key.is_empty() && words.next().is_none()).then_some((Code::Ok, Body::Classic(length as usize)))
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    // FromStr takes a sign.
    let text = str::from_utf8(digits).ok().filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_codes_and_lengths() {
        let cases: [(&[u8], Code, Mark, usize); 22] = [
            (b"STORED\r\n", Code::Stored, Mark::Good, 8),
            (b"EXISTS\r\n", Code::Exists, Mark::Good, 8),
            (b"DELETED\r\n", Code::Deleted, Mark::Good, 9),
            (b"TOUCHED\r\n", Code::Touched, Mark::Good, 9),
            (b"NOT_FOUND\r\n", Code::NotFound, Mark::Good, 11),
            (b"NOT_STORED\r\n", Code::NotStored, Mark::Good, 12),
            (b"OK\r\n", Code::Ok, Mark::Good, 4),
            (b"17\r\n", Code::Ok, Mark::Good, 4),
            (b"END\r\n", Code::End, Mark::Miss, 5),
            (b"VALUE a 0 3\r\n", Code::Ok, Mark::Good, 23),
            (b"VALUE a 4294967295 0 18446744073709551615\n", Code::Ok, Mark::Good, 49),
            (b"HD f1\r\n", Code::Ok, Mark::Good, 7),
            (b"VA 3 t-1\r\n", Code::Ok, Mark::Good, 15),
            (b"ME a exp=-1\r\n", Code::Ok, Mark::Good, 13),
            (b"MN\r\n", Code::Nop, Mark::Good, 4),
            (b"EN\r\n", Code::End, Mark::Miss, 4),
            (b"EX\r\n", Code::Exists, Mark::Good, 4),
            (b"NF O1\r\n", Code::NotFound, Mark::Good, 7),
            (b"NS\n", Code::NotStored, Mark::Good, 3),
            (b"XY\r\n", Code::Unknown, Mark::Error, 4),
            (b"ERROR\r\n", Code::Error, Mark::Error, 7),
            (b"SERVER_ERROR out of memory\r\n", Code::ServerError, Mark::Error, 28),
        ];
        for (bytes, code, mark, length) in cases {
            let head = Head::parse(bytes).ok().flatten();
            let found = head.map(|head| (head.code, head.mark(), head.length()));
            assert_eq!(found, Some((code, mark, length)), "{}", bytes.escape_ascii());
            for cut in 0..bytes.len() {
                assert_eq!(Head::parse(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn other_lines_are_faults() {
        let unknown: [&[u8]; 14] = [
            b"\r\n",
            b"\n",
            b"a\r\n",
            b" END\r\n",
            b"end\r\n",
            b"STOREDX\r\n",
            b"SERVER_ERRORS\r\n",
            b"VALUE\r\n",
            b"VALUE a 0\r\n",
            b"VALUE a 0 -1\r\n",
            b"VALUE a 0 +1\r\n",
            b"VALUE a 0 4294967296\r\n",
            b"VALUE a 0 1 2 3\r\n",
            b"VA\r\n",
        ];
        for bytes in unknown {
            assert_eq!(Head::parse(bytes), Err(ResponseFault::Unknown), "{}", bytes.escape_ascii());
        }
        assert_eq!(Head::parse(b"VERSION 1.6.45\r\n"), Err(ResponseFault::Unhandled));
        assert_eq!(Head::parse(b"STAT pid 1\r\n"), Err(ResponseFault::Unhandled));
        assert_eq!(Head::parse(&[b'1'; MAX_LINE - 1]), Ok(None));
        assert_eq!(Head::parse(&[b'1'; MAX_LINE]), Err(ResponseFault::Unknown));
    }

    #[test]
    fn values_have_ends() {
        let ends = |reply: &[u8]| {
            let head = Head::parse(reply).ok().flatten();
            head.filter(|head| head.length() == reply.len()).map(|head| head.check_end(reply).is_ok())
        };
        assert_eq!(ends(b"VALUE a 0 1\r\nx\r\nEND\r\n"), Some(true));
        assert_eq!(ends(b"VALUE a 0 1\r\nx\r\nEND\n\n"), Some(false));
        assert_eq!(ends(b"VALUE a 0 1\r\nxx\nEND\r\n"), Some(false));
        assert_eq!(ends(b"VA 1\r\nx\r\n"), Some(true));
        assert_eq!(ends(b"VA 1\r\nxxx"), Some(false));
    }
}

//! A line as memcached's proxy parses it, which looks at less of a line than a server.

use std::ops::Range;

use super::command::{Command, Kind};
use crate::protocol::tokens::{Tokens, strict_i32};

/// Longest key.
const KEY_MAX: usize = 250;

/// A reason to refuse a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command is unknown. memcached's proxy closes the connection of the client.
    Unknown,
    /// The command has not the tokens that it needs.
    Malformed,
}

/// The parts of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The command.
    pub command: &'static Command,
    /// The range of the key, or `0..0` if the command has none.
    pub key: Range<usize>,
    /// Length of the value and its end that follow, or 0 if none follows.
    pub value: usize,
    /// Number of tokens.
    pub tokens: usize,
    /// The flags of a meta command.
    pub flags: Flags,
}

impl Line {
    /// Parses a line without its end.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        if line.len() < 2 {
            return Err(Fault::Malformed);
        }
        let word = line.split(|&byte| byte == b' ').next().and_then(|word| str::from_utf8(word).ok());
        let command = word.and_then(Command::parsed).ok_or(Fault::Unknown)?;
        let tokens = Tokens::new(line);
        let least = match command.kind {
            Kind::Server => 1,
            // `cas` does without its last token, as in memcached.
            Kind::Store => command.length() + 1,
            Kind::Change if !command.is_meta() => 3,
            _ => command.key() + 1,
        };
        if tokens.len() < least {
            return Err(Fault::Malformed);
        }
        let value = match command.length() {
            0 => 0,
            at => tokens.get(at).and_then(value_length).ok_or(Fault::Malformed)?,
        };
        let mut flags = Flags::default();
        if command.is_meta() {
            flags = Flags::of(tokens.from(command.flags())).ok_or(Fault::Malformed)?;
        }
        let key = match command.key() {
            0 => 0..0,
            at => range_of(line, tokens.get(at).ok_or(Fault::Malformed)?),
        };
        // The keys of a get are checked when it has been split.
        if key.len() > KEY_MAX && !command.is_get() {
            return Err(Fault::Malformed);
        }
        Ok(Self { command, key, value, tokens: tokens.len(), flags })
    }
}

/// Returns the range of `part` in `line`, of which it is a slice.
pub fn range_of(line: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

fn value_length(token: &[u8]) -> Option<usize> {
    let length = usize::try_from(strict_i32(token)?).ok()?;
    (length <= i32::MAX as usize - 2).then_some(length + 2)
}

/// The flags of a meta command or reply, each by its letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    /// Returns the flags of tokens. Returns `None` if one begins with neither a letter, one of the
    /// characters between the upper and the lower case, nor a digit.
    pub fn of<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut flags = Self::default();
        for token in tokens {
            match token.first()? {
                letter if Self::is_flag(*letter) => flags.insert(*letter),
                b'0'..=b'9' => {}
                _ => return None,
            }
        }
        Some(flags)
    }

    /// Returns whether memcached takes a character for a flag: from `A` to `z`.
    pub fn is_flag(letter: u8) -> bool {
        matches!(letter, b'A'..=b'z')
    }

    /// Returns whether a flag is there.
    pub fn has(self, letter: u8) -> bool {
        Self::is_flag(letter) && self.0 & 1 << (letter - b'A') != 0
    }

    /// Adds a flag, which is one.
    pub fn insert(&mut self, letter: u8) {
        if Self::is_flag(letter) {
            self.0 |= 1 << (letter - b'A');
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn parse(line: &str) -> Result<Line, Fault> {
        Line::parse(line.as_bytes())
    }

    #[test]
    fn lines_of_each_form() {
        let lines = [
            ("get k", 7, "k", 0, 2),
            ("get  k l  m ", 7, "k", 0, 4),
            ("gats 0 k", 13, "k", 0, 3),
            ("set k 0 0 0", 9, "k", 2, 5),
            ("cas k 0 0 7 noreply", 11, "k", 9, 6),
            ("ms k 2147483645", 2, "k", 2_147_483_647, 3),
            ("incr k 1", 14, "k", 0, 3),
            ("touch k x", 16, "k", 0, 3),
            ("delete k", 18, "k", 0, 2),
            ("me k b", 6, "k", 0, 3),
            ("mg k 9 [ z", 1, "k", 0, 5),
            ("version", 27, "", 0, 1),
            ("mn", 4, "", 0, 1),
        ];
        for (line, number, key, value, tokens) in lines {
            let parsed = parse(line).unwrap();
            assert_eq!((parsed.command.number, &line[parsed.key]), (number, key), "{line}");
            assert_eq!((parsed.value, parsed.tokens), (value, tokens), "{line}");
        }
        let flags = parse("mg k s Oabc q 4").unwrap().flags;
        assert!(flags.has(b's') && flags.has(b'O') && flags.has(b'q'));
        assert!(!flags.has(b'a') && !flags.has(b'4') && !flags.has(b'k'));
    }

    #[test]
    fn a_line_that_lacks_tokens_is_malformed() {
        let long = format!("md {}", "k".repeat(251));
        let lines = [
            "mg",
            "ms k",
            "ms k x",
            "ms k -1",
            "ms k 2147483646",
            "mg k -",
            "md k {x",
            "get",
            "gat 1",
            "set k 0 0",
            "set k 0 0 1x",
            "incr k",
            "touch k",
            "delete",
            "x",
            "",
            &long,
        ];
        for line in lines {
            assert_eq!(parse(line), Err(Fault::Malformed), "{line}");
        }
        assert!(parse(&format!("get {}", "k".repeat(251))).is_ok(), "one of many keys may be long");
    }

    #[test]
    fn other_commands_are_unknown() {
        for line in
            ["flush_all", " get k", "GET k", "mx k", "gets2 k", "lru_crawler metadump all", "\u{e9}\u{e9} k"]
        {
            assert_eq!(parse(line), Err(Fault::Unknown), "{line}");
        }
    }
}

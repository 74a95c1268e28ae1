//! Finds the keys of commands that wait in a pipeline, so that their memory can be prefetched. The
//! results are guesses; only the parsers decide what a line means.

use memchr::memchr;

use super::binary::PacketHeader;
use super::commands::{COMMANDS, places};

/// Length of the longest word of a command with a key, and of the space behind it.
const WORD_MAX: usize = {
    let (mut most, mut at) = (0, 0);
    while at < COMMANDS.len() {
        if COMMANDS[at].key > 0 && COMMANDS[at].word.len() > most {
            most = COMMANDS[at].word.len();
        }
        at += 1;
    }
    most + 1
};

/// Calls `found` with the keys of the first commands of `input`, at most `most` times. Stops at a
/// command whose form is not known. Returns the number of bytes of these commands.
#[inline]
pub fn keys<'a>(input: &'a [u8], most: usize, mut found: impl FnMut(&'a [u8])) -> usize {
    let mut at = 0;
    for _ in 0..most {
        let Some((key, length)) = input.get(at..).and_then(command) else { break };
        found(key);
        at += length;
    }
    at
}

/// The same for packets of the binary protocol. A single packet is not examined, because there is
/// nothing to gain.
#[inline]
pub fn packet_keys<'a>(input: &'a [u8], most: usize, mut found: impl FnMut(&'a [u8])) -> usize {
    let mut at = 0;
    for _ in 0..most {
        let Some((key, length)) = input.get(at..).and_then(packet) else { break };
        if at == 0 && length >= input.len() {
            return length;
        }
        if !key.is_empty() {
            found(key);
        }
        at = at.saturating_add(length);
    }
    at
}

/// Returns the key and the length of the packet that `input` begins with.
#[inline]
fn packet(input: &[u8]) -> Option<(&[u8], usize)> {
    let header = PacketHeader::read(input).filter(PacketHeader::is_request)?;
    Some((input.get(header.key())?, header.whole()))
}

/// Returns the key and the length of the command that `input` begins with.
#[inline]
fn command(input: &[u8]) -> Option<(&[u8], usize)> {
    let line = input.get(..memchr(b'\n', input)? + 1)?;
    let word = line.iter().take(WORD_MAX).position(|&byte| byte == b' ')?;
    let rest = line.get(word + 1..)?;
    let (place, value) = places(line.get(..word)?)?;
    let rest = match place {
        0 => return None,
        1 => rest,
        _ => after(rest, place - 1)?,
    };
    let end = rest.iter().position(|&byte| matches!(byte, b' ' | b'\r' | b'\n'))?;
    let key = rest.get(..end).filter(|key| !key.is_empty())?;
    if value == 0 {
        return Some((key, line.len()));
    }
    let digits = after(rest, value - place)?.iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.take(7).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    Some((key, line.len() + length + 2))
}

/// Returns the rest of a line behind its first `count` tokens, of which there is at least one.
#[inline]
fn after(line: &[u8], count: usize) -> Option<&[u8]> {
    let (mut left, mut is_space) = (count, false);
    for (at, &byte) in line.iter().enumerate() {
        if byte == b' ' {
            is_space = true;
        } else if is_space {
            is_space = false;
            left -= 1;
            if left == 0 {
                return line.get(at..);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    fn seen(input: &str, most: usize) -> (Vec<String>, usize) {
        let mut keys = Vec::new();
        let used =
            super::keys(input.as_bytes(), most, |key| keys.push(String::from_utf8_lossy(key).into_owned()));
        (keys, used)
    }

    #[test]
    fn keys_of_what_is_to_come() {
        let input = "get a\r\nset b 0 0 5\r\nhello\r\nmg c v\r\nms d 2 T0\r\nxy\r\ncas e 1 2 3 4\r\nabc\r\ndelete f\r\n";
        assert_eq!(seen(input, 16), (["a", "b", "c", "d", "e", "f"].map(String::from).to_vec(), input.len()));
        assert_eq!(seen(input, 2).0, ["a", "b"]);
    }

    #[test]
    fn ends_at_what_it_does_not_know() {
        assert_eq!(seen("get a\r\nstats\r\nget b\r\n", 16), (vec!["a".into()], 7));
        assert_eq!(seen("get a\r\nget b", 16).0, ["a"]);
        for odd in ["", "\n", "get", "get \r\n", "set k\r\n", "set k 0 0\r\n", "  get a\r\n"] {
            assert!(seen(odd, 16).0.is_empty(), "{odd}");
        }
        // Longer than the input, or absurdly long: there is no next command.
        assert_eq!(seen("set a 0 0 100\r\nxx\r\nget b\r\n", 16).0, ["a"]);
        assert_eq!(seen("set a 0 0 99999999999999999999999\r\nget b\r\n", 16).0, ["a"]);
    }
}

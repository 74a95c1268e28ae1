//! The meta protocol: `mg ms md ma me`, a key and single-letter flags.
//!
//! Like memcached, the parser checks all flags first. The first invalid one decides the error line.

mod encode;
mod flags;

pub use self::encode::{Echo, Encoder};
use self::flags::{BAD_DELTA_FLAG, decode_key};
pub use self::flags::{Flags, LONG_OPAQUE};
use crate::config::KEY_MAX;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_i32};

/// A parsed meta line.
#[derive(Debug)]
pub enum Line<'a> {
    /// `mg`.
    Get(Flags<'a>),
    /// `ms` with a value of this many bytes.
    Set(Flags<'a>, usize),
    /// `md`.
    Delete(Flags<'a>),
    /// `ma`.
    Delta(Flags<'a>),
    /// `mn`.
    Noop,
    /// `me`.
    Inspect(Flags<'a>),
    /// A line that is answered with an error. A value of this many bytes is discarded.
    Bad(&'static str, usize),
    /// Not a meta command.
    Other,
}

/// Parses a line without its end that begins with a two-letter word.
#[inline]
pub fn parse(line: &[u8]) -> Line<'_> {
    match line.get(..2) {
        Some(b"mg") => flagged(line, Line::Get),
        Some(b"ms") => set(line),
        Some(b"md") => flagged(line, Line::Delete),
        Some(b"ma") => match Flags::parse(line, 2) {
            Ok(flags) => Line::Delta(flags),
            Err(_) if is_malformed(line, 2) => Line::Bad(text::BAD_LINE, 0),
            Err(_) => Line::Bad(BAD_DELTA_FLAG, 0),
        },
        Some(b"mn") => Line::Noop,
        Some(b"me") => inspect(line),
        _ => Line::Other,
    }
}

fn flagged<'a>(line: &'a [u8], wrap: fn(Flags<'a>) -> Line<'a>) -> Line<'a> {
    match Flags::parse(line, 2) {
        Ok(flags) => wrap(flags),
        Err(error) => Line::Bad(error, 0),
    }
}

/// Returns whether memcached's tokenizer refuses the line before it reads flags.
fn is_malformed(line: &[u8], first: usize) -> bool {
    let tokens = Tokens::new(line);
    let odd = |flag: &[u8]| !flag.first().is_some_and(|c| matches!(c, b'0'..=b'9' | b'A'..=b'z'));
    tokens.len() < first || tokens.from(first).any(odd)
}

fn set(line: &[u8]) -> Line<'_> {
    if is_malformed(line, 3) {
        return Line::Bad(text::BAD_LINE, 0);
    }
    let length = Tokens::new(line)
        .get(2)
        .and_then(strict_i32)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= i32::MAX as usize - 2);
    let Some(length) = length else { return Line::Bad(text::BAD_LINE, 0) };
    match Flags::parse(line, 3) {
        Ok(flags) => Line::Set(flags, length),
        Err(error) => Line::Bad(error, length + 2),
    }
}

fn inspect(line: &[u8]) -> Line<'_> {
    if is_malformed(line, 2) {
        return Line::Bad(text::BAD_LINE, 0);
    }
    // The flags are read loosely: a `b` counts only if another byte follows.
    let tokens = Tokens::new(line);
    let Some(key) = tokens.get(1).filter(|key| key.len() <= KEY_MAX) else {
        return Line::Bad(text::BAD_LINE, 0);
    };
    let mut flags =
        match Flags::parse(line.get(..line.len() - tokens.rest(2).map_or(0, <[u8]>::len)).unwrap_or(line), 2)
        {
            Ok(flags) => flags,
            Err(error) => return Line::Bad(error, 0),
        };
    if tokens.len() >= 4 && tokens.get(2) == Some(b"b") {
        match decode_key(key, &mut flags.key) {
            Some(length) => flags.key_len = length,
            None => return Line::Bad(text::BAD_LINE, 0),
        }
    }
    Line::Inspect(flags)
}

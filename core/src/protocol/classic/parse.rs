//! Parsing of a classic line. The session reads the values of stores.

use crate::cache::{DeltaOperation, Mode, Operation, StoreOperation};
use crate::protocol::encoder::Form;
use crate::protocol::key::Key;
use crate::protocol::line::Line;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, loose_i32, loose_u32, strict_i32, strict_u64};

#[inline]
pub(in crate::protocol) fn gets(line: &[u8], word: usize, with_cas: bool) -> Line<'_> {
    if line.iter().skip(word).all(|&byte| byte == b' ') {
        return Line::bad(text::BAD_LINE);
    }
    Line::Gets { keys: word, with_cas, touch: None }
}

pub(in crate::protocol) fn gats(line: &[u8], with_cas: bool) -> Line<'_> {
    let tokens = Tokens::new(line);
    let (Some(exptime), Some(rest)) = (tokens.get(1), tokens.rest(2)) else {
        return Line::bad(text::BAD_LINE);
    };
    match strict_i32(exptime) {
        Some(exptime) => Line::Gets { keys: line.len() - rest.len(), with_cas, touch: Some(exptime) },
        None => Line::bad(text::BAD_EXPTIME),
    }
}

#[inline]
pub(in crate::protocol) fn store(line: &[u8], mode: Mode) -> Line<'_> {
    let tokens = Tokens::new(line);
    let (Some(key), Some(length)) = (tokens.get(1), tokens.get(4)) else {
        return Line::bad(text::BAD_LINE);
    };
    let length =
        strict_i32(length).and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= i32::MAX as usize - 2);
    let Some(length) = length else { return Line::bad(text::BAD_LINE) };
    let quiet = tokens.is_noreply();
    let bad = Line::Bad { error: text::BAD_LINE, swallow: length + 2, quiet };
    let Some(key) = Key::new(key) else { return bad };
    let flags = tokens.rest(2).and_then(loose_u32);
    let exptime = tokens.rest(3).and_then(loose_i32);
    let (Some(flags), Some(exptime)) = (flags, exptime) else { return bad };
    let compare = if mode == Mode::Cas {
        match tokens.get(5).and_then(strict_u64) {
            Some(cas) => cas,
            None => return bad,
        }
    } else {
        0
    };
    let operation = StoreOperation {
        mode,
        flags,
        expiry: i64::from(exptime),
        compare,
        purge_on_failure: mode == Mode::Set,
        ..StoreOperation::default()
    };
    Line::Store { key, operation, length, form: Form::Classic { with_cas: false, quiet } }
}

pub(in crate::protocol) fn delta(line: &[u8], increment: bool) -> Line<'_> {
    data(line, 3, |tokens| {
        let delta = tokens.get(2).and_then(strict_u64).ok_or(text::BAD_DELTA)?;
        Ok(Operation::Delta(DeltaOperation::new(increment, delta)))
    })
}

pub(in crate::protocol) fn touch(line: &[u8]) -> Line<'_> {
    data(line, 3, |tokens| {
        let exptime = tokens.get(2).and_then(strict_i32).ok_or(text::BAD_EXPTIME)?;
        Ok(Operation::Touch { exptime: exptime.into() })
    })
}

pub(in crate::protocol) fn delete(line: &[u8]) -> Line<'_> {
    data(line, 2, |_| Ok(Operation::Delete { compare: 0 }))
}

/// Parses a command of at least `count` tokens, the second of which is a key. `operation` reads the
/// other tokens.
#[inline]
pub(in crate::protocol) fn data(
    line: &[u8],
    count: usize,
    operation: impl FnOnce(&Tokens<'_>) -> Result<Operation, &'static str>,
) -> Line<'_> {
    let tokens = Tokens::new(line);
    let Some(key) = tokens.get(1).filter(|_| tokens.len() >= count) else {
        return Line::bad(text::BAD_LINE);
    };
    let quiet = tokens.is_noreply();
    let bad = |error| Line::Bad { error, swallow: 0, quiet };
    let Some(key) = Key::new(key) else { return bad(text::BAD_LINE) };
    match operation(&tokens) {
        Ok(operation) => Line::Data { key, operation, form: Form::Classic { with_cas: false, quiet } },
        Err(error) => bad(error),
    }
}

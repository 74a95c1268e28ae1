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
    let tokens = Tokens::new(line);
    let (Some(key), Some(delta)) = (tokens.get(1), tokens.get(2)) else {
        return Line::bad(text::BAD_LINE);
    };
    let quiet = tokens.is_noreply();
    let Some(key) = Key::new(key) else { return Line::Bad { error: text::BAD_LINE, swallow: 0, quiet } };
    let Some(delta) = strict_u64(delta) else {
        return Line::Bad { error: text::BAD_DELTA, swallow: 0, quiet };
    };
    data(key, Operation::Delta(DeltaOperation::new(increment, delta)), quiet)
}

pub(in crate::protocol) fn touch(line: &[u8]) -> Line<'_> {
    let tokens = Tokens::new(line);
    let (Some(key), Some(exptime)) = (tokens.get(1), tokens.get(2)) else {
        return Line::bad(text::BAD_LINE);
    };
    let quiet = tokens.is_noreply();
    let Some(key) = Key::new(key) else { return Line::Bad { error: text::BAD_LINE, swallow: 0, quiet } };
    match strict_i32(exptime) {
        Some(exptime) => data(key, Operation::Touch { exptime: i64::from(exptime) }, quiet),
        None => Line::Bad { error: text::BAD_EXPTIME, swallow: 0, quiet },
    }
}

pub(in crate::protocol) fn delete(line: &[u8]) -> Line<'_> {
    let tokens = Tokens::new(line);
    let Some(key) = tokens.get(1) else { return Line::bad(text::BAD_LINE) };
    let quiet = tokens.is_noreply();
    match Key::new(key) {
        Some(key) => data(key, Operation::Delete { compare: 0 }, quiet),
        None => Line::Bad { error: text::BAD_LINE, swallow: 0, quiet },
    }
}

fn data(key: Key<'_>, operation: Operation, quiet: bool) -> Line<'_> {
    Line::Data { key, operation, form: Form::Classic { with_cas: false, quiet } }
}

//! The classic text protocol: `get`, `set`, `incr` and so on.
//!
//! This module parses one line. The session reads the values of stores.

use super::text;
use super::tokens::{Tokens, loose_i32, loose_u32, strict_i32, strict_u64};
use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, DeltaRequest, MetaState, Mode, Number, StoreReply, Stored};
use crate::protocol::output::{Mark, Output};
use crate::protocol::reply::Reply;
use crate::protocol::request::{Key, Request, StoreHead};
use crate::store::{EntryRef, INLINE_COPY_MAX, ReadConflict};

/// A parsed line.
#[derive(Debug)]
pub enum Line<'a> {
    /// `get`, `gets`, `gat`, `gats`: the keys are in the line from `keys` on.
    Gets {
        /// Offset of the first key in the line.
        keys: usize,
        /// Whether replies contain the CAS.
        with_cas: bool,
        /// The new exptime.
        touch: Option<i32>,
    },
    /// A store. Its value of `length` bytes and `\r\n` follow.
    Store {
        /// The store.
        head: StoreHead<'a>,
        /// Bytes of the value.
        length: usize,
        /// Whether `noreply` was given.
        quiet: bool,
    },
    /// Any other data command.
    Data {
        /// The command.
        request: Request<'a>,
        /// Whether `noreply` was given.
        quiet: bool,
    },
    /// A line that is answered with an error.
    Bad {
        /// The error.
        error: &'static str,
        /// Bytes of the value that follows and is discarded.
        swallow: usize,
        /// Whether `noreply` was given.
        quiet: bool,
    },
    /// Not a data command.
    Other,
}

impl Line<'_> {
    fn bad(error: &'static str) -> Self {
        Line::Bad { error, swallow: 0, quiet: false }
    }
}

/// Parses a line without its end, whose first word has the length `word`.
#[inline]
pub fn parse(line: &[u8], word: usize, client: i32) -> Line<'_> {
    let Some(command) = line.get(..word) else { return Line::Other };
    match command {
        b"get" => gets(line, word, false),
        b"gets" => gets(line, word, true),
        b"set" => store(line, Mode::Set, client),
        b"add" => store(line, Mode::Add, client),
        b"cas" => store(line, Mode::Cas, client),
        b"gat" => gats(line, false),
        b"gats" => gats(line, true),
        b"incr" => delta(line, true, client),
        b"decr" => delta(line, false, client),
        b"touch" => touch(line),
        b"delete" => delete(line),
        b"append" => store(line, Mode::Append, client),
        b"replace" => store(line, Mode::Replace, client),
        b"prepend" => store(line, Mode::Prepend, client),
        _ => Line::Other,
    }
}

#[inline]
fn gets(line: &[u8], word: usize, with_cas: bool) -> Line<'_> {
    if line.iter().skip(word).all(|&byte| byte == b' ') {
        return Line::bad(text::BAD_LINE);
    }
    Line::Gets { keys: word, with_cas, touch: None }
}

fn gats(line: &[u8], with_cas: bool) -> Line<'_> {
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
fn store(line: &[u8], mode: Mode, _client: i32) -> Line<'_> {
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
    let head = StoreHead {
        key,
        mode,
        vivify: false,
        flags,
        exptime: i64::from(exptime),
        compare,
        cas: None,
        allow_stale: false,
        key_binary: false,
        purge_on_failure: mode == Mode::Set,
    };
    Line::Store { head, length, quiet }
}

fn delta(line: &[u8], increment: bool, client: i32) -> Line<'_> {
    let tokens = Tokens::new(line);
    let (Some(key), Some(delta)) = (tokens.get(1), tokens.get(2)) else {
        return Line::bad(text::BAD_LINE);
    };
    let quiet = tokens.is_noreply();
    let Some(key) = Key::new(key) else { return Line::Bad { error: text::BAD_LINE, swallow: 0, quiet } };
    let Some(delta) = strict_u64(delta) else {
        return Line::Bad { error: text::BAD_DELTA, swallow: 0, quiet };
    };
    let request = Request::Delta(DeltaRequest { client, ..DeltaRequest::new(key.bytes(), increment, delta) });
    Line::Data { request, quiet }
}

fn touch(line: &[u8]) -> Line<'_> {
    let tokens = Tokens::new(line);
    let (Some(key), Some(exptime)) = (tokens.get(1), tokens.get(2)) else {
        return Line::bad(text::BAD_LINE);
    };
    let quiet = tokens.is_noreply();
    let Some(key) = Key::new(key) else { return Line::Bad { error: text::BAD_LINE, swallow: 0, quiet } };
    match strict_i32(exptime) {
        Some(exptime) => Line::Data { request: Request::Touch { key, exptime: i64::from(exptime) }, quiet },
        None => Line::Bad { error: text::BAD_EXPTIME, swallow: 0, quiet },
    }
}

fn delete(line: &[u8]) -> Line<'_> {
    let tokens = Tokens::new(line);
    let Some(key) = tokens.get(1) else { return Line::bad(text::BAD_LINE) };
    let quiet = tokens.is_noreply();
    match Key::new(key) {
        Some(key) => Line::Data { request: Request::Delete { key, compare: 0 }, quiet },
        None => Line::Bad { error: text::BAD_LINE, swallow: 0, quiet },
    }
}

/// Appends a line to the output.
#[inline]
pub fn push_line(out: &mut Output, line: &str) {
    let bytes = out.bytes();
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

/// Appends a decimal number.
#[inline]
pub fn push_number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes such as a key, mostly 8 to 16 of them: two overlapping words in place of a call.
#[inline]
fn push_short(to: &mut Vec<u8>, bytes: &[u8]) {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() <= 16 => {
            let start = to.len();
            to.extend_from_slice(first);
            to.truncate(start + bytes.len() - 8);
            to.extend_from_slice(last);
        }
        _ => to.extend_from_slice(bytes),
    }
}

/// Appends a value. A small one is copied, a large one pinned.
///
/// # Errors
/// [`ReadConflict`]. Nothing was appended then.
#[inline]
pub fn push_data(out: &mut Output, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
    if entry.len() <= INLINE_COPY_MAX {
        return entry.copy_to(out.bytes());
    }
    out.pin(entry.pin()?);
    Ok(())
}

/// Appends a value and its line end. On a conflict, removes the bytes appended since `mark`.
///
/// # Errors
/// [`ReadConflict`].
#[inline]
pub fn push_value(out: &mut Output, entry: &mut EntryRef<'_>, mark: &Mark) -> Result<(), ReadConflict> {
    push_data(out, entry).inspect_err(|_| out.rewind(mark))?;
    out.bytes().extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes replies of the classic protocol.
#[derive(Debug)]
pub struct Encoder<'a> {
    /// The output.
    pub out: &'a mut Output,
    /// Whether `VALUE` lines contain the CAS.
    pub with_cas: bool,
    /// Whether `noreply` was given.
    pub quiet: bool,
}

impl Encoder<'_> {
    #[inline]
    fn line(&mut self, line: &str) {
        if !self.quiet {
            push_line(self.out, line);
        }
    }
}

impl Reply for Encoder<'_> {
    #[inline]
    fn hit(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
        let mark = self.out.mark();
        let bytes = self.out.bytes();
        let (key, length) = (entry.key(), entry.len());
        bytes.reserve(length.min(INLINE_COPY_MAX) + key.len() + 64);
        bytes.extend_from_slice(b"VALUE ");
        push_short(bytes, key);
        match entry.flags() {
            0 => bytes.extend_from_slice(b" 0 "),
            flags => {
                bytes.push(b' ');
                push_number(bytes, u64::from(flags));
                bytes.push(b' ');
            }
        }
        push_number(bytes, length as u64);
        if self.with_cas {
            bytes.push(b' ');
            push_number(bytes, entry.header().cas());
        }
        bytes.extend_from_slice(b"\r\n");
        push_value(self.out, entry, &mark)
    }

    #[inline]
    fn miss(&mut self, _key: Key<'_>) {}

    #[inline]
    fn stored(&mut self, reply: &StoreReply) {
        self.line(match reply.stored {
            Stored::Stored => "STORED",
            Stored::NotStored => "NOT_STORED",
            Stored::Exists => "EXISTS",
            Stored::NotFound => "NOT_FOUND",
        });
    }

    fn refused(&mut self, error: AllocError) {
        self.line(match error {
            AllocError::TooLarge => text::TOO_LARGE,
            AllocError::NoMemory => text::NO_MEMORY,
        });
    }

    fn deleted(&mut self, deleted: Deleted) {
        self.line(if deleted == Deleted::Deleted { "DELETED" } else { "NOT_FOUND" });
    }

    fn touched(&mut self, found: bool) {
        self.line(if found { "TOUCHED" } else { "NOT_FOUND" });
    }

    fn number(&mut self, number: Result<Number, DeltaError>) {
        match number {
            Ok(number) if !self.quiet => {
                push_number(self.out.bytes(), number.value);
                self.out.push(b"\r\n");
            }
            Ok(_) => {}
            Err(DeltaError::NotFound | DeltaError::CasMismatch) => self.line("NOT_FOUND"),
            Err(DeltaError::NonNumeric) => self.line(text::NON_NUMERIC),
            Err(DeltaError::NoMemory) => self.line(text::NO_MEMORY_DELTA),
        }
    }

    // The classic protocol has no such replies.
    fn meta_hit(&mut self, entry: &mut EntryRef<'_>, _tokens: MetaState) -> Result<(), ReadConflict> {
        self.hit(entry)
    }

    fn meta_miss(&mut self) {}

    fn inspected(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
        self.hit(entry)
    }
}

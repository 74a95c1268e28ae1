//! Replies of the meta protocol. They repeat flags in the order of the request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::flags::{Flags, LONG_OPAQUE, NO_MEMORY_VIVIFY, OPAQUE_MAX};
use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, MetaState, Number, StoreReply, Stored};
use crate::protocol::classic::{push_line, push_number, push_value};
use crate::protocol::output::{Mark, Output};
use crate::protocol::reply::Reply;
use crate::protocol::request::Key;
use crate::protocol::text;
use crate::store::{EntryRef, ReadConflict, bit};

impl Flags<'_> {
    /// Returns the flags that the reply to an `ms` repeats. They are kept until its value has
    /// arrived.
    pub fn echo(&self) -> Echo {
        let mut echo = Echo { quiet: self.quiet, ..Echo::default() };
        for flag in self.flags() {
            match flag.first() {
                Some(b'O') => {
                    if let Some(target) = echo.opaque.get_mut(..flag.len()) {
                        target.copy_from_slice(flag);
                        echo.opaque_len = flag.len() as u8;
                        echo.note(b'O');
                    }
                }
                Some(&flag @ (b'k' | b'c' | b's')) => echo.note(flag),
                _ => {}
            }
        }
        echo.binary = self.binary;
        echo
    }
}

/// The flags that the reply to an `ms` repeats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo {
    order: [u8; 4],
    count: u8,
    opaque: [u8; OPAQUE_MAX],
    opaque_len: u8,
    /// `q`: a success has no reply.
    pub quiet: bool,
    binary: bool,
}

impl Echo {
    fn note(&mut self, flag: u8) {
        if let Some(slot) = self.order.get_mut(usize::from(self.count)) {
            *slot = flag;
            self.count += 1;
        }
    }

    /// Writes the reply to an `ms` of `key`.
    pub fn answer(&self, out: &mut Output, key: &[u8], reply: &StoreReply) {
        let code: &[u8] = match reply.stored {
            Stored::Stored if self.quiet => return,
            Stored::Stored => b"HD",
            Stored::NotStored => b"NS",
            Stored::Exists => b"EX",
            Stored::NotFound => b"NF",
        };
        let bytes = out.bytes();
        bytes.extend_from_slice(code);
        for flag in self.order.iter().take(usize::from(self.count)) {
            match flag {
                b'O' => {
                    bytes.push(b' ');
                    bytes.extend(self.opaque.iter().take(usize::from(self.opaque_len)));
                }
                b'k' => push_key(bytes, key, self.binary),
                b'c' => {
                    bytes.extend_from_slice(b" c");
                    push_number(bytes, reply.cas);
                }
                _ => {
                    bytes.extend_from_slice(b" s");
                    push_number(bytes, reply.length as u64);
                }
            }
        }
        bytes.extend_from_slice(b"\r\n");
    }
}

/// Appends ` k` and the key.
fn push_key(bytes: &mut Vec<u8>, key: &[u8], binary: bool) {
    bytes.extend_from_slice(b" k");
    if binary {
        bytes.extend_from_slice(STANDARD.encode(key).as_bytes());
        bytes.extend_from_slice(b" b");
    } else {
        bytes.extend_from_slice(key);
    }
}

/// Appends ` t` and the remaining seconds.
fn push_ttl(bytes: &mut Vec<u8>, expiry: u32, now: u32) {
    if expiry == 0 {
        bytes.extend_from_slice(b" t-1");
    } else {
        bytes.extend_from_slice(b" t");
        push_number(bytes, u64::from(expiry.wrapping_sub(now)));
    }
}

/// Writes replies of the meta protocol.
#[derive(Debug)]
pub struct Encoder<'a, 'f> {
    /// The output.
    pub out: &'a mut Output,
    /// The command's flags.
    pub flags: &'a Flags<'f>,
    /// The current time, for TTLs.
    pub now: u32,
    /// The exptimes of `T` and `N`, as seconds of the clock.
    pub given: (Option<u32>, Option<u32>),
    /// The start of the reply. An error replaces it from here.
    pub start: Mark,
}

impl Encoder<'_, '_> {
    /// Appends the flags that every reply repeats.
    fn common(&mut self) {
        for flag in self.flags.flags() {
            match flag.first() {
                Some(b'O') => {
                    self.out.bytes().push(b' ');
                    self.out.push(flag);
                }
                Some(b'k') => {
                    let key = self.flags.key.get(..self.flags.key_len).unwrap_or_default();
                    push_key(self.out.bytes(), key, self.flags.binary);
                }
                _ => {}
            }
        }
        self.out.push(b"\r\n");
    }

    fn error(&mut self, line: &str) {
        self.out.rewind(&self.start);
        push_line(self.out, line);
    }

    fn long_opaque(&mut self) -> bool {
        if self.flags.long_opaque {
            self.error(LONG_OPAQUE);
        }
        self.flags.long_opaque
    }
}

impl Reply for Encoder<'_, '_> {
    fn meta_hit(&mut self, entry: &mut EntryRef<'_>, tokens: MetaState) -> Result<(), ReadConflict> {
        if self.long_opaque() {
            return Ok(());
        }
        let mark = self.out.mark();
        let moment = *entry.time();
        let header = entry.header();
        let flags = self.flags;
        let value = flags.value && flags.compare != Some(header.cas());
        let bytes = self.out.bytes();
        if value {
            bytes.extend_from_slice(b"VA ");
            push_number(bytes, entry.len() as u64);
        } else {
            bytes.extend_from_slice(b"HD");
        }
        let mut expiry = tokens.old_expiry;
        for flag in flags.flags() {
            match flag.first() {
                Some(b'T') => expiry = self.given.0.unwrap_or(expiry),
                Some(b'N') if tokens.created => expiry = self.given.1.unwrap_or(expiry),
                Some(b's') => {
                    bytes.extend_from_slice(b" s");
                    push_number(bytes, entry.len() as u64);
                }
                Some(b't') => push_ttl(bytes, expiry, moment.now),
                Some(b'c') => {
                    bytes.extend_from_slice(b" c");
                    push_number(bytes, header.cas());
                }
                Some(b'f') => {
                    bytes.extend_from_slice(b" f");
                    push_number(bytes, u64::from(entry.flags()));
                }
                Some(b'l') => {
                    bytes.extend_from_slice(b" l");
                    push_number(bytes, u64::from(moment.idle(header)));
                }
                Some(b'h') => {
                    bytes.extend_from_slice(if header.has(bit::FETCHED) { b" h1" } else { b" h0" });
                }
                Some(b'O') => {
                    bytes.push(b' ');
                    bytes.extend_from_slice(flag);
                }
                Some(b'k') => push_key(bytes, entry.key(), header.has(bit::KEY_BINARY)),
                _ => {}
            }
        }
        for (told, mark) in [(tokens.sent, b" Z"), (tokens.stale, b" X"), (tokens.win, b" W")] {
            if told {
                bytes.extend_from_slice(mark);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if value { push_value(self.out, entry, &mark) } else { Ok(()) }
    }

    fn meta_miss(&mut self) {
        if self.long_opaque() || self.flags.quiet {
            return;
        }
        self.out.push(b"EN");
        self.common();
    }

    fn deleted(&mut self, deleted: Deleted) {
        let code: &[u8] = match deleted {
            Deleted::Deleted if self.flags.quiet => return,
            Deleted::Deleted => b"HD",
            Deleted::NotFound => b"NF",
            Deleted::Exists => b"EX",
            Deleted::NoMemory => return self.error(text::NO_MEMORY_DELTA),
        };
        self.out.push(code);
        self.common();
    }

    fn number(&mut self, number: Result<Number, DeltaError>) {
        let number = match number {
            Ok(number) => number,
            Err(DeltaError::NonNumeric) => return self.error(text::NON_NUMERIC),
            Err(DeltaError::NoMemory) if self.flags.vivify.is_some() => {
                return self.error(NO_MEMORY_VIVIFY);
            }
            Err(DeltaError::NoMemory) => return self.error(text::NO_MEMORY_DELTA),
            Err(error) => {
                if !self.long_opaque() {
                    self.out.push(if error == DeltaError::NotFound { b"NF" } else { b"EX" });
                    self.common();
                }
                return;
            }
        };
        if self.long_opaque() || self.flags.quiet {
            return;
        }
        let flags = self.flags;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number.value).as_bytes();
        let bytes = self.out.bytes();
        if flags.value {
            bytes.extend_from_slice(b"VA ");
            push_number(bytes, digits.len() as u64);
        } else {
            bytes.extend_from_slice(b"HD");
        }
        let mut expiry = number.old_expiry;
        for flag in flags.flags() {
            match flag.first() {
                Some(b'c') => {
                    bytes.extend_from_slice(b" c");
                    push_number(bytes, number.cas);
                }
                Some(b't') => push_ttl(bytes, expiry, self.now),
                Some(b'T') => expiry = self.given.0.unwrap_or(expiry),
                Some(b'N') if number.created => expiry = self.given.1.unwrap_or(expiry),
                Some(b'O') => {
                    bytes.push(b' ');
                    bytes.extend_from_slice(flag);
                }
                Some(b'k') => {
                    push_key(bytes, flags.key.get(..flags.key_len).unwrap_or_default(), flags.binary);
                }
                _ => {}
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if flags.value {
            bytes.extend_from_slice(digits);
            bytes.extend_from_slice(b"\r\n");
        }
    }

    fn inspected(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
        let moment = *entry.time();
        let header = entry.header();
        let bytes = self.out.bytes();
        bytes.extend_from_slice(b"ME ");
        if header.has(bit::KEY_BINARY) {
            bytes.extend_from_slice(STANDARD.encode(entry.key()).as_bytes());
        } else {
            bytes.extend_from_slice(entry.key());
        }
        let ttl = match header.expiry() {
            0 => -1,
            expiry => i64::from(expiry) - i64::from(moment.now),
        };
        let fetched = if header.has(bit::FETCHED) { "yes" } else { "no" };
        let rest = format!(
            " exp={ttl} la={} cas={} fetch={fetched} cls={} size={}\r\n",
            moment.idle(header),
            header.cas(),
            header.class(),
            header.total(),
        );
        bytes.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    // The following methods reply to requests that meta lines never contain.
    fn hit(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
        self.inspected(entry)
    }

    fn miss(&mut self, _key: Key<'_>) {
        self.meta_miss();
    }

    fn stored(&mut self, reply: &StoreReply) {
        let key = self.flags.key.get(..self.flags.key_len).unwrap_or_default();
        self.flags.echo().answer(self.out, key, reply);
    }

    fn refused(&mut self, error: AllocError) {
        self.error(match error {
            AllocError::TooLarge => text::TOO_LARGE,
            AllocError::NoMemory => text::NO_MEMORY,
        });
    }

    fn touched(&mut self, found: bool) {
        self.out.push(if found { b"HD" } else { b"NF" });
        self.common();
    }
}

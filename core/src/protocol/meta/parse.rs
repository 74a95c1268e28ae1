//! Parsing of a meta line.
//!
//! Like memcached, the parser checks all flags first. The first invalid one decides the error line.

use arrayvec::ArrayVec;

use super::encode::{Form, LONG_OPAQUE};
use super::flags::{Argument, MetaCommand, TOKENS_MAX, flag_of};
use crate::cache::{DeltaOperation, Exptime, MetaDelete, MetaGet, Mode, Operation, StoreOperation};
use crate::config::KEY_MAX;
use crate::protocol::encoder;
use crate::protocol::key::Key;
use crate::protocol::line::Line;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_i32, strict_u32, strict_u64};

/// Longest opaque, including its `O`.
const OPAQUE_MAX: usize = 32;

const DUPLICATE: &str = "CLIENT_ERROR duplicate flag";
const INVALID: &str = "CLIENT_ERROR invalid flag";
const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";
const BAD_KEY: &str = "CLIENT_ERROR error decoding key";
const TOO_MANY: &str = "CLIENT_ERROR options flags are too long";
const BAD_INITIAL: &str = "CLIENT_ERROR invalid numeric initial value";
const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta value";
const BAD_SET_MODE: &str = "CLIENT_ERROR invalid mode for ms M token";
const BAD_DELTA_MODE: &str = "CLIENT_ERROR invalid mode for ma M token";
const BAD_DELTA_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag";

/// Room for a key that was sent in base64.
pub type KeyRoom = ArrayVec<u8, KEY_MAX>;

/// Parses an `mg`.
pub(in crate::protocol) fn get<'a>(line: &'a [u8], room: &'a mut KeyRoom) -> Line<'a> {
    let tokens = Tokens::new(line);
    if is_malformed(&tokens, 2) {
        return Line::bad(text::BAD_LINE);
    }
    match Flags::parse(&tokens, MetaCommand::Get, room) {
        Ok(flags) => flags.get(),
        Err(error) => Line::bad(error),
    }
}

/// Parses an `ms`.
pub(in crate::protocol) fn set<'a>(line: &'a [u8], room: &'a mut KeyRoom) -> Line<'a> {
    let tokens = Tokens::new(line);
    let length = tokens
        .get(2)
        .filter(|_| !is_malformed(&tokens, 3))
        .and_then(strict_i32)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= i32::MAX as usize - 2);
    let Some(length) = length else { return Line::bad(text::BAD_LINE) };
    match Flags::parse(&tokens, MetaCommand::Set, room) {
        Ok(flags) => flags.set(length),
        Err(error) => Line::Bad { error, swallow: length + 2, quiet: false },
    }
}

/// Parses an `md`.
pub(in crate::protocol) fn delete<'a>(line: &'a [u8], room: &'a mut KeyRoom) -> Line<'a> {
    let tokens = Tokens::new(line);
    if is_malformed(&tokens, 2) {
        return Line::bad(text::BAD_LINE);
    }
    match Flags::parse(&tokens, MetaCommand::Delete, room) {
        Ok(flags) => flags.delete(),
        Err(error) => Line::bad(error),
    }
}

/// Parses an `ma`.
pub(in crate::protocol) fn delta<'a>(line: &'a [u8], room: &'a mut KeyRoom) -> Line<'a> {
    let tokens = Tokens::new(line);
    if is_malformed(&tokens, 2) {
        return Line::bad(text::BAD_LINE);
    }
    match Flags::parse(&tokens, MetaCommand::Delta, room) {
        Ok(flags) => flags.delta(),
        Err(_) => Line::bad(BAD_DELTA_FLAG),
    }
}

/// Parses an `me`. As in memcached, its flags are read loosely: a `b` counts only if another token
/// follows.
pub(in crate::protocol) fn inspect<'a>(line: &'a [u8], room: &'a mut KeyRoom) -> Line<'a> {
    let tokens = Tokens::new(line);
    if is_malformed(&tokens, 2) {
        return Line::bad(text::BAD_LINE);
    }
    let Some(mut key) = tokens.get(1).and_then(Key::new) else { return Line::bad(text::BAD_LINE) };
    if tokens.len() >= 4 && tokens.get(2) == Some(b"b") {
        let decoded = decode_key(key.bytes(), room).and_then(|()| Key::new(room));
        let Some(decoded) = decoded else { return Line::bad(text::BAD_LINE) };
        key = decoded;
    }
    let form = encoder::Form::Meta(Form::new(MetaCommand::Inspect));
    Line::Data { key, operation: Operation::Inspect, form }
}

/// Returns whether memcached's tokenizer refuses the line before it reads flags, which begin at
/// token `first`.
fn is_malformed(tokens: &Tokens<'_>, first: usize) -> bool {
    let odd = |flag: &[u8]| !flag.first().is_some_and(|c| matches!(c, b'0'..=b'9' | b'A'..=b'z'));
    tokens.len() < first || tokens.from(first).any(odd)
}

/// The checked flags of a meta command.
struct Flags<'a> {
    key: &'a [u8],
    form: Form<'a>,
    no_update: bool,
    /// Set by `h`, `l`, `N`, `R` and `T`: the access counts after the reply.
    late: bool,
    stale: bool,
    drop_value: bool,
    recache: Option<i32>,
    /// Whether `R` comes after `T`.
    recache_late: bool,
    /// Whether `T` comes after `N`.
    ttl_late: bool,
    cas: Option<u64>,
    /// `F`: client flags.
    user_bits: u32,
    mode: Option<u8>,
    initial: u64,
    delta: u64,
    /// If an `O` is too long: whether `T` and `N` come before it.
    cut: Option<(bool, bool)>,
}

impl<'a> Flags<'a> {
    /// Checks the flags of a line that is not malformed. The error is memcached's line.
    fn parse(tokens: &Tokens<'a>, command: MetaCommand, room: &'a mut KeyRoom) -> Result<Self, &'static str> {
        let first = if command == MetaCommand::Set { 3 } else { 2 };
        let key = tokens.get(1).filter(|key| key.len() <= KEY_MAX).ok_or(text::BAD_LINE)?;
        if tokens.len() > TOKENS_MAX {
            return Err(TOO_MANY);
        }
        let mut flags = Self {
            key,
            form: Form::new(command),
            no_update: false,
            late: false,
            stale: false,
            drop_value: false,
            recache: None,
            recache_late: false,
            ttl_late: false,
            cas: None,
            user_bits: 0,
            mode: None,
            initial: 0,
            delta: 1,
            cut: None,
        };
        let (mut seen, mut is_bad, mut error) = (0u128, false, text::BAD_LINE);
        for token in tokens.from(first) {
            let Some((&letter, argument)) = token.split_first() else { continue };
            if letter >= 127 || seen & 1 << letter != 0 {
                return Err(DUPLICATE);
            }
            seen |= 1 << letter;
            let Some(flag) = flag_of(letter) else { return Err(INVALID) };
            if let Some(returned) = flag.returned
                && flag.matters(command)
            {
                flags.form.returns.push(returned);
            }
            // Unlike a token of its own, a flag's number must have a digit.
            let argument = match flag.argument {
                Argument::None | Argument::Token => Some(0),
                Argument::Letter => Some(u64::from(argument.first().copied().unwrap_or(b' '))),
                _ if argument.is_empty() => None,
                Argument::Seconds => strict_i32(argument).map(|seconds| seconds as u64),
                Argument::U32 => strict_u32(argument).map(u64::from),
                Argument::U64 => strict_u64(argument),
            };
            let read = argument.is_some_and(|argument| flags.read(letter, argument, token, room));
            if !read {
                is_bad = true;
                error = error_of(letter).unwrap_or(error);
            }
        }
        if is_bad {
            return Err(error);
        }
        if flags.form.is_binary {
            flags.key = room;
        }
        Ok(flags)
    }

    /// Sets what a flag means. Returns `false` if the key is not base64.
    #[inline]
    fn read(&mut self, letter: u8, argument: u64, token: &'a [u8], room: &mut KeyRoom) -> bool {
        match letter {
            b'b' => {
                self.form.is_binary = true;
                return decode_key(self.key, room).is_some();
            }
            b'v' => self.form.value = true,
            b'q' => self.form.quiet = true,
            b'u' => self.no_update = true,
            b'x' => self.drop_value = true,
            b'h' | b'l' => self.late = true,
            b'I' => self.stale = true,
            b'N' => {
                self.late = true;
                self.form.vivify = Some(argument as i32);
            }
            b'T' => {
                self.late = true;
                self.ttl_late = self.form.vivify.is_some();
                self.form.ttl = Some(argument as i32);
            }
            b'R' => {
                self.late = true;
                self.recache_late = self.form.ttl.is_some();
                self.recache = Some(argument as i32);
            }
            b'O' => {
                self.form.opaque = token;
                if token.len() > OPAQUE_MAX {
                    self.form.has_long_opaque = true;
                    self.cut = Some((self.form.ttl.is_some(), self.form.vivify.is_some()));
                }
            }
            b'C' => self.form.compare = Some(argument),
            b'E' => self.cas = Some(argument),
            b'F' => self.user_bits = argument as u32,
            b'M' => self.mode = Some(argument as u8),
            b'J' => self.initial = argument,
            b'D' => self.delta = argument,
            _ => {}
        }
        true
    }

    /// Returns the exptimes of `T` and `N` that take effect. memcached stops at an opaque that is
    /// too long, and applies the flags before it.
    fn effective(&self) -> (Option<Exptime>, Option<Exptime>) {
        let (ttl, made) = (self.form.ttl.map(Exptime::from), self.form.vivify.map(Exptime::from));
        match self.cut {
            None => (ttl, made),
            Some((has_ttl, has_made)) => {
                let ttl = ttl.filter(|_| has_ttl);
                (ttl, made.map(|exptime| if has_made { exptime } else { ttl.unwrap_or(0) }))
            }
        }
    }

    /// Returns the line of these flags and `operation`.
    fn data(self, operation: Operation) -> Line<'a> {
        match Key::new(self.key) {
            Some(key) => Line::Data { key, operation, form: encoder::Form::Meta(self.form) },
            None => Line::bad(text::BAD_LINE),
        }
    }

    fn get(self) -> Line<'a> {
        let (ttl, made) = self.effective();
        let operation = MetaGet {
            update: !self.no_update,
            update_late: self.late,
            expiry: ttl,
            recache: self.recache.map(Exptime::from),
            recache_late: self.recache_late,
            vivify: if made.is_some() && ttl.is_some() && self.ttl_late { ttl } else { made },
            cas: self.cas,
            refused: self.cut.is_some(),
        };
        self.data(Operation::MetaGet(operation))
    }

    fn set(self, length: usize) -> Line<'a> {
        let bad = |error| Line::Bad { error, swallow: length + 2, quiet: false };
        let mode = match self.mode {
            None | Some(b'S') => Mode::Set,
            Some(b'E') => Mode::Add,
            Some(b'A') => Mode::Append,
            Some(b'P') => Mode::Prepend,
            Some(b'R') => Mode::Replace,
            Some(_) => return bad(BAD_SET_MODE),
        };
        let Some(key) = Key::new(self.key) else { return bad(text::BAD_LINE) };
        if self.cut.is_some() {
            return Line::Late { error: LONG_OPAQUE, key, flags: self.user_bits, length };
        }
        let joins = matches!(mode, Mode::Append | Mode::Prepend);
        let (ttl, vivify) = match self.form.vivify {
            Some(ttl) if joins => (Some(ttl), true),
            _ => (self.form.ttl, false),
        };
        let compares = self.form.compare.is_some() && matches!(mode, Mode::Set | Mode::Replace);
        let operation = StoreOperation {
            mode: if compares { Mode::Cas } else { mode },
            vivify,
            flags: self.user_bits,
            expiry: Exptime::from(ttl.unwrap_or(0)),
            compare: self.form.compare.unwrap_or(0),
            // In this command only, `E0` asks for the next CAS.
            cas: self.cas.filter(|&cas| cas != 0),
            allow_stale: self.stale && compares,
            key_binary: self.form.is_binary,
            purge_on_failure: true,
        };
        Line::Store { key, operation, length, form: encoder::Form::Meta(self.form) }
    }

    fn delete(self) -> Line<'a> {
        if self.cut.is_some() {
            return Line::bad(LONG_OPAQUE);
        }
        let operation = MetaDelete {
            compare: self.form.compare,
            cas: self.cas,
            stale: self.stale,
            drop_value: self.drop_value.then_some(self.user_bits),
            expiry: self.form.ttl.map(Exptime::from),
        };
        self.data(Operation::MetaDelete(operation))
    }

    fn delta(self) -> Line<'a> {
        let increment = match self.mode {
            None | Some(b'I' | b'+') => true,
            Some(b'D' | b'-') => false,
            Some(_) => return Line::bad(BAD_DELTA_MODE),
        };
        let (ttl, made) = self.effective();
        let operation = DeltaOperation {
            increment,
            delta: self.delta,
            compare: self.form.compare.unwrap_or(0),
            cas: self.cas,
            expiry: ttl,
            vivify: made.map(|made| (self.initial, ttl.filter(|_| self.ttl_late).unwrap_or(made))),
        };
        self.data(Operation::Delta(operation))
    }
}

/// Returns the error of a flag with an invalid argument, if it has its own.
fn error_of(letter: u8) -> Option<&'static str> {
    match letter {
        b'b' => Some(BAD_KEY),
        b'J' => Some(BAD_INITIAL),
        b'D' => Some(BAD_DELTA),
        b'F' => None,
        _ => Some(BAD_TOKEN),
    }
}

/// Decodes a base64 key as memcached does. Ignores characters that are not base64, and all input
/// after padding.
fn decode_key(from: &[u8], to: &mut KeyRoom) -> Option<()> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let clean: KeyRoom = from.iter().copied().filter(is_base64).take(KEY_MAX).collect();
    if clean.is_empty() || !clean.len().is_multiple_of(4) {
        return None;
    }
    to.clear();
    for block in clean.chunks_exact(4) {
        let pad: usize = block.iter().map(|&byte| usize::from(byte == b'=')).sum();
        let mut bits = 0u32;
        for &byte in block {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => 0,
            };
            bits = bits << 6 | u32::from(value);
        }
        if pad > 2 {
            return None;
        }
        to.try_extend_from_slice(bits.to_be_bytes().get(1..4 - pad)?).ok()?;
        if pad > 0 {
            break;
        }
    }
    (!to.is_empty()).then_some(())
}

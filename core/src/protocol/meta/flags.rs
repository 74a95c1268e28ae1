//! The flags of a meta command.

use crate::base::clock::Clock;
use crate::cache::{DeltaRequest, MetaDelete, MetaGet, Mode};
use crate::config::KEY_MAX;
use crate::protocol::request::{Key, Request, StoreHead};
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_i32, strict_u32, strict_u64};

/// Most tokens of a meta command.
pub(super) const TOKENS_MAX: usize = 20;

/// Longest opaque, including its `O`.
pub(super) const OPAQUE_MAX: usize = 32;

pub(super) const DUPLICATE: &str = "CLIENT_ERROR duplicate flag";
pub(super) const INVALID: &str = "CLIENT_ERROR invalid flag";
pub(super) const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";
pub(super) const BAD_KEY: &str = "CLIENT_ERROR error decoding key";
pub(super) const TOO_MANY: &str = "CLIENT_ERROR options flags are too long";
/// The error of an opaque that is too long. memcached finds it late.
pub const LONG_OPAQUE: &str = "CLIENT_ERROR opaque token too long";
pub(super) const BAD_INITIAL: &str = "CLIENT_ERROR invalid numeric initial value";
pub(super) const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta value";
pub(super) const BAD_SET_MODE: &str = "CLIENT_ERROR invalid mode for ms M token";
pub(super) const BAD_DELTA_MODE: &str = "CLIENT_ERROR invalid mode for ma M token";
pub(super) const BAD_DELTA_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag";
pub(super) const NO_MEMORY_VIVIFY: &str = "SERVER_ERROR Out of memory allocating new item";

/// The checked flags of a meta command.
#[derive(Debug)]
pub struct Flags<'a> {
    pub(super) tokens: Tokens<'a>,
    /// Index of the first flag's token.
    pub(super) first: usize,
    pub(super) key: [u8; KEY_MAX],
    pub(super) key_len: usize,
    /// Whether the key was given in base64.
    pub(super) binary: bool,
    pub(super) value: bool,
    pub(super) quiet: bool,
    pub(super) no_update: bool,
    /// Set by `h`, `l`, `N`, `R` and `T`: the access counts after the reply.
    pub(super) late: bool,
    pub(super) stale: bool,
    pub(super) drop_value: bool,
    pub(super) vivify: Option<i32>,
    pub(super) ttl: Option<i32>,
    pub(super) recache: Option<i32>,
    pub(super) compare: Option<u64>,
    pub(super) cas: Option<u64>,
    pub(super) user_bits: u32,
    pub(super) mode: Option<u8>,
    pub(super) initial: u64,
    pub(super) delta: u64,
    /// Whether an `O` is too long.
    pub(super) long_opaque: bool,
}

impl<'a> Flags<'a> {
    /// Parses the tokens of a line. Flags begin at token `first`. The error is memcached's line.
    pub(super) fn parse(line: &'a [u8], first: usize) -> Result<Self, &'static str> {
        let tokens = Tokens::new(line);
        let Some(key) = tokens.get(1).filter(|_| tokens.len() >= first) else {
            return Err(text::BAD_LINE);
        };
        let plain = tokens
            .from(first)
            .all(|flag| flag.first().is_some_and(|c| matches!(c, b'0'..=b'9' | b'A'..=b'z')));
        if !plain {
            return Err(text::BAD_LINE);
        }
        let mut flags = Self {
            first,
            key: [0; KEY_MAX],
            key_len: 0,
            binary: false,
            value: false,
            quiet: false,
            no_update: false,
            late: false,
            stale: false,
            drop_value: false,
            vivify: None,
            ttl: None,
            recache: None,
            compare: None,
            cas: None,
            user_bits: 0,
            mode: None,
            initial: 0,
            delta: 1,
            long_opaque: false,
            tokens,
        };
        flags.set_key(key)?;
        flags.parse_flags(key)?;
        Ok(flags)
    }

    pub(super) fn set_key(&mut self, key: &[u8]) -> Result<(), &'static str> {
        let Some(target) = self.key.get_mut(..key.len()) else { return Err(text::BAD_LINE) };
        target.copy_from_slice(key);
        self.key_len = key.len();
        Ok(())
    }

    pub(super) fn parse_flags(&mut self, key: &[u8]) -> Result<(), &'static str> {
        if self.tokens.len() > TOKENS_MAX {
            return Err(TOO_MANY);
        }
        let mut seen = 0u128;
        let mut fault = None;
        let mut error = text::BAD_LINE;
        for index in self.first..self.tokens.len() {
            let Some((&flag, argument)) = self.tokens.get(index).and_then(<[u8]>::split_first) else {
                continue;
            };
            // Unlike a token of its own, a flag's number must have a digit.
            let number = |parse: fn(&[u8]) -> Option<u64>| parse(argument).filter(|_| !argument.is_empty());
            let seconds = || strict_i32(argument).filter(|_| !argument.is_empty());
            if flag >= 127 || seen & 1 << flag != 0 {
                return Err(DUPLICATE);
            }
            seen |= 1 << flag;
            let mut fail = |text: Option<&'static str>| {
                error = text.unwrap_or(error);
                fault = Some(());
            };
            match flag {
                b'b' => match decode_key(key, &mut self.key) {
                    Some(length) => {
                        self.key_len = length;
                        self.binary = true;
                    }
                    None => fail(Some(BAD_KEY)),
                },
                b'N' => {
                    self.late = true;
                    self.vivify = seconds();
                    if self.vivify.is_none() {
                        fail(Some(BAD_TOKEN));
                    }
                }
                b'T' => {
                    self.late = true;
                    self.ttl = seconds();
                    if self.ttl.is_none() {
                        fail(Some(BAD_TOKEN));
                    }
                }
                b'R' => {
                    self.late = true;
                    self.recache = seconds();
                    if self.recache.is_none() {
                        fail(Some(BAD_TOKEN));
                    }
                }
                b'l' | b'h' => self.late = true,
                b'O' => self.long_opaque |= argument.len() >= OPAQUE_MAX,
                b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' => {}
                b'v' => self.value = true,
                b'u' => self.no_update = true,
                b'q' => self.quiet = true,
                b'x' => self.drop_value = true,
                b'F' => match strict_u32(argument).filter(|_| !argument.is_empty()) {
                    Some(value) => self.user_bits = value,
                    None => fail(None),
                },
                b'C' => {
                    self.compare = number(strict_u64);
                    if self.compare.is_none() {
                        fail(Some(BAD_TOKEN));
                    }
                }
                b'E' => {
                    self.cas = number(strict_u64);
                    if self.cas.is_none() {
                        fail(Some(BAD_TOKEN));
                    }
                }
                b'M' => self.mode = Some(argument.first().copied().unwrap_or(b' ')),
                b'J' => match number(strict_u64) {
                    Some(value) => self.initial = value,
                    None => fail(Some(BAD_INITIAL)),
                },
                b'D' => match number(strict_u64) {
                    Some(value) => self.delta = value,
                    None => fail(Some(BAD_DELTA)),
                },
                b'I' => self.stale = true,
                _ => return Err(INVALID),
            }
        }
        if fault.is_some() { Err(error) } else { Ok(()) }
    }

    /// Returns the decoded key.
    pub fn key(&self) -> Option<Key<'_>> {
        Key::new(self.key.get(..self.key_len)?)
    }

    /// Returns the client flags of an item to store.
    pub fn client_flags(&self) -> u32 {
        self.user_bits
    }

    pub(super) fn flags(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.tokens.from(self.first)
    }

    pub(super) fn position(&self, flag: u8) -> Option<usize> {
        self.flags().position(|token| token.first() == Some(&flag))
    }
}

/// Decodes a base64 key as memcached does. Ignores characters that are not base64, and all input
/// after padding.
pub(super) fn decode_key(from: &[u8], to: &mut [u8; KEY_MAX]) -> Option<usize> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut clean = [0; KEY_MAX];
    let mut count = 0;
    for &byte in from.iter().filter(|byte| is_base64(byte)) {
        *clean.get_mut(count)? = byte;
        count += 1;
    }
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    let mut length = 0;
    for block in clean.get(..count)?.chunks_exact(4) {
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
        for &byte in bits.to_be_bytes().get(1..4 - pad)? {
            *to.get_mut(length)? = byte;
            length += 1;
        }
        if pad > 0 {
            break;
        }
    }
    (length > 0).then_some(length)
}

impl Flags<'_> {
    /// Returns the exptimes of `T` and `N` as seconds of the clock.
    pub fn expiries(&self, clock: &Clock) -> (Option<u32>, Option<u32>) {
        let expiry = |ttl: Option<i32>| ttl.map(|ttl| clock.expiry(i64::from(ttl)));
        (expiry(self.ttl), expiry(self.vivify))
    }

    /// Returns those of [`Flags::expiries`] that take effect. memcached stops at an opaque that is
    /// too long, and applies the flags before it.
    pub(super) fn effective(&self, clock: &Clock) -> (Option<u32>, Option<u32>) {
        let (ttl, made) = self.expiries(clock);
        if !self.long_opaque {
            return (ttl, made);
        }
        let before = |flag| self.position(flag) < self.position(b'O');
        let ttl = ttl.filter(|_| before(b'T'));
        (ttl, made.map(|expiry| if before(b'N') { expiry } else { ttl.unwrap_or(0) }))
    }

    /// Returns the request of an `mg`.
    pub fn get(&self, clock: &Clock, client: i32) -> Option<Request<'_>> {
        let after = |a, b| self.position(a) > self.position(b);
        let (ttl, made) = self.effective(clock);
        let vivify = if made.is_some() && ttl.is_some() && after(b'T', b'N') { ttl } else { made };
        let ask = MetaGet {
            update: !self.no_update,
            update_late: self.late,
            expiry: ttl,
            recache: self.recache.map(|ttl| clock.expiry(i64::from(ttl))),
            recache_late: self.ttl.is_some() && after(b'R', b'T'),
            vivify,
            cas: self.cas,
            refused: self.long_opaque,
            client,
        };
        Some(Request::MetaGet { key: self.key()?, ask })
    }

    /// Returns the store of an `ms`. The error is memcached's line.
    ///
    /// # Errors
    /// The mode is invalid.
    pub fn set(&self) -> Result<StoreHead<'_>, &'static str> {
        let mode = match self.mode {
            None | Some(b'S') => Mode::Set,
            Some(b'E') => Mode::Add,
            Some(b'A') => Mode::Append,
            Some(b'P') => Mode::Prepend,
            Some(b'R') => Mode::Replace,
            Some(_) => return Err(BAD_SET_MODE),
        };
        if self.long_opaque {
            return Err(LONG_OPAQUE);
        }
        let joins = matches!(mode, Mode::Append | Mode::Prepend);
        let (ttl, vivify) = match self.vivify {
            Some(ttl) if joins => (Some(ttl), true),
            _ => (self.ttl, false),
        };
        let compares = self.compare.is_some() && matches!(mode, Mode::Set | Mode::Replace);
        Ok(StoreHead {
            key: self.key().ok_or(text::BAD_LINE)?,
            mode: if compares { Mode::Cas } else { mode },
            vivify,
            flags: self.user_bits,
            exptime: i64::from(ttl.unwrap_or(0)),
            compare: self.compare.unwrap_or(0),
            // In this command only, `E0` asks for the next CAS.
            cas: self.cas.filter(|&cas| cas != 0),
            allow_stale: self.stale && compares,
            key_binary: self.binary,
            purge_on_failure: true,
        })
    }

    /// Returns the request of an `md`. The error is memcached's line.
    ///
    /// # Errors
    /// The opaque is too long.
    pub fn delete(&self, clock: &Clock, client: i32) -> Result<Request<'_>, &'static str> {
        if self.long_opaque {
            return Err(LONG_OPAQUE);
        }
        let ask = MetaDelete {
            compare: self.compare,
            cas: self.cas,
            stale: self.stale,
            drop_value: self.drop_value.then_some(self.user_bits),
            expiry: self.ttl.map(|ttl| clock.expiry(i64::from(ttl))),
            client,
        };
        Ok(Request::MetaDelete { key: self.key().ok_or(text::BAD_LINE)?, ask })
    }

    /// Returns the request of an `ma`. The error is memcached's line.
    ///
    /// # Errors
    /// The mode is invalid.
    pub fn delta(&self, clock: &Clock, client: i32) -> Result<Request<'_>, &'static str> {
        let increment = match self.mode {
            None | Some(b'I' | b'+') => true,
            Some(b'D' | b'-') => false,
            Some(_) => return Err(BAD_DELTA_MODE),
        };
        let (ttl, made) = self.effective(clock);
        let vivify = made.map(|made| {
            let last = ttl.filter(|_| self.position(b'T') > self.position(b'N'));
            (self.initial, last.unwrap_or(made))
        });
        Ok(Request::Delta(DeltaRequest {
            key: self.key().ok_or(text::BAD_LINE)?.bytes(),
            increment,
            delta: self.delta,
            compare: self.compare.unwrap_or(0),
            cas: self.cas,
            expiry: ttl,
            vivify,
            client,
        }))
    }

    /// Returns the request of an `me`.
    pub fn inspect(&self) -> Option<Request<'_>> {
        Some(Request::Inspect { key: self.key()? })
    }
}

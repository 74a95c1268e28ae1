//! A client's request, and the forms in which a proxy sends it on.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smallvec::SmallVec;

use super::command::{Command, Kind};
use super::item::Item;
use super::line::{Fault, Flags, Line, range_of};
use super::reply::Meaning;
use super::run::Work;
use super::ttl::{LONGEST_TTL, TtlRule};
use crate::protocol::tokens::{Tokens, loose_i32, strict_i32, strip_line_end};

/// The word in place of `noreply`, as in memcached's proxy. Programs see it.
const NO_REPLY_NOT: &[u8] = b"noreplY";

/// The replies that a client does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// It wants all.
    No,
    /// `noreply`: none but errors.
    Classic,
    /// `q`: neither misses nor, except of `mg`, plain successes.
    Meta,
}

/// The requests of one command: one, or the parts of a get.
pub type Requests = SmallVec<[ClientRequest; 1]>;

/// A request with one key. It owns its bytes, because the reply may come later.
#[derive(Debug)]
pub struct ClientRequest {
    /// The line with its end, then the value with its end. It asks for a reply.
    bytes: Vec<u8>,
    /// Length of the line with its end.
    line: usize,
    key: Range<usize>,
    /// Length of the value and its end that belong to the request.
    value: usize,
    /// Its command.
    pub command: &'static Command,
    /// The replies that the client does not want.
    pub quiet: Quiet,
    /// Set if this deletes the item of a store that is refused.
    pub refusal: Option<Refusal>,
}

/// A store that a proxy refuses.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// The reply to the client, which an engine gives in place of that of a backend.
    pub reply: &'static str,
    /// The command of the store.
    command: &'static Command,
}

impl ClientRequest {
    /// Copies the line of a valid request, without its end. A value of `value` bytes with its end
    /// follows, which [`Self::take`] appends. Returns `None` if the command has no key, or if there
    /// is no memory.
    pub fn new(line: &[u8], value: usize) -> Option<Self> {
        let tokens = Tokens::new(line);
        let command = Command::named(str::from_utf8(tokens.get(0)?).ok()?)?;
        let key = range_of(line, tokens.get(command.key())?);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(line.len() + 2 + value).ok()?;
        let quiet = push_line(line, command, &tokens, &mut bytes);
        let line = bytes.len();
        Some(Self { bytes, line, key, value, command, quiet, refusal: None })
    }

    /// Returns a delete for a store that is refused with `reply`: as on a server, no old item
    /// remains. Returns `None` if the command has no key.
    pub fn refused(line: &[u8], reply: &'static str) -> Option<Self> {
        let store = Self::new(line, 0)?;
        let mut delete = Vec::new();
        store.push(Work::Delete, None, None, 0, &mut delete);
        let refusal = Some(Refusal { reply, command: store.command });
        Some(Self { refusal, ..Self::new(strip_line_end(&delete), 0)? })
    }

    /// Returns the command by which routes are chosen: of a refused store, that of the store, whose
    /// backends have the item.
    pub fn routed_as(&self) -> &'static Command {
        self.refusal.map_or(self.command, |refusal| refusal.command)
    }

    /// Returns the request for one key of a get that may have several.
    pub fn part(command: &'static str, exptime: Option<i32>, key: &[u8]) -> Option<Self> {
        let command = Command::named(command)?;
        let mut bytes = Vec::with_capacity(command.word.len() + key.len() + 16);
        bytes.extend_from_slice(command.word.as_bytes());
        if let Some(exptime) = exptime {
            bytes.extend_from_slice(format!(" {exptime}").as_bytes());
        }
        bytes.push(b' ');
        let start = bytes.len();
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(b"\r\n");
        let (line, key) = (bytes.len(), start..start + key.len());
        Some(Self { bytes, line, key, value: 0, command, quiet: Quiet::No, refusal: None })
    }

    /// Parses the line of a program, without its end, and copies it. `value` ends with a line end,
    /// or is empty.
    ///
    /// # Errors
    /// The reason to refuse the line, or [`Fault::Malformed`] if it does not want a value of that
    /// length: the backend would read the value as requests, or requests as the value. A line end
    /// within the line is refused, too: the backend would read and answer several requests.
    pub fn parse(line: &[u8], value: &[u8]) -> Result<Self, Fault> {
        let parsed = Self::line_of_program(line, value.len())?;
        let mut bytes = Vec::with_capacity(line.len() + 2 + value.len());
        let quiet = push_line(line, parsed.command, &Tokens::new(line), &mut bytes);
        let line = bytes.len();
        bytes.extend_from_slice(value);
        Ok(Self {
            bytes,
            line,
            key: parsed.key,
            value: value.len(),
            command: parsed.command,
            quiet,
            refusal: None,
        })
    }

    fn line_of_program(line: &[u8], value: usize) -> Result<Line, Fault> {
        let parsed = Line::parse(line)?;
        if parsed.value != value || memchr::memchr(b'\n', line).is_some() {
            return Err(Fault::Malformed);
        }
        Ok(parsed)
    }

    /// Replaces the line by another one without its end, for the same value.
    ///
    /// # Errors
    /// As of [`Self::parse`]. The request is unchanged then.
    pub fn set_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let parsed = Self::line_of_program(line, self.value)?;
        let rest = self.bytes.split_off(self.line);
        self.bytes.clear();
        let quiet = push_line(line, parsed.command, &Tokens::new(line), &mut self.bytes);
        self.line = self.bytes.len();
        self.bytes.extend_from_slice(&rest);
        (self.key, self.command) = (parsed.key, parsed.command);
        // The client has not changed its mind.
        if quiet != Quiet::No {
            self.quiet = quiet;
        }
        Ok(())
    }

    /// Overwrites `left` bytes at the start of the key and `right` at its end with spaces. Returns
    /// `false` and changes nothing if the key has fewer.
    pub fn trim_key(&mut self, left: usize, right: usize) -> bool {
        let Range { start, end } = self.key;
        let (Some(new_start), Some(new_end)) = (start.checked_add(left), end.checked_sub(right)) else {
            return false;
        };
        if new_start > new_end {
            return false;
        }
        for trimmed in [start..new_start, new_end..end] {
            if let Some(bytes) = self.bytes.get_mut(trimmed) {
                bytes.fill(b' ');
            }
        }
        self.key = new_start..new_end;
        true
    }

    /// Returns the flags of a meta command. A `q` is among them, although it is not sent.
    pub fn flags(&self) -> Flags {
        if !self.command.is_meta() {
            return Flags::default();
        }
        let tokens = Tokens::new(self.line());
        let mut flags = Flags::of(tokens.from(self.command.flags())).unwrap_or_default();
        if self.quiet == Quiet::Meta {
            flags.insert(b'q');
        }
        flags
    }

    /// Takes bytes of the value and its end. Returns how many it took.
    pub fn take(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(self.missing());
        self.bytes.extend_from_slice(input.get(..taken).unwrap_or_default());
        taken
    }

    /// Returns the number of bytes that are missing.
    pub fn missing(&self) -> usize {
        (self.line + self.value).saturating_sub(self.bytes.len())
    }

    /// Returns whether the value ends with a line end, or there is none.
    pub fn is_whole(&self) -> bool {
        self.value == 0 || self.missing() == 0 && self.bytes.ends_with(b"\r\n")
    }

    /// Returns the bytes of heap that it holds.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns the key as the client sent it.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(self.key.clone()).unwrap_or_default()
    }

    /// Returns all of it, as a backend gets it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the line without its end.
    pub fn line(&self) -> &[u8] {
        self.bytes.get(..self.line - 2).unwrap_or_default()
    }

    /// Returns the value with its end, or nothing if there is none.
    pub fn value(&self) -> &[u8] {
        self.bytes.get(self.line..).unwrap_or_default()
    }

    /// Returns whether the key is in base64.
    pub fn is_base64(&self) -> bool {
        !self.base64().is_empty()
    }

    /// Returns the key that the backend has. Returns `None` if it is invalid base64.
    pub fn decoded_key(&self) -> Option<Cow<'_, [u8]>> {
        if self.is_base64() {
            return STANDARD.decode(self.key()).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(self.key()))
    }

    /// Returns the mark of a key in base64, if the request has it.
    fn base64(&self) -> &'static str {
        let tokens = Tokens::new(self.line());
        let is_base64 = self.command.is_meta() && tokens.from(2).any(|token| token.first() == Some(&b'b'));
        if is_base64 { " b" } else { "" }
    }

    /// Appends the request for a backend. `item` is the reply that a fill stores.
    /// `second` is the Unix time.
    pub fn push(
        &self,
        work: Work,
        ttl: Option<TtlRule>,
        item: Option<&Item<'_>>,
        second: u64,
        out: &mut Vec<u8>,
    ) {
        match (work, item) {
            // There is no debugging of an item that is elsewhere.
            (Work::Item, _) if self.command.word == "me" => out.extend_from_slice(&self.bytes),
            (Work::Client, _) => match ttl {
                Some(ttl) => self.push_with_ttl(ttl, second, out),
                None if self.quiet == Quiet::Classic => {
                    out.extend_from_slice(self.line_to_send());
                    out.extend_from_slice(b"\r\n");
                    out.extend_from_slice(self.value());
                }
                None => out.extend_from_slice(&self.bytes),
            },
            (Work::Delete, _) => {
                out.extend_from_slice(if self.command.is_meta() { b"md " } else { b"delete " });
                out.extend_from_slice(self.key());
                out.extend_from_slice(self.base64().as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            (Work::Item, _) => {
                out.extend_from_slice(b"mg ");
                out.extend_from_slice(self.key());
                out.extend_from_slice(self.base64().as_bytes());
                out.extend_from_slice(b" t f c v\r\n");
            }
            (Work::Fill(_), Some(item)) => {
                out.extend_from_slice(b"ms ");
                out.extend_from_slice(self.key());
                let mut exptime = item.ttl.max(0);
                if exptime > LONGEST_TTL {
                    exptime = exptime.saturating_add_unsigned(second);
                }
                if let Some(ttl) = ttl.and_then(|rule| rule.replace(Some(exptime), second)) {
                    exptime = ttl.into();
                }
                let (length, flags) = (item.value.len(), item.flags);
                let rest = format!(" {length} T{exptime} F{flags} ME{}\r\n", self.base64());
                out.extend_from_slice(rest.as_bytes());
                out.extend_from_slice(item.value);
                out.extend_from_slice(b"\r\n");
            }
            (Work::Fill(_), None) => {}
        }
    }

    /// Returns the line up to [`NO_REPLY_NOT`], without its end. Before 1.6.40, memcached refuses a
    /// `delete` with a word behind the key.
    fn line_to_send(&self) -> &[u8] {
        let line = self.line();
        if self.quiet != Quiet::Classic {
            return line;
        }
        let word = Tokens::new(line).last().filter(|last| *last == NO_REPLY_NOT);
        // The word may be the key.
        let start = word.map(|word| range_of(line, word).start).filter(|start| *start > self.key.start);
        start.and_then(|start| line.get(..start)).map_or(line, <[u8]>::trim_ascii_end)
    }

    /// Appends the request with the TTLs that a rule gives it.
    fn push_with_ttl(&self, rule: TtlRule, second: u64, out: &mut Vec<u8>) {
        let place = self.command.ttl();
        // memcached reads the exptime of a classic store in a way of its own.
        let read = if place == Some(3) { loose_i32 } else { strict_i32 };
        let replace = |exptime: &[u8]| rule.replace(read(exptime).map(i64::from), second);
        let tokens = Tokens::new(self.line_to_send());
        let is_meta = self.command.is_meta();
        let mut has_ttl = false;
        for index in 0..tokens.len() {
            let Some(token) = tokens.get(index) else { break };
            if index > 0 {
                out.push(b' ');
            }
            let letter = token.first().filter(|_| is_meta && index >= 2);
            has_ttl |= letter == Some(&b'T');
            let start = match letter {
                Some(b'T') => Some(1),
                Some(b'N') if matches!(rule, TtlRule::AtMost(_)) => Some(1),
                _ => (Some(index) == place).then_some(0),
            };
            let (before, exptime) = token.split_at(start.unwrap_or(token.len()));
            out.extend_from_slice(before);
            match start.and_then(|_| replace(exptime)) {
                Some(ttl) => out.extend_from_slice(ttl.to_string().as_bytes()),
                None => out.extend_from_slice(exptime),
            }
        }
        // An item without a TTL never expires.
        if let Some(ttl) = rule.replace(Some(0), second)
            && self.command.word == "ms"
            && !has_ttl
        {
            out.extend_from_slice(format!(" T{ttl}").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.value());
    }

    /// Appends the reply of a backend that has `item`, for a request that reads. Flags of `mg` that
    /// change the item are left out.
    pub fn push_item(&self, item: &Item<'_>, out: &mut Vec<u8>) {
        let Item { ttl, flags, cas, value } = *item;
        let with_cas = matches!(self.command.word, "gets" | "gats");
        if !self.command.is_meta() {
            out.extend_from_slice(b"VALUE ");
            out.extend_from_slice(self.key());
            let cas = if with_cas { format!(" {cas}") } else { String::new() };
            out.extend_from_slice(format!(" {flags} {}{cas}\r\n", value.len()).as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\nEND\r\n");
            return;
        }
        let tokens = Tokens::new(self.line());
        let has_value = tokens.from(2).any(|token| token.first() == Some(&b'v'));
        out.extend_from_slice(if has_value { format!("VA {}", value.len()) } else { "HD".into() }.as_bytes());
        for token in tokens.from(2) {
            let text = match token.first() {
                Some(b'f') => format!(" f{flags}"),
                Some(b't') => format!(" t{ttl}"),
                Some(b's') => format!(" s{}", value.len()),
                Some(b'c') => format!(" c{cas}"),
                Some(b'b') => " b".into(),
                Some(b'k') => {
                    out.extend_from_slice(b" k");
                    out.extend_from_slice(self.key());
                    continue;
                }
                Some(b'O') => {
                    out.push(b' ');
                    out.extend_from_slice(token);
                    continue;
                }
                _ => continue,
            };
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if has_value {
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Returns whether an item answers this request as its backend would. Flags of `mg` that change
    /// the item, or want more of it, need the backend.
    pub fn wants_item_alone(&self) -> bool {
        let tokens = Tokens::new(self.line());
        let is_plain = |flag: &[u8]| flag.first().is_some_and(|letter| b"vfsckO".contains(letter));
        !self.command.is_meta() || tokens.from(self.command.flags()).all(is_plain)
    }

    /// Returns whether a whole reply may answer this request, or another `work` for it. If the key,
    /// the opaque or the kind of reply is wrong, the backend has sent a wrong number of replies.
    pub fn is_answered_by(&self, work: Work, reply: &[u8], meaning: Meaning) -> bool {
        if matches!(meaning, Meaning::ServerError | Meaning::Refused) {
            return true;
        }
        let is_meta = match work {
            Work::Client | Work::Delete => self.command.is_meta(),
            Work::Item | Work::Fill(_) => true,
        };
        // Of the classic replies, numbers alone may have two characters.
        let is_meta_reply = matches!(reply, [b'A'..=b'Z', b'A'..=b'Z', b' ' | b'\r' | b'\n', ..])
            && !reply.starts_with(b"OK");
        if is_meta || is_meta_reply {
            return is_meta && is_meta_reply && self.has_flags_of(reply);
        }
        let starts = |words: &[&str]| words.iter().any(|word| reply.starts_with(word.as_bytes()));
        match (work.kind(self.command), meaning) {
            (Kind::Read, Meaning::Value) => {
                let key = reply.strip_prefix(b"VALUE ").and_then(|rest| rest.strip_prefix(self.key()));
                key.is_some_and(|rest| rest.first() == Some(&b' '))
            }
            (Kind::Read, Meaning::Miss) | (Kind::Server, _) => true,
            (Kind::Read, _) | (_, Meaning::Value | Meaning::Miss) => false,
            (Kind::Store, _) => starts(&["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND"]),
            (Kind::Delete, _) => starts(&["DELETED", "NOT_FOUND"]),
            (Kind::Change, _) if self.command.word == "touch" => starts(&["TOUCHED", "NOT_FOUND"]),
            (Kind::Change, _) => reply.first().is_some_and(u8::is_ascii_digit) || starts(&["NOT_FOUND"]),
        }
    }

    /// Returns whether the key and the opaque of a meta reply are those of the request.
    fn has_flags_of(&self, reply: &[u8]) -> bool {
        let line = memchr::memchr(b'\n', reply).and_then(|end| reply.get(..=end)).unwrap_or_default();
        let tokens = Tokens::new(strip_line_end(line));
        let first = match tokens.get(0) {
            Some(b"VA") => 2,
            _ => 1,
        };
        // Base64 has several forms of a key, of which the backend returns one. It also returns that
        // of an item that was stored under a key in base64.
        let is_base64 = self.is_base64();
        let may_be_encoded = tokens.get(0) == Some(b"ME") || tokens.from(first).any(|token| token == b"b");
        let is_key = |key: Option<&[u8]>| {
            let decoded = || key.filter(|_| may_be_encoded).and_then(|key| STANDARD.decode(key).ok());
            is_base64 || key == Some(self.key()) || decoded().as_deref() == Some(self.key())
        };
        if tokens.get(0) == Some(b"ME") {
            return is_key(tokens.get(1));
        }
        tokens.from(first).all(|token| match token.first() {
            Some(b'k') => is_key(token.get(1..)),
            Some(b'O') => Tokens::new(self.line()).from(self.command.flags()).any(|own| own == token),
            _ => true,
        })
    }
}

/// Appends a line and its end to no bytes. It asks for a reply, because each reply of a backend
/// ends the wait for one. Returns the replies that the client does not want.
fn push_line(line: &[u8], command: &Command, tokens: &Tokens<'_>, bytes: &mut Vec<u8>) -> Quiet {
    let mut quiet = Quiet::No;
    bytes.extend_from_slice(line);
    // As memcached does, a flag is known by its first letter alone, and the last of 24 tokens ends
    // the line.
    if command.is_meta() {
        for flag in tokens.from(command.flags()).filter(|flag| flag.first() == Some(&b'q')) {
            if let Some(flag) = bytes.get_mut(range_of(line, flag)) {
                flag.fill(b' ');
            }
            quiet = Quiet::Meta;
        }
    } else if command.has_noreply()
        && let Some(last) = tokens.last().filter(|_| tokens.is_noreply())
    {
        if let Some(token) = bytes.get_mut(range_of(line, last)) {
            token.copy_from_slice(NO_REPLY_NOT);
        }
        quiet = Quiet::Classic;
    }
    bytes.extend_from_slice(b"\r\n");
    quiet
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn parse(line: &str, value: &str) -> ClientRequest {
        ClientRequest::parse(line.as_bytes(), value.as_bytes()).unwrap()
    }

    fn text(request: &ClientRequest) -> &str {
        str::from_utf8(request.bytes()).unwrap()
    }

    #[test]
    fn a_request_asks_for_its_reply() {
        for (line, sent, quiet) in [
            ("mg k v", "mg k v\r\n", Quiet::No),
            ("mg k q v", "mg k   v\r\n", Quiet::Meta),
            ("md q q", "md q  \r\n", Quiet::Meta),
            ("delete k noreply", "delete k noreplY\r\n", Quiet::Classic),
            ("touch k 0 noreply  ", "touch k 0 noreplY  \r\n", Quiet::Classic),
        ] {
            let request = parse(line, "");
            assert_eq!((text(&request), request.quiet), (sent, quiet), "{line}");
        }
    }

    /// memcached up to 1.6.39 refuses `delete k noreplY`.
    #[test]
    fn a_backend_gets_no_word_in_place_of_noreply() {
        for (line, value, ttl, sent) in [
            ("delete k noreply", "", None, "delete k\r\n"),
            ("touch k 0  noreply  ", "", None, "touch k 0\r\n"),
            ("touch k 0 noreply", "", Some(TtlRule::Exactly(7)), "touch k 7\r\n"),
            ("set k 0 0 1 noreply", "x\r\n", None, "set k 0 0 1\r\nx\r\n"),
            ("set k 0 0 1 noreply", "x\r\n", Some(TtlRule::AtMost(7)), "set k 0 7 1\r\nx\r\n"),
            // As in memcached's proxy, this key changes.
            ("delete noreply", "", None, "delete noreplY\r\n"),
            ("delete noreplY", "", None, "delete noreplY\r\n"),
            ("get noreply", "", None, "get noreply\r\n"),
        ] {
            let mut out = Vec::new();
            parse(line, value).push(Work::Client, ttl, None, 0, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), sent, "{line}");
        }
    }

    /// Each item would live for 60 seconds, also one that has expired.
    #[test]
    fn a_limit_lowers_each_ttl_of_a_request() {
        let second = 1_800_000_000;
        for (line, value, sent) in [
            ("set k 0 0 1", "x\r\n", "set k 0 60 1"),
            ("set k 0 5 1", "x\r\n", "set k 0 5 1"),
            ("set k 0 -1 1", "x\r\n", "set k 0 -1 1"),
            ("add k 0 1800000005 1", "x\r\n", "add k 0 1800000005 1"),
            ("replace k 0 1700000000 1", "x\r\n", "replace k 0 1700000000 1"),
            ("cas k 0 1900000000 1 7", "x\r\n", "cas k 0 60 1 7"),
            // memcached takes 32 bits of it: 0 and 1.
            ("set k 0 4294967296 1", "x\r\n", "set k 0 60 1"),
            ("set k 0 4294967297 1", "x\r\n", "set k 0 4294967297 1"),
            ("touch k 4294967296", "", "touch k 4294967296"),
            ("touch k 0", "", "touch k 60"),
            ("touch k -1", "", "touch k -1"),
            ("gat 100 k", "", "gat 60 k"),
            ("gats 10 k", "", "gats 10 k"),
            ("ms k 1", "x\r\n", "ms k 1 T60"),
            ("ms k 1 T5", "x\r\n", "ms k 1 T5"),
            ("ms k 1 T0 F1", "x\r\n", "ms k 1 T60 F1"),
            ("ms k 1 T-1", "x\r\n", "ms k 1 T-1"),
            ("ms k 1 Tx", "x\r\n", "ms k 1 Tx"),
            ("mg k v N600 T90", "", "mg k v N60 T60"),
            ("mg k v t N9 R30", "", "mg k v t N9 R30"),
            ("ma k N0 D2", "", "ma k N60 D2"),
            ("md k I T600", "", "md k I T60"),
            ("md k", "", "md k"),
            ("delete k", "", "delete k"),
            ("get k", "", "get k"),
            ("incr k 100", "", "incr k 100"),
        ] {
            let mut out = Vec::new();
            parse(line, value).push(Work::Client, Some(TtlRule::AtMost(60)), None, second, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("{sent}\r\n{value}"), "{line}");
        }
        let mut out = Vec::new();
        parse("mg k N600 T600", "").push(Work::Client, Some(TtlRule::Exactly(60)), None, second, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "mg k N600 T60\r\n", "memcached's route_ttl");
        for (ttl, expected) in [(-1, 60), (5, 5), (61, 60), (LONGEST_TTL + 1, 60)] {
            let item = Item { ttl, flags: 0, cas: 0, value: b"x" };
            out.clear();
            let rule = Some(TtlRule::AtMost(60));
            parse("mg k", "").push(Work::Fill(0), rule, Some(&item), second, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("ms k 1 T{expected} F0 ME\r\nx\r\n"));
        }
    }

    #[test]
    fn the_key_noreply_is_a_key() {
        assert_eq!(text(&ClientRequest::part("get", None, b"noreply").unwrap()), "get noreply\r\n");
        assert_eq!(text(&ClientRequest::part("gat", Some(7), b"noreply").unwrap()), "gat 7 noreply\r\n");
    }

    #[test]
    fn a_value_has_the_length_of_its_line() {
        for (line, value) in
            [("set k 0 0 2", "x\r\n"), ("ms k 1", ""), ("md k", "x\r\n"), ("ms k 1", "abc\r\n")]
        {
            let refused = ClientRequest::parse(line.as_bytes(), value.as_bytes()).err();
            assert_eq!(refused, Some(Fault::Malformed), "{line}");
        }
        let mut request = parse("set k 0 0 1", "x\r\n");
        assert_eq!(request.set_line(b"set k 0 0 2"), Err(Fault::Malformed));
        assert_eq!(request.set_line(b"nonsense"), Err(Fault::Unknown));
        assert_eq!(text(&request), "set k 0 0 1\r\nx\r\n");
    }

    /// The backend would answer twice, and each later reply would go to the wrong request.
    #[test]
    fn a_line_is_one_line() {
        for line in ["mg a\r\nmg b", "mg a\nmg b", "mg a O1\n", "get a\r\n b"] {
            assert_eq!(ClientRequest::parse(line.as_bytes(), b"").err(), Some(Fault::Malformed), "{line:?}");
        }
        let mut request = parse("mg k Oa", "");
        assert_eq!(request.set_line(b"mg k Oa\r\nmg b"), Err(Fault::Malformed));
        assert_eq!(text(&request), "mg k Oa\r\n");
    }

    #[test]
    fn another_line_keeps_the_value_and_the_wish() {
        let mut request = parse("ms key 2 q", "ab\r\n");
        request.set_line(b"ms other 2 T5").unwrap();
        assert_eq!(text(&request), "ms other 2 T5\r\nab\r\n");
        assert_eq!((request.key(), request.quiet), (&b"other"[..], Quiet::Meta));
        assert!(request.flags().has(b'q') && request.flags().has(b'T'));
    }

    #[test]
    fn a_key_is_trimmed_in_place() {
        let mut request = parse("mg /prefix/key v", "");
        assert!(request.trim_key(8, 0) && request.trim_key(0, 1));
        assert_eq!((text(&request), request.key()), ("mg         ke  v\r\n", &b"ke"[..]));
        assert!(!request.trim_key(3, 0) && !request.trim_key(1, 2) && !request.trim_key(usize::MAX, 0));
        assert!(request.trim_key(1, 1));
        assert_eq!(request.key(), b"");
    }
}

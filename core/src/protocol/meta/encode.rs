//! Replies of the meta protocol. They repeat flags in the order of the request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::flags::{MetaCommand, Returned, Returns};
use crate::base::clock::Clock;
use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, MetaState, Number, Response, StoreReply, Stored};
use crate::protocol::output::Output;
use crate::protocol::text;
use crate::protocol::write::{push_line, push_number, push_value};
use crate::store::{EntryRef, ReadConflict, bit};

/// The error of an opaque that is too long. memcached finds it late.
pub(super) const LONG_OPAQUE: &str = "CLIENT_ERROR opaque token too long";
const NO_MEMORY_VIVIFY: &str = "SERVER_ERROR Out of memory allocating new item";

/// The form of a meta command's reply.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    pub(super) command: MetaCommand,
    pub(super) returns: Returns,
    /// The flag `O` with its letter, or nothing.
    pub opaque: &'a [u8],
    /// Whether the opaque is too long: every reply that would show it is an error.
    pub(super) has_long_opaque: bool,
    /// Whether the key was given in base64.
    pub(super) is_binary: bool,
    /// `v`
    pub(super) value: bool,
    /// `q`: a success of a store or delete, or a miss of a get, has no reply.
    pub(super) quiet: bool,
    /// `C`. A get of an item with this CAS shows no value.
    pub(super) compare: Option<u64>,
    /// `T`
    pub(super) ttl: Option<i32>,
    /// `N`
    pub(super) vivify: Option<i32>,
}

/// The facts that flags ask for.
trait Facts {
    /// The key, and whether it is shown in base64.
    fn key(&self) -> (&[u8], bool);
    fn size(&self) -> usize {
        0
    }
    fn cas(&self) -> u64 {
        0
    }
    fn client_flags(&self) -> u32 {
        0
    }
    fn idle(&self) -> u32 {
        0
    }
    fn is_fetched(&self) -> bool {
        false
    }
    /// When the item was to expire before the request, 0 never.
    fn old_expiry(&self) -> u32 {
        0
    }
    fn is_created(&self) -> bool {
        false
    }
}

/// A key whose item is missing or of no interest.
struct KeyAlone<'a>(&'a [u8], bool);

impl Facts for KeyAlone<'_> {
    fn key(&self) -> (&[u8], bool) {
        (self.0, self.1)
    }
}

impl Facts for (KeyAlone<'_>, &StoreReply) {
    fn key(&self) -> (&[u8], bool) {
        self.0.key()
    }
    fn size(&self) -> usize {
        self.1.length
    }
    fn cas(&self) -> u64 {
        self.1.cas
    }
}

impl Facts for (KeyAlone<'_>, &Number) {
    fn key(&self) -> (&[u8], bool) {
        self.0.key()
    }
    fn cas(&self) -> u64 {
        self.1.cas
    }
    fn old_expiry(&self) -> u32 {
        self.1.old_expiry
    }
    fn is_created(&self) -> bool {
        self.1.created
    }
}

impl Facts for (&EntryRef<'_>, MetaState) {
    fn key(&self) -> (&[u8], bool) {
        (self.0.key(), self.0.header().has(bit::KEY_BINARY))
    }
    fn size(&self) -> usize {
        self.0.len()
    }
    fn cas(&self) -> u64 {
        self.0.header().cas()
    }
    fn client_flags(&self) -> u32 {
        self.0.flags()
    }
    fn idle(&self) -> u32 {
        self.0.time().idle(self.0.header())
    }
    fn is_fetched(&self) -> bool {
        self.0.header().has(bit::FETCHED)
    }
    fn old_expiry(&self) -> u32 {
        self.1.old_expiry
    }
    fn is_created(&self) -> bool {
        self.1.created
    }
}

impl Form<'_> {
    /// Returns the form of a command without flags.
    pub(super) fn new(command: MetaCommand) -> Self {
        Self {
            command,
            returns: Returns::default(),
            opaque: &[],
            has_long_opaque: false,
            is_binary: false,
            value: false,
            quiet: false,
            compare: None,
            ttl: None,
            vivify: None,
        }
    }

    /// Returns this form with another opaque.
    pub fn with_opaque(self, opaque: &[u8]) -> Form<'_> {
        Form { opaque, ..self }
    }

    /// Writes a found item.
    ///
    /// # Errors
    /// [`ReadConflict`]. Nothing was written then.
    #[inline]
    pub fn found(
        &self,
        out: &mut Output,
        clock: &Clock,
        entry: &mut EntryRef<'_>,
        state: MetaState,
    ) -> Result<(), ReadConflict> {
        if self.command == MetaCommand::Inspect {
            inspected(out, entry);
            return Ok(());
        }
        if self.has_long_opaque {
            push_line(out, LONG_OPAQUE);
            return Ok(());
        }
        let mark = out.mark();
        let value = self.value && self.compare != Some(entry.header().cas());
        let bytes = out.bytes();
        if value {
            bytes.extend_from_slice(b"VA ");
            push_number(bytes, entry.len() as u64);
        } else {
            bytes.extend_from_slice(b"HD");
        }
        let now = entry.time().now;
        self.push_returns(bytes, |exptime| clock.expiry(exptime.into()), now, &(&*entry, state));
        for (told, mark) in [(state.sent, b" Z"), (state.stale, b" X"), (state.win, b" W")] {
            if told {
                bytes.extend_from_slice(mark);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if value { push_value(out, entry, &mark) } else { Ok(()) }
    }

    /// Writes a response to a request for `key`.
    pub fn encode(&self, out: &mut Output, clock: &Clock, key: &[u8], response: &Response<'_>) {
        let key = KeyAlone(key, self.is_binary);
        let (code, is_done): (&[u8], bool) = match response {
            Response::Missing if self.has_long_opaque => return push_line(out, LONG_OPAQUE),
            Response::Missing => (b"EN", true),
            Response::Stored(reply) => return self.stored(out, key, reply),
            Response::Refused(AllocError::TooLarge) => return push_line(out, text::TOO_LARGE),
            Response::Refused(AllocError::NoMemory) => return push_line(out, text::NO_MEMORY),
            Response::RefusedMidway => return push_line(out, text::NO_MEMORY_READ),
            Response::BadChunk => return push_line(out, text::BAD_CHUNK),
            Response::Deleted(Deleted::Deleted) | Response::Touched(true) => (b"HD", true),
            Response::Number(Err(DeltaError::NonNumeric)) => return push_line(out, text::NON_NUMERIC),
            Response::Number(Err(DeltaError::NoMemory)) if self.vivify.is_some() => {
                return push_line(out, NO_MEMORY_VIVIFY);
            }
            Response::Deleted(Deleted::NoMemory) | Response::Number(Err(DeltaError::NoMemory)) => {
                return push_line(out, text::NO_MEMORY_DELTA);
            }
            Response::Number(_) if self.has_long_opaque => return push_line(out, LONG_OPAQUE),
            Response::Number(Ok(number)) => return self.number(out, clock, key, number),
            Response::Deleted(Deleted::NotFound)
            | Response::Touched(false)
            | Response::Number(Err(DeltaError::NotFound)) => (b"NF", false),
            Response::Deleted(Deleted::Exists) | Response::Number(Err(DeltaError::CasMismatch)) => {
                (b"EX", false)
            }
            Response::ServerError(text) => return push_line(out, &format!("SERVER_ERROR {text}")),
        };
        if is_done && self.quiet {
            return;
        }
        let bytes = out.bytes();
        bytes.extend_from_slice(code);
        for &returned in self.returns.list() {
            match returned {
                Returned::Opaque => self.push_opaque(bytes),
                Returned::Key => push_key(bytes, key.key()),
                _ => {}
            }
        }
        bytes.extend_from_slice(b"\r\n");
    }

    fn stored(&self, out: &mut Output, key: KeyAlone<'_>, reply: &StoreReply) {
        let code: &[u8] = match reply.stored {
            Stored::Stored if self.quiet => return,
            Stored::Stored => b"HD",
            Stored::NotStored => b"NS",
            Stored::Exists => b"EX",
            Stored::NotFound => b"NF",
        };
        let bytes = out.bytes();
        bytes.extend_from_slice(code);
        self.push_returns(bytes, |_| 0, 0, &(key, reply));
        bytes.extend_from_slice(b"\r\n");
    }

    fn number(&self, out: &mut Output, clock: &Clock, key: KeyAlone<'_>, number: &Number) {
        if self.quiet {
            return;
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number.value).as_bytes();
        let bytes = out.bytes();
        if self.value {
            bytes.extend_from_slice(b"VA ");
            push_number(bytes, digits.len() as u64);
        } else {
            bytes.extend_from_slice(b"HD");
        }
        self.push_returns(bytes, |exptime| clock.expiry(exptime.into()), clock.now(), &(key, number));
        bytes.extend_from_slice(b"\r\n");
        if self.value {
            bytes.extend_from_slice(digits);
            bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the parts of the reply that flags ask for. `expiry` converts an exptime.
    #[inline]
    fn push_returns(&self, bytes: &mut Vec<u8>, expiry: impl Fn(i32) -> u32, now: u32, facts: &impl Facts) {
        let mut expires = facts.old_expiry();
        for &returned in self.returns.list() {
            match returned {
                Returned::Opaque => self.push_opaque(bytes),
                Returned::Key => push_key(bytes, facts.key()),
                Returned::Size => push_fact(bytes, *b" s", facts.size() as u64),
                Returned::Ttl => push_ttl(bytes, expires, now),
                Returned::Cas => push_fact(bytes, *b" c", facts.cas()),
                Returned::ClientFlags => push_fact(bytes, *b" f", facts.client_flags().into()),
                Returned::Idle => push_fact(bytes, *b" l", facts.idle().into()),
                Returned::Fetched => {
                    bytes.extend_from_slice(if facts.is_fetched() { b" h1" } else { b" h0" });
                }
                Returned::NewTtl => expires = self.ttl.map_or(expires, &expiry),
                Returned::CreatedTtl if facts.is_created() => expires = self.vivify.map_or(expires, &expiry),
                Returned::CreatedTtl => {}
            }
        }
    }

    fn push_opaque(&self, bytes: &mut Vec<u8>) {
        bytes.push(b' ');
        bytes.extend_from_slice(self.opaque);
    }
}

/// Writes the item that an `me` found.
fn inspected(out: &mut Output, entry: &EntryRef<'_>) {
    let moment = *entry.time();
    let header = entry.header();
    let bytes = out.bytes();
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
}

/// Appends ` k` and the key.
fn push_key(bytes: &mut Vec<u8>, (key, is_binary): (&[u8], bool)) {
    bytes.extend_from_slice(b" k");
    if is_binary {
        bytes.extend_from_slice(STANDARD.encode(key).as_bytes());
        bytes.extend_from_slice(b" b");
    } else {
        bytes.extend_from_slice(key);
    }
}

/// Appends a flag and a number.
fn push_fact(bytes: &mut Vec<u8>, flag: [u8; 2], number: u64) {
    bytes.extend_from_slice(&flag);
    push_number(bytes, number);
}

/// Appends ` t` and the remaining seconds.
fn push_ttl(bytes: &mut Vec<u8>, expiry: u32, now: u32) {
    if expiry == 0 {
        bytes.extend_from_slice(b" t-1");
    } else {
        push_fact(bytes, *b" t", u64::from(expiry.wrapping_sub(now)));
    }
}

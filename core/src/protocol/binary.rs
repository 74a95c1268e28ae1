//! The binary protocol: packets of a header, extras, a key and a value.
//!
//! ```text
//! byte 0  magic (0x80 request, 0x81 reply)   4  length of extras      12..16 opaque
//!      1  opcode                             5  data type, ignored    16..24 CAS
//!   2..4  length of the key               6..8  status of a reply     24..    extras, key, value
//!                                         8..12 length of all three
//! ```
//!
//! Numbers are big-endian. [`PacketHeader::refusal`] compares the lengths with each other before
//! the body is read. [`parse`] then reads a packet whose extras and key are complete. The session
//! handles the value.

use std::borrow::Cow;

use super::key::Key;
use super::output::Output;
use super::write::push_data;
use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, DeltaOperation, Exptime, Mode, Operation, Response, StoreOperation, Stored};
use crate::store::{EntryRef, INLINE_COPY_MAX, ReadConflict};

/// First byte of a request.
pub const REQUEST: u8 = 0x80;

/// First byte of a reply.
const REPLY: u8 = 0x81;

/// Bytes of a header.
pub const HEADER: usize = 24;

/// The opcode of `stat`.
pub const STAT: u8 = opcode::STAT;

/// Longest body: the size of memcached's largest item.
const BODY_MAX: usize = 1024 * 1024 * 1024;

/// The exptime of an increment that must not create an item.
const NO_INITIAL: u32 = u32::MAX;

/// Returns whether the first reply in `answers` is an error without key and extras, or asks for
/// another step of SASL.
pub(crate) fn is_bare_error(answers: &[u8]) -> bool {
    matches!(answers, [_, _, 0, 0, 0, _, s0, s1, ..] if (*s0, *s1) != (0, 0))
}

/// The opcodes. A quiet opcode has replies for errors or hits only.
mod opcode {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GETK: u8 = 0x0c;
    pub const GETKQ: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    /// The quiet forms of `SET` to `FLUSH`, then of `APPEND` and `PREPEND`.
    pub const SETQ: u8 = 0x11;
    pub const FLUSHQ: u8 = 0x18;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
}

/// The status of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Success.
    Ok = 0x00,
    /// There is no item.
    NotFound = 0x01,
    /// There is an item, or its CAS differs.
    Exists = 0x02,
    /// The value is larger than an item may be.
    TooLarge = 0x03,
    /// Invalid lengths.
    Invalid = 0x04,
    /// There is no item to append to.
    NotStored = 0x05,
    /// The value is not a number.
    NonNumeric = 0x06,
    /// The client is not authenticated.
    AuthError = 0x20,
    /// The client must send another step.
    AuthContinue = 0x21,
    /// Unknown opcode.
    UnknownCommand = 0x81,
    /// No memory. Also the status of all server errors of the text protocol.
    OutOfMemory = 0x82,
}

impl Status {
    /// Returns memcached's text for the status.
    fn text(self) -> &'static str {
        match self {
            Self::Ok | Self::AuthContinue => "",
            Self::NotFound => "Not found",
            Self::Exists => "Data exists for key.",
            Self::TooLarge => "Too large.",
            Self::Invalid => "Invalid arguments",
            Self::NotStored => "Not stored.",
            Self::NonNumeric => "Non-numeric server-side value for incr or decr",
            Self::AuthError => "Auth failure.",
            Self::UnknownCommand => "Unknown command",
            Self::OutOfMemory => "Out of memory",
        }
    }
}

/// The header of a request.
#[derive(Clone, Copy, Debug)]
pub struct PacketHeader {
    magic: u8,
    opcode: u8,
    opaque: [u8; 4],
    key: usize,
    extras: usize,
    body: usize,
    cas: u64,
}

impl PacketHeader {
    /// Reads the header that `input` begins with. Returns `None` if it is incomplete.
    #[inline]
    pub fn read(input: &[u8]) -> Option<Self> {
        let &[magic, opcode, k0, k1, extras, _, _, _, b0, b1, b2, b3, o0, o1, o2, o3, ref cas @ ..] =
            input.first_chunk::<HEADER>()?;
        Some(Self {
            magic,
            opcode,
            opaque: [o0, o1, o2, o3],
            key: usize::from(u16::from_be_bytes([k0, k1])),
            extras: usize::from(extras),
            body: u32::from_be_bytes([b0, b1, b2, b3]) as usize,
            cas: u64::from_be_bytes(*cas),
        })
    }

    /// Returns whether the packet is a request.
    #[inline]
    pub fn is_request(&self) -> bool {
        self.magic == REQUEST
    }

    /// Returns the fields that a reply repeats.
    #[inline]
    pub fn echo(&self) -> Echo {
        Echo { opcode: self.opcode, opaque: self.opaque }
    }

    /// Returns the bytes of header, extras and key.
    #[inline]
    pub fn head(&self) -> usize {
        HEADER + self.extras + self.key
    }

    /// Returns the range of the key in the packet.
    #[inline]
    pub fn key(&self) -> std::ops::Range<usize> {
        HEADER + self.extras..self.head()
    }

    /// Returns the bytes of header and body.
    #[inline]
    pub fn whole(&self) -> usize {
        self.body.saturating_add(HEADER)
    }

    /// Returns the bytes of the body behind extras and key.
    #[inline]
    pub fn value(&self) -> usize {
        self.body.saturating_sub(self.extras + self.key)
    }

    /// Returns whether memcached accepts the opcode from an unauthenticated client.
    pub fn is_open_to_all(&self) -> bool {
        use opcode::{SASL_AUTH, SASL_LIST, SASL_STEP, VERSION};
        matches!(self.opcode, SASL_LIST | SASL_AUTH | SASL_STEP | VERSION)
    }

    /// Returns the error of invalid lengths. The connection ends after its reply, because the start
    /// of the next packet is unknown.
    #[inline]
    pub fn refusal(&self) -> Option<Status> {
        if self.key + self.extras > self.body {
            Some(Status::UnknownCommand)
        } else if self.body > BODY_MAX {
            Some(Status::Invalid)
        } else {
            None
        }
    }

    /// Returns whether the key is too long.
    #[inline]
    pub fn has_long_key(&self) -> bool {
        self.key > crate::config::KEY_MAX
    }
}

/// Log lines about commands.
impl PacketHeader {
    /// Returns the command on one line, in text form. `packet` holds at least header, extras and
    /// key. Values and the data of SASL are left out.
    pub fn describe(&self, packet: &[u8]) -> String {
        use opcode::{ADD, APPEND, DECREMENT, FLUSH, GAT, GATK, INCREMENT, PREPEND, REPLACE, SET, TOUCH};
        let extras = packet.get(HEADER..HEADER + self.extras).unwrap_or_default();
        let mut line = self.name().to_string();
        let mut put = |text: &str| {
            line.push(' ');
            // Any key must fit on one line.
            for letter in text.chars() {
                if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
            }
        };
        if self.key > 0 {
            put(&String::from_utf8_lossy(packet.get(self.key()).unwrap_or_default()));
        }
        match (self.echo().loud(), extras.len()) {
            (SET | ADD | REPLACE, 8) => {
                put(&format!("{} {} {}", number(extras, 0), number(extras, 4), self.value()));
            }
            (APPEND | PREPEND, _) => put(&self.value().to_string()),
            (INCREMENT | DECREMENT, 20) => {
                put(&long(extras, 0).to_string());
                if number(extras, 16) != NO_INITIAL {
                    put(&format!("{} {}", long(extras, 8), number(extras, 16)));
                }
            }
            (TOUCH | GAT | GATK | FLUSH, 4) => put(&number(extras, 0).to_string()),
            _ => {}
        }
        if self.cas != 0 {
            put(&format!("cas={}", self.cas));
        }
        line
    }

    /// Returns the name of the opcode: that of the text command, or else the protocol's, followed
    /// by `q` for the quiet form. The name of an unknown opcode is its number.
    fn name(&self) -> Cow<'static, str> {
        use opcode::{FLUSH, GATK, GETK, NOOP, QUIT, SASL_AUTH, SASL_LIST, SASL_STEP, STAT, VERSION};
        let echo = self.echo();
        let name = match echo.loud() {
            GETK => "getk",
            GATK => "gatk",
            QUIT => "quit",
            FLUSH => "flush_all",
            NOOP => "noop",
            VERSION => "version",
            STAT => "stats",
            SASL_LIST => "sasl_list_mechs",
            SASL_AUTH => "sasl_auth",
            SASL_STEP => "sasl_step",
            _ => echo.name(),
        };
        match name {
            "" => Cow::Owned(format!("{:#04x}", self.opcode)),
            name if echo.is_quiet() => Cow::Owned(format!("{name}q")),
            name => Cow::Borrowed(name),
        }
    }
}

/// The fields of a request that its reply repeats. The opcode also decides the form of the reply.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    opcode: u8,
    opaque: [u8; 4],
}

impl Echo {
    /// Returns the opcode's form that is not quiet.
    #[inline]
    fn loud(self) -> u8 {
        use opcode::{
            APPEND, APPENDQ, FLUSHQ, GAT, GATK, GATKQ, GATQ, GET, GETK, GETKQ, GETQ, PREPEND, PREPENDQ, SET,
            SETQ,
        };
        match self.opcode {
            GETQ => GET,
            GETKQ => GETK,
            GATQ => GAT,
            GATKQ => GATK,
            APPENDQ => APPEND,
            PREPENDQ => PREPEND,
            quiet @ SETQ..=FLUSHQ => quiet - SETQ + SET,
            loud => loud,
        }
    }

    #[inline]
    fn is_quiet(self) -> bool {
        self.loud() != self.opcode
    }

    /// Returns the name of the text command, by which faults are armed.
    pub fn name(self) -> &'static str {
        match self.loud() {
            opcode::GET | opcode::GETK => "get",
            opcode::SET => "set",
            opcode::ADD => "add",
            opcode::REPLACE => "replace",
            opcode::DELETE => "delete",
            opcode::INCREMENT => "incr",
            opcode::DECREMENT => "decr",
            opcode::APPEND => "append",
            opcode::PREPEND => "prepend",
            opcode::TOUCH => "touch",
            opcode::GAT | opcode::GATK => "gat",
            _ => "",
        }
    }

    /// Appends the header of a reply.
    #[inline]
    fn header(self, to: &mut Vec<u8>, status: Status, extras: u8, key: usize, body: usize, cas: u64) {
        let mut header = [0; HEADER];
        let [magic, opcode, k0, k1, e, _, s0, s1, b0, b1, b2, b3, o0, o1, o2, o3, rest @ ..] = &mut header;
        (*magic, *opcode, *e) = (REPLY, self.opcode, extras);
        [*k0, *k1] = (key as u16).to_be_bytes();
        [*s0, *s1] = (status as u16).to_be_bytes();
        [*b0, *b1, *b2, *b3] = (body as u32).to_be_bytes();
        [*o0, *o1, *o2, *o3] = self.opaque;
        *rest = cas.to_be_bytes();
        to.extend_from_slice(&header);
    }

    /// Replies with success, unless the request is quiet.
    #[inline]
    pub fn done(self, out: &mut Output, cas: u64, body: &[u8]) {
        if !self.is_quiet() {
            self.answer(out, Status::Ok, cas, body);
        }
    }

    /// Replies with an error in memcached's words, even to a quiet request.
    pub fn error(self, out: &mut Output, status: Status) {
        self.answer(out, status, 0, status.text().as_bytes());
    }

    /// Replies that the user has no right to the command or the key, even to a quiet request.
    pub fn not_permitted(self, out: &mut Output) {
        self.answer(out, Status::AuthError, 0, b"Not permitted");
    }

    /// Replies with a server error of this text.
    pub fn server_error(self, out: &mut Output, text: &str) {
        self.answer(out, Status::OutOfMemory, 0, text.as_bytes());
    }

    /// Replies with a status and a body.
    pub fn answer(self, out: &mut Output, status: Status, cas: u64, body: &[u8]) {
        self.header(out.bytes(), status, 0, 0, body.len(), cas);
        out.push(body);
    }

    /// Appends one statistic. The last one has neither name nor value.
    pub fn statistic(self, to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        self.header(to, Status::Ok, 0, name.len(), name.len() + value.len(), 0);
        to.extend_from_slice(name);
        to.extend_from_slice(value);
    }
}

/// The fields of `sasl auth` and `sasl step`.
#[derive(Debug)]
pub struct Sasl<'a> {
    /// Whether this is a further step.
    pub step: bool,
    /// The mechanism, as the client gave it.
    pub mechanism: &'a [u8],
    /// Bytes of data.
    pub length: usize,
}

/// A parsed packet.
#[derive(Debug)]
pub enum Packet<'a> {
    /// A command on an item.
    Data(Key<'a>, Operation),
    /// A store. Its value of `length` bytes follows.
    Store {
        /// The key.
        key: Key<'a>,
        /// The store.
        operation: StoreOperation<Exptime>,
        /// Bytes of the value.
        length: usize,
    },
    /// `noop`
    Noop,
    /// `version`
    Version,
    /// `quit`
    Quit,
    /// `flush`, with its delay in seconds or a date.
    Flush(i64),
    /// `stat`, with the name of the group.
    Stat(&'a [u8]),
    /// Asks for the SASL mechanisms.
    SaslList,
    /// Begins an authentication or continues it. The data follow.
    Sasl(Sasl<'a>),
    /// An unknown command. memcached discards this many bytes behind the key.
    Unknown(usize),
    /// A command with invalid lengths. The connection ends after the error.
    Malformed,
}

/// Parses a packet of which `packet` holds at least header, extras and key. Without `use_cas`,
/// stores ignore the CAS, as in memcached.
#[inline]
pub fn parse<'a>(header: &PacketHeader, packet: &'a [u8], use_cas: bool) -> Packet<'a> {
    use opcode::{
        ADD, APPEND, DECREMENT, DELETE, FLUSH, GAT, GATK, GET, GETK, INCREMENT, NOOP, PREPEND, QUIT, REPLACE,
        SASL_AUTH, SASL_LIST, SASL_STEP, SET, STAT, TOUCH, VERSION,
    };
    let extras = packet.get(HEADER..HEADER + header.extras).unwrap_or_default();
    let bytes = packet.get(header.key()).unwrap_or_default();
    let empty = header.body == 0;
    let no_value = header.value() == 0;
    let loud = header.echo().loud();
    let compare = if use_cas { header.cas } else { 0 };
    match (loud, Key::new(bytes)) {
        (GET | GETK, Some(key)) if extras.is_empty() && no_value => {
            Packet::Data(key, Operation::Get { touch: None })
        }
        // memcached treats the bytes behind the key of these as the next packet.
        (TOUCH | GAT | GATK, Some(key)) if extras.len() == 4 => {
            Packet::Data(key, Operation::Get { touch: Some(i64::from(number(extras, 0))) })
        }
        (SET | ADD | REPLACE, Some(key)) if extras.len() == 8 => {
            let mode = match loud {
                _ if compare != 0 => Mode::Cas,
                SET => Mode::Set,
                ADD => Mode::Add,
                _ => Mode::Replace,
            };
            let operation = StoreOperation {
                mode,
                flags: number(extras, 0),
                expiry: i64::from(number(extras, 4)),
                compare,
                purge_on_failure: loud == SET,
                ..StoreOperation::default()
            };
            Packet::Store { key, operation, length: header.value() }
        }
        (APPEND | PREPEND, Some(key)) if extras.is_empty() => {
            let mode = if loud == APPEND { Mode::Append } else { Mode::Prepend };
            let operation =
                StoreOperation { mode, compare, purge_on_failure: false, ..StoreOperation::default() };
            Packet::Store { key, operation, length: header.value() }
        }
        (DELETE, Some(key)) if extras.is_empty() && no_value => {
            Packet::Data(key, Operation::Delete { compare: header.cas })
        }
        (INCREMENT | DECREMENT, Some(key)) if extras.len() == 20 && no_value => {
            let vivify = match number(extras, 16) {
                NO_INITIAL => None,
                exptime => Some((long(extras, 8), i64::from(exptime))),
            };
            let delta = DeltaOperation::new(loud == INCREMENT, long(extras, 0));
            Packet::Data(key, Operation::Delta(DeltaOperation { compare: header.cas, vivify, ..delta }))
        }
        (NOOP, _) if empty => Packet::Noop,
        (VERSION, _) if empty => Packet::Version,
        (QUIT, _) if empty => Packet::Quit,
        (FLUSH, None) if no_value && matches!(extras.len(), 0 | 4) && bytes.is_empty() => {
            Packet::Flush(i64::from(number(extras, 0)))
        }
        (STAT, _) if extras.is_empty() => Packet::Stat(bytes),
        (SASL_LIST, _) if empty => Packet::SaslList,
        (SASL_AUTH | SASL_STEP, Some(_)) if extras.is_empty() => {
            Packet::Sasl(Sasl { step: loud == SASL_STEP, mechanism: bytes, length: header.value() })
        }
        (GET..=STAT | TOUCH | GAT | SASL_LIST..=GATK, _) => Packet::Malformed,
        _ => Packet::Unknown(header.body),
    }
}

/// Returns the 32-bit number at `at`, or 0 if there is none.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// Returns the 64-bit number at `at`, or 0 if there is none.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_be_bytes(*chunk))
}

/// Replies to data commands.
impl Echo {
    fn has_key(self) -> bool {
        matches!(self.loud(), opcode::GETK | opcode::GATK)
    }

    /// Writes a found item.
    ///
    /// # Errors
    /// [`ReadConflict`]. Nothing was written then.
    #[inline]
    pub fn found(self, out: &mut Output, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict> {
        let with_value = self.opcode != opcode::TOUCH;
        let key = if self.has_key() { entry.key() } else { &[] };
        let length = if with_value { entry.len() } else { 0 };
        let mark = out.mark();
        let bytes = out.bytes();
        bytes.reserve(HEADER + 4 + key.len() + length.min(INLINE_COPY_MAX));
        self.header(bytes, Status::Ok, 4, key.len(), 4 + key.len() + length, entry.header().cas());
        bytes.extend_from_slice(&entry.flags().to_be_bytes());
        bytes.extend_from_slice(key);
        if with_value { push_data(out, entry).inspect_err(|_| out.rewind(&mark)) } else { Ok(()) }
    }

    /// Writes a response to a request for `key`.
    #[inline]
    pub fn encode(self, out: &mut Output, key: &[u8], response: &Response<'_>) {
        let status = match response {
            Response::Missing if self.is_quiet() => return,
            Response::Missing if self.has_key() => {
                self.header(out.bytes(), Status::NotFound, 0, key.len(), key.len(), 0);
                return out.push(key);
            }
            Response::Stored(reply) => match reply.stored {
                Stored::Stored => return self.done(out, reply.cas, &[]),
                Stored::Exists => Status::Exists,
                Stored::NotFound => Status::NotFound,
                Stored::NotStored => match self.loud() {
                    opcode::ADD => Status::Exists,
                    opcode::REPLACE => Status::NotFound,
                    _ => Status::NotStored,
                },
            },
            Response::Refused(AllocError::TooLarge) => Status::TooLarge,
            Response::Refused(AllocError::NoMemory) => {
                return self.server_error(out, "Out of memory allocating item");
            }
            Response::RefusedMidway => return self.server_error(out, "Out of memory during read"),
            // A value has no line end.
            Response::BadChunk => Status::Invalid,
            Response::Deleted(Deleted::Deleted) | Response::Touched(true) => return self.done(out, 0, &[]),
            Response::Number(Ok(number)) => return self.done(out, number.cas, &number.value.to_be_bytes()),
            Response::Missing
            | Response::Deleted(Deleted::NotFound)
            | Response::Touched(false)
            | Response::Number(Err(DeltaError::NotFound)) => Status::NotFound,
            Response::Deleted(Deleted::Exists) | Response::Number(Err(DeltaError::CasMismatch)) => {
                Status::Exists
            }
            Response::Deleted(Deleted::NoMemory) => Status::OutOfMemory,
            Response::Number(Err(DeltaError::NonNumeric)) => Status::NonNumeric,
            Response::Number(Err(DeltaError::NoMemory)) => {
                return self.server_error(out, "Out of memory incrementing value");
            }
            Response::ServerError(text) => return self.server_error(out, text),
        };
        self.error(out, status);
    }
}

//! Parses and builds packets of the binary protocol. Knows the header and the names of the opcodes,
//! but not what a packet does.
//!
//! ```text
//! 0      1       2    4       5         6                8     12      16   24
//! magic  opcode  key  extras  datatype  vbucket, status  body  opaque  CAS  extras, key, value
//! ```
//! The body's length counts extras, key and value. Numbers are big-endian.

use std::fmt::Write as _;

use crate::escape::{escape, shorten};

/// Length of a header.
pub const HEADER: usize = 24;

/// Offset of the CAS in a header.
pub const CAS_AT: usize = 16;

/// First byte of a request.
pub const REQUEST: u8 = 0x80;

/// First byte of a reply.
pub const REPLY: u8 = 0x81;

/// A header of either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the drawing above says it")]
pub struct Header {
    pub magic: u8,
    pub opcode: u8,
    pub key: u16,
    pub extras: u8,
    pub datatype: u8,
    /// The vbucket of a request, the status of a reply.
    pub status: u16,
    pub body: u32,
    pub opaque: u32,
    pub cas: u64,
}

impl Header {
    /// Returns the header of a request without a body.
    pub fn request(opcode: u8) -> Self {
        Self { magic: REQUEST, opcode, key: 0, extras: 0, datatype: 0, status: 0, body: 0, opaque: 0, cas: 0 }
    }

    /// Parses the header at the start of `bytes`. Returns `None` if they are too short.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let [magic, opcode, k0, k1, extras, datatype, s0, s1, b0, b1, b2, b3, rest @ ..] = *header;
        let [o0, o1, o2, o3, cas @ ..] = rest;
        Some(Self {
            magic,
            opcode,
            key: u16::from_be_bytes([k0, k1]),
            extras,
            datatype,
            status: u16::from_be_bytes([s0, s1]),
            body: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
            cas: u64::from_be_bytes(cas),
        })
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.magic;
        bytes[1] = self.opcode;
        bytes[2..4].copy_from_slice(&self.key.to_be_bytes());
        bytes[4] = self.extras;
        bytes[5] = self.datatype;
        bytes[6..8].copy_from_slice(&self.status.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.body.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.opaque.to_be_bytes());
        bytes[CAS_AT..].copy_from_slice(&self.cas.to_be_bytes());
        bytes
    }
}

/// A complete packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Extras, key and value.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Splits `bytes` into packets. Also returns the rest: a header or body that is cut short.
    pub fn split(bytes: &'a [u8]) -> (Vec<Self>, &'a [u8]) {
        let (mut packets, mut rest) = (Vec::new(), bytes);
        while let Some(header) = Header::read(rest) {
            let end = HEADER.saturating_add(header.body as usize);
            let Some(body) = rest.get(HEADER..end) else { break };
            packets.push(Self { header, body });
            rest = &rest[end..];
        }
        (packets, rest)
    }

    /// Returns whether `bytes` are one packet that refuses a value, or does not know the command.
    pub fn is_refusal(bytes: &'a [u8]) -> bool {
        let (packets, rest) = Self::split(bytes);
        rest.is_empty() && matches!(&packets[..], [one] if matches!(one.header.status, 0x03 | 0x81 | 0x82))
    }

    /// Returns extras, key and value. Lengths that do not fit are cut.
    pub fn parts(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let (extras, rest) = self.body.split_at((self.header.extras as usize).min(self.body.len()));
        let (key, value) = rest.split_at((self.header.key as usize).min(rest.len()));
        (extras, key, value)
    }

    /// Describes the packet, without fields that are 0 or empty.
    pub fn show(&self) -> String {
        let header = &self.header;
        let mut text = format!("{{{}", name(header.opcode));
        if header.magic != REQUEST && header.magic != REPLY {
            let _ = write!(text, " magic=0x{:02x}", header.magic);
        }
        let what = if header.magic == REPLY { "status" } else { "vbucket" };
        let numbers = [
            (what, u64::from(header.status)),
            ("datatype", u64::from(header.datatype)),
            ("opaque", u64::from(header.opaque)),
            ("cas", header.cas),
        ];
        for (what, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
            let _ = write!(text, " {what}=0x{number:x}");
        }
        let (extras, key, value) = self.parts();
        for (what, bytes) in [("extras", extras), ("key", key), ("value", value)] {
            if !bytes.is_empty() {
                let _ = write!(text, " {what}=\"{}\"", shorten(bytes, 300));
            }
        }
        let fits = usize::from(header.key) + usize::from(header.extras) <= header.body as usize;
        if !fits {
            let _ = write!(text, " lengths={}+{} of {}", header.extras, header.key, header.body);
        }
        text.push('}');
        text
    }
}

/// Describes the packets in `bytes`. Incomplete ones are shown as bytes.
pub fn show(bytes: &[u8]) -> String {
    let (packets, rest) = Packet::split(bytes);
    let mut words: Vec<String> = packets.iter().map(Packet::show).collect();
    if let Some(header) = Header::read(rest) {
        words.push(format!("{header:?} and {}", shorten(&rest[HEADER..], 300)));
    } else if !rest.is_empty() {
        words.push(escape(rest));
    }
    words.join(" ")
}

/// The opcodes of memcached, by number.
const NAMES: &[&str] = &[
    "get",
    "set",
    "add",
    "replace",
    "delete",
    "increment",
    "decrement",
    "quit",
    "flush",
    "getq",
    "noop",
    "version",
    "getk",
    "getkq",
    "append",
    "prepend",
    "stat",
    "setq",
    "addq",
    "replaceq",
    "deleteq",
    "incrementq",
    "decrementq",
    "quitq",
    "flushq",
    "appendq",
    "prependq",
    "verbosity",
    "touch",
    "gat",
    "gatq",
    "0x1f",
    "sasl_list_mechs",
    "sasl_auth",
    "sasl_step",
    "gatk",
    "gatkq",
];

/// Returns the name of an opcode.
pub fn name(opcode: u8) -> String {
    NAMES.get(usize::from(opcode)).map_or_else(|| format!("0x{opcode:02x}"), |&name| name.to_owned())
}

/// The opcodes.
#[expect(missing_docs, reason = "their names say it")]
pub mod opcode {
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
    pub const SETQ: u8 = 0x11;
    pub const ADDQ: u8 = 0x12;
    pub const REPLACEQ: u8 = 0x13;
    pub const DELETEQ: u8 = 0x14;
    pub const INCREMENTQ: u8 = 0x15;
    pub const DECREMENTQ: u8 = 0x16;
    pub const QUITQ: u8 = 0x17;
    pub const FLUSHQ: u8 = 0x18;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const VERBOSITY: u8 = 0x1b;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_survives_being_written_and_read() {
        let header = Header {
            key: 2,
            extras: 1,
            body: 6,
            status: 7,
            opaque: 0x0102_0304,
            cas: 99,
            ..Header::request(opcode::GETK)
        };
        let bytes = [&header.bytes()[..], b"eK1val"].concat();
        let two = [&bytes[..], &bytes[..20]].concat();
        let (packets, rest) = Packet::split(&two);
        assert_eq!(packets, [Packet { header, body: b"eK1val" }]);
        assert_eq!(packets[0].parts(), (&b"e"[..], &b"K1"[..], &b"val"[..]));
        assert_eq!(rest, &bytes[..20]);
        assert_eq!(name(opcode::GATKQ), "gatkq");
        assert_eq!(name(opcode::SASL_LIST), "sasl_list_mechs");
    }
}

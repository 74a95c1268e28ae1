//! A command with the bytes that follow it until its reply is complete. Knows no server.

use std::collections::HashMap;
use std::fmt::Write as _;

use memcache_compat::escape::escape;
use memcache_compat::packet::{self, Header, opcode};

/// A part of a request.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The same bytes for both servers.
    Bytes(Vec<u8>),
    /// A CAS number of each server: the `nth` in the reply to group `group`.
    Cas { group: u64, nth: usize },
    /// The same as eight bytes.
    PackedCas { group: u64, nth: usize },
}

/// How the end of the reply is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A marker command follows. Its reply marks the end.
    Marker,
    /// The same in the binary protocol.
    Noop,
    /// The server closes the connection.
    Close,
    /// The client ends its side, perhaps within a request of the binary protocol. Then the server
    /// closes.
    Finish,
    /// A marker command follows that a proxy answers itself, because its backends may be dead.
    Proxied,
    /// There is no command: the backend with this index is killed on both sides.
    Kill(usize),
    /// There is no command: the backend with this index is started again on both sides.
    Revive(usize),
}

/// One command, well-formed or not, with its data.
#[derive(Clone, Debug)]
pub struct Group {
    /// Number of the group, from 1 in each run.
    pub id: u64,
    /// Index of the key that CAS numbers in the reply belong to.
    pub key: Option<usize>,
    /// The bytes to send.
    pub pieces: Vec<Piece>,
    /// How the reply ends.
    pub ending: Ending,
}

/// A group without its number.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) key: Option<usize>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) ending: Ending,
}

/// The CAS numbers seen, by group and index: the left server's and the right one's.
pub type Numbers = HashMap<(u64, usize), (u64, u64)>;

/// A number that no counter reaches. Sent in place of a CAS that was never seen.
const UNSEEN: u64 = 999_999_999_999;

/// The upper byte of a marker's opaque number.
const MARKER: u32 = 0x6d00_0000;

impl Group {
    /// Returns the bytes for the left server and for the right one, without the marker.
    pub fn bytes(&self, numbers: &Numbers) -> (Vec<u8>, Vec<u8>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for piece in &self.pieces {
            let seen = |group, nth| numbers.get(&(group, nth)).copied().unwrap_or((UNSEEN, UNSEEN));
            match *piece {
                Piece::Bytes(ref bytes) => {
                    left.extend(bytes);
                    right.extend(bytes);
                }
                Piece::Cas { group, nth } => {
                    let (a, b) = seen(group, nth);
                    left.extend(a.to_string().bytes());
                    right.extend(b.to_string().bytes());
                }
                Piece::PackedCas { group, nth } => {
                    let (a, b) = seen(group, nth);
                    left.extend(a.to_be_bytes());
                    right.extend(b.to_be_bytes());
                }
            }
        }
        (left, right)
    }

    /// Returns the marker command. `mn` makes memcached write its replies before it continues.
    /// Otherwise a later `get` that fails would discard replies that wait.
    pub fn marker(&self) -> Vec<u8> {
        match self.ending {
            Ending::Marker => format!("mg differential-marker O{}\r\nmn\r\n", self.id).into_bytes(),
            Ending::Noop => self.noop().bytes().to_vec(),
            Ending::Proxied => b"mn\r\nversion\r\n".to_vec(),
            Ending::Close | Ending::Finish | Ending::Kill(_) | Ending::Revive(_) => Vec::new(),
        }
    }

    /// Returns the reply to the marker.
    pub fn marker_reply(&self) -> Vec<u8> {
        match self.ending {
            Ending::Noop => Header { magic: packet::REPLY, ..self.noop() }.bytes().to_vec(),
            Ending::Proxied => b"MN\r\nVERSION 1.6.45\r\n".to_vec(),
            _ => format!("EN O{}\r\nMN\r\n", self.id).into_bytes(),
        }
    }

    /// Returns whether this is sent alone: the server closes, or a backend dies or comes back.
    pub fn is_alone(&self) -> bool {
        match self.ending {
            Ending::Marker | Ending::Noop | Ending::Proxied => false,
            Ending::Close | Ending::Finish | Ending::Kill(_) | Ending::Revive(_) => true,
        }
    }

    /// Returns the marker of the binary protocol. No random command has its opaque number.
    fn noop(&self) -> Header {
        Header { opaque: MARKER | self.id as u32, ..Header::request(opcode::NOOP) }
    }

    /// Returns whether this is a command of the binary protocol.
    pub fn is_binary(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Bytes(bytes)) if bytes.first() == Some(&packet::REQUEST))
    }

    /// Returns the request as text, with CAS numbers as `<cas of N>`.
    pub fn show(&self) -> String {
        match self.ending {
            Ending::Kill(backend) => return format!("(kill backend {backend})"),
            Ending::Revive(backend) => return format!("(start backend {backend} again)"),
            _ => {}
        }
        let mut text = String::new();
        if self.is_binary() {
            let mut bytes = Vec::new();
            for piece in &self.pieces {
                match piece {
                    Piece::Bytes(more) => bytes.extend(more),
                    // Shown as the number of the group.
                    Piece::Cas { group, .. } | Piece::PackedCas { group, .. } => {
                        bytes.extend(group.to_be_bytes());
                    }
                }
            }
            let own = self.pieces.iter().any(|piece| matches!(piece, Piece::PackedCas { .. }));
            let note = if own { " (cas: the one in the reply to that command)" } else { "" };
            let end = if self.ending == Ending::Finish { " and the end of input" } else { "" };
            return format!("{}{note}{end}", packet::show(&bytes));
        }
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) if bytes.len() > 600 => {
                    text.push_str(&memcache_compat::escape::shorten(bytes, 400));
                }
                Piece::Bytes(bytes) => text.push_str(&escape(bytes)),
                Piece::Cas { group, nth } | Piece::PackedCas { group, nth } => {
                    let _ = write!(text, "<cas {nth} of {group}>");
                }
            }
        }
        text
    }
}

impl Draft {
    /// Returns whether this is an `ms` with a CAS number of its own. If it fails, memcached gives
    /// that number to the connection's next store. Another `ms` ends that.
    pub(crate) fn may_leave_its_cas(&self) -> bool {
        let Some(Piece::Bytes(bytes)) = self.pieces.first() else { return false };
        let has_number = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.windows(2).any(|pair| pair == b" E"),
            Piece::Cas { .. } | Piece::PackedCas { .. } => false,
        };
        bytes.trim_ascii_start().starts_with(b"ms ") && self.pieces.iter().any(has_number)
    }

    /// Returns whether memcached's background threads do not affect it. `flush_all` scans each
    /// queue from its newest item to the first old one, and the threads reorder the queues.
    pub(crate) fn is_steady(&self) -> bool {
        let Some(Piece::Bytes(bytes)) = self.pieces.first() else { return true };
        let verbs = [&b"incr "[..], b"decr ", b"ma ", b"flush_all"];
        !verbs.iter().any(|verb| bytes.trim_ascii_start().starts_with(verb))
    }
}

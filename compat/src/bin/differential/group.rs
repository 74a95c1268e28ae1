//! One command with what follows it on the wire until its reply is complete. Knows no server.

use std::collections::HashMap;
use std::fmt::Write as _;

use memcache_compat::escape::escape;

/// A part of a request.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The same bytes for both servers.
    Bytes(Vec<u8>),
    /// The CAS number that each server gave in the reply to group `group`, the `nth` one in it.
    Cas { group: u64, nth: usize },
}

/// How the end of the reply is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A marker command is sent behind; its reply stands behind the reply.
    Marker,
    /// The server closes the connection.
    Close,
}

/// One command, well-formed or not, with its data.
#[derive(Clone, Debug)]
pub struct Group {
    /// Counts up from 1 within a run.
    pub id: u64,
    /// The key that CAS numbers in the reply belong to: its place in the list of keys.
    pub key: Option<usize>,
    /// What is sent.
    pub pieces: Vec<Piece>,
    /// How the reply ends.
    pub ending: Ending,
}

/// The CAS numbers seen: by group and place, the left server's and the right one's.
pub type Numbers = HashMap<(u64, usize), (u64, u64)>;

/// A number that no counter reaches, sent where the wanted one was never seen.
const UNSEEN: u64 = 999_999_999_999;

impl Group {
    /// The bytes for the left server and for the right one, without the marker.
    pub fn bytes(&self, numbers: &Numbers) -> (Vec<u8>, Vec<u8>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => {
                    left.extend(bytes);
                    right.extend(bytes);
                }
                Piece::Cas { group, nth } => {
                    let (a, b) = numbers.get(&(*group, *nth)).copied().unwrap_or((UNSEEN, UNSEEN));
                    left.extend(a.to_string().bytes());
                    right.extend(b.to_string().bytes());
                }
            }
        }
        (left, right)
    }

    /// The marker command. `mn` makes memcached write out what it has before it goes on, which matters: a later `get`
    /// that fails throws away replies that are still waiting.
    pub fn marker(&self) -> Vec<u8> {
        match self.ending {
            Ending::Marker => format!("mg differential-marker O{}\r\nmn\r\n", self.id).into_bytes(),
            Ending::Close => Vec::new(),
        }
    }

    /// What the marker's reply is.
    pub fn marker_reply(&self) -> Vec<u8> {
        format!("EN O{}\r\nMN\r\n", self.id).into_bytes()
    }

    /// The request as text, CAS numbers as `<cas of N>`.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) if bytes.len() > 600 => {
                    text.push_str(&memcache_compat::escape::shorten(bytes, 400));
                }
                Piece::Bytes(bytes) => text.push_str(&escape(bytes)),
                Piece::Cas { group, nth } => {
                    let _ = write!(text, "<cas {nth} of {group}>");
                }
            }
        }
        text
    }
}

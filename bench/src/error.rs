//! Everything that can end a run, told apart by whose fault it is: the machine's (`Io`), the caller's
//! (`Usage`, `Malformed`) or the measured server's (the rest).

use std::fmt;
use std::io;
use std::time::Duration;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run ended early.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Io { doing: String, source: io::Error },
    /// The command line asks for something impossible.
    Usage(String),
    /// An input file is not what it should be.
    Malformed(String),
    /// The server sent a reply that does not answer the request.
    Wrong(Wrong),
    /// The server closed a connection with requests outstanding.
    Closed,
    /// The server owes replies and was silent for this long.
    Stalled(Duration),
    /// The server refused this many sets.
    Refused(u64),
    /// A comparison ended with servers that failed.
    Failed,
    /// A server process could not be started or measured.
    Server { name: String, what: String },
}

/// A reply that does not answer its request.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Not a reply that this request can have; the bytes are its beginning.
    Reply { got: Vec<u8> },
    /// A reply that nothing asked for.
    Unasked { got: Vec<u8> },
    /// A value under a key that was not asked for, or out of order.
    Key { got: Vec<u8> },
    /// A value of another length than the one stored.
    Length { id: u64, expected: usize, got: usize },
    /// A value with other bytes than those stored, from this offset on.
    Bytes { id: u64, offset: usize },
    /// A value that is not followed by its line end.
    Trailer { id: u64 },
}

/// Adds what was being done to an I/O error.
pub trait Doing<T> {
    /// `doing` completes the sentence "while …".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source })
    }
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "while {doing}: {source}"),
            Self::Usage(what) | Self::Malformed(what) => f.write_str(what),
            Self::Wrong(wrong) => write!(f, "wrong reply: {wrong}"),
            Self::Closed => f.write_str("the server closed a connection that was owed replies"),
            Self::Stalled(silence) => write!(f, "the server owes replies and was silent for {silence:?}"),
            Self::Refused(sets) => write!(f, "the server refused {sets} sets"),
            Self::Failed => f.write_str("a server failed; see the notes"),
            Self::Server { name, what } => write!(f, "server {name}: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { got } => write!(f, "not an answer to this request: \"{}\"", got.escape_ascii()),
            Self::Unasked { got } => write!(f, "nothing was asked: \"{}\"", got.escape_ascii()),
            Self::Key { got } => {
                write!(f, "a value under a key not asked for here: \"{}\"", got.escape_ascii())
            }
            Self::Length { id, expected, got } => {
                write!(f, "item {id}: {got} bytes where {expected} were stored")
            }
            Self::Bytes { id, offset } => {
                write!(f, "item {id}: other bytes than those stored, from offset {offset}")
            }
            Self::Trailer { id } => write!(f, "item {id}: the value is not followed by CR LF"),
        }
    }
}

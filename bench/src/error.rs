//! All errors that can end a run, by their origin: the machine (`Io`), the caller (`Usage`,
//! `Malformed`) or the measured server (the rest).

use std::fmt;
use std::io;
use std::time::Duration;

/// The result of every function here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a run ended early.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Io { doing: String, source: io::Error },
    /// The command line is invalid.
    Usage(String),
    /// An input file has the wrong format.
    Malformed(String),
    /// The server sent a reply that does not answer the request.
    Wrong(Wrong),
    /// The server closed a connection with requests outstanding.
    Closed,
    /// The server owes replies and has been silent for this long.
    Stalled(Duration),
    /// The server refused this many sets.
    Refused(u64),
    /// Some servers of a comparison failed.
    Failed,
    /// A server process could not be started or measured.
    Server { name: String, what: String },
}

/// A reply that does not answer its request.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The reply is not valid for this request. The bytes are its beginning.
    Reply { got: Vec<u8> },
    /// A reply without a request.
    Unasked { got: Vec<u8> },
    /// A value under a key that was not requested, or out of order.
    Key { got: Vec<u8> },
    /// A value whose length differs from the stored one.
    Length { id: u64, expected: usize, got: usize },
    /// A value whose bytes differ from the stored ones, from this offset on.
    Bytes { id: u64, offset: usize },
    /// A value without its line end.
    Trailer { id: u64 },
}

/// Adds the failed action to an I/O error.
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
            Self::Closed => f.write_str("the server closed a connection with requests outstanding"),
            Self::Stalled(silence) => {
                write!(f, "the server owes replies and has been silent for {silence:?}")
            }
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
            Self::Reply { got } => write!(f, "not a reply to this request: \"{}\"", got.escape_ascii()),
            Self::Unasked { got } => write!(f, "a reply without a request: \"{}\"", got.escape_ascii()),
            Self::Key { got } => {
                write!(
                    f,
                    "a value under a key that was not requested, or out of order: \"{}\"",
                    got.escape_ascii()
                )
            }
            Self::Length { id, expected, got } => {
                write!(f, "item {id}: got {got} bytes, but {expected} were stored")
            }
            Self::Bytes { id, offset } => {
                write!(f, "item {id}: the bytes differ from the stored ones from offset {offset}")
            }
            Self::Trailer { id } => write!(f, "item {id}: the value is not followed by CR LF"),
        }
    }
}

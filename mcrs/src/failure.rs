//! Failures that end the tool: one line for standard error and an exit status of `sysexits.h`.

use std::io;

use memcache_core::internal::base::error::reason;
use memcache_core::internal::persist::{FormatError, SnapshotError};

/// Something is incomplete: an item was not stored, a snapshot is damaged, or a server answers with
/// an error.
pub const INCOMPLETE: u8 = 1;
/// `EX_USAGE`: the command line is wrong.
pub const USAGE: u8 = 64;
/// `EX_DATAERR`: the file is not a snapshot that this version reads.
pub const DATA: u8 = 65;
/// `EX_UNAVAILABLE`: the server cannot be reached, or does not answer as expected.
pub const SERVER: u8 = 69;
/// `EX_IOERR`: a file cannot be read or written.
pub const FILE: u8 = 74;
/// `EX_TEMPFAIL`: the server is busy.
pub const BUSY: u8 = 75;
/// `EX_NOPERM`: the server does not allow it.
pub const REFUSED: u8 = 77;

/// The line to print and the status to exit with.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line, without its end. Empty if nothing is to be printed.
    pub line: String,
    /// Exit status.
    pub status: u8,
}

impl Failure {
    /// Returns a failure with this line and this status.
    pub fn new(status: u8, line: impl Into<String>) -> Self {
        Self { line: line.into(), status }
    }

    /// Returns a failure of a file. `action` is as in "failed to … FILE".
    pub fn file(action: &str, name: &str, error: &io::Error) -> Self {
        Self::new(FILE, format!("failed to {action} {name}: {}", reason(error)))
    }

    /// Returns a failure to read the header of the snapshot in `name`.
    pub fn format(name: &str, error: &FormatError) -> Self {
        match error {
            FormatError::Io(error) => Self::file("read", name, error),
            error => Self::new(DATA, format!("{name}: {error}")),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::File { path, action, source } => {
                Self::file(action, &path.display().to_string(), &source)
            }
            error => Self::new(FILE, error.to_string()),
        }
    }
}

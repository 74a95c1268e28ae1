//! Errors of saving and loading.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::decode::FormatError;
use crate::base::error::reason;

/// A snapshot was not saved or not loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The system refused an operation on a file.
    File {
        /// The file or directory.
        path: PathBuf,
        /// The operation, as in "failed to … the file".
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The reader or writer of the caller returned an error, or the system refused a thread.
    Io(io::Error),
    /// The file is not a snapshot that this version can read.
    Format(FormatError),
    /// Another save to this file is under way, in this process or in another one.
    Busy(PathBuf),
    /// `flush_all` ran during the save, so that the snapshot would have flushed items.
    Flushed,
    /// The snapshot is damaged, and [`crate::LoadOptions::strict`] was set. Items that were read
    /// before the damage are in the cache.
    Damaged {
        /// Offset of the damage in the file.
        offset: u64,
    },
    /// The progress callback ended the operation.
    Cancelled,
}

impl SnapshotError {
    /// Returns a function that adds a path and an action to an error.
    pub(super) fn at(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, action, source }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, action, source } => {
                write!(f, "failed to {action} {}: {}", path.display(), reason(source))
            }
            Self::Io(e) => write!(f, "failed to transfer the snapshot: {}", reason(e)),
            Self::Format(e) => e.fmt(f),
            Self::Busy(path) => write!(f, "another save to {} is under way", path.display()),
            Self::Flushed => f.write_str("the cache was flushed while it was saved"),
            Self::Damaged { offset } => write!(f, "the snapshot is damaged at byte {offset}"),
            Self::Cancelled => f.write_str("the operation was cancelled"),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Io(e) => Some(e),
            Self::Format(e) => Some(e),
            _ => None,
        }
    }
}

impl From<FormatError> for SnapshotError {
    fn from(e: FormatError) -> Self {
        match e {
            FormatError::Io(e) => Self::Io(e),
            e => Self::Format(e),
        }
    }
}

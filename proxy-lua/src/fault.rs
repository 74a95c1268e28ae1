//! A configuration that cannot be loaded.

use std::fmt;

/// A configuration that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFault {
    /// memcached's line that says what failed.
    pub line: String,
    /// Whether memcached ends at a reload: the program itself has failed.
    pub is_fatal: bool,
}

impl LoadFault {
    /// Returns the fault of a program.
    pub fn fatal(line: impl Into<String>) -> Self {
        Self { line: line.into(), is_fatal: true }
    }

    /// Returns the fault of a file that cannot be read or compiled.
    pub fn unread(line: String) -> Self {
        Self { line, is_fatal: false }
    }

    /// Returns the fault of a program in a worker.
    pub fn of_worker(line: String) -> Self {
        Self { line, is_fatal: false }
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

//! Failures that end the daemon: one line for standard error and an exit status of `sysexits.h`.

use memcache_core::StartError;
pub use memcache_core::internal::base::error::reason;

/// `EX_USAGE`: a flag or a value is wrong. memcached exits with 1 or 64 here.
pub const USAGE: u8 = 64;
/// `EX_NOUSER`: the user of `-u` does not exist.
pub const NO_USER: u8 = 67;
/// `EX_SOFTWARE`: a part of the server died, or did not stop.
pub const SOFTWARE: u8 = 70;
/// `EX_OSERR`: a system call failed.
pub const OS_ERROR: u8 = 71;

/// The line to print and the status to exit with.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line, without its end.
    pub line: String,
    /// Exit status.
    pub status: u8,
}

impl Failure {
    /// Returns a failure of the command line.
    pub fn usage(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: USAGE }
    }

    /// Returns a failure for an unknown user name.
    pub fn no_user(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: NO_USER }
    }

    /// Returns a failure of the server: a part of it died, or did not stop.
    pub fn software(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: SOFTWARE }
    }

    /// Returns a failure of a system call.
    pub fn system(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: OS_ERROR }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(e) => Self::usage(e.to_string()),
            StartError::File(line) => Self::usage(line),
            fault @ StartError::Proxy(_) => Self::usage(fault.to_string()),
            StartError::Listen(what, e) => {
                Self::system(format!("failed to listen on {what}: {}", reason(&e)))
            }
            other => Self::system(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memcache_core::CacheConfig;
    use std::io;

    #[test]
    fn start_errors_have_the_right_status() {
        let refused = CacheConfig::default().set("shards", 3).map_err(StartError::from);
        let text = "shards must be a power of two of at most 1024, got 3";
        assert_eq!(refused.map_err(Failure::from), Err(Failure::usage(text)));
        let listen = StartError::Listen("[::1]:1".into(), io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(Failure::from(listen), Failure::system("failed to listen on [::1]:1: Permission denied"));
        let memory = StartError::Memory(io::Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!(Failure::from(memory).status, OS_ERROR);
    }
}

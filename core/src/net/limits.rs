//! System limits on the process that settings depend on.

#![expect(unsafe_code, reason = "the standard library knows no limits of the process")]

use crate::base::error::StartError;

/// Makes sure that the process may open enough files for `wanted` connections. Raises the soft
/// limit if it is lower, as language runtimes do when they start. Keeps the hard limit.
///
/// # Errors
/// [`StartError::Descriptors`] if the hard limit is lower.
pub(crate) fn allow_connections(wanted: usize) -> Result<(), StartError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(StartError::System(std::io::Error::last_os_error()));
    }
    let needed = wanted as libc::rlim_t;
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    let raised = libc::rlimit { rlim_cur: needed, ..limit };
    // SAFETY: `raised` is valid and only read.
    if needed <= limit.rlim_max && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        return Ok(());
    }
    Err(StartError::Descriptors { wanted, allowed: limit.rlim_max as usize })
}

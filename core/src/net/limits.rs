//! System limits on the process that settings depend on.

#![expect(unsafe_code, reason = "the standard library knows no limits of the process")]

use std::io;

use crate::base::error::StartError;
use crate::base::sync::Mutex;

/// The open files of a server: those of clients, and those of connections to backends.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    clients: usize,
    backends: Mutex<usize>,
}

impl OpenFiles {
    /// Makes sure that the process may open enough files for `clients` connections. Raises the soft
    /// limit if it is lower, as language runtimes do when they start. Keeps the hard limit.
    ///
    /// # Errors
    /// [`StartError::Descriptors`] if the hard limit is lower.
    pub(crate) fn allow(clients: usize) -> Result<Self, StartError> {
        let limit = limit().map_err(StartError::System)?;
        let needed = clients as libc::rlim_t;
        if limit.rlim_cur < needed && (needed > limit.rlim_max || !raise(limit, needed)) {
            return Err(StartError::Descriptors { wanted: clients, allowed: limit.rlim_max as usize });
        }
        Ok(Self { clients, backends: Mutex::default() })
    }

    /// Counts `more` connections to backends. Raises the soft limit by as many, because the process
    /// may need all of it for other files. Keeps the hard limit.
    ///
    /// # Errors
    /// The line that says what needs more than the hard limit.
    pub(crate) fn add_backends(&self, more: usize) -> Result<(), String> {
        let mut backends = self.backends.lock();
        *backends = backends.saturating_add(more);
        let limit = limit().map_err(|e| e.to_string())?;
        let wanted = limit.rlim_cur.saturating_add(more as libc::rlim_t).min(limit.rlim_max);
        // A limit that is not raised is one that the system does not let grow.
        let allowed = if raise(limit, wanted) { limit.rlim_max } else { limit.rlim_cur } as usize;
        if allowed < self.clients.saturating_add(*backends) {
            return Err(format!(
                "{clients} connections of clients (-c) and {backends} to backends need more open files than \
                 the {allowed} that the system allows: raise LimitNOFILE or ulimit -n, or lower -c, the \
                 threads (-t) or the connections of the pools, or give these shared = true",
                clients = self.clients,
                // The guard of a model of the lock has no text.
                backends = *backends,
            ));
        }
        Ok(())
    }
}

fn limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the soft limit. Returns whether the system allows it.
fn raise(limit: libc::rlimit, soft: libc::rlim_t) -> bool {
    let raised = libc::rlimit { rlim_cur: soft, ..limit };
    // SAFETY: `raised` is valid and only read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 }
}

//! What a program that embeds a server is told: lines of the log, and that the
//! server has ended. Without hooks the log goes to standard error.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crate::stderr;

/// Takes a line of the log, without its end, and the verbosity it belongs to.
pub type Log = dyn Fn(u8, &str) + Send + Sync;

/// Functions that a server calls, on its own threads.
///
/// They must not stop the server and wait for it: they would wait for
/// themselves. [`crate::context::Context::request_stop`] is allowed.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Takes the log in place of standard error, lines of a server that has not
    /// started yet included: those come from the thread that starts it.
    pub log: Option<Arc<Log>>,
    /// Runs once, on the last thread of a server that had started, when it
    /// holds no connection and no listener any more, and before
    /// [`crate::server::Server::wait`] returns.
    pub stopped: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Hooks {
    /// Writes a line to the log. A log that panics loses the line and nothing else:
    /// the panic hook has reported it.
    pub(crate) fn log(&self, level: u8, line: &str) {
        match &self.log {
            Some(log) => drop(panic::catch_unwind(AssertUnwindSafe(|| log(level, line)))),
            None => stderr::write_line(line),
        }
    }
}

/// The command that a line of the log of level 2 tells of, if it does.
pub fn command(line: &str) -> Option<&str> {
    let (descriptor, command) = line.strip_prefix('<')?.split_once(' ')?;
    let of_connection = ["new ", "connection closed", "server listening", "internal error"];
    let tells =
        descriptor.parse::<u32>().is_ok() && !of_connection.iter().any(|other| command.starts_with(other));
    tells.then_some(command)
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("log", &self.log.is_some())
            .field("stopped", &self.stopped.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_tells_of_a_command() {
        assert_eq!(command("<30 get key"), Some("get key"));
        assert_eq!(command("<30 new auto-negotiating client connection"), None);
        assert_eq!(command("<30 connection closed."), None);
        assert_eq!(command("<7 server listening (udp)"), None);
        assert_eq!(command("SIGHUP: reloaded"), None);
        assert_eq!(command(""), None);
    }
}

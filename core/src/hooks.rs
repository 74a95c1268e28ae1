//! What a program that embeds a server is told: lines of the log, commands of
//! clients, and that the server has ended. Without hooks the log goes to
//! standard error.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crate::stderr;

/// Takes a line of the log, without its end, and the verbosity it belongs to.
pub type Log = dyn Fn(u8, &str) + Send + Sync;

/// Takes a command that a client sent: the client's descriptor, and the command
/// on one line.
///
/// A command of the text protocols is its line, without the end and the value.
/// One of the binary protocol begins with the word `binary` and is written as
/// its text form would be: `binary set key 0 60 5`. A command of more than
/// 2,048 bytes is cut, and ends with `…` then. Passwords are never part of it.
pub type OnCommand = dyn Fn(i32, &str) + Send + Sync;

/// Functions that a server calls, on its own threads.
///
/// They must not stop the server and wait for it: they would wait for
/// themselves. [`crate::context::ServerState::request_stop`] is allowed.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Takes the log in place of standard error, lines of a server that has not
    /// started yet included: those come from the thread that starts it.
    pub log: Option<Arc<Log>>,
    /// Runs before each command of a client is carried out or refused, whatever
    /// its protocol and the verbosity: once for each command, also if a fault
    /// delays it.
    pub command: Option<Arc<OnCommand>>,
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

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("log", &self.log.is_some())
            .field("command", &self.command.is_some())
            .field("stopped", &self.stopped.is_some())
            .finish()
    }
}

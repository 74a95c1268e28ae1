//! Callbacks for a program that embeds a server: lines of the log, commands of clients, and the end
//! of the server. Without hooks the log goes to standard error.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use super::resolver::Resolver;
use crate::base::stderr;

/// Receives a line of the log, without its end, and its verbosity.
pub type Log = dyn Fn(u8, &str) + Send + Sync;

/// A command of a client, as a hook receives it.
///
/// The hook runs before the command is parsed, so a refused command has a line, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCommand<'a> {
    /// The descriptor of the client's connection. The system uses it again after the connection.
    pub client: i32,
    /// Whether it came in the binary protocol.
    pub is_binary: bool,
    /// The command on one line, without its end and the value.
    ///
    /// A command of the binary protocol is written in text form: `set key 0 60 5`. A line of more
    /// than 2,048 bytes is cut and ends with `…`. Passwords are left out.
    pub line: &'a str,
}

impl<'a> ClientCommand<'a> {
    /// Returns the name of the command, such as `get`: the first word of the line.
    pub fn name(&self) -> &'a str {
        self.line.split_ascii_whitespace().next().unwrap_or_default()
    }
}

/// Writes the line. A command of the binary protocol follows the word `binary`.
impl fmt::Display for ClientCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_binary { "binary " } else { "" })?;
        f.write_str(self.line)
    }
}

/// Receives a command of a client.
pub type OnCommand = dyn Fn(&ClientCommand<'_>) + Send + Sync;

/// The work of a server on its snapshot ([`ServerConfig::persist`](super::ServerConfig::persist)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotWork {
    /// It loads the file.
    Load,
    /// It saves the file.
    Save,
}

/// Receives the progress of a load or save, about once a MiB: the items so far, and about how many
/// there are in all, or 0 if that is not known.
pub type OnSnapshot = dyn Fn(SnapshotWork, u64, u64) + Send + Sync;

/// Callbacks that a server runs on its own threads.
///
/// A callback must not stop the server and wait for it: it would wait for itself.
/// `Control::request_stop` is allowed.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Receives the log in place of standard error. Lines that are logged before the server has
    /// started come from the thread that starts it.
    pub log: Option<Arc<Log>>,
    /// Runs once before each command of a client is carried out or refused, in every protocol and
    /// at every verbosity.
    pub command: Option<Arc<OnCommand>>,
    /// Runs once, on the last thread of a server that has started. By then all its connections and
    /// listeners are closed. [`crate::server::Server::wait`] returns afterwards.
    pub stopped: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Receives the progress of the server's snapshot.
    pub snapshot: Option<Arc<OnSnapshot>>,
    /// Looks up the names of a proxy's backends in place of the system.
    pub resolver: Option<Arc<dyn Resolver>>,
}

impl Hooks {
    /// Writes a line to the log. A log that panics loses the line and nothing else:
    /// the panic hook has reported it.
    pub(crate) fn log(&self, level: u8, line: &str) {
        match &self.log {
            Some(log) => drop(panic::catch_unwind(AssertUnwindSafe(|| log(level, line)))),
            None => stderr::write_at(level, line),
        }
    }

    /// Passes on the progress of the snapshot. A callback that panics loses it and nothing else.
    pub(crate) fn snapshot(&self, work: SnapshotWork, items: u64, all_items: u64) {
        if let Some(snapshot) = &self.snapshot {
            drop(panic::catch_unwind(AssertUnwindSafe(|| snapshot(work, items, all_items))));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("log", &self.log.is_some())
            .field("command", &self.command.is_some())
            .field("stopped", &self.stopped.is_some())
            .field("snapshot", &self.snapshot.is_some())
            .field("resolver", &self.resolver.is_some())
            .finish()
    }
}

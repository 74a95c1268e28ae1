//! The start of the installed version in this process, with the same sockets.
//!
//! ```text
//!   signal       the installed version checks flags and files (--check); if it refuses, nothing changes
//!   drain        no new connection is accepted; requests that have arrived are answered
//!   save         with --persist
//!   exec         the installed version takes the place of this one: same process, same sockets
//!   load         with --persist; then it accepts the connections that waited
//! ```
//!
//! Two processes that serve at the same time, as two generations of nginx or haproxy do, would give
//! two answers for a key. Here one follows the other, and clients wait in the queue of the socket.
//! The process keeps its id, so a service manager, a pid file and a container notice nothing.

use std::env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::{Failure, reason};
use crate::passed::{MANAGED, OWN};
use crate::process;

/// The signal: `RTMIN+1` in the programs kill and systemctl of Linux. Other systems have none.
pub const SIGNAL: Option<i32> = if cfg!(target_os = "linux") { Some(35) } else { None };

/// The command line of this process, to start it once more.
#[derive(Debug)]
pub struct Upgrade {
    program: PathBuf,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
}

impl Upgrade {
    /// Remembers the command line and the directory. Must run before the process detaches.
    pub fn new(line: &[OsString]) -> Self {
        let (program, arguments) =
            line.split_first().map(|(program, rest)| (program.clone(), rest)).unwrap_or_default();
        // A name without a slash is looked up in PATH at each start.
        let has_slash = program.as_encoded_bytes().contains(&b'/');
        let absolute = has_slash.then(|| std::path::absolute(&program).ok()).flatten();
        Self {
            program: absolute.unwrap_or_else(|| program.into()),
            arguments: arguments.to_vec(),
            directory: env::current_dir().ok(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// Asks the installed version whether it would start. Returns its message if it would not.
    pub fn check(&self) -> Result<(), String> {
        let mut command = self.command();
        command.arg("--check").args(&self.arguments).stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
        let name = self.program.display();
        match command.output() {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr);
                Err(format!(
                    "no upgrade: {name} refuses to start: {}",
                    said.lines().last().unwrap_or_default()
                ))
            }
            Err(e) => Err(format!("no upgrade: {name} cannot be started: {}", reason(&e))),
        }
    }

    /// Starts the installed version in place of this one. Returns only if that fails.
    pub fn run(&self, sockets: Vec<(OwnedFd, bool)>) -> Failure {
        let names: Vec<&str> = sockets.iter().map(|(_, own)| if *own { OWN } else { MANAGED }).collect();
        let mut command = self.command();
        command.args(&self.arguments);
        if !names.is_empty() {
            command
                .env("LISTEN_PID", std::process::id().to_string())
                .env("LISTEN_FDS", names.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
        }
        let passed = process::pass_on(sockets.into_iter().map(|(fd, _)| fd).collect(), SIGNAL);
        let error = passed.map_or_else(|e| e, |()| command.exec());
        Failure::system(format!("failed to start {}: {}", self.program.display(), reason(&error)))
    }
}

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

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use crate::failure::{Failure, reason};
use crate::process;

/// The signal: `RTMIN+1` in the programs kill and systemctl of Linux. Other systems have none.
pub const SIGNAL: Option<i32> = if cfg!(target_os = "linux") { Some(35) } else { None };

/// The command line of this process, to start it once more.
#[derive(Debug)]
pub struct Upgrade {
    program: PathBuf,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    /// Whether the command line starts the program that runs here, and not one that hosts it, such
    /// as Python.
    is_own: bool,
    /// Whether the sandbox forbids to start a program.
    is_forbidden: bool,
}

/// Longest time in which the installed version must have checked flags and files.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes that are kept of what the installed version writes.
const KEPT: usize = 64 << 10;

impl Upgrade {
    /// Remembers the command line and the directory. Must run before the process detaches.
    pub fn new(line: &[OsString]) -> Self {
        let (program, arguments) =
            line.split_first().map(|(program, rest)| (program.clone(), rest)).unwrap_or_default();
        // A name without a slash is looked up in PATH at each start.
        let has_slash = program.as_encoded_bytes().contains(&b'/');
        let absolute = has_slash.then(|| std::path::absolute(&program).ok()).flatten();
        let program = absolute.unwrap_or_else(|| program.into());
        Self {
            is_own: is_running(&program),
            is_forbidden: false,
            program,
            arguments: arguments.to_vec(),
            directory: env::current_dir().ok(),
        }
    }

    /// Returns the same for a process that may not start a program.
    pub fn forbidden(self) -> Self {
        Self { is_forbidden: true, ..self }
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
        if self.is_forbidden {
            return Err("no upgrade: drop_privileges forbids to start a program; restart the daemon".into());
        }
        let mut command = self.command();
        command.arg("--check").args(&self.arguments).stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
        let name = self.program.display();
        if !self.is_own {
            return Err(format!("no upgrade: {name} is not the program of this process"));
        }
        match output(command) {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr);
                // Lua adds a traceback, which has more lines.
                let lines = said.lines().take_while(|line| *line != "stack traceback:");
                let why = lines.last().unwrap_or_default();
                Err(format!("no upgrade: {name} refuses to start: {why}"))
            }
            Err(e) => Err(format!("no upgrade: {name} cannot be started: {}", reason(&e))),
        }
    }

    /// Starts the installed version in place of this one, with named sockets. Returns only if that
    /// fails.
    pub fn run(&self, sockets: Vec<(OwnedFd, String)>) -> Failure {
        let names: Vec<&str> = sockets.iter().map(|(_, name)| name.as_str()).collect();
        let mut command = self.command();
        command.args(&self.arguments);
        if !names.is_empty() {
            command
                .env("LISTEN_PID", std::process::id().to_string())
                .env("LISTEN_FDS", names.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
        }
        let placed = process::pass_on(sockets.into_iter().map(|(fd, _)| fd).collect(), SIGNAL);
        let error = placed.map_or_else(|e| e, |()| command.exec());
        Failure::system(format!("failed to start {}: {}", self.program.display(), reason(&error)))
    }
}

/// Returns whether this process runs the program at `path`, or of this name in `PATH`.
fn is_running(path: &Path) -> bool {
    let Ok(own) = env::current_exe().and_then(fs::canonicalize) else { return false };
    let is_own = |path: &Path| fs::canonicalize(path).is_ok_and(|found| found == own);
    if path.components().count() > 1 {
        return is_own(path);
    }
    let directories = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&directories).map(|directory| directory.join(path)).find(|path| path.is_file());
    found.is_some_and(|path| is_own(&path))
}

/// Runs a command to its end. Returns the end of its standard error if it fails. Kills it after
/// [`PATIENCE`].
fn output(mut command: Command) -> io::Result<Output> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    let (sender, said) = mpsc::channel();
    // The program of a proxy may write more than fits into the pipe.
    if let Some(stderr) = child.stderr.take() {
        thread::Builder::new().name("mcrs-check".into()).spawn(move || sender.send(end_of(stderr)))?;
    }
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() >= PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("it did not check its files within 30 seconds"));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut done = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    if !status.success() {
        // A process that the program started may keep the pipe open.
        let rest = PATIENCE.saturating_sub(begun.elapsed());
        done.stderr = said.recv_timeout(rest).unwrap_or_default();
    }
    Ok(done)
}

/// Reads a stream to its end, and returns its last bytes, at most [`KEPT`].
fn end_of(mut stream: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    while stream.by_ref().take(KEPT as u64).read_to_end(&mut kept).is_ok_and(|length| length > 0) {
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    kept
}

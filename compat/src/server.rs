//! A memcached server: one that is started here, or one that already runs.

use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::link::Link;
use crate::rng::Rng;

/// Time in which a server must accept connections.
const START: Duration = Duration::from_secs(15);

/// The server that the user named: a program to start, or a running server.
#[derive(Clone, Debug)]
pub enum Target {
    /// Start this program with these additional flags.
    Program(PathBuf, Vec<String>),
    /// Use the server at this `host:port`.
    Address(String),
}

impl Target {
    /// Parses `host:port` or the path of a program.
    pub fn parse(text: &str, arguments: &[String]) -> Self {
        let port = text.rsplit_once(':').map(|(_, port)| port);
        if !text.contains('/') && port.is_some_and(|port| port.parse::<u16>().is_ok()) {
            Self::Address(text.to_owned())
        } else {
            Self::Program(PathBuf::from(text), arguments.to_vec())
        }
    }
}

/// A server. If it was started here, dropping this kills it.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    /// The program and its flags, if it was started here.
    command: Option<(PathBuf, Vec<String>)>,
    address: String,
    name: String,
}

impl Server {
    /// Starts the program on a free port of the loopback interface, or uses the address.
    ///
    /// # Errors
    ///
    /// The program cannot be started, exits at once, or does not accept connections in time.
    pub fn start(target: &Target) -> Outcome<Self> {
        let (path, arguments) = match target {
            Target::Address(address) => {
                let (address, name) = (address.clone(), address.clone());
                let mut server = Self { child: None, command: None, address, name };
                server.wait_until_it_accepts()?;
                return Ok(server);
            }
            Target::Program(path, arguments) => (path, arguments),
        };
        Self::start_at(free_port()?, path, arguments)
    }

    /// Starts the program on a port of the loopback interface.
    ///
    /// # Errors
    ///
    /// See [`Self::start`].
    pub fn start_at(port: u16, path: &Path, arguments: &[String]) -> Outcome<Self> {
        let mut flags = ["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()].map(str::to_owned).to_vec();
        if is_root() {
            flags.extend(["-u", "root"].map(str::to_owned));
        }
        flags.extend_from_slice(arguments);
        let mut server = Self {
            child: None,
            command: Some((path.to_owned(), flags)),
            address: format!("127.0.0.1:{port}"),
            name: path.display().to_string(),
        };
        server.revive()?;
        Ok(server)
    }

    /// Starts a server again that was killed, at the same address.
    ///
    /// # Errors
    ///
    /// It was not started here, or see [`Self::start`].
    pub fn revive(&mut self) -> Outcome<()> {
        let Some((path, flags)) = &self.command else {
            return Err(format!("{} was not started here", self.name));
        };
        let mut command = Command::new(program(path));
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", self.name))?;
        self.child = Some(child);
        self.wait_until_it_accepts()
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// The connection is refused.
    pub fn connect(&self) -> Outcome<Link> {
        let stream = TcpStream::connect(&self.address)
            .map_err(|error| format!("cannot connect to {} at {}: {error}", self.name, self.address))?;
        Link::new(stream)
    }

    /// Returns `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns how the server's process ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(format!("{} ended: {status}", self.name))
    }

    /// Sends a signal to the server that was started here.
    ///
    /// # Errors
    ///
    /// The process has ended, or it was not started here.
    pub fn signal(&self, signal: Signal) -> Outcome<()> {
        let process = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        let process = process.ok_or_else(|| format!("{} was not started here", self.name))?;
        kill_process(process, signal).map_err(|error| format!("cannot signal {}: {error}", self.name))
    }

    /// Waits until the server that was started here has ended, for at most `patience`.
    ///
    /// # Errors
    ///
    /// It goes on, or it was not started here.
    pub fn wait(&mut self, patience: Duration) -> Outcome<ExitStatus> {
        let begin = Instant::now();
        let child = self.child.as_mut().ok_or_else(|| format!("{} was not started here", self.name))?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if begin.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
                Ok(None) => return Err(format!("{} goes on after a signal", self.name)),
                Err(error) => return Err(format!("cannot wait for {}: {error}", self.name)),
            }
        }
    }

    /// Kills the server that was started here, if it has not ended.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn wait_until_it_accepts(&mut self) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            match TcpStream::connect(&self.address) {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > START => {
                    return Err(format!("{} does not accept at {}: {error}", self.name, self.address));
                }
                Err(_) => {}
            }
            if let Some(end) = self.ended() {
                return Err(end);
            }
            thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns a port that was free a moment ago.
///
/// # Errors
///
/// No port can be bound.
pub fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("no free port: {error}"))?;
    Ok(address.port())
}

/// Returns a port that was free a moment ago, and that the system gives to no client while its
/// server is dead.
///
/// # Errors
///
/// No port can be bound.
pub fn lasting_port(rng: &mut Rng) -> Outcome<u16> {
    // The system's choices begin at 32,768.
    for _ in 0..1000 {
        let port = 20_000 + rng.below(12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port from 20000 on".to_owned())
}

/// Returns whether this process runs as root. memcached then requires `-u`.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    line.split_whitespace().nth(2) == Some("0")
}

/// Returns the program's path. A path with a slash is used as it is, even if the working directory
/// is not on `PATH`.
fn program(path: &Path) -> OsString {
    if path.exists() { path.canonicalize().map_or_else(|_| path.into(), Into::into) } else { path.into() }
}

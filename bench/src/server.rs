//! A server under test: its command line, and its child process.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::address::Address;
use crate::checker::{Check, Request, Sink, Terms};
use crate::dialogue::{self, Dialogue};
use crate::error::{Doing, Error, Result};
use crate::usage;

/// Longest time for a server to answer after its start.
const START: Duration = Duration::from_secs(10);

/// Longest silence after a command. A server that is silent for longer does not speak the protocol.
const SILENCE: Duration = Duration::from_secs(1);

/// Time between two checks of whether a server is idle.
const LOOK: Duration = Duration::from_millis(100);

/// A server as named on the command line: `name=path[:extra arguments]`, or `floor`.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    family: Family,
    path: PathBuf,
    extra: Vec<String>,
    /// Address without TLS, which is used to check that the server is ready.
    plain: Option<SocketAddr>,
    /// Address to listen on, or `None` for any.
    address: Option<Address>,
}

/// The kind of command line that a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// memcached, and servers with the same command line.
    Memcached,
    Pogocache,
    /// A proxy whose configuration names the address to listen on.
    Twemproxy,
    /// The canned replies of this program.
    Floor,
}

/// The settings that every server of a run gets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for items, in MiB.
    pub memory: u32,
    pub threads: u32,
    /// Number of connections to allow.
    pub connections: usize,
    /// Core to run on.
    pub core: Option<usize>,
    /// Scheduling priority to run with, or `None` for the default.
    pub nice: Option<i32>,
    /// Whether to listen on a Unix socket instead of loopback TCP.
    pub unix: bool,
    /// Size of the values that the floor sends.
    pub value_size: usize,
    /// Whether the server's own output is shown.
    pub verbose: bool,
}

/// A running server. Dropping the value kills it.
#[derive(Debug)]
pub struct Server {
    pub name: String,
    pub version: String,
    pub address: Address,
    family: Family,
    child: Child,
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, command) = match text.split_once('=') {
            Some((name, command)) if !name.is_empty() && !command.is_empty() => (name, command),
            None if text == "floor" => (text, text),
            _ => {
                return Err(Error::Usage(format!(
                    "--server must be name=path[:extra arguments], or floor, got {text}"
                )));
            }
        };
        let (path, extra) = command.split_once(':').unwrap_or((command, ""));
        let path = Path::new(path);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let family = match &*file {
            "floor" => Family::Floor,
            file if file.starts_with("pogocache") => Family::Pogocache,
            "nutcracker" => Family::Twemproxy,
            _ => Family::Memcached,
        };
        Ok(Self {
            name: name.to_owned(),
            family,
            path: path.to_owned(),
            extra: extra.split_whitespace().map(str::to_owned).collect(),
            plain: None,
            address: None,
        })
    }
}

impl Spec {
    /// Returns how closely the replies of this server can be checked.
    pub fn check(&self) -> Check {
        if self.family == Family::Floor { Check::Frame } else { Check::Full }
    }

    /// Returns whether this server stores items.
    pub fn stores(&self) -> bool {
        self.family != Family::Floor
    }

    /// Returns the same server with additional arguments. If these turn on TLS, `plain` is its
    /// address without TLS.
    pub fn with(&self, extra: &[String], plain: Option<SocketAddr>) -> Self {
        let mut spec = self.clone();
        spec.extra.extend_from_slice(extra);
        spec.plain = plain;
        spec
    }

    /// Returns the same server with `to` in place of `word` in its additional arguments.
    pub fn replacing(&self, word: &str, to: &str) -> Self {
        let mut spec = self.clone();
        spec.extra.iter_mut().for_each(|argument| *argument = argument.replace(word, to));
        spec
    }

    /// Returns the same server at an address.
    pub fn at(&self, address: Address) -> Self {
        Self { address: Some(address), ..self.clone() }
    }

    /// Returns whether the additional arguments contain this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.extra.iter().any(|own| own.contains(text))
    }

    /// Returns whether the server has this additional argument.
    pub fn has(&self, argument: &str) -> bool {
        self.extra.iter().any(|own| own == argument)
    }

    /// Starts the server and waits until it answers.
    pub fn start(&self, settings: &Settings) -> Result<Server> {
        let own = std::env::current_exe().doing(|| "finding this program".to_owned())?;
        let address = self.address.clone().map_or_else(|| free_address(settings.unix), Ok)?;
        let mut command = Command::new(&own);
        command.arg("launch");
        if let Some(core) = settings.core {
            command.args(["--core", &core.to_string()]);
        }
        if let Some(nice) = settings.nice {
            command.arg(format!("--nice={nice}"));
        }
        command.arg("--").arg(if self.family == Family::Floor { &own } else { &self.path });
        command.args(self.arguments(settings, &address)?).args(&self.extra);
        let output = || if settings.verbose { Stdio::inherit() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(output()).stderr(output());
        let child = command.spawn().doing(|| format!("starting {}", self.name))?;
        let mut server =
            Server { name: self.name.clone(), version: String::new(), address, family: self.family, child };
        let ready = self.plain.map_or_else(|| server.address.clone(), Address::Tcp);
        server.version = server.wait_ready(&ready)?;
        Ok(server)
    }

    /// Returns the arguments that give this server the settings.
    fn arguments(&self, settings: &Settings, address: &Address) -> Result<Vec<String>> {
        let (memory, threads) = (settings.memory, settings.threads);
        // Leave room for connections beside those of the load.
        let connections = settings.connections + 24;
        let text = match (self.family, address) {
            (Family::Memcached, Address::Tcp(at)) => {
                format!("-l {} -p {} -U 0 -m {memory} -t {threads} -c {connections}", at.ip(), at.port())
            }
            (Family::Memcached, Address::Unix(path)) => {
                format!("-s {} -m {memory} -t {threads} -c {connections}", path.display())
            }
            (Family::Pogocache, at) => {
                let listen = match at {
                    Address::Tcp(at) => format!("-h {} -p {}", at.ip(), at.port()),
                    Address::Unix(path) => format!("-p 0 -s {}", path.display()),
                };
                format!("{listen} --maxmemory {memory}mb --threads {threads} --maxconns {connections}")
            }
            // The port of its statistics has a default, which must be free.
            (Family::Twemproxy, _) => match free_address(false)? {
                Address::Tcp(at) => format!("-o /dev/null -a {} -s {}", at.ip(), at.port()),
                Address::Unix(_) => String::new(),
            },
            (Family::Floor, at) => format!("floor --address {at} --value-size {}", settings.value_size),
        };
        let mut arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
        if self.family == Family::Memcached && geteuid().is_root() {
            arguments.extend(["-u".to_owned(), "root".to_owned()]);
        }
        Ok(arguments)
    }
}

impl Server {
    /// Returns the CPU time used so far.
    pub fn cpu(&self) -> Result<Duration> {
        usage::cpu(self.child.id())
    }

    /// Returns the resident memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        usage::resident(self.child.id())
    }

    /// Returns a counter of the server's `stats`, or `None` if it has no such counter.
    pub fn stat(&self, name: &str) -> Result<Option<u64>> {
        if self.family == Family::Floor {
            return Ok(None);
        }
        Ok(dialogue::stats(&self.address)?.get(name).and_then(|value| value.parse().ok()))
    }

    /// Returns the CPU time used so far, also by threads that have ended, in ticks of 10 ms.
    pub fn cpu_of_all(&self) -> Result<Duration> {
        usage::cpu_of_all(self.child.id()).map(|(time, _)| time)
    }

    /// Sends a signal and waits until the server has ended. Returns the time and the CPU time of
    /// that.
    pub fn stop(&self, signal: Signal, patience: Duration) -> Result<(Duration, Duration)> {
        let (began, before) = (Instant::now(), self.cpu_of_all()?);
        self.signal(signal)?;
        loop {
            // A process that has ended keeps its counters until it is waited for.
            let (now, has_ended) = usage::cpu_of_all(self.child.id())?;
            if has_ended {
                return Ok((began.elapsed(), now.saturating_sub(before)));
            }
            if began.elapsed() > patience {
                return Err(Error::Server {
                    name: self.name.clone(),
                    what: "goes on after a signal".to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops the server with a signal: it uses no CPU until `resume`.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Waits until the server, which has no requests, uses almost no CPU. Waits at most `patience`.
    pub fn settle(&self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        let mut before = self.cpu()?;
        loop {
            std::thread::sleep(LOOK);
            let now = self.cpu()?;
            if now.saturating_sub(before) < LOOK / 20 || began.elapsed() > patience {
                return Ok(());
            }
            before = now;
        }
    }

    /// Continues a paused server.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Returns whether the server correctly answers a set and a get of item 0 in this protocol.
    pub fn speaks(&self, terms: &Terms) -> bool {
        let Ok(mut dialogue) = Dialogue::connect(&self.address, terms, SILENCE) else {
            return false;
        };
        dialogue.set(0, 0);
        dialogue.get(0);
        dialogue.exchange(&mut Ignore).is_ok()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.child.id() as i32) else {
            return Ok(());
        };
        kill_process(pid, signal).map_err(Into::into).doing(|| format!("signalling {}", self.name))
    }

    fn wait_ready(&mut self, address: &Address) -> Result<String> {
        let ready = dialogue::wait_ready(address, START);
        match self.child.try_wait() {
            Ok(Some(status)) => {
                let what = format!("ended during its start with {status}");
                Err(Error::Server { name: self.name.clone(), what })
            }
            _ => ready.map_err(|error| Error::Server { name: self.name.clone(), what: error.to_string() }),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have ended by itself. No other failure can be handled here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Returns an address on which nothing listens. Another process may take it before the server does.
/// Then the server fails to start.
pub fn free_address(unix: bool) -> Result<Address> {
    if unix {
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("bench-{}-{}.sock", std::process::id(), unique.as_nanos());
        return Ok(Address::Unix(std::env::temp_dir().join(name)));
    }
    let doing = || "looking for a free port".to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).doing(doing)?;
    listener.local_addr().map(Address::Tcp).doing(doing)
}

/// A sink for replies that only have to be correct.
struct Ignore;

impl Sink for Ignore {
    fn hit(&mut self, _id: u64) {}
    fn miss(&mut self, _id: u64) {}
    fn refused(&mut self, _id: u64) {}
    fn done(&mut self, _request: Request) {}
}

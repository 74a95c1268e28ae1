//! A client of memcached's text and meta protocols. It blocks, and leaves pipelining to its
//! callers: they push requests, send them together, and read the replies in the same order.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use memcache_core::internal::base::error::reason;

use crate::address::Address;
use crate::failure::{Failure, INCOMPLETE, REFUSED, SERVER, USAGE};
use crate::reply::Stats;
use crate::stream::{self, CONNECT, Identity, Limit, Stream, Tls};
use crate::text::printable;

/// Most bytes of a line of a reply.
const LINE_MAX: u64 = 64 * 1024;

/// Most bytes of a value; memcached allows no more.
const VALUE_MAX: usize = 1 << 30;

/// Most bytes of the statistics that a server answers at once.
const STATS_MAX: usize = 16 << 20;

/// The time that a server may take.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// To send or take something.
    Each(Duration),
    /// For the whole answer to a request.
    Whole(Duration),
}

impl Patience {
    /// The patience of commands that have no option for it.
    const DEFAULT: Self = Self::Each(Duration::from_mins(1));

    fn time(self) -> Duration {
        let (Self::Each(time) | Self::Whole(time)) = self;
        time
    }

    fn limit(self) -> Limit {
        match self {
            Self::Each(time) => Limit::Each(time),
            // The clock cannot count so far ahead.
            Self::Whole(time) => Instant::now().checked_add(time).map_or(Limit::Never, Limit::Until),
        }
    }
}

/// The arguments that name a server.
#[derive(Args, Debug)]
pub struct ServerArguments {
    /// The server: HOST:PORT, [IPv6]:PORT, or the path of a Unix socket. The port is 11211 if it is
    /// missing
    #[arg(value_name = "SERVER")]
    address: Address,
    #[command(flatten)]
    access: Access,
}

impl ServerArguments {
    /// Reads the files that the arguments name.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn server(self) -> Result<Server, Failure> {
        self.access.open(self.address)
    }
}

/// The arguments of logins and TLS. All servers of a command get the same.
#[derive(Args, Debug)]
pub struct Access {
    /// Log in with this name (servers with -Y)
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Use TLS, and check the server's certificate
    #[arg(long)]
    tls: bool,
    /// Trust the certificates in this PEM file instead of the system's. Implies --tls
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Show the server the certificate in this PEM file. Implies --tls
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Read the key of that certificate from this PEM file, not from the same
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Access {
    /// Reads the files that the arguments name, and returns the server at an address.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(self, address: Address) -> Result<Server, Failure> {
        let tls = if self.tls || self.tls_ca.is_some() || self.tls_cert.is_some() {
            let chain = self.tls_cert.as_deref();
            let identity =
                chain.map(|chain| Identity { chain, key: self.tls_key.as_deref().unwrap_or(chain) });
            let config =
                stream::tls(self.tls_ca.as_deref(), identity).map_err(|line| Failure::new(USAGE, line))?;
            Some(Arc::new(config))
        } else {
            None
        };
        let login = match (self.user, self.password_file) {
            (Some(user), Some(file)) => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|e| Failure::file("read", &file.display().to_string(), &e))?;
                Some(format!("{user} {}", text.lines().next().unwrap_or_default()))
            }
            _ => None,
        };
        Ok(Server { address, tls, login, patience: Patience::DEFAULT })
    }
}

/// A server to connect to.
#[derive(Clone)]
pub struct Server {
    address: Address,
    tls: Tls,
    /// Name and password.
    login: Option<String>,
    patience: Patience,
}

impl Server {
    /// Returns the server with another patience.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Returns another server that is reached in the same way.
    pub fn at(&self, address: Address) -> Self {
        Self { address, ..self.clone() }
    }

    /// Connects, and logs in.
    ///
    /// # Errors
    /// The server cannot be reached, refuses the login, or does not speak the text protocol.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let name = self.address.to_string();
        let patience = self.patience;
        let time = patience.time().min(CONNECT);
        let stream = stream::connect(&self.address, &self.tls, time, patience.limit())
            .map_err(|e| Failure::new(SERVER, format!("failed to connect to {name}: {}", reason(&e))))?;
        let mut connection = Connection {
            stream: BufReader::with_capacity(64 * 1024, stream),
            name,
            output: Vec::new(),
            line: Vec::new(),
            patience,
        };
        if let Some(login) = &self.login {
            let request = format!("set auth 0 0 {}\r\n{login}\r\n", login.len());
            if connection.ask(request.as_bytes())? != b"STORED" {
                let name = &connection.name;
                return Err(Failure::new(REFUSED, format!("{name} refuses this name and password")));
            }
        }
        if !connection.ask(b"version\r\n")?.starts_with(b"VERSION ") {
            return Err(connection.unexpected());
        }
        Ok(connection)
    }

    /// Returns the address as a text.
    pub fn name(&self) -> String {
        self.address.to_string()
    }
}

/// A connection to a server.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    name: String,
    output: Vec<u8>,
    /// The last line that was read, without its end.
    line: Vec<u8>,
    patience: Patience,
}

impl Connection {
    /// Returns the requests that [`Connection::send`] is to send, to append to.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends all requests.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self) -> Result<(), Failure> {
        let stream = self.stream.get_mut();
        let sent = stream.write_all(&self.output).and_then(|()| stream.flush());
        self.output.clear();
        self.output.shrink_to(1 << 20);
        sent.map_err(|e| self.broken(&e))
    }

    /// Reads a line, and returns it without its end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn line(&mut self) -> Result<&[u8], Failure> {
        self.line.clear();
        let read = (&mut self.stream).take(LINE_MAX).read_until(b'\n', &mut self.line);
        if let Err(e) = read {
            return Err(self.broken(&e));
        }
        if self.line.pop_if(|byte| *byte == b'\n').is_none() {
            if self.line.len() as u64 == LINE_MAX {
                return Err(self.unexpected());
            }
            return Err(self.broken(&io::ErrorKind::UnexpectedEof.into()));
        }
        self.line.pop_if(|byte| *byte == b'\r');
        Ok(&self.line)
    }

    /// Returns the last line again.
    pub fn last_line(&self) -> &[u8] {
        &self.line
    }

    /// Reads a value of `length` bytes, and the line end behind it, into `value`.
    ///
    /// # Errors
    /// The connection is broken, the value has another length, or there is no memory for it.
    pub fn value(&mut self, length: usize, value: &mut Vec<u8>) -> Result<(), Failure> {
        value.clear();
        if length > VALUE_MAX || value.try_reserve(length + 2).is_err() {
            return Err(Failure::new(SERVER, format!("there is no memory for a value of {length} bytes")));
        }
        let read = (&mut self.stream).take(length as u64 + 2).read_to_end(value);
        match read {
            Err(e) => Err(self.broken(&e)),
            Ok(_) if value.len() < length + 2 => Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) if !value.ends_with(b"\r\n") => Err(self.unexpected()),
            Ok(_) => {
                value.truncate(length);
                Ok(())
            }
        }
    }

    /// Lets the server take as long as it wants to send the next lines.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn wait_always(&mut self) -> Result<(), Failure> {
        self.stream.get_mut().set_limit(Limit::Never).map_err(|e| self.broken(&e))
    }

    /// Sends a request and reads one line.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn ask(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        if let Err(e) = self.stream.get_mut().set_limit(self.patience.limit()) {
            return Err(self.broken(&e));
        }
        self.output.extend_from_slice(request);
        self.send()?;
        self.line()
    }

    /// Returns the statistics of a group, or `None` if the server answers with an error: it does
    /// not have the group, or does not allow it. The group `""` is that of `stats` alone.
    ///
    /// # Errors
    /// The connection is broken, or the answer is none.
    pub fn stats(&mut self, group: &str) -> Result<Option<Stats>, Failure> {
        let request = if group.is_empty() { "stats\r\n".into() } else { format!("stats {group}\r\n") };
        let mut line = self.ask(request.as_bytes())?;
        let errors = [&b"ERROR"[..], b"SERVER_ERROR", b"CLIENT_ERROR"];
        if errors.iter().any(|error| line.starts_with(error)) && line != b"CLIENT_ERROR unauthenticated" {
            return Ok(None);
        }
        let mut stats = Stats::default();
        while line != b"END" {
            if !stats.push(line) {
                return Err(self.unexpected());
            }
            if stats.bytes() > STATS_MAX {
                let line = format!("{} sends more than {STATS_MAX} bytes of statistics", self.name);
                return Err(Failure::new(SERVER, line));
            }
            line = self.line()?;
        }
        Ok(Some(stats))
    }

    /// Returns the statistics of a group.
    ///
    /// # Errors
    /// The connection is broken, or the server does not have the group.
    pub fn need_stats(&mut self, group: &str) -> Result<Stats, Failure> {
        self.stats(group)?.ok_or_else(|| self.refusal(&format!("stats {group}")))
    }

    /// Returns a number of `stats`, or 0 if the server has no such number.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn stat(&mut self, name: &str) -> Result<u64, Failure> {
        Ok(self.need_stats("")?.number(name).unwrap_or_default())
    }

    /// Returns whether the server's meta commands know the flag `E`, which gives an item a CAS.
    /// memcached 1.6.18 does not.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn takes_cas(&mut self) -> Result<bool, Failure> {
        // It changes nothing, because there is no item with this key, or `u` leaves it alone.
        Ok(self.ask(b"mg mcrs:probe u E1\r\n")?.get(..2).is_some_and(|code| code == b"EN" || code == b"HD"))
    }

    /// Returns the failure of a command that the server answers with an error: the last line.
    pub fn refusal(&self, command: &str) -> Failure {
        let name = &self.name;
        Failure::new(INCOMPLETE, format!("{name} answers {} to {:?}", self.quote(), command.trim_end()))
    }

    /// Returns the begin of the last line, for a message.
    fn quote(&self) -> String {
        printable(self.line.get(..200).unwrap_or(&self.line))
    }

    /// Returns the failure of a reply that cannot be: the last line.
    pub fn unexpected(&self) -> Failure {
        let name = &self.name;
        match &self.line[..] {
            b"CLIENT_ERROR unauthenticated" => {
                Failure::new(REFUSED, format!("{name} requires a login: use --user and --password-file"))
            }
            _ => Failure::new(SERVER, format!("unexpected reply of {name}: {}", self.quote())),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let name = &self.name;
        let line = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("{name} did not answer within {} seconds", self.patience.time().as_secs_f32())
            }
            // A server that expects TLS, or the binary protocol alone, closes as well.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                format!("{name} closed the connection")
            }
            _ => format!("the connection to {name} broke: {}", reason(error)),
        };
        Failure::new(SERVER, line)
    }
}

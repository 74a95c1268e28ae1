//! A client of memcached's text and meta protocols. It blocks, and leaves pipelining to its
//! callers: they push requests, send them together, and read the replies in the same order.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use memcache_core::internal::base::error::reason;

use crate::address::Address;
use crate::failure::{Failure, REFUSED, SERVER, USAGE};
use crate::stream::{self, Identity, PATIENCE, Stream, Tls};

/// Most bytes of a line of a reply.
const LINE_MAX: u64 = 64 * 1024;

/// Most bytes of a value; memcached allows no more.
const VALUE_MAX: usize = 1 << 30;

/// The arguments that name a server.
#[derive(Args, Debug)]
pub struct ServerArguments {
    /// The server: HOST:PORT, [IPv6]:PORT, or the path of a Unix socket. The port is 11211 if it is
    /// missing
    #[arg(value_name = "SERVER")]
    address: Address,
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

impl ServerArguments {
    /// Reads the files that the arguments name.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn server(self) -> Result<Server, Failure> {
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
        Ok(Server { address: self.address, tls, login })
    }
}

/// A server to connect to.
#[derive(Clone)]
pub struct Server {
    address: Address,
    tls: Tls,
    /// Name and password.
    login: Option<String>,
}

impl Server {
    /// Connects, and logs in.
    ///
    /// # Errors
    /// The server cannot be reached, refuses the login, or does not speak the text protocol.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let name = self.address.to_string();
        let stream = stream::connect(&self.address, &self.tls)
            .map_err(|e| Failure::new(SERVER, format!("failed to connect to {name}: {}", reason(&e))))?;
        let mut connection = Connection {
            stream: BufReader::with_capacity(64 * 1024, stream),
            name,
            output: Vec::new(),
            line: Vec::new(),
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

    /// Sends a request and reads one line.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn ask(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        self.output.extend_from_slice(request);
        self.send()?;
        self.line()
    }

    /// Returns a number of `stats`, or 0 if the server has no such number.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn stat(&mut self, name: &str) -> Result<u64, Failure> {
        let mut number = 0;
        self.ask(b"stats\r\n")?;
        while self.line != b"END" {
            let Ok(line) = std::str::from_utf8(&self.line) else { return Err(self.unexpected()) };
            let mut words = line.split(' ');
            if words.next() != Some("STAT") {
                return Err(self.unexpected());
            }
            if words.next() == Some(name) {
                number = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
            }
            self.line()?;
        }
        Ok(number)
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

    /// Returns the failure of a reply that cannot be: the last line.
    pub fn unexpected(&self) -> Failure {
        let (name, line) = (&self.name, String::from_utf8_lossy(&self.line));
        match &self.line[..] {
            b"CLIENT_ERROR unauthenticated" => {
                Failure::new(REFUSED, format!("{name} requires a login: use --user and --password-file"))
            }
            _ => Failure::new(SERVER, format!("unexpected reply of {name}: {:.200}", line.escape_debug())),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let name = &self.name;
        let line = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("{name} did not answer within {} seconds", PATIENCE.as_secs())
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

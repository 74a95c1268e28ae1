//! The floor: a server that splits lines and sends canned replies.
//!
//! It stores nothing, looks up nothing and copies no key, but it reads and writes every byte that a
//! real server must. Its cost is the cost of the architecture: one thread, edge-triggered events,
//! reading until a short read, one write for each event.
//!
//! It answers `get` (the canned value, once for each key), `set` (`STORED`, skipping the body) and
//! `version`. The canned value has a key of the length that the load uses, so that replies are as
//! long as real ones.

use std::io::{ErrorKind, Read, Write};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};

use crate::address::Address;
use crate::error::{Doing, Result};
use crate::stream::Stream;

const READ: usize = 64 << 10;
const LISTENER: Token = Token(usize::MAX);

/// Serve canned replies: the lower bound of the cost of a server with this architecture.
#[derive(Debug, clap::Args)]
pub struct Floor {
    /// Address to listen on: host:port, or the path of a Unix socket.
    #[arg(long, default_value = "127.0.0.1:11211")]
    address: Address,
    /// Bytes of the canned value.
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    /// Bytes of the canned key.
    #[arg(long, default_value_t = crate::items::KEY_LENGTH)]
    key_size: u32,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

struct Connection {
    stream: Stream,
    /// The beginning of a line that has not arrived completely.
    partial: Vec<u8>,
    /// Bytes of a value and its line end that remain to be skipped.
    skip: usize,
    /// Bytes that the socket has not accepted yet.
    unsent: Vec<u8>,
}

/// The canned value, from `VALUE` to the end of its data line.
#[derive(Debug)]
pub struct Can {
    value: Vec<u8>,
}

/// Serves until the process ends.
pub fn run(floor: &Floor) -> Result<()> {
    serve(&floor.address, &Can::new(floor.key_size as usize, floor.value_size))
}

/// Serves the same replies to every client. Returns only if it fails.
pub fn serve(address: &Address, can: &Can) -> Result<()> {
    let mut poll = Poll::new().doing(|| "opening an epoll instance".to_owned())?;
    let mut listener = Listener::bind(address)?;
    listener.source(|source| poll.registry().register(source, LISTENER, Interest::READABLE))?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut input = vec![0; READ].into_boxed_slice();
    let mut output = Vec::with_capacity(READ);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.doing(|| "waiting for events".to_owned())?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Some(mut stream) = listener.accept()? {
                    let index = free.pop().unwrap_or(connections.len());
                    poll.registry()
                        .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)
                        .doing(|| "registering a socket".to_owned())?;
                    let connection = Connection { stream, partial: Vec::new(), skip: 0, unsent: Vec::new() };
                    if index == connections.len() {
                        connections.push(Some(connection));
                    } else {
                        connections[index] = Some(connection);
                    }
                }
                continue;
            }
            let Token(index) = event.token();
            let Some(connection) = &mut connections[index] else { continue };
            if connection.visit(can, &mut input, &mut output).is_none() {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

impl Listener {
    fn bind(address: &Address) -> Result<Self> {
        let doing = || format!("listening on {address}");
        match address {
            Address::Tcp(address) => TcpListener::bind(*address).map(Self::Tcp).doing(doing),
            Address::Unix(path) => UnixListener::bind(path).map(Self::Unix).doing(doing),
        }
    }

    fn source(&mut self, register: impl FnOnce(&mut dyn Source) -> std::io::Result<()>) -> Result<()> {
        match self {
            Self::Tcp(listener) => register(listener),
            Self::Unix(listener) => register(listener),
        }
        .doing(|| "registering the listener".to_owned())
    }

    /// Returns the next connection, or `None` if none waits.
    fn accept(&self) -> Result<Option<Stream>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        };
        match accepted {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).doing(|| "accepting a connection".to_owned()),
        }
    }
}

impl Connection {
    /// Reads, answers and writes. Returns `None` if the connection has ended.
    fn visit(&mut self, can: &Can, input: &mut [u8], output: &mut Vec<u8>) -> Option<()> {
        output.clear();
        output.append(&mut self.unsent);
        loop {
            // Stop reading from a client that does not read its replies.
            let drained = output.len() < READ && self.read(can, input, output)?;
            let taken = match self.stream.write(output) {
                _ if output.is_empty() => 0,
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return None,
            };
            if taken < output.len() {
                self.unsent.extend_from_slice(&output[taken..]);
                return Some(());
            }
            if drained {
                return Some(());
            }
            output.clear();
        }
    }

    /// Reads and answers requests. Returns `true` if there is nothing more to read, and `false` if
    /// there is much to write. Returns `None` if the connection has ended.
    fn read(&mut self, can: &Can, input: &mut [u8], output: &mut Vec<u8>) -> Option<bool> {
        while output.len() < READ {
            let held = self.partial.len();
            input.get_mut(..held)?.copy_from_slice(&self.partial);
            match self.stream.read(&mut input[held..]) {
                Ok(0) => return None,
                Ok(got) => {
                    let whole = held + got;
                    let used = can.answer(&input[..whole], &mut self.skip, output)?;
                    self.partial.clear();
                    self.partial.extend_from_slice(&input[used..whole]);
                    if whole < input.len() {
                        return Some(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(true),
                Err(_) => return None,
            }
        }
        Some(false)
    }
}

impl Can {
    /// Makes a canned value of `value` bytes with a key of `key` bytes.
    pub fn new(key: usize, value: usize) -> Self {
        let mut can = format!("VALUE {:k<key$} 0 {value}\r\n", "").into_bytes();
        can.resize(can.len() + value, b'x');
        can.extend_from_slice(b"\r\n");
        Self { value: can }
    }

    /// Answers every whole line of `input` and returns the bytes used. Returns `None` to end the
    /// connection.
    fn answer(&self, input: &[u8], skip: &mut usize, output: &mut Vec<u8>) -> Option<usize> {
        let mut used = 0;
        loop {
            let skipped = (*skip).min(input.len() - used);
            *skip -= skipped;
            used += skipped;
            let rest = &input[used..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                // A line that fills the buffer ends the connection.
                return (rest.len() < READ).then_some(used);
            };
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            used += end + 1;
            if line.starts_with(b"get ") {
                for _ in memchr::memchr_iter(b' ', line) {
                    output.extend_from_slice(&self.value);
                }
                output.extend_from_slice(b"END\r\n");
            } else if line.starts_with(b"set ") {
                let length = line.rsplit(|&byte| byte == b' ').next()?;
                *skip = std::str::from_utf8(length).ok()?.parse::<u32>().ok()? as usize + 2;
                output.extend_from_slice(b"STORED\r\n");
            } else if line == b"version" {
                output.extend_from_slice(b"VERSION floor\r\n");
            } else {
                output.extend_from_slice(b"ERROR\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Can;

    #[test]
    fn replies_do_not_depend_on_how_requests_arrive() {
        let can = Can::new(3, 2);
        let requests = b"get a\r\nset a 0 0 5\r\nget \n\r\nget a b\r\nversion\r\nmg a\r\n";
        let due = "VALUE kkk 0 2\r\nxx\r\nEND\r\nSTORED\r\nVALUE kkk 0 2\r\nxx\r\nVALUE kkk 0 2\r\nxx\r\nEND\r\n\
                   VERSION floor\r\nERROR\r\n";
        for step in 1..requests.len() {
            let (mut held, mut skip, mut output) = (Vec::new(), 0, Vec::new());
            for piece in requests.chunks(step) {
                held.extend_from_slice(piece);
                let used = can.answer(&held, &mut skip, &mut output);
                assert!(used.is_some());
                held.drain(..used.unwrap_or(0));
            }
            assert_eq!(String::from_utf8_lossy(&output), due);
        }
    }
}

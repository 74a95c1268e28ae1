//! The sockets of one worker to the backends of a proxy.
//!
//! [`Relay`] decides what is sent and answered. This module opens sockets, moves bytes, and reports
//! to the log and to watchers. A round of the worker serves each socket once, however many requests
//! it has: so the requests of a round leave in one write.

use std::fmt::{self, Write as _};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::socket::would_block;
use crate::base::watch::kind;
use crate::protocol::output::{Output, SlotId};
use crate::proxy::backend::Address;
use crate::proxy::failure::Reason;
use crate::proxy::relay::{self, Relay};
use crate::proxy::request::ClientRequest;
use crate::proxy::route::Routes;
use crate::state::ServerState;

/// The first token of a backend. Those of connections are below it, and those of UDP far above.
const FIRST: usize = usize::MAX / 2;

/// Bytes of one read.
const READ: usize = 64 * 1024;

/// Reads of one socket in a round.
const READS: usize = 16;

/// Most bytes that requests and replies under way hold in a worker.
const HELD: usize = 256 * 1024 * 1024;

/// Bytes of a backend's input that watchers see.
const SHOWN: usize = 100;

/// A socket of a backend.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => socket,
        }
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(socket) => socket.read(to),
                Self::Unix(socket) => socket.read(to),
            };
            if !matches!(&read, Err(e) if e.kind() == io::ErrorKind::Interrupted) {
                return read;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self {
                Self::Tcp(socket) => socket.write(bytes),
                Self::Unix(socket) => socket.write(bytes),
            };
            if !matches!(&written, Err(e) if e.kind() == io::ErrorKind::Interrupted) {
                return written;
            }
        }
    }

    /// Returns whether the socket is connected.
    fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(socket) => (socket.take_error()?, socket.peer_addr().map(|_| ())),
            Self::Unix(socket) => (socket.take_error()?, socket.peer_addr().map(|_| ())),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(e)) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(e)) => Err(e),
        }
    }
}

/// A backend.
struct Place {
    address: Address,
    /// The addresses of its name, and the one to try next.
    addresses: Vec<SocketAddr>,
    next: usize,
    socket: Option<Socket>,
    /// Reads in the round under way.
    reads: usize,
    /// Whether the socket may have input, or room for output.
    readable: bool,
    writable: bool,
}

/// The backends of a proxy, as one worker reaches them.
pub(crate) struct Backends {
    relay: Relay<SlotId>,
    places: Vec<Place>,
    scratch: Box<[u8]>,
    /// A time before the earliest deadline of a connection.
    wake: Option<Instant>,
    /// Sockets that may have more input.
    more: Vec<usize>,
}

impl Backends {
    /// Returns the backends of a proxy. Looks up the addresses of their names.
    pub(crate) fn new(routes: &Arc<Routes>, seed: u64) -> Self {
        let places = relay::places(routes).1.into_iter().map(|(address, _)| {
            let addresses = match address {
                Address::Tcp(host, port) => (host.as_str(), *port).to_socket_addrs().map(Iterator::collect),
                Address::Unix(_) => Ok(Vec::new()),
            };
            // A name without an address is a backend that cannot be reached.
            let addresses = addresses.unwrap_or_default();
            Place {
                address: address.clone(),
                addresses,
                next: 0,
                socket: None,
                reads: 0,
                readable: false,
                writable: false,
            }
        });
        Self {
            places: places.collect(),
            relay: Relay::new(Arc::clone(routes), HELD, seed),
            scratch: vec![0; READ].into_boxed_slice(),
            wake: None,
            more: Vec::new(),
        }
    }

    /// Begins a request of a client.
    pub(crate) fn begin(&mut self, slot: SlotId, requests: Vec<ClientRequest>) {
        self.relay.begin(slot, requests, millis(), Instant::now());
    }

    /// Takes an answer, with the slot that it fills.
    pub(crate) fn take_answer(&mut self) -> Option<(SlotId, Output)> {
        let (slot, bytes) = self.relay.take_answer()?;
        let mut reply = Output::new();
        *reply.bytes() = bytes;
        Some((slot, reply))
    }

    /// Returns the time at which [`Self::serve`] must be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.more.is_empty() { self.wake } else { Some(Instant::now()) }
    }

    /// Handles an event. Returns `false` if it is not of a backend.
    pub(crate) fn on_event(&mut self, event: &Event) -> bool {
        let Some(index) = event.token().0.checked_sub(FIRST) else { return false };
        let Some(place) = self.places.get_mut(index) else { return false };
        place.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        place.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.more.push(index);
        true
    }

    /// Serves each socket that has something to do.
    pub(crate) fn serve(&mut self, registry: &Registry, context: &ServerState) {
        let (now, millis) = (Instant::now(), millis());
        let mut due = std::mem::take(&mut self.more);
        for &index in &due {
            if let Some(place) = self.places.get_mut(index) {
                place.reads = 0;
            }
        }
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            due.extend(0..self.places.len());
        }
        loop {
            while let Some(changed) = self.relay.take_changed() {
                due.push(changed);
            }
            let Some(index) = due.pop() else { return };
            if let Err(reason) = self.serve_one(index, registry, millis, now) {
                self.fail(index, reason, registry, context, millis, now);
            }
            let deadline = self.relay.connection(index).and_then(|connection| connection.deadline());
            self.wake = self.wake.into_iter().chain(deadline).min();
        }
    }

    fn serve_one(
        &mut self,
        index: usize,
        registry: &Registry,
        millis: u64,
        now: Instant,
    ) -> Result<(), Reason> {
        let Some(connection) = self.relay.connection(index) else { return Ok(()) };
        let Some(place) = self.places.get_mut(index) else { return Ok(()) };
        if let Some(reason) = connection.expired(now) {
            return Err(reason);
        }
        if connection.wants_socket() {
            connection.connecting(now);
            let mut socket = place.connect().map_err(|_| Reason::Connecting)?;
            let token = Token(FIRST + index);
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(socket.source(), token, both).map_err(|_| Reason::Connecting)?;
            (place.readable, place.writable) = (false, false);
            place.socket = Some(socket);
        }
        let Some(socket) = &mut place.socket else { return Ok(()) };
        if connection.is_connecting() {
            if !socket.is_connected().map_err(|_| Reason::Connecting)? {
                return Ok(());
            }
            connection.connected(now);
            place.writable = true;
        }
        while std::mem::take(&mut place.readable) {
            // The rest is read in the next round.
            if place.reads >= READS {
                place.readable = true;
                if !self.more.contains(&index) {
                    self.more.push(index);
                }
                break;
            }
            place.reads += 1;
            let Some(socket) = &mut place.socket else { return Ok(()) };
            match socket.read(&mut self.scratch) {
                Ok(0) => {
                    let connection = self.relay.connection(index);
                    let is_new = connection.is_some_and(|connection| connection.is_validating());
                    return Err(if is_new { Reason::ReadValidate } else { Reason::Disconnected });
                }
                Ok(n) => {
                    let Some(connection) = self.relay.connection(index) else { return Ok(()) };
                    let mut input = connection.take_input();
                    input.extend_from_slice(self.scratch.get(..n).unwrap_or_default());
                    self.relay.receive(index, input, millis, now)?;
                    place.readable = true;
                }
                Err(e) if would_block(&e) => break,
                Err(_) => return Err(Reason::Reading),
            }
        }
        while place.writable {
            let Some(connection) = self.relay.connection(index) else { return Ok(()) };
            let Some(socket) = &mut place.socket else { return Ok(()) };
            let bytes = connection.unwritten();
            if bytes.is_empty() {
                break;
            }
            match socket.write(bytes) {
                Ok(n) => connection.wrote(n),
                Err(e) if would_block(&e) => place.writable = false,
                Err(_) => return Err(Reason::Writing),
            }
        }
        Ok(())
    }

    fn fail(
        &mut self,
        index: usize,
        reason: Reason,
        registry: &Registry,
        context: &ServerState,
        millis: u64,
        now: Instant,
    ) {
        let Some(place) = self.places.get_mut(index) else { return };
        // The name may have another address.
        place.next = place.next.wrapping_add(1);
        if let Some(mut socket) = place.socket.take() {
            // It is closed next.
            let _ = registry.deregister(socket.source());
        }
        let (depth, was_bad, unread) =
            self.relay.connection(index).map_or((0, true, String::new()), |connection| {
                let unread = connection.unread();
                let shown = unread.get(..SHOWN).unwrap_or(unread).escape_ascii().to_string();
                (connection.depth(), connection.is_bad(), shown)
            });
        let backend = &place.address;
        let pause = self.relay.fail(index, reason, millis, now);
        let hub = context.cache.watch_hub();
        if !was_bad && hub.wants(kind::PROXY) {
            hub.event(kind::PROXY, |line| {
                // Writing to a String cannot fail.
                let _ = write!(
                    line,
                    "type=proxy_backend error={} {} label={backend} depth={depth} rbuf={unread}",
                    reason.word(),
                    Named(backend),
                );
            });
        }
        let Some((pause, flapped)) = pause else { return };
        let word = if flapped { "markedbadflap" } else { "markedbad" };
        if !was_bad {
            context.log(1, || format!("proxy: backend {backend} is bad: {}", reason.word()));
            if hub.wants(kind::PROXY) {
                hub.event(kind::PROXY, |line| {
                    let _ = write!(
                        line,
                        "type=proxy_backend error={word} {} label={backend} retry={}",
                        Named(backend),
                        pause.as_secs(),
                    );
                });
            }
        }
    }
}

impl Place {
    /// Opens a socket, which is not connected yet.
    fn connect(&mut self) -> io::Result<Socket> {
        if let Address::Unix(path) = &self.address {
            return UnixStream::connect(path).map(Socket::Unix);
        }
        let address = self.addresses.get(self.next % self.addresses.len().max(1));
        let address = address.ok_or_else(|| io::Error::other("its name has no address"))?;
        let socket = TcpStream::connect(*address)?;
        socket.set_nodelay(true)?;
        Ok(Socket::Tcp(socket))
    }
}

/// An address, as memcached logs it.
struct Named<'a>(&'a Address);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(host, port) => write!(f, "name={host} port={port}"),
            Address::Unix(path) => write!(f, "name={path} port=0"),
        }
    }
}

/// Returns the Unix time in milliseconds.
fn millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

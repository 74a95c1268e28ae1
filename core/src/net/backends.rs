//! The sockets of one worker to the backends of a proxy.
//!
//! [`Relay`] decides what is sent and answered. This module opens sockets, moves bytes, and reports
//! to the log and to watchers. A round of the worker serves each socket once, however many requests
//! it has: so the requests of a round leave in one write.

use std::fmt::{self, Write as _};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::event::Event;
use mio::{Interest, Registry, Token};

use super::backend_socket::Socket;
use super::socket::would_block;
use crate::base::watch::kind;
use crate::protocol::output::{Output, SlotId};
use crate::proxy::backend::Address;
use crate::proxy::failure::Reason;
use crate::proxy::relay::{Link, Relay, links};
use crate::proxy::request::ClientRequest;
use crate::proxy::route::Routes;
use crate::state::ServerState;
use crate::tls::ClientRules;

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

/// A backend.
struct Place {
    address: Address,
    /// The rules of TLS, and the name in the certificate of the backend.
    tls: Option<(Arc<ClientRules>, String)>,
    /// The addresses of its name, and the one to try next.
    addresses: Vec<SocketAddr>,
    next: usize,
    socket: Option<Socket>,
    /// The words of the system or of TLS for the failure that ends the socket.
    error: Option<String>,
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
        let (_, links) = links(routes);
        Self {
            places: links.iter().map(Place::new).collect(),
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
            place
                .connect(registry, Token(FIRST + index))
                .map_err(|error| place.failed(Reason::Connecting, &error))?;
        }
        if connection.is_connecting() {
            if !place.is_connected().map_err(|error| place.failed(Reason::Connecting, &error))? {
                return Ok(());
            }
            connection.connected(now);
            // Bytes may have come behind those of the handshake.
            (place.readable, place.writable) = (true, true);
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
                Err(e) => return Err(place.failed(Reason::Reading, &e)),
            }
        }
        while place.writable {
            let Some(connection) = self.relay.connection(index) else { return Ok(()) };
            let Some(socket) = &mut place.socket else { return Ok(()) };
            let bytes = connection.unwritten();
            // TLS has messages of its own.
            let sent = if bytes.is_empty() { socket.flush().map(|()| 0) } else { socket.write(bytes) };
            match sent {
                Ok(0) => break,
                Ok(n) => connection.wrote(n),
                Err(e) if would_block(&e) => place.writable = false,
                Err(e) => return Err(place.failed(Reason::Writing, &e)),
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
        let error = place.error.take();
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
            let words = error.map(|words| format!(": {words}")).unwrap_or_default();
            context.log(1, || format!("proxy: backend {backend} is bad: {}{words}", reason.word()));
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
    /// Looks up the addresses of a backend. A name without an address is a backend that cannot be
    /// reached.
    fn new(link: &Link<'_>) -> Self {
        let (address, tls) = (link.address, &link.pool.bounds.tls);
        let (addresses, host) = match address {
            Address::Tcp(host, port) => {
                let found = (host.as_str(), *port).to_socket_addrs().map(Iterator::collect);
                (found.unwrap_or_default(), host.clone())
            }
            Address::Unix(_) => (Vec::new(), String::new()),
        };
        let name = tls.as_ref().map(|files| files.server_name.clone().unwrap_or(host));
        Self {
            address: address.clone(),
            tls: link.pool.rules.clone().zip(name),
            addresses,
            next: 0,
            socket: None,
            error: None,
            reads: 0,
            readable: false,
            writable: false,
        }
    }

    /// Opens a socket, which is not connected yet.
    fn connect(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = match &self.address {
            Address::Unix(path) => Socket::unix(path)?,
            Address::Tcp(..) => {
                let address = self.addresses.get(self.next % self.addresses.len().max(1));
                let address = address.ok_or_else(|| io::Error::other("its name has no address"))?;
                Socket::tcp(*address, self.tls.as_ref())?
            }
        };
        registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        (self.readable, self.writable) = (false, false);
        self.socket = Some(socket);
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        self.socket.as_mut().map_or(Ok(false), Socket::is_connected)
    }

    /// Keeps the words of an error for the log.
    fn failed(&mut self, reason: Reason, error: &io::Error) -> Reason {
        self.error = Some(error.to_string());
        reason
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

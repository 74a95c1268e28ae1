//! The socket of a connection to a backend, and the addresses that it may have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::event::Event;
use mio::{Interest, Registry, Token};

use super::backend_socket::Socket;
use super::socket::would_block;
use crate::base::error;
use crate::config::NameQuestion;
use crate::proxy::backend::Address;
use crate::proxy::connection::Connection;
use crate::proxy::failure::Reason;
use crate::proxy::links::Place;
use crate::proxy::name::{Name, Query};
use crate::proxy::names::Names;
use crate::tls::ClientRules;

/// The socket of a connection.
#[derive(Default)]
pub(super) struct Remote {
    /// The name of its host, unless that is an address, and the number of the address to try next.
    name: Option<Arc<Name>>,
    next: usize,
    /// Without one, a connection that is being opened waits for the name to be looked up.
    socket: Option<Socket>,
    /// The address of the socket, if it comes from a name.
    found: Option<IpAddr>,
    /// The words of the system or of TLS for the failure that ends the socket.
    error: Option<String>,
    /// Reads in the round under way.
    pub(super) reads: usize,
    /// Whether the socket may have input.
    pub(super) readable: bool,
    /// Whether the backend may have closed the socket.
    ended: bool,
    /// Whether the socket may have room for output.
    writable: bool,
}

impl Remote {
    /// Takes note of an event of its socket.
    pub(super) fn on_event(&mut self, event: &Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Lets the socket be tried without an event before a time-out: it may have got input or room
    /// since the events were polled.
    pub(super) fn try_again(&mut self, is_due: bool) {
        self.readable |= is_due;
        self.writable |= is_due;
    }

    /// Opens a socket, which is not connected yet. Opens none if there is one, or if the name of
    /// the host is not looked up yet.
    ///
    /// # Errors
    /// [`Reason::Connecting`].
    pub(super) fn open(
        &mut self,
        place: &Place,
        names: &Names,
        registry: &Registry,
        token: Token,
    ) -> Result<(), Reason> {
        if self.socket.is_some() {
            return Ok(());
        }
        self.connect(place, names, registry, token).map_err(|error| self.failed(Reason::Connecting, &error))
    }

    /// Has the name of the host looked up early, because the backend does not answer.
    pub(super) fn hurry(&self, names: &Names) {
        self.name.iter().for_each(|name| names.hurry(name));
    }

    /// Gives its socket another token. Its events come again.
    pub(super) fn set_token(&mut self, registry: &Registry, token: Token) {
        if let Some(socket) = &mut self.socket {
            // Without its events, the owner finds that the backend does not answer.
            let _ = registry.reregister(socket.source(), token, Interest::READABLE | Interest::WRITABLE);
        }
    }

    /// Returns whether it has a socket, connected or not.
    pub(super) fn has_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// Returns whether it has the name of a host.
    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// Returns whether the name of the host has other addresses than the socket.
    pub(super) fn has_moved(&self) -> bool {
        let addresses = self.name.as_ref().and_then(|name| name.addresses()).unwrap_or_default();
        self.found.is_some_and(|found| !addresses.is_empty() && !addresses.contains(&found))
    }

    fn connect(&mut self, place: &Place, names: &Names, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = match &place.address {
            Address::Unix(path) => Socket::unix(path)?,
            Address::Tcp(host, port) => {
                let Some(ip) = self.find(host, names)? else { return Ok(()) };
                let address = SocketAddr::new(ip, *port);
                Socket::tcp(address, tls(place, host)?.as_ref())?
            }
        };
        registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        (self.readable, self.writable, self.ended) = (false, false, false);
        self.socket = Some(socket);
        Ok(())
    }

    /// Returns the address to connect to, or `None` if the name of the host is not looked up yet.
    fn find(&mut self, host: &str, names: &Names) -> io::Result<Option<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Ok(Some(ip));
        }
        let query = || Query::Dns(NameQuestion::Host(host.to_owned()));
        let name = self.name.get_or_insert_with(|| names.name(query()));
        let Some(addresses) = name.addresses() else { return Ok(None) };
        self.found = addresses.get(self.next % addresses.len().max(1)).copied();
        // A name without an address is a backend that cannot be reached.
        self.found.map(Some).ok_or_else(|| io::Error::other("its name has no address"))
    }

    /// Returns whether the connection has a connected socket. Tells the connection.
    ///
    /// # Errors
    /// [`Reason::Connecting`].
    pub(super) fn is_open<T: Copy>(
        &mut self,
        connection: &mut Connection<T>,
        now: Instant,
    ) -> Result<bool, Reason> {
        let Some(socket) = &mut self.socket else { return Ok(false) };
        if connection.is_connecting() {
            if !socket.is_connected().map_err(|error| self.failed(Reason::Connecting, &error))? {
                return Ok(false);
            }
            connection.connected(now);
            // Bytes may have come behind those of the handshake.
            (self.readable, self.writable) = (true, true);
        }
        Ok(true)
    }

    /// Reads. Returns `None` if there is nothing to read.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) fn read(&mut self, to: &mut [u8]) -> Result<Option<usize>, Reason> {
        let Some(socket) = self.socket.as_mut().filter(|_| self.readable) else { return Ok(None) };
        match socket.read(to) {
            Ok(0) => Err(Reason::Disconnected),
            Ok(n) => {
                // A read that leaves room has taken all there was. The next bytes cause an event.
                self.readable = n == to.len() || self.ended || !socket.reads_all();
                Ok(Some(n))
            }
            Err(e) if would_block(&e) => {
                self.readable = false;
                Ok(None)
            }
            Err(e) => Err(self.failed(Reason::Reading, &e)),
        }
    }

    /// Writes the output of the connection, as far as the socket takes it.
    ///
    /// # Errors
    /// [`Reason::Writing`].
    pub(super) fn write<T: Copy>(&mut self, connection: &mut Connection<T>) -> Result<(), Reason> {
        while self.writable
            && let Some(socket) = &mut self.socket
        {
            let bytes = connection.unwritten();
            // TLS has messages of its own.
            let sent = if bytes.is_empty() { socket.flush().map(|()| 0) } else { socket.write(bytes) };
            match sent {
                Ok(0) => break,
                Ok(n) => connection.wrote(n, Instant::now),
                Err(e) if would_block(&e) => self.writable = false,
                Err(e) => return Err(self.failed(Reason::Writing, &e)),
            }
        }
        Ok(())
    }

    /// Closes the socket.
    pub(super) fn close(&mut self, registry: &Registry) {
        self.found = None;
        if let Some(mut socket) = self.socket.take() {
            // It is closed next.
            let _ = registry.deregister(socket.source());
        }
    }

    /// Closes the socket after a failure. The next one tries another address of the name. Returns
    /// the words of the error behind a colon, if there are any.
    pub(super) fn fail(&mut self, registry: &Registry) -> String {
        self.next = self.next.wrapping_add(1);
        self.close(registry);
        self.error.take().map(|words| format!(": {words}")).unwrap_or_default()
    }

    /// Keeps the words of an error.
    fn failed(&mut self, reason: Reason, error: &io::Error) -> Reason {
        self.error = Some(error::reason(error));
        reason
    }
}

/// Returns the rules of TLS to a place and the name of its server, if it uses TLS.
fn tls(place: &Place, host: &str) -> io::Result<Option<(Arc<ClientRules>, String)>> {
    let Some(files) = &place.bounds.tls else { return Ok(None) };
    // Its requests are never sent as plain text.
    let rules = place.rules.clone().ok_or_else(|| io::Error::other("the files of TLS are not read"))?;
    let name = files.server_name.as_deref().or(place.server_name.as_deref()).unwrap_or(host);
    Ok(Some((rules, name.to_owned())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;

    use mio::Poll;

    use super::*;
    use crate::proxy::bounds::Bounds;
    use crate::tls::ClientFiles;

    #[test]
    fn a_place_with_tls_but_no_rules_is_not_reached_in_plain_text() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp("127.0.0.1".into(), listener.local_addr().unwrap().port());
        let tls = Some(ClientFiles { ca: None, identity: None, server_name: None });
        let bounds = Bounds { tls, ..Bounds::default() };
        let place = Place { address, label: None, bounds, rules: None, server_name: None, ordinal: 0 };
        let (mut remote, poll) = (Remote::default(), Poll::new().unwrap());
        let result = remote.open(&place, &Names::default(), poll.registry(), Token(0));
        assert_eq!(result, Err(Reason::Connecting));
        assert!(remote.socket.is_none());
    }
}

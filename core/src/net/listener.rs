//! Listening sockets and the thread that accepts.
//!
//! The thread accepts connections until there are none and hands them to the workers in turn.
//! `max_connections` includes listening sockets. At this limit, the thread has memcached's two
//! behaviours. It refuses a connection with a line of text, or it holds the one connection that hit
//! the limit and stops listening until another closes.
//!
//! If the system has no descriptor left, listening stops, too. The thread tries again after a
//! moment and whenever a connection closes.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::connection_limit::ConnectionLimit;
use super::handover::{FileId, Handover, Opener, PassedSocket};
use super::mailbox::{Accepted, Mailbox};
use super::per_address::AddressTable;
use super::socket::{mark, would_block};
use super::stream::{Peer, Stream};
use super::waker::RemoteWaker;
use crate::base::error::StartError;
use crate::config::{Listen, Protocol, Tag, TlsMode};
use crate::net::address::BoundAddress;
use crate::state::{ConnState, ServerState};

/// The waker's token. The tokens of listeners count up from 0.
const WAKE: Token = Token(usize::MAX);

/// Time to wait before the next attempt when the system has no descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// The reply to a client over the limit, in memcached's words.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

enum Socks {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listening socket. Dropping it closes the socket and removes its file.
pub(crate) struct Listener {
    socket: Socks,
    protocol: Protocol,
    tls: TlsMode,
    tag: Option<Tag>,
    /// Its address.
    pub(crate) address: BoundAddress,
    file: Option<SocketFile>,
}

impl Listener {
    /// Opens a listening socket, except for UDP, or uses the one that was passed. Keeps a duplicate
    /// in `handover`.
    ///
    /// # Errors
    /// [`StartError::Listen`] with the address as it was given.
    pub(crate) fn bind(
        listen: &Listen,
        backlog: i32,
        passed: Option<PassedSocket>,
        handover: &Arc<Handover>,
    ) -> Result<Self, StartError> {
        let place = || match listen {
            Listen::Tcp { addr, .. } | Listen::Udp { addr } => addr.to_string(),
            Listen::Unix { path, .. } => path.display().to_string(),
        };
        let managed = passed.as_ref().is_some_and(|passed| !passed.is_owned());
        let opened = match (listen, passed) {
            (Listen::Tcp { protocol, tls, tag, .. }, Some(passed)) => {
                of_tcp(passed.fd.into(), *protocol, *tls, *tag)
            }
            (Listen::Tcp { addr, protocol, tls, tag }, None) => {
                bind_tcp(*addr, backlog).and_then(|socket| of_tcp(socket, *protocol, *tls, *tag))
            }
            (Listen::Udp { .. }, _) => Err(io::ErrorKind::Unsupported.into()),
            (Listen::Unix { path, mask, protocol }, passed) => {
                let bind = || bind_unix(path, *mask, backlog);
                let socket = match passed {
                    Some(PassedSocket { fd, opener: Opener::Server(file), .. }) => {
                        Ok(keep_or_bind(fd, file, path, bind))
                    }
                    Some(passed) => Ok((passed.fd.into(), None)),
                    None => bind().map(|(socket, file)| (socket, Some(file))),
                };
                socket.map(|(socket, file)| of_unix(socket, path, file, *protocol, handover))
            }
        };
        let listener = opened.map_err(|e| StartError::Listen(place(), e))?;
        let file = listener.file.as_ref().map(|file| file.id);
        let by = if managed { Opener::Manager } else { Opener::Server(file) };
        handover.keep(&listener, by).map_err(StartError::System)?;
        Ok(listener)
    }

    fn fd(&self) -> RawFd {
        match &self.socket {
            Socks::Tcp(s) => s.as_raw_fd(),
            Socks::Unix(s) => s.as_raw_fd(),
        }
    }

    fn accept(&self) -> io::Result<Accepted> {
        let (stream, peer) = match &self.socket {
            Socks::Tcp(s) => {
                let (socket, from) = s.accept()?;
                (Stream::new_tcp(socket), Peer::from(from))
            }
            Socks::Unix(s) => {
                // mio's own `accept` panics if a client's name fills the address to the last byte,
                // because the system counts a NUL behind it.
                let (socket, _) = SockRef::from(s).accept()?;
                socket.set_nonblocking(true)?;
                (Stream::new_unix(UnixStream::from_std(socket.into())), Peer::Unix)
            }
        };
        Ok(Accepted { stream, peer, counted: None, protocol: self.protocol, tls: self.tls, tag: self.tag })
    }

    fn register(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socks::Tcp(s) => poll.registry().register(s, token, Interest::READABLE),
            Socks::Unix(s) => poll.registry().register(s, token, Interest::READABLE),
        }
    }

    fn deregister(&mut self, poll: &Poll) -> io::Result<()> {
        match &mut self.socket {
            Socks::Tcp(s) => poll.registry().deregister(s),
            Socks::Unix(s) => poll.registry().deregister(s),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socks::Tcp(s) => s.as_fd(),
            Socks::Unix(s) => s.as_fd(),
        }
    }
}

/// Accepted sockets inherit the options, which saves two calls for each connection.
fn bind_tcp(addr: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(addr))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn of_tcp(socket: Socket, protocol: Protocol, tls: TlsMode, tag: Option<Tag>) -> io::Result<Listener> {
    let socket = TcpListener::from_std(socket.into());
    let address = BoundAddress::Tcp(socket.local_addr()?);
    Ok(Listener { socket: Socks::Tcp(socket), protocol, tls, tag, address, file: None })
}

/// The file first has at most the requested bits, and gets the missing ones afterwards. Changing
/// the umask, as memcached does, would affect every thread of the application.
fn bind_unix(path: &Path, mask: u32, backlog: i32) -> io::Result<(Socket, FileId)> {
    remove_stale(path)?;
    let permissions = Permissions::from_mode(mask & 0o777);
    let socket = File::from(OwnedFd::from(new_socket(Domain::UNIX)?));
    // Some systems do not let a socket have permissions before it has a name.
    let _ = socket.set_permissions(permissions.clone());
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    let file = FileId::of(path).ok_or(io::ErrorKind::NotFound)?;
    fs::set_permissions(path, permissions)?;
    socket.listen(backlog)?;
    Ok((socket, file))
}

/// Keeps a socket whose file is still there. Otherwise no client can reach it, so a new one takes
/// its place if that is possible.
fn keep_or_bind(
    passed: OwnedFd,
    file: Option<FileId>,
    path: &Path,
    bind: impl FnOnce() -> io::Result<(Socket, FileId)>,
) -> (Socket, Option<FileId>) {
    if file.is_some() && file == FileId::of(path) {
        return (passed.into(), file);
    }
    // The server may have given up the right to write there, or another may listen there. It still
    // has to serve its other sockets.
    bind().map_or_else(|_| (passed.into(), None), |(socket, file)| (socket, Some(file)))
}

fn of_unix(
    socket: Socket,
    path: &Path,
    file: Option<FileId>,
    protocol: Protocol,
    handover: &Arc<Handover>,
) -> Listener {
    let file = file.map(|id| SocketFile { path: path.to_path_buf(), id, handover: Arc::clone(handover) });
    let socket = Socks::Unix(UnixListener::from_std(socket.into()));
    let address = BoundAddress::Unix(path.to_path_buf());
    Listener { socket, protocol, tls: TlsMode::Off, tag: None, address, file }
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    // Socket::new sets close-on-exec.
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Removes the socket file of a server that has ended. Another kind of file at `path` stays, and
/// bind reports it.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Ok(());
    }
    let probe = new_socket(Domain::UNIX)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// A socket's file. Dropping this removes the file if it is still the same one, unless the socket
/// was handed over.
struct SocketFile {
    path: PathBuf,
    id: FileId,
    handover: Arc<Handover>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.handover.is_wanted() {
            self.id.remove(&self.path);
        }
    }
}

/// The accepting thread, before and while it runs.
pub(crate) struct Acceptor {
    poll: Poll,
    context: Arc<ServerState>,
    limit: Arc<ConnectionLimit>,
    addresses: Arc<AddressTable>,
    listeners: Vec<Listener>,
    mailboxes: Vec<Arc<Mailbox>>,
    /// Index of the next mailbox to use.
    next: usize,
    /// Accepted over the limit. It goes to a worker when another connection closes.
    held: Option<Accepted>,
    /// Set while listening is off: when it was switched off.
    paused: Option<Instant>,
}

impl Acceptor {
    /// Creates the acceptor of these listening sockets and the limit that wakes it.
    pub(crate) fn new(
        context: Arc<ServerState>,
        mut listeners: Vec<Listener>,
    ) -> io::Result<(Self, Arc<ConnectionLimit>)> {
        let poll = Poll::new()?;
        let limit = Arc::new(ConnectionLimit::new(RemoteWaker::new(Waker::new(poll.registry(), WAKE)?)));
        let now = context.cache.clock().now();
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(&poll, Token(index))?;
            if let Socks::Tcp(socket) = &listener.socket {
                mark(&SockRef::from(socket), &context);
            }
            context.connections.set(listener.fd(), ConnState::Listening, now);
            context.log(2, || {
                let protocol = match listener.protocol {
                    Protocol::Negotiating => "auto-negotiate",
                    Protocol::Ascii => "ascii",
                    Protocol::Binary => "binary",
                };
                format!("<{} server listening ({protocol})", listener.fd())
            });
        }
        let acceptor = Self {
            poll,
            addresses: Arc::new(AddressTable::new(context.config.conns_per_ip)),
            context,
            limit: Arc::clone(&limit),
            listeners,
            mailboxes: Vec::new(),
            next: 0,
            held: None,
            paused: None,
        };
        Ok((acceptor, limit))
    }

    /// Sets the workers that get the connections. Call before [`Acceptor::run`].
    pub(crate) fn serve_by(&mut self, mailboxes: Vec<Arc<Mailbox>>) {
        self.mailboxes = mailboxes;
    }

    /// Accepts until the server stops.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while self.context.control.stopping().is_none() {
            let timeout = self.paused.filter(|_| self.held.is_none()).map(|_| RETRY);
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.context.fail(format!("listener: event queue failed: {e}"));
                    break;
                }
            }
            // Taken before connections are accepted, because a later request waits for the next
            // round.
            let asked = self.limit.take_asked();
            if self.paused.is_some() {
                self.resume();
                if self.paused.is_some() {
                    continue;
                }
            }
            if !asked.is_empty() {
                // The poll may not have reported their events yet.
                (0..self.listeners.len()).for_each(|index| self.accept_all(index));
            }
            for event in &events {
                if event.token() != WAKE {
                    self.accept_all(event.token().0);
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        let most = self.context.config.max_connections.saturating_sub(self.context.config.listen.len());
        self.limit.open() >= most.max(1)
    }

    /// Accepts until there are no connections or listening is off.
    fn accept_all(&mut self, index: usize) {
        while self.paused.is_none() && self.context.control.stopping().is_none() {
            let Some(listener) = self.listeners.get(index) else { return };
            match listener.accept() {
                Ok(accepted) => self.place(accepted),
                Err(e) if would_block(&e) => return,
                Err(e) if is_about_peer(&e) => {}
                Err(e) => {
                    self.context.log(1, || format!("accept(): {e}"));
                    self.pause();
                }
            }
        }
    }

    fn place(&mut self, mut accepted: Accepted) {
        let Ok(counted) = self.addresses.count(accepted.peer) else {
            self.context.listener.rejected_per_ip.fetch_add(1, Relaxed);
            return refuse(accepted.stream);
        };
        accepted.counted = counted;
        if !self.is_full() {
            self.hand_out(accepted);
        } else if self.context.config.maxconns_fast {
            // Counted first, so that a client that reads the refusal finds it counted.
            self.context.listener.rejected.fetch_add(1, Relaxed);
            refuse(accepted.stream);
        } else {
            self.held = Some(accepted);
            self.pause();
        }
    }

    fn hand_out(&mut self, accepted: Accepted) {
        self.limit.enter();
        self.context.listener.total.fetch_add(1, Relaxed);
        let mut accepted = accepted;
        for _ in 0..self.mailboxes.len() {
            self.next = (self.next + 1) % self.mailboxes.len();
            let Some(mailbox) = self.mailboxes.get(self.next) else { break };
            match mailbox.deliver(accepted) {
                Ok(()) => return,
                Err(back) => accepted = back,
            }
        }
        // All workers have ended: the server is stopping.
        drop(accepted);
        self.limit.leave();
    }

    /// Switches listening off.
    fn pause(&mut self) {
        self.paused = Some(Instant::now());
        let stats = &self.context.listener;
        stats.disabled.fetch_add(1, Relaxed);
        stats.paused.store(1, Relaxed);
        for listener in &mut self.listeners {
            // If it stays registered, its events are ignored while listening is off.
            let _ = listener.deregister(&self.poll);
        }
        self.limit.set_waiting(true);
        if self.held.is_some() {
            // A connection may have closed before it saw that this thread waits. (Without
            // descriptors this would spin. In that case, the retry checks.)
            self.limit.waker.wake();
        }
    }

    /// Switches listening on again if the limit allows it.
    fn resume(&mut self) {
        if self.held.is_some() && self.is_full() {
            return;
        }
        let Some(since) = self.paused.take() else { return };
        self.limit.set_waiting(false);
        let stats = &self.context.listener;
        stats.disabled_us.fetch_add(since.elapsed().as_micros() as u64, Relaxed);
        stats.paused.store(0, Relaxed);
        if let Some(held) = self.held.take() {
            self.hand_out(held);
        }
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            // Registering reports waiting connections as a new event.
            if let Err(e) = listener.register(&self.poll, Token(index)) {
                self.context.log(0, || format!("failed to listen again: {e}"));
            }
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        for listener in &self.listeners {
            self.context.connections.clear(listener.fd());
        }
        self.limit.waker.remove();
        self.limit.close();
    }
}

/// Returns whether only this connection failed, as opposed to accepting in general.
fn is_about_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        TimedOut,
    };
    matches!(
        error.kind(),
        Interrupted
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
    ) || error.raw_os_error() == Some(libc::EPROTO)
}

/// Refuses a client over the limit.
///
/// Its input is read first, because closing would otherwise reset the connection and lose the text.
/// As in memcached, the text is plain even if the listener uses TLS.
fn refuse(mut stream: Stream) {
    let mut sent_already = [0; 2048];
    let _ = stream.read(&mut sent_already);
    let _ = stream.sink().write(TOO_MANY);
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

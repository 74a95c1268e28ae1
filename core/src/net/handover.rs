//! Listening sockets that come from another process, and those that go to the next one.
//!
//! A service manager may open the sockets of a server. A process that starts its next version keeps
//! its sockets open for it. In both cases clients that connect in between wait in the queue of the
//! socket, and none is refused.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use socket2::{SockRef, Type};

use crate::base::sync::Mutex;
use crate::config::{Listen, Protocol};
use crate::net::address::BoundAddress;

/// The file of a Unix socket. Its path may have become that of another file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId {
    /// The number of its file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl FileId {
    /// Returns the file at a path, if it is a socket's.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok().filter(|found| found.file_type().is_socket())?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Removes the file unless another one has its path.
    pub(crate) fn remove(self, path: &Path) {
        if Self::of(path) == Some(self) {
            // An error here has no receiver and no remedy.
            let _ = fs::remove_file(path);
        }
    }
}

/// The process that opened a socket, and so removes its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opener {
    /// The service manager.
    Manager,
    /// A server. A Unix socket has a file.
    Server(Option<FileId>),
}

/// A listening stream socket or a UDP socket of another process.
#[derive(Debug)]
pub struct PassedSocket {
    pub(crate) fd: OwnedFd,
    address: BoundAddress,
    pub(crate) opener: Opener,
}

impl PassedSocket {
    /// Takes a socket.
    ///
    /// # Errors
    /// It is not a bound TCP, UDP or Unix socket that a server can use.
    pub fn new(fd: OwnedFd, opener: Opener) -> io::Result<Self> {
        let address = {
            let socket = SockRef::from(&fd);
            let unusable = || io::Error::other("not a listening TCP or Unix socket, and not a UDP socket");
            let (kind, local) = (socket.r#type()?, socket.local_addr()?);
            #[cfg(target_os = "linux")]
            if kind == Type::STREAM && !socket.is_listener()? {
                return Err(unusable());
            }
            match (kind, local.as_socket(), local.as_pathname()) {
                (Type::STREAM, Some(address), _) => BoundAddress::Tcp(address),
                (Type::DGRAM, Some(address), _) => BoundAddress::Udp(address),
                (Type::STREAM, None, Some(path)) => BoundAddress::Unix(path.to_path_buf()),
                _ => return Err(unusable()),
            }
        };
        let socket = SockRef::from(&fd);
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        if let BoundAddress::Tcp(_) = &address {
            // Accepted sockets inherit the options.
            socket.set_keepalive(true)?;
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self { fd, address, opener })
    }

    /// Returns whether a server opened it, or else the service manager.
    pub fn is_owned(&self) -> bool {
        self.opener != Opener::Manager
    }

    /// Returns the listener that serves this socket with every protocol, without TLS.
    pub fn listen(&self) -> Listen {
        match &self.address {
            BoundAddress::Tcp(addr) => Listen::tcp(*addr),
            BoundAddress::Udp(addr) => Listen::Udp { addr: *addr },
            BoundAddress::Unix(path) => {
                Listen::Unix { path: path.clone(), mask: 0, protocol: Protocol::Negotiating }
            }
        }
    }

    /// Returns whether `listen` names the address of this socket. Port 0 means any port.
    pub fn is_for(&self, listen: &Listen) -> bool {
        let fits = |wanted: &SocketAddr, found: &SocketAddr| {
            wanted.ip() == found.ip() && (wanted.port() == 0 || wanted.port() == found.port())
        };
        match (listen, &self.address) {
            (Listen::Tcp { addr, .. }, BoundAddress::Tcp(found))
            | (Listen::Udp { addr }, BoundAddress::Udp(found)) => fits(addr, found),
            (Listen::Unix { path, .. }, BoundAddress::Unix(found)) => path == found,
            _ => false,
        }
    }

    /// Closes a socket that no listener uses any more.
    pub(crate) fn discard(self) {
        if let (BoundAddress::Unix(path), Opener::Server(Some(file))) = (&self.address, self.opener) {
            file.remove(path);
        }
    }

    /// Removes and returns the socket for `listen`.
    pub(crate) fn take(passed: &mut Vec<Self>, listen: &Listen) -> Option<Self> {
        let at = passed.iter().position(|socket| socket.is_for(listen))?;
        Some(passed.remove(at))
    }
}

/// The sockets of a server that outlive it, for the next version of its process.
#[derive(Debug)]
pub struct Handover {
    /// Whether duplicates are kept. A server in another program needs none.
    keeps: bool,
    /// Duplicates. `None` once the server stops for good.
    sockets: Mutex<Option<Vec<(OwnedFd, Opener)>>>,
    wanted: AtomicBool,
}

impl Handover {
    /// Returns a handover without sockets. `keeps` says whether it is possible at all.
    pub(crate) fn new(keeps: bool) -> Self {
        Self { keeps, sockets: Mutex::new(Some(Vec::new())), wanted: AtomicBool::new(false) }
    }

    /// Keeps a duplicate of a socket.
    pub(crate) fn keep(&self, socket: &impl AsFd, opener: Opener) -> io::Result<()> {
        if self.keeps
            && let Some(sockets) = &mut *self.sockets.lock()
        {
            sockets.push((socket.as_fd().try_clone_to_owned()?, opener));
        }
        Ok(())
    }

    /// Makes the graceful stop that follows a handover. Returns `false` if the server stops for
    /// good already.
    pub fn begin(&self) -> bool {
        let sockets = self.sockets.lock();
        self.wanted.store(sockets.is_some(), SeqCst);
        sockets.is_some()
    }

    /// Returns whether the sockets go to the next version.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(SeqCst)
    }

    /// Closes the duplicates, because the server stops for good.
    pub fn cancel(&self) {
        let mut sockets = self.sockets.lock();
        self.wanted.store(false, SeqCst);
        *sockets = None;
    }

    /// Returns the sockets if the server stopped for a handover.
    pub fn take(&self) -> Option<Vec<(OwnedFd, Opener)>> {
        self.sockets.lock().take().filter(|_| self.is_wanted())
    }
}

//! Sockets and threads: what carries bytes between clients and sessions.
//!
//! ```text
//!   listener ──accepted──▶ mailbox ──▶ worker ── events ──▶ connection
//!                                        │                    ├ stream   (Tcp | Unix | Tls)
//!                                        └ scratch: an Input, ├ session  (bytes in, bytes out)
//!                                          an Output          └ leftover, unsent (only while partial)
//!   udp: a socket of its own, served by one worker, a session a datagram
//!   handshake: a thread that borrows streams from the workers for TLS handshakes
//! ```
//!
//! One thread accepts and hands connections out round robin; each worker owns
//! an event queue and everything of its connections. Commands and replies are read
//! by [`crate::session`]; only `udp` looks at the first byte of a datagram and
//! writes two error lines. Nothing here is public beyond the crate:
//! [`crate::server`] is the door.

pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod handshake;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod names;
pub(crate) mod settle;
pub(crate) mod stream;
#[cfg_attr(not(feature = "tls"), path = "tls_off.rs")]
mod tls;
pub(crate) mod udp;
pub(crate) mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use mio::Waker;
use socket2::SockRef;

use self::settle::Ticket;
use crate::context::ServerState;
use crate::sync::Mutex;

/// A waker that can be taken away: its descriptor closes with the thread it
/// woke, no matter who still holds the handle.
#[derive(Default)]
pub(crate) struct RemoteWaker(Mutex<Option<Waker>>);

impl RemoteWaker {
    /// A bell that rings `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self(Mutex::new(Some(waker)))
    }

    /// Wakes the thread, if it still runs.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.lock().as_ref() {
            // Fails only if the counter is full, and then the thread wakes anyway.
            let _ = waker.wake();
        }
    }

    /// The thread ends: rings do nothing from now on.
    pub(crate) fn remove(&self) {
        self.0.lock().take();
    }
}

/// Counts connections for the listener, which may wait for one to close.
#[derive(Default)]
pub(crate) struct ConnectionLimit {
    open: AtomicUsize,
    /// The listener waits. Set before it looks at `open` once more, read after
    /// `open` went down: one of the two sees the other.
    waiting: AtomicBool,
    /// Callers that wait until what has come is accepted; `None`: the listener has
    /// ended.
    asked: Mutex<Option<Vec<Ticket>>>,
    /// Wakes the listener.
    pub(crate) waker: RemoteWaker,
}

impl ConnectionLimit {
    /// A census whose listener wakes by `bell`.
    pub(crate) fn new(waker: RemoteWaker) -> Self {
        Self { waker, asked: Mutex::new(Some(Vec::new())), ..Self::default() }
    }

    /// Asks the listener to accept what has come, then to drop `ticket`.
    pub(crate) fn ask(&self, ticket: Ticket) {
        let mut asked = self.asked.lock();
        let Some(tickets) = &mut *asked else { return };
        tickets.push(ticket);
        drop(asked);
        self.waker.wake();
    }

    /// What the listener was asked for.
    pub(crate) fn take_asked(&self) -> Vec<Ticket> {
        self.asked.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The listener ends.
    pub(crate) fn close(&self) {
        drop(self.asked.lock().take());
    }

    /// Connections that exist.
    pub(crate) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Counts a new connection.
    pub(crate) fn enter(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    /// A connection is closed.
    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) {
            self.waker.wake();
        }
    }

    /// Whether [`ConnectionLimit::leave`] wakes the listener.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, SeqCst);
    }
}

/// Keeps the application's signals away from the calling thread, so that they
/// interrupt the threads that expect them. Faults stay deliverable.
#[allow(unsafe_code, reason = "the standard library has no signal mask")]
pub(crate) fn block_signals() {
    // SAFETY: `set` is plain memory that sigfillset initialises before it is
    // used; every pointer is to it or null where null is allowed; the calls
    // change the mask of the calling thread alone.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGABRT,
            libc::SIGTRAP,
            libc::SIGSYS,
            libc::SIGPROF,
        ] {
            libc::sigdelset(&raw mut set, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Marks what leaves through a socket and those it accepts, if asked to. That
/// takes a privilege; without it the server runs all the same, as memcached.
pub(crate) fn mark(socket: &SockRef<'_>, context: &ServerState) {
    let mark = context.config.socket_mark;
    #[cfg(target_os = "linux")]
    if mark != 0
        && let Err(e) = socket.set_mark(mark)
    {
        context.log(0, || format!("setsockopt: {e}"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, mark);
}

/// Whether `error` only says that the socket has nothing to give or take now.
pub(crate) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

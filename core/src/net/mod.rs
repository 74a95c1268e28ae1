//! Sockets and threads: they carry bytes between clients and sessions.
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
//! One thread accepts connections and hands them out round robin. Each worker owns an event queue
//! and its connections. Only [`crate::session`] reads commands and writes replies, with one
//! exception: `udp` looks at the first byte of a datagram and writes two error lines.
//!
//! This module has no public items. [`crate::server`] is its only user.

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

/// A waker that can be removed. Its descriptor closes with the thread that it woke, even if handles
/// to it remain.
#[derive(Default)]
pub(crate) struct RemoteWaker(Mutex<Option<Waker>>);

impl RemoteWaker {
    /// Returns a handle that wakes by `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self(Mutex::new(Some(waker)))
    }

    /// Wakes the thread, if it still runs.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.lock().as_ref() {
            // This fails only if the counter is full. The thread then wakes anyway.
            let _ = waker.wake();
        }
    }

    /// Removes the waker when its thread ends. Later calls have no effect.
    pub(crate) fn remove(&self) {
        self.0.lock().take();
    }
}

/// Counts connections for the listener, which may wait for a connection to close.
#[derive(Default)]
pub(crate) struct ConnectionLimit {
    open: AtomicUsize,
    /// Whether the listener waits. The listener sets it before it reads `open` again. A closing
    /// connection reads it after it lowers `open`. So one of them sees the other's change.
    waiting: AtomicBool,
    /// Callers that wait until all arrived connections are accepted. `None` if the listener has
    /// ended.
    asked: Mutex<Option<Vec<Ticket>>>,
    /// The waker of the listener.
    pub(crate) waker: RemoteWaker,
}

impl ConnectionLimit {
    /// Returns a limit whose listener wakes by `waker`.
    pub(crate) fn new(waker: RemoteWaker) -> Self {
        Self { waker, asked: Mutex::new(Some(Vec::new())), ..Self::default() }
    }

    /// Asks the listener to accept all arrived connections, then to drop `ticket`.
    pub(crate) fn ask(&self, ticket: Ticket) {
        let mut asked = self.asked.lock();
        let Some(tickets) = &mut *asked else { return };
        tickets.push(ticket);
        drop(asked);
        self.waker.wake();
    }

    /// Returns the tickets that wait for the listener.
    pub(crate) fn take_asked(&self) -> Vec<Ticket> {
        self.asked.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Drops all tickets, present and future. Called when the listener ends.
    pub(crate) fn close(&self) {
        drop(self.asked.lock().take());
    }

    /// Returns the number of connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Counts a new connection.
    pub(crate) fn enter(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    /// Counts a closed connection.
    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) {
            self.waker.wake();
        }
    }

    /// Sets whether [`ConnectionLimit::leave`] wakes the listener.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, SeqCst);
    }
}

/// Blocks the application's signals in the calling thread, so that they reach the threads that
/// expect them. Signals of faults stay deliverable.
#[allow(unsafe_code, reason = "the standard library has no signal mask")]
pub(crate) fn block_signals() {
    // SAFETY: `set` is plain memory that sigfillset initialises before it is used. Every pointer is
    // to it, or null where null is allowed. The calls change the mask of the calling thread only.
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

/// Sets the configured mark on a socket and on the sockets it accepts.
///
/// Without the privilege for it, the server runs without the mark, as memcached does.
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

/// Returns whether `error` means that the socket has no input or no room now.
pub(crate) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

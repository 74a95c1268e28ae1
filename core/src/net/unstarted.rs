//! A worker before its thread runs. It can move between threads. A worker cannot, because the
//! engine of its proxy may belong to one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::Poll;

use super::backends::{Around, Backends};
use super::connection_limit::ConnectionLimit;
use super::deadline::Deadline;
use super::handshake::Jobs;
use super::limits::OpenFiles;
use super::mailbox::Mailbox;
use super::tokens::udp_token;
use super::udp::Udp;
use crate::proxy::exchange::WorkerEnd;
use crate::proxy::program::Seat;
use crate::state::{ServerState, WorkerStats};

/// A worker before its thread runs.
pub(crate) struct Unstarted {
    pub(super) poll: Poll,
    pub(super) context: Arc<ServerState>,
    number: usize,
    pub(super) stats: Arc<WorkerStats>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) limit: Arc<ConnectionLimit>,
    files: Arc<OpenFiles>,
    pub(super) deadline: Arc<Deadline>,
    pub(super) handshakes: Option<Jobs>,
    pub(super) udp: Vec<Udp>,
    /// The way to the shared connections to backends, if the server is a proxy.
    pub(super) end: Option<WorkerEnd>,
}

impl Unstarted {
    /// Creates a worker and its mailbox.
    pub(crate) fn new(
        number: usize,
        stats: Arc<WorkerStats>,
        context: Arc<ServerState>,
        limit: Arc<ConnectionLimit>,
        files: Arc<OpenFiles>,
        deadline: Arc<Deadline>,
        handshakes: Option<Jobs>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(&poll)?;
        let udp = Vec::new();
        Ok(Self { poll, context, number, stats, mailbox, limit, files, deadline, handshakes, udp, end: None })
    }

    /// Returns the mailbox of the worker.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Adds a UDP socket, which counts as a connection, as in memcached.
    pub(crate) fn add_udp(&mut self, mut socket: Udp) -> io::Result<()> {
        let token = udp_token(self.udp.len());
        socket.register(&self.context, self.poll.registry(), token)?;
        self.stats.connections.add(1);
        self.context.listener.total.fetch_add(1, Relaxed);
        self.udp.push(socket);
        Ok(())
    }

    /// Gives it its way to the shared connections to backends.
    pub(crate) fn share(&mut self, end: WorkerEnd) {
        self.end = Some(end);
    }

    /// Makes the backends, if the server is a proxy.
    pub(super) fn backends(&mut self) -> Result<Option<Box<Backends>>, String> {
        let Some(program) = &self.context.proxy else { return Ok(None) };
        let seat = Seat { worker: self.number, wake: self.mailbox.wake_by() };
        let around = Around { context: &self.context, stats: &self.stats, registry: self.poll.registry() };
        let files = Arc::clone(&self.files);
        let backends = Backends::of_worker(&**program, seat, self.end.take(), around, files)?;
        Ok(Some(Box::new(backends)))
    }
}

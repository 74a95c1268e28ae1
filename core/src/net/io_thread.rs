//! The thread that has the connections to backends that all workers share. As a worker does, it
//! waits for events, reads its mailbox, and serves the sockets. It has no clients.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::{Events, Poll};

use super::backends::{Around, Backends};
use super::limits::OpenFiles;
use super::mailbox::Mailbox;
use super::ticket::Ticket;
use super::tokens::WAKE;
use super::unstarted::Unstarted;
use crate::proxy::exchange::exchange;
use crate::proxy::io_engine::IoEngine;
use crate::state::ServerState;

/// Events taken from the queue in one call.
const EVENTS: usize = 1024;

/// The thread before it runs, and then on it.
pub(crate) struct IoThread {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    context: Arc<ServerState>,
    backends: Backends<IoEngine>,
}

impl IoThread {
    /// Creates it for these workers.
    pub(crate) fn new(
        context: Arc<ServerState>,
        files: &Arc<OpenFiles>,
        workers: &mut [Unstarted],
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(&poll)?;
        let of_workers = workers.iter().map(|worker| worker.mailbox().wake_by()).collect();
        let (ends, end) = exchange(&mailbox.wake_by(), of_workers);
        for (worker, own) in workers.iter_mut().zip(ends) {
            worker.share(own);
        }
        let backends = Backends::new(IoEngine::new(end), around(&context, &poll), Arc::clone(files));
        Ok(Self { poll, mailbox, context, backends })
    }

    /// Returns its mailbox.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Serves until all workers have ended.
    pub(crate) fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut events = Events::with_capacity(EVENTS);
        // Dropped when the sockets have been served.
        let mut tickets = Vec::new();
        while !self.backends.engine().end.has_ended() {
            let deadline = self.backends.deadline();
            let polled = Instant::now();
            let timeout = deadline.map(|at| at.saturating_duration_since(polled));
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return context.fail(format!("I/O thread: event queue failed: {e}")),
            }
            for event in &events {
                if event.token() == WAKE {
                    self.read_mail(&mut tickets);
                    self.backends.woken(around(&context, &self.poll), &mut ());
                } else {
                    self.backends.on_event(event);
                }
            }
            self.backends.serve(polled, around(&context, &self.poll), &mut ());
            self.backends.engine().end.flush();
            tickets.clear();
        }
    }

    fn read_mail(&mut self, tickets: &mut Vec<Ticket>) {
        let mut mail = self.mailbox.mail.lock();
        tickets.append(&mut mail.settling);
        let mut retrying = std::mem::take(&mut mail.retrying);
        drop(mail);
        if !retrying.is_empty() {
            self.backends.retry(self.poll.registry());
        }
        tickets.append(&mut retrying);
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn around<'a>(context: &'a ServerState, poll: &'a Poll) -> Around<'a> {
    Around { context, stats: &context.io_thread, registry: poll.registry() }
}

//! The mailbox through which other threads reach a worker.

use std::io;
use std::sync::Arc;

use mio::{Poll, Token, Waker};

use super::per_address::Counted;
use super::stream::{Peer, Stream};
use super::ticket::Ticket;
use super::tls::TlsStream;
use super::tokens::WAKE;
use super::waker::RemoteWaker;
use crate::base::sync::Mutex;
use crate::config::{Protocol, Tag, TlsMode};
use crate::proxy::exchange::Wake;

/// A connection on its way from the listener to a worker.
pub(crate) struct Accepted {
    /// The socket.
    pub(crate) stream: Stream,
    /// The address of the peer.
    pub(crate) peer: Peer,
    /// Its count among those of its address.
    pub(crate) counted: Option<Box<Counted>>,
    /// The protocol of the listener.
    pub(crate) protocol: Protocol,
    /// Whether the connection will be encrypted. The stream is still plain.
    pub(crate) tls: TlsMode,
    /// The tag of the listener.
    pub(crate) tag: Option<Tag>,
}

/// Messages from other threads to a worker.
pub(crate) struct Mailbox {
    pub(super) mail: Mutex<Mail>,
    waker: RemoteWaker,
}

#[derive(Default)]
pub(super) struct Mail {
    pub(super) accepted: Vec<Accepted>,
    pub(super) watchers: Vec<Token>,
    pub(super) handshaken: Vec<(Token, Box<TlsStream>)>,
    pub(super) settling: Vec<Ticket>,
    pub(super) retrying: Vec<Ticket>,
    /// Whether the worker has ended.
    pub(super) closed: bool,
}

impl Mailbox {
    /// Returns the mailbox of the thread that waits for the events of `poll`.
    pub(super) fn new(poll: &Poll) -> io::Result<Arc<Self>> {
        let waker = RemoteWaker::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Arc::new(Self { mail: Mutex::default(), waker }))
    }

    /// Puts a message in, and wakes the worker. Does nothing if the worker has ended.
    fn put(&self, put: impl FnOnce(&mut Mail)) {
        let mut mail = self.mail.lock();
        if mail.closed {
            return;
        }
        put(&mut mail);
        drop(mail);
        self.waker.wake();
    }

    /// Hands a connection over. Returns it if the worker has ended.
    pub(crate) fn deliver(&self, accepted: Accepted) -> Result<(), Accepted> {
        let mut accepted = Some(accepted);
        self.put(|mail| mail.accepted.extend(accepted.take()));
        accepted.map_or(Ok(()), Err)
    }

    /// Records that the watcher of a connection has lines to send.
    pub(crate) fn watcher_has_lines(&self, token: Token) {
        self.put(|mail| mail.watchers.push(token));
    }

    /// Returns the stream of a connection to the worker, or drops it if the worker has ended.
    pub(crate) fn give_back(&self, token: Token, stream: Box<TlsStream>) {
        self.put(|mail| mail.handshaken.push((token, stream)));
    }

    /// Asks the worker to try the backends of a proxy again, then to drop `ticket`.
    pub(crate) fn retry(&self, ticket: Ticket) {
        self.put(|mail| mail.retrying.push(ticket));
    }

    /// Asks the worker to carry out all input that has arrived, then to drop `ticket`.
    pub(crate) fn ask(&self, ticket: Ticket) {
        self.put(|mail| mail.settling.push(ticket));
    }

    /// Wakes the worker, which then checks for all kinds of work.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Returns a function that wakes the worker.
    pub(super) fn wake_by(self: &Arc<Self>) -> Wake {
        let mailbox = Arc::clone(self);
        Arc::new(move || mailbox.wake())
    }

    /// Returns whether the worker has ended, or is about to.
    pub(crate) fn is_closed(&self) -> bool {
        self.mail.lock().closed
    }

    /// Ends it with its thread. Returns the messages that have not been read.
    pub(super) fn close(&self) -> Mail {
        let closed = Mail { closed: true, ..Mail::default() };
        let unread = std::mem::replace(&mut *self.mail.lock(), closed);
        self.waker.remove();
        unread
    }
}

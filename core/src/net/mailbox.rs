//! The mailbox through which other threads reach a worker.

use mio::Token;

use super::per_address::Counted;
use super::stream::{Peer, Stream};
use super::ticket::Ticket;
use super::tls::TlsStream;
use super::waker::RemoteWaker;
use crate::base::sync::Mutex;
use crate::config::{Protocol, Tag, TlsMode};

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
    pub(super) waker: RemoteWaker,
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
    /// Hands a connection over. Returns it if the worker has ended.
    pub(crate) fn deliver(&self, accepted: Accepted) -> Result<(), Accepted> {
        let mut mail = self.mail.lock();
        if mail.closed {
            return Err(accepted);
        }
        mail.accepted.push(accepted);
        drop(mail);
        self.waker.wake();
        Ok(())
    }

    /// Records that the watcher of a connection has lines to send.
    pub(crate) fn watcher_has_lines(&self, token: Token) {
        self.mail.lock().watchers.push(token);
        self.waker.wake();
    }

    /// Returns whether the worker has ended, or is about to.
    pub(crate) fn is_closed(&self) -> bool {
        self.mail.lock().closed
    }

    /// Returns the stream of a connection to the worker, or drops it if the worker has ended.
    pub(crate) fn give_back(&self, token: Token, stream: Box<TlsStream>) {
        let mut mail = self.mail.lock();
        if mail.closed {
            return;
        }
        mail.handshaken.push((token, stream));
        drop(mail);
        self.waker.wake();
    }

    /// Asks the worker to try the backends of a proxy again, then to drop `ticket`.
    pub(crate) fn retry(&self, ticket: Ticket) {
        let mut mail = self.mail.lock();
        if mail.closed {
            return;
        }
        mail.retrying.push(ticket);
        drop(mail);
        self.waker.wake();
    }

    /// Asks the worker to carry out all input that has arrived, then to drop `ticket`.
    pub(crate) fn ask(&self, ticket: Ticket) {
        let mut mail = self.mail.lock();
        if mail.closed {
            return;
        }
        mail.settling.push(ticket);
        drop(mail);
        self.waker.wake();
    }

    /// Wakes the worker, which then checks for all kinds of work.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}

//! The state that a session keeps between two reads.

use std::sync::Arc;
use std::time::Duration;

use super::env::Env;
use super::machine::Trace;
use super::routed_get::{RoutedGet, word_of_get};
use super::upload::Upload;
use crate::admin::{Dump, NodesUpload, PinnedItems};
use crate::config::{Protocol, Rights};
use crate::protocol::binary;
use crate::protocol::output::Mark;
use crate::proxy::request::ClientRequest;
use crate::state::ConnState;

/// Longest input without a line end, in bytes, except of a get (memcached's rule).
pub(super) const LINE_MAX: usize = 2048;

/// The progress of a client's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// The client is not authenticated.
    Anonymous,
    /// The client is not authenticated. The server asked for a second step.
    Challenged,
    /// The client is authenticated and has all rights.
    Authenticated,
    /// The client is authenticated and has these rights.
    Restricted(Arc<Rights>),
    /// The client was authenticated, and has begun another SASL exchange or asked for the
    /// mechanisms. Cyrus SASL refuses the data of a second exchange.
    Withdrawn,
}

/// A get of any number of keys.
#[derive(Clone, Copy)]
pub(super) struct Gets {
    /// Whether replies contain the CAS.
    pub(super) with_cas: bool,
    /// The new expiry of the items.
    pub(super) expiry: Option<u32>,
    /// Whether the get is sampled.
    pub(super) is_sampled: bool,
}

impl Gets {
    /// Returns a get whose items get the exptime `touch`.
    #[inline]
    pub(super) fn new(env: &Env<'_>, with_cas: bool, touch: Option<i32>) -> Self {
        let expiry = touch.map(|exptime| env.context.cache.clock().expiry(exptime.into()));
        Self { with_cas, expiry, is_sampled: env.sampled.is_some() }
    }

    /// Returns its word.
    pub(super) fn name(self) -> &'static str {
        word_of_get(self.with_cas, self.expiry.is_some())
    }
}

/// The command that is under way.
pub(super) enum State {
    Command,
    /// More keys follow.
    Keys(Gets),
    /// More keys follow. The rights of the client allow some keys only.
    GuardedKeys(Gets),
    /// The rest of a refused line, and the reply at its end.
    SkipLine {
        then: Option<&'static str>,
    },
    Value(Box<Upload>),
    /// More keys of a get for backends follow.
    RoutedKeys(Box<RoutedGet>),
    /// The value of a store for backends follows.
    RoutedValue(Box<ClientRequest>),
    Swallow {
        left: usize,
    },
    Dump(Box<Dump>),
    Config(Box<NodesUpload>),
    Watch,
}

/// A fault of the reply under way.
pub(super) enum ReplyFault {
    /// The reply is cut at this length of output. The connection ends there, or when the command
    /// ends, whichever comes first. Between visits, the length that is still to come.
    Truncate(usize),
    /// The reply, which begins at this position, is delayed.
    Delay(Mark, Duration),
}

/// State of one connection.
pub struct Session {
    pub(super) protocol: Protocol,
    pub(super) login: Login,
    pub(super) state: State,
    /// Whether a command was carried out since the last visit that ended for another reason than a
    /// spent turn.
    pub(super) served: bool,
    /// Whether a fault's delay is over, so that the next command is not delayed again.
    pub(super) slept: bool,
    /// Whether the hook and the log have received the command that the input begins with.
    pub(super) reported: bool,
    /// The state of memcached's own machine, for the log.
    pub(super) trace: Trace,
    /// A fault of the reply under way.
    pub(super) reply_fault: Option<Box<ReplyFault>>,
    /// Items pinned by `debugitem`.
    pub(super) held: Option<Box<PinnedItems>>,
}

opaque_debug!(Session);

impl Session {
    /// Returns the session of a new connection.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            login: Login::Anonymous,
            state: State::Command,
            served: false,
            slept: false,
            reported: false,
            trace: Trace::default(),
            reply_fault: None,
            held: None,
        }
    }

    /// Returns the session for requests that a proxy sends to the cache of this server. The client
    /// had the right to send them.
    pub fn of_proxy() -> Self {
        Self { login: Login::Authenticated, ..Self::new(Protocol::Ascii) }
    }

    /// Returns the session of a datagram whose first byte is `first`.
    pub fn of_datagram(first: u8) -> Self {
        let protocol = if first == binary::REQUEST { Protocol::Binary } else { Protocol::Ascii };
        Self { trace: Trace::of_datagram(), ..Self::new(protocol) }
    }

    /// Returns the state of the connection for `stats conns`.
    pub fn state(&self) -> ConnState {
        match self.state {
            State::Command
            | State::Keys(_)
            | State::GuardedKeys(_)
            | State::RoutedKeys(_)
            | State::SkipLine { .. } => ConnState::Read,
            State::Value(_) | State::RoutedValue(_) | State::Config(_) => ConnState::Nread,
            State::Swallow { .. } => ConnState::Swallow,
            State::Dump(_) => ConnState::Mwrite,
            State::Watch => ConnState::Watch,
        }
    }

    /// Returns whether no command is under way, so that an idle connection may be closed.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Returns the bytes of a reply, or of a request for backends, that gathers here.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Dump(dump) => dump.held(),
            State::RoutedKeys(get) => get.held(),
            State::RoutedValue(request) => request.held(),
            _ => 0,
        }
    }

    /// Returns the memory for the next input bytes if a large value is under way. It is at least
    /// one byte long. The owner may read from its socket straight into it, and then calls
    /// [`Session::value_filled`].
    pub fn value_target(&mut self) -> Option<&mut [u8]> {
        let State::Value(upload) = &mut self.state else { return None };
        upload.reservation.target().ok().filter(|target| !target.is_empty())
    }

    /// Records that `n` bytes were written to [`Session::value_target`].
    pub fn value_filled(&mut self, n: usize) {
        if let State::Value(upload) = &mut self.state {
            upload.reservation.advance(n);
        }
    }
}

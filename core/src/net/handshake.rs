//! The thread that carries out TLS handshakes.
//!
//! ```text
//!   worker ──job──▶ handshake thread: reads, computes, sends
//!      ▲                            │
//!      └── mailbox ◀── the stream ──┘
//! ```
//!
//! A handshake takes as long as hundreds of requests. On a thread of its own, it delays requests
//! only as far as the system's scheduler lets it.
//!
//! A worker keeps its connection, with token, counters and timeouts. It lends the stream when there
//! is input, and gets it back when the handshake is done, has failed or waits for more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use mio::Token;

use super::mailbox::Mailbox;
use super::tls::TlsStream;
use crate::state::{ServerState, Stop};

/// The queue into which workers put jobs.
pub(crate) type Jobs = Sender<Job>;

/// One step of a handshake, up to the next wait.
pub(crate) struct Job {
    /// The stream.
    pub(crate) stream: Box<TlsStream>,
    /// The token of its connection.
    pub(crate) token: Token,
    /// The mailbox of that connection's worker.
    pub(crate) worker: Arc<Mailbox>,
}

/// Carries out jobs until the last worker has ended.
pub(crate) fn run(jobs: &Receiver<Job>, context: &ServerState) {
    for Job { mut stream, token, worker } in jobs {
        if context.control.stopping() == Some(Stop::Now) || worker.is_closed() {
            continue;
        }
        if catch_unwind(AssertUnwindSafe(|| stream.shake_hands())).is_err() {
            context.log(0, || format!("<{} internal error in a TLS handshake", stream.fd()));
            stream.give_up();
        }
        worker.give_back(token, stream);
    }
}

//! The thread that carries out TLS handshakes.
//!
//! ```text
//!   worker ──job──▶ handshake thread: reads, computes, sends
//!      ▲                            │
//!      └── mailbox ◀── the stream ──┘
//! ```
//!
//! A handshake takes as long as hundreds of requests. On a thread of its own it delays
//! no request for longer than the system's scheduler lets it. A worker keeps its
//! connection, with token, counters and timeouts. It gives the stream away when there is
//! input, and gets it back when the handshake is done, has failed or waits for more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use mio::Token;

use super::tls::TlsStream;
use super::worker::Mailbox;
use crate::context::{ServerState, Stop};

/// Where workers leave jobs.
pub(crate) type Jobs = Sender<Job>;

/// One step of a handshake: everything until it has to wait.
pub(crate) struct Job {
    /// The stream.
    pub(crate) stream: Box<TlsStream>,
    /// Its connection.
    pub(crate) token: Token,
    /// The worker of that connection.
    pub(crate) worker: Arc<Mailbox>,
}

/// Carries out jobs until the last worker has ended.
pub(crate) fn run(jobs: &Receiver<Job>, context: &ServerState) {
    for Job { mut stream, token, worker } in jobs {
        if context.stopping() == Some(Stop::Now) {
            continue;
        }
        if catch_unwind(AssertUnwindSafe(|| stream.shake_hands())).is_err() {
            context.log(0, || format!("<{} internal error in a TLS handshake", stream.fd()));
            stream.give_up();
        }
        worker.give_back(token, stream);
    }
}

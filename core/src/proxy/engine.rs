//! The seam between a worker and the proxy that it runs. `program` makes an [`Engine`] for each
//! worker.
//!
//! ```text
//!   worker ── begin, reply, expire ──▶ Engine ── submit ──▶ Links ──▶ sockets of the worker
//!          ◀── Answers ───────────────
//! ```
//!
//! The worker moves bytes between links and sockets. An engine decides what is
//! sent and answered. The native one is `relay`. Others come from crates above this one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Failure;
use super::failure::Reason;
use super::hooks::Hooks;
use super::links::{Ask, Links};
use super::reply::Meaning;
use super::request::Requests;
use super::route::Routes;
use crate::cache::Cache;
use crate::config::Tag;
use crate::protocol::output::SlotId;

/// The sender of a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// The slot for the answer.
    pub slot: SlotId,
    /// Descriptor of the client's connection.
    pub fd: i32,
    /// The tag of its listener.
    pub tag: Option<Tag>,
    /// The first common name in its certificate, if it has one.
    pub common_name: Option<Arc<[u8]>>,
}

/// The server around an engine.
pub trait Surroundings {
    /// Returns the cache of this server.
    fn cache(&self) -> &Cache;

    /// Carries out a request on the cache of this server. Returns the reply.
    fn carry_out(&self, request: &[u8], fd: i32) -> Vec<u8>;

    /// Writes a line to the log if the verbosity is at least `level`.
    fn log(&self, level: u8, line: &dyn Fn() -> String);
}

/// The clients of a worker. Each request has exactly one answer, though it may be empty.
pub trait Answers {
    /// Hands an answer to the client of a slot, which may have left.
    fn answer(&mut self, slot: SlotId, answer: &[u8]);
}

/// No client.
impl Answers for () {
    fn answer(&mut self, _: SlotId, _: &[u8]) {}
}

/// The worker around an engine, for one call.
pub struct Host<'a> {
    /// The connections to backends.
    pub links: &'a mut Links,
    /// The time.
    pub now: Instant,
    /// Unix time in milliseconds.
    pub millis: u64,
    /// The server.
    pub server: &'a dyn Surroundings,
    /// The receiver of answers.
    pub answers: &'a mut dyn Answers,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// The proxy of one worker. One thread calls it.
pub trait Engine {
    /// Returns the routes, if it is the native engine.
    fn routes(&self) -> Option<&Arc<Routes>> {
        None
    }

    /// Returns the commands that are routed. The worker asks at the start and after
    /// [`Self::woken`].
    fn hooks(&self) -> Hooks;

    /// Begins a request of a client, or the parts of a get.
    fn begin(&mut self, client: Client, requests: Requests, host: &mut Host<'_>);

    /// Takes the reply to a send, or its absence.
    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>);

    /// Checks whether a reply may be that to a send, and has room.
    ///
    /// # Errors
    /// The reason for which the connection has to end.
    fn check_reply(&self, _ask: Ask, _reply: &[u8], _meaning: Meaning) -> Result<(), Reason> {
        Ok(())
    }

    /// Returns the bytes that requests and replies under way hold, for statistics.
    fn held(&self) -> usize {
        0
    }

    /// Returns the time at which the worker calls [`Self::expire`].
    fn deadline(&mut self) -> Option<Instant> {
        None
    }

    /// Ends the waits that end at `until` or before it. The time of the host may be later: replies
    /// may have come since then.
    fn expire(&mut self, _until: Instant, _host: &mut Host<'_>) {}

    /// Handles a call of `Seat::wake`. The worker may call it more often.
    fn woken(&mut self, _host: &mut Host<'_>) {}
}

/// Handles the input of a link, which the owner has taken out and extended.
///
/// # Errors
/// The reason for which the connection has to end. The owner then calls [`fail`].
pub fn receive<E: Engine>(
    engine: &mut E,
    number: usize,
    input: Vec<u8>,
    host: &mut Host<'_>,
) -> Result<(), Reason> {
    let mut used = 0;
    let ended = loop {
        let rest = input.get(used..).unwrap_or_default();
        let Some(link) = host.links.get_mut(number) else { return Ok(()) };
        match link.next_reply(rest, host.now) {
            Ok(Some((ask, length, meaning))) => {
                used += length;
                let reply = rest.get(..length).unwrap_or_default();
                if let Err(reason) = engine.check_reply(ask, reply, meaning) {
                    engine.reply(ask, None, host);
                    break Err(reason);
                }
                engine.reply(ask, Some((reply, meaning)), host);
            }
            Ok(None) => break Ok(()),
            Err(reason) => break Err(reason),
        }
    };
    if ended.is_err() {
        if let Some(link) = host.links.get_mut(number) {
            link.connection.keep_unread(input, used);
        }
        host.links.touch(number);
        return ended;
    }
    host.links.keep_input(number, input, used, host.now)
}

/// Handles the replies to requests on shared connections.
pub fn receive_shared<E: Engine>(engine: &mut E, host: &mut Host<'_>) {
    while let Some(replies) = host.links.take_replies() {
        for (ask, reply) in replies.iter() {
            let Some((origin, bytes, meaning)) = reply else {
                engine.reply(ask, None, host);
                continue;
            };
            let mut is_right = !host.links.is_wrong(origin);
            if is_right && let Err(reason) = engine.check_reply(ask, bytes, meaning) {
                // The other workers of the connection have room.
                if reason != Reason::OutOfMemory {
                    host.links.end_shared(origin, reason);
                }
                is_right = false;
            }
            // A send fails once, at the end of its reply: then its name is used again.
            if is_right || meaning != Meaning::Item {
                engine.reply(ask, is_right.then_some((bytes, meaning)), host);
            }
        }
    }
}

/// Ends the connection of a link. The owner has closed its socket. Returns the pause before the
/// next attempt, if the backend is bad now, and whether that is because it flaps.
pub fn fail<E: Engine>(
    engine: &mut E,
    number: usize,
    reason: Reason,
    host: &mut Host<'_>,
) -> Option<(Duration, bool)> {
    let Failure { lost, pause } = host.links.fail(number, reason, host.now)?;
    for ask in lost {
        engine.reply(ask, None, host);
    }
    pause
}

//! One UDP socket. Each datagram is carried out by a session of its own. The reply leaves in as
//! many datagrams as it needs.
//!
//! ```text
//!   | id 16 | sequence 16 | total 16 | 0 16 | payload, at most 1392 bytes of a reply |
//!     network order; a reply has its request's id and counts from 0 to total - 1
//! ```
//!
//! The frame is memcached's (`doc/protocol.txt`, "UDP protocol"). A request is one datagram.
//! Incomplete input at its end is dropped with its session, so that data of one client cannot reach
//! another. In memcached it stays, and takes the next datagram from any sender as the rest of a
//! value.
//!
//! The sender of a datagram can be forged. So `output_limit` bounds each reply, and a datagram that
//! looks like another server's reply gets none: two servers would answer each other without end.
//!
//! There is one exchange at a time. If the socket cannot take a reply, the rest of it waits. Later
//! datagrams then wait in the socket's own buffer, which the system bounds. memcached does the
//! same.

use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::buffers::{SCRATCH, allocated};
use super::handover::{Handover, Opener, PassedSocket};
use super::socket::{mark, would_block};
use super::visit::{NextAction, Place};
use crate::base::turn::Turn;
use crate::protocol::binary;
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::session::{Env, Next, Session};
use crate::state::{ConnState, ServerState, WorkerStats};

/// Bytes of the frame header.
const HEADER: usize = 8;

/// Largest datagram of a reply (memcached's `UDP_MAX_PAYLOAD_SIZE`), so that it fits a packet of
/// most networks.
const DATAGRAM: usize = 1400;

/// Most bytes of a reply in one datagram.
const PAYLOAD: usize = DATAGRAM - HEADER;

/// Longest reply that the frame's counter allows.
const LONGEST: usize = PAYLOAD * u16::MAX as usize;

/// Bytes that a turn is charged for receiving or sending a datagram, beside its length.
const DATAGRAM_WORK: usize = 2048;

/// Work, in bytes, between two checks of the clock.
const LOOK: usize = 32 * 1024;

/// Bytes of output memory kept between exchanges.
const KEEP: usize = 64 * 1024;

/// A bound socket. Dropping it closes it.
pub(crate) struct Udp {
    socket: UdpSocket,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The current datagram. The buffer fits any datagram.
    input: Box<[u8]>,
    output: Output,
    exchange: Option<Exchange>,
    /// Second of the last command.
    last_command: u32,
    /// Whether a reply waits until the socket takes it.
    blocked: bool,
    /// Whether an injected delay is under way.
    sleeping: bool,
    /// Whether the socket is in the worker's ready list.
    pub(crate) queued: bool,
    /// Whether the socket was not yet found without input since the worker was asked to settle.
    pub(crate) unsettled: bool,
}

/// A request whose reply is not completely sent.
struct Exchange {
    peer: SocketAddr,
    /// The request's id.
    id: [u8; 2],
    session: Session,
    /// Used bytes of the input; `used <= end <= SCRATCH`.
    used: usize,
    /// End of the datagram in the input.
    end: usize,
    /// Set when the reply is complete: the number of datagrams sent, and of all.
    reply: Option<(u16, u16)>,
}

/// The progress of sending a reply.
enum Answered {
    /// All of the reply is sent, or it is empty.
    All,
    /// The socket is full.
    Part,
    /// The turn is over.
    Cut,
}

/// The progress of an exchange.
enum Course {
    /// The reply is complete, or empty.
    Done,
    /// The budget is spent, or a long dump goes on later.
    Yield,
    /// An injected delay.
    Sleep(std::time::Duration),
}

impl Udp {
    /// Opens a socket, or uses the one that was passed. Keeps a duplicate in `handover`.
    pub(crate) fn bind(
        addr: SocketAddr,
        passed: Option<PassedSocket>,
        handover: &Handover,
    ) -> io::Result<Self> {
        let opener = passed.as_ref().map_or(Opener::Server(None), |passed| passed.opener);
        let socket = passed.map_or_else(|| open(addr), |passed| Ok(passed.fd.into()))?;
        handover.keep(&socket, opener)?;
        let socket = UdpSocket::from_std(socket.into());
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            input: allocated(&[], SCRATCH).ok_or(io::ErrorKind::OutOfMemory)?,
            output: Output::new(),
            exchange: None,
            last_command: 0,
            blocked: false,
            sleeping: false,
            queued: false,
            unsettled: false,
        })
    }

    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Starts reporting events to `token`, and enters the socket in the table and the log.
    pub(crate) fn register(
        &mut self,
        context: &ServerState,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)?;
        let fd = self.fd();
        self.last_command = context.cache.clock().now();
        mark(&SockRef::from(&self.socket), context);
        context.connections.set(fd, ConnState::Read, self.last_command);
        context.log(2, || format!("<{fd} server listening (udp)"));
        Ok(())
    }

    /// Returns whether an event calls for a visit.
    pub(crate) fn is_waiting_for(&self, readable: bool, writable: bool) -> bool {
        if self.blocked { writable } else { readable && !self.sleeping }
    }

    /// Ends an injected delay.
    pub(crate) fn awake(&mut self) {
        self.sleeping = false;
    }

    /// Drops the exchange after a visit that panicked.
    pub(crate) fn reset(&mut self) {
        self.exchange = None;
        self.blocked = false;
        self.output = Output::new();
    }

    /// Serves datagrams until there are none, the socket is full, or the turn is over. Never
    /// returns [`NextAction::Close`]: a datagram cannot close the socket.
    pub(crate) fn visit(&mut self, place: Place<'_>) -> NextAction {
        if self.sleeping {
            return NextAction::Wait;
        }
        let Place { context, stats, .. } = place;
        let mut env = Env::new(context, stats, self.fd(), context.config.requests_per_event);
        env.limit = env.limit.saturating_add(self.output.len());
        context.connections.set(env.fd, ConnState::ParseCmd, self.last_command);
        let (state, after) = loop {
            if self.exchange.is_none() {
                if env.turn.is_over() {
                    stats.conn_yields.add(1);
                    break (ConnState::Read, NextAction::Again);
                }
                match self.receive(stats) {
                    Ok(n) => env.turn.spend(n + DATAGRAM_WORK),
                    Err(e) => {
                        if would_block(&e) {
                            break (ConnState::Read, NextAction::Wait);
                        }
                        // The error concerns one datagram, and others may wait.
                        context.log(1, || format!("recvfrom(): {e}"));
                        break (ConnState::Read, NextAction::Again);
                    }
                }
            }
            match self.converse(&mut env) {
                Course::Done => {}
                Course::Yield => {
                    stats.conn_yields.add(1);
                    break (ConnState::Read, NextAction::Again);
                }
                Course::Sleep(time) => {
                    self.sleeping = true;
                    break (ConnState::Read, NextAction::Sleep(time));
                }
            }
            match self.answer(place, &mut env.turn) {
                Answered::All => {}
                Answered::Part => break (ConnState::Mwrite, NextAction::Wait),
                Answered::Cut => {
                    stats.conn_yields.add(1);
                    break (ConnState::Mwrite, NextAction::Again);
                }
            }
        };
        if env.turn.has_served() {
            self.last_command = context.cache.clock().now();
        }
        context.connections.set(env.fd, state, self.last_command);
        after
    }

    /// Reads a datagram and begins an exchange if it is a request.
    fn receive(&mut self, stats: &WorkerStats) -> io::Result<usize> {
        let (end, peer) = loop {
            match self.socket.recv_from(&mut self.input) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let datagram = self.input.get(..end).unwrap_or_default();
        let Some((header, payload)) = datagram.split_first_chunk::<HEADER>() else { return Ok(end) };
        if payload.is_empty() {
            return Ok(end);
        }
        stats.bytes_read.add(end as u64);
        let [id0, id1, _, _, total @ .., _, _] = *header;
        // As in memcached, requests of several datagrams are not joined.
        if let (Some(&first), [0, 1]) = (payload.first(), total)
            && !payload.starts_with(b"ERROR")
        {
            self.exchange = Some(Exchange {
                peer,
                id: [id0, id1],
                session: Session::of_datagram(first),
                used: HEADER,
                end,
                reply: None,
            });
        }
        Ok(end)
    }

    /// Carries the request out as far as the budget allows. Appends the reply to the output.
    fn converse(&mut self, env: &mut Env<'_>) -> Course {
        let Some(exchange) = &mut self.exchange else { return Course::Done };
        if exchange.reply.is_some() {
            return Course::Done;
        }
        let out = &mut self.output;
        let limit = env.context.config.output_limit.min(LONGEST);
        let mut too_large = false;
        loop {
            let input = self.input.get(exchange.used..exchange.end).unwrap_or_default();
            let step = exchange.session.advance(env, input, out);
            exchange.used += step.consumed;
            let all_used = exchange.used >= exchange.end && exchange.session.is_idle();
            match step.next {
                Next::Yield if !all_used && out.len() < limit => {
                    // A step that uses no input is a dump that goes on later.
                    if env.turn.is_over() || step.consumed == 0 {
                        return Course::Yield;
                    }
                }
                Next::Yield => {
                    too_large = !all_used;
                    break;
                }
                // No slot is open, because this owner waits for no reply.
                Next::Input | Next::Close(_) | Next::Pending => break,
                Next::Abort(_) => {
                    out.clear(KEEP);
                    break;
                }
                Next::Watch(_) => {
                    push_line(out, "CLIENT_ERROR watch commands not allowed");
                    exchange.session.watch_refused();
                }
                Next::Sleep(time) => return Course::Sleep(time),
            }
        }
        if too_large || out.len() > limit {
            out.clear(KEEP);
            if self.input.get(HEADER) != Some(&binary::REQUEST) {
                push_line(out, "SERVER_ERROR reply too large");
            }
        }
        exchange.reply = Some((0, out.len().div_ceil(PAYLOAD) as u16));
        Course::Done
    }

    /// Sends the available part of the reply.
    fn answer(&mut self, place: Place<'_>, turn: &mut Turn) -> Answered {
        let Some(Exchange { peer, id, reply: Some((sent, total)), .. }) = &mut self.exchange else {
            return Answered::All;
        };
        let mut frames = Frames { socket: &self.socket, peer: *peer, id: *id, sent, total: *total };
        let (mut unlooked, mut cut) = (0, false);
        while !self.output.is_empty() {
            if cut {
                return Answered::Cut;
            }
            match self.output.write_to(&mut frames) {
                Ok(n) => {
                    place.stats.bytes_written.add((HEADER + n) as u64);
                    // The clock is read once for several datagrams.
                    unlooked += HEADER + n + DATAGRAM_WORK;
                    if unlooked >= LOOK {
                        turn.spend(std::mem::take(&mut unlooked));
                        cut = turn.is_over();
                    }
                }
                Err(e) if would_block(&e) => {
                    if self.blocked {
                        return Answered::Part;
                    }
                    self.blocked = true;
                    return if self.watch_for(place, Interest::READABLE | Interest::WRITABLE) {
                        Answered::Part
                    } else {
                        Answered::All
                    };
                }
                // The client cannot be reached: the rest of the reply is dropped.
                Err(e) => {
                    place.context.log(1, || format!("sendto(): {e}"));
                    break;
                }
            }
        }
        self.output.clear(KEEP);
        self.exchange = None;
        turn.spend(unlooked);
        if std::mem::take(&mut self.blocked) {
            self.watch_for(place, Interest::READABLE);
        }
        Answered::All
    }

    /// Asks for other events. Returns `false`, after dropping the reply, if that fails: without
    /// events the reply would never end.
    fn watch_for(&mut self, place: Place<'_>, interest: Interest) -> bool {
        let done = place.registry.reregister(&mut self.socket, place.token, interest).is_ok();
        if !done {
            self.blocked = false;
            self.exchange = None;
            self.output.clear(KEEP);
        }
        done
    }
}

/// Opens a socket. Unlike memcached's, it does not reuse an address. The system would let two
/// servers share it and give each datagram to one of them.
fn open(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}

/// Takes a reply in parts that fit a datagram.
struct Frames<'a> {
    socket: &'a UdpSocket,
    peer: SocketAddr,
    id: [u8; 2],
    sent: &'a mut u16,
    total: u16,
}

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Sends one datagram, full unless it is the last. The copy costs little beside the call.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if *self.sent >= self.total {
            return Err(io::Error::other("more datagrams than were announced"));
        }
        let [id0, id1] = self.id;
        let [sequence0, sequence1] = self.sent.to_be_bytes();
        let [total0, total1] = self.total.to_be_bytes();
        let mut frame = [0; DATAGRAM];
        let (header, mut space) = frame.split_at_mut(HEADER);
        header.copy_from_slice(&[id0, id1, sequence0, sequence1, total0, total1, 0, 0]);
        for slice in slices {
            space.write_all(slice.get(..space.len()).unwrap_or(slice))?;
        }
        let length = DATAGRAM - space.len();
        loop {
            let frame = frame.get(..length).unwrap_or_default();
            match self.socket.send_to(frame, self.peer) {
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        *self.sent += 1;
        Ok(length - HEADER)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

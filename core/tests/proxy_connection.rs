//! Connections to backends: each failure, each split of the bytes, and no request without its
//! outcome.

#![cfg(feature = "proxy")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use memcache_rs::internal::proxy::connection::{Connection, Note, Order, Outcomes, Reason, Rules, Ticket};
use memcache_rs::internal::proxy::response::Head;
use proptest::collection::vec;
use proptest::prelude::*;

/// Outcomes in their order: a reply is its text, a failure is `None`.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    outcomes: Vec<(Ticket, Option<String>)>,
    notes: Vec<Note>,
}

impl Outcomes for Seen {
    fn reply(&mut self, ticket: Ticket, head: &Head, bytes: &[u8]) {
        assert_eq!(head.length(), bytes.len());
        self.outcomes.push((ticket, Some(String::from_utf8(bytes.to_vec()).unwrap())));
    }

    fn fail(&mut self, ticket: Ticket) {
        self.outcomes.push((ticket, None));
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

impl Seen {
    fn reply_to(&self, ticket: Ticket) -> Option<&str> {
        self.outcomes.iter().find(|(one, _)| *one == ticket).and_then(|(_, reply)| reply.as_deref())
    }
}

const VERSION: &[u8] = b"VERSION 1.6.45\r\n";

/// Writes all output.
fn write(connection: &mut Connection) -> Vec<u8> {
    let output = connection.output().to_vec();
    connection.on_written(output.len());
    output
}

/// Returns a connection that is ready, at time 0.
fn ready(rules: Rules) -> Connection {
    let mut connection = Connection::new(rules, 0);
    assert_eq!(connection.take_order(), Some(Order::Connect));
    validate(&mut connection, 0);
    connection
}

fn validate(connection: &mut Connection, now: u64) {
    connection.on_connected(now);
    assert_eq!(write(connection), b"version\r\n");
    connection.on_bytes(VERSION, now, &mut Seen::default());
}

/// Returns a connection with two requests on the way.
fn busy() -> Connection {
    let mut connection = ready(Rules::default());
    for ticket in [1, 2] {
        connection.submit(ticket, b"get a\r\n", 0, &mut Seen::default());
    }
    assert_eq!(write(&mut connection), b"get a\r\nget a\r\n");
    connection
}

#[test]
fn requests_wait_for_the_validation() {
    let (mut connection, mut seen) = (Connection::new(Rules::default(), 0), Seen::default());
    connection.submit(1, b"get a\r\n", 0, &mut seen);
    assert_eq!(connection.output(), b"");
    connection.on_connected(5);
    assert_eq!(connection.output(), b"version\r\n");
    connection.on_written(3);
    assert_eq!(connection.output(), b"sion\r\n");
    connection.on_written(6);
    connection.on_bytes(b"VERSION 1", 6, &mut seen);
    assert_eq!(connection.output(), b"");
    connection.on_bytes(b".6\r\n", 7, &mut seen);
    assert_eq!((connection.output(), connection.deadline()), (&b"get a\r\n"[..], Some(3007)));
    write(&mut connection);
    connection.on_bytes(b"END\r\n", 8, &mut seen);
    assert_eq!((seen.reply_to(1), connection.depth(), connection.deadline()), (Some("END\r\n"), 0, None));
    assert_eq!(seen.notes, []);
}

/// An event of a connection.
type Event = fn(&mut Connection, &mut Seen);

#[test]
fn each_reason_has_its_cause() {
    let connecting = || Connection::new(Rules::default(), 0);
    let validating = || {
        let mut connection = connecting();
        connection.on_connected(0);
        write(&mut connection);
        connection
    };
    let small = || {
        let mut connection = ready(Rules { max_reply: 100, ..Rules::default() });
        connection.submit(1, b"get a\r\n", 0, &mut Seen::default());
        write(&mut connection);
        connection
    };
    let cases: Vec<(Reason, Connection, Event)> = vec![
        (Reason::Timeout, busy(), |one, seen| one.on_tick(3000, seen)),
        (Reason::Disconnected, busy(), |one, seen| one.on_closed(1, seen)),
        (Reason::Disconnected, validating(), |one, seen| one.on_closed(1, seen)),
        (Reason::Connecting, connecting(), |one, seen| one.on_connect_error(1, seen)),
        (Reason::ConnectTimeout, connecting(), |one, seen| one.on_tick(5000, seen)),
        (Reason::ReadValidate, validating(), |one, seen| one.on_tick(3000, seen)),
        (Reason::ReadValidate, validating(), |one, seen| one.on_bytes(b"HTTP/1.1 400\r\n", 1, seen)),
        (Reason::BadValidate, validating(), |one, seen| one.on_bytes(b"ERROR\r\n", 1, seen)),
        (Reason::BadValidate, validating(), |one, seen| one.on_bytes(b"STAT pid 1\r\n", 1, seen)),
        (Reason::BadValidate, validating(), |one, seen| one.on_bytes(b"VERSION 1\r\nEND\r\n", 1, seen)),
        (Reason::Writing, busy(), |one, seen| one.on_write_error(1, seen)),
        (Reason::Reading, busy(), |one, seen| one.on_read_error(1, seen)),
        (Reason::Parsing, busy(), |one, seen| one.on_bytes(b"what\r\n", 1, seen)),
        (Reason::Parsing, busy(), |one, seen| one.on_bytes(&[b'x'; 4000], 1, seen)),
        (Reason::ClosedSocket, ready(Rules::default()), |one, seen| one.on_closed(1, seen)),
        (Reason::ClosedSocket, ready(Rules::default()), |one, seen| one.on_bytes(b"END\r\n", 1, seen)),
        (Reason::UnhandledReply, busy(), |one, seen| one.on_bytes(b"STAT pid 1\r\n", 1, seen)),
        (Reason::OutOfMemory, small(), |one, seen| one.on_bytes(b"VALUE a 0 100\r\n", 1, seen)),
        (Reason::MissingEnd, busy(), |one, seen| one.on_bytes(b"VALUE a 0 1\r\nx\r\nVALUE", 1, seen)),
        (Reason::TrailingData, busy(), |one, seen| one.on_bytes(b"END\r\nEND\r\nEND\r\n", 1, seen)),
        (Reason::InvalidProtocol, busy(), |one, seen| one.on_bytes(b"CLIENT_ERROR no\r\n", 1, seen)),
    ];
    let mut texts = std::collections::HashSet::new();
    for (reason, mut connection, event) in cases {
        let (depth, mut seen) = (connection.depth(), Seen::default());
        connection.take_order();
        event(&mut connection, &mut seen);
        let replied = seen.outcomes.iter().filter(|(_, reply)| reply.is_some()).count();
        assert_eq!(seen.notes, [Note::Failed(reason, depth - replied)], "{reason:?}");
        assert_eq!(seen.outcomes.len(), depth, "{reason:?}: each request has its outcome");
        assert_eq!(connection.take_order(), Some(Order::Connect), "{reason:?}");
        assert_eq!((connection.depth(), connection.output()), (0, &b""[..]));
        texts.insert(reason.text());
    }
    assert_eq!(texts.len(), 15, "each reason has a cause and a text");
}

#[test]
fn an_error_line_reaches_its_client() {
    let (mut connection, mut seen) = (busy(), Seen::default());
    connection.on_bytes(b"SERVER_ERROR out of memory\r\n", 1, &mut seen);
    assert_eq!((seen.reply_to(1), seen.notes.len()), (Some("SERVER_ERROR out of memory\r\n"), 0));
    connection.on_bytes(b"ERROR\r\n", 1, &mut seen);
    assert_eq!(seen.reply_to(2), Some("ERROR\r\n"));
    assert_eq!(seen.notes, [Note::Failed(Reason::InvalidProtocol, 0)]);
}

/// A backend that refuses a large value answers before it has read all of it.
#[test]
fn a_reply_may_come_before_the_end_of_its_request() {
    let (mut connection, mut seen) = (ready(Rules::default()), Seen::default());
    connection.submit(1, b"set a 0 0 9\r\n123456789\r\n", 0, &mut seen);
    connection.submit(2, b"get a\r\n", 0, &mut seen);
    connection.on_written(15);
    connection.on_bytes(b"SERVER_ERROR object too large for cache\r\n", 1, &mut seen);
    assert!(seen.reply_to(1).is_some() && seen.notes.is_empty());
    assert_eq!(connection.output(), b"3456789\r\nget a\r\n");
    // The second request has not begun.
    connection.on_bytes(b"END\r\n", 1, &mut seen);
    assert_eq!(seen.notes, [Note::Failed(Reason::ClosedSocket, 1)]);
}

#[test]
fn the_timeout_restarts_with_each_read() {
    let (mut connection, mut seen) = (busy(), Seen::default());
    connection.on_bytes(b"E", 2999, &mut seen);
    connection.on_tick(3000, &mut seen);
    assert_eq!(seen, Seen::default());
    assert_eq!(connection.deadline(), Some(5999));
    connection.on_tick(5999, &mut seen);
    assert_eq!(seen.notes, [Note::Failed(Reason::Timeout, 2)]);
}

#[test]
fn a_backend_that_fails_is_bad_for_a_while() {
    let mut connection = ready(Rules { failure_limit: 1, ..Rules::default() });
    let mut seen = Seen::default();
    connection.on_closed(1, &mut seen);
    connection.take_order();
    assert!(!connection.is_bad());
    connection.submit(1, b"get a\r\n", 1, &mut seen);
    connection.on_connect_error(2, &mut seen);
    let failed = [Note::Failed(Reason::ClosedSocket, 0), Note::Failed(Reason::Connecting, 1)];
    assert_eq!(seen.notes, [failed[0], failed[1], Note::MarkedBad(3000, false)]);
    assert_eq!((connection.take_order(), connection.is_bad()), (Some(Order::Close), true));
    connection.submit(2, b"get a\r\n", 2, &mut seen);
    assert_eq!(seen.outcomes, [(1, None), (2, None)]);
    connection.on_tick(3001, &mut seen);
    assert_eq!(connection.take_order(), None);
    // It is tried again, and stays bad until it is valid. Nothing more is noted.
    connection.on_tick(3002, &mut seen);
    assert_eq!((connection.take_order(), connection.is_bad()), (Some(Order::Connect), true));
    connection.on_connect_error(3003, &mut seen);
    assert_eq!((connection.deadline(), seen.notes.len()), (Some(6003), 3));
    connection.on_tick(6003, &mut seen);
    connection.on_connected(6004);
    write(&mut connection);
    connection.on_bytes(VERSION, 6005, &mut seen);
    assert_eq!((seen.notes.last(), connection.is_bad()), (Some(&Note::Recovered), false));
    // The failures count anew.
    seen.notes.clear();
    connection.on_closed(6006, &mut seen);
    assert_eq!(seen.notes, [Note::Failed(Reason::ClosedSocket, 0)]);
}

#[test]
fn a_flapping_backend_waits_longer() {
    let rules =
        Rules { failure_limit: 1, flap_time: 100, flap_ramp: 2.0, flap_max: 30_000, ..Rules::default() };
    let mut connection = ready(rules);
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..6 {
        let mut seen = Seen::default();
        connection.submit(1, b"get a\r\n", now, &mut seen);
        now += 50;
        connection.on_closed(now, &mut seen);
        waits.extend(seen.notes.iter().filter_map(|note| match note {
            Note::MarkedBad(wait, flaps) => Some((*wait, *flaps)),
            _ => None,
        }));
        if connection.is_bad() {
            now = connection.deadline().unwrap();
            connection.on_tick(now, &mut seen);
        }
        validate(&mut connection, now);
    }
    assert_eq!(waits, [(12_000, true), (24_000, true), (30_000, true), (30_000, true), (30_000, true)]);
    // A connection that lasted does not flap.
    let mut seen = Seen::default();
    connection.submit(1, b"get a\r\n", now, &mut seen);
    connection.on_closed(now + 101, &mut seen);
    assert!(!connection.is_bad());
}

#[test]
fn a_deep_queue_fails_at_once() {
    let (mut connection, mut seen) = (ready(Rules { depth_limit: 2, ..Rules::default() }), Seen::default());
    (1..=5).for_each(|ticket| connection.submit(ticket, b"get a\r\n", 0, &mut seen));
    assert_eq!(seen.outcomes, [(4, None), (5, None)]);
    assert_eq!((seen.notes, connection.depth()), (vec![Note::TooDeep; 2], 3));
}

#[test]
fn a_backend_that_is_down_is_never_connected() {
    let (mut connection, mut seen) =
        (Connection::new(Rules { is_down: true, ..Rules::default() }, 0), Seen::default());
    connection.submit(1, b"get a\r\n", 0, &mut seen);
    connection.on_tick(u64::MAX, &mut seen);
    assert_eq!((connection.take_order(), connection.deadline()), (None, None));
    assert_eq!(seen.outcomes, [(1, None)]);
}

const REPLIES: [&str; 7] = [
    "END\r\n",
    "VALUE a 0 5\r\nEND\r\n\r\nEND\r\n",
    "STORED\r\n",
    "VA 7 f0\r\nHD\r\nEN\n\r\n",
    "HD\r\n",
    "SERVER_ERROR busy\r\n",
    "42\r\n",
];

proptest! {
    /// Replies reach their requests however the bytes are split.
    #[test]
    fn any_split_gives_the_same_replies(picks in vec(0..REPLIES.len(), 1..20), cuts in vec(1..9usize, 1..20)) {
        let (mut connection, mut seen) = (ready(Rules::default()), Seen::default());
        (0..).zip(&picks).for_each(|(ticket, _)| connection.submit(ticket, b"get a\r\n", 0, &mut seen));
        write(&mut connection);
        let stream = picks.iter().map(|pick| REPLIES[*pick]).collect::<Vec<_>>().concat();
        let (mut rest, mut cuts) = (stream.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            connection.on_bytes(now, 1, &mut seen);
            rest = later;
        }
        let expected: Vec<_> = (0..).zip(&picks).map(|(ticket, pick)| (ticket, Some(REPLIES[*pick].to_owned()))).collect();
        prop_assert_eq!(seen.outcomes, expected);
        prop_assert_eq!((seen.notes.len(), connection.deadline()), (0, None));
    }

    /// Each request gets exactly one outcome, in order, for any acts of the backend.
    #[test]
    fn no_request_is_lost(steps in vec((0..10u8, 0..4000u64, 0..REPLIES.len()), 1..80)) {
        let (mut connection, mut seen) = (Connection::new(Rules::default(), 0), Seen::default());
        let (mut now, mut ticket) = (0, 0);
        for (step, time, pick) in steps {
            match step {
                0..=2 => {
                    connection.submit(ticket, b"get a\r\n", now, &mut seen);
                    ticket += 1;
                }
                3 => connection.on_connected(now),
                4 => connection.on_bytes(VERSION, now, &mut seen),
                5 => connection.on_bytes(REPLIES[pick].as_bytes(), now, &mut seen),
                6 => connection.on_written(connection.output().len().min(pick + 3)),
                7 => {
                    now += time;
                    connection.on_tick(now, &mut seen);
                }
                8 if pick == 0 => connection.on_closed(now, &mut seen),
                9 if pick == 0 => connection.on_connect_error(now, &mut seen),
                _ => connection.on_written(connection.output().len()),
            }
            prop_assert!(connection.depth() == 0 || !connection.is_bad());
            prop_assert_eq!(seen.outcomes.len() + connection.depth(), ticket as usize);
        }
        connection.on_write_error(now, &mut seen);
        let tickets: Vec<Ticket> = seen.outcomes.iter().map(|(ticket, _)| *ticket).collect();
        prop_assert_eq!(tickets, (0..ticket).collect::<Vec<_>>());
    }
}

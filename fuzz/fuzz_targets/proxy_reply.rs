//! Replies of a backend: they reach the same requests however their bytes are split, and each
//! request gets one outcome. The first byte of the input is the length of the parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::proxy::connection::{Connection, Note, Outcomes, Rules, Ticket};
use memcache_core::internal::proxy::response::Head;

const REQUESTS: u64 = 20;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    outcomes: Vec<(Ticket, Option<Vec<u8>>)>,
    notes: Vec<Note>,
}

impl Outcomes for Seen {
    fn reply(&mut self, ticket: Ticket, head: &Head, bytes: &[u8]) {
        assert_eq!(head.length(), bytes.len());
        self.outcomes.push((ticket, Some(bytes.to_vec())));
    }

    fn fail(&mut self, ticket: Ticket) {
        self.outcomes.push((ticket, None));
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

/// Returns what the requests of a connection get from these parts, which end the connection.
fn outcomes<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut connection = Connection::new(Rules { max_reply: 1 << 20, ..Rules::default() }, 0);
    let mut seen = Seen::default();
    connection.on_connected(0);
    connection.on_bytes(b"VERSION 1.6.45\r\n", 0, &mut seen);
    (0..REQUESTS).for_each(|ticket| connection.submit(ticket, b"get a\r\n", 0, &mut seen));
    connection.on_written(connection.output().len());
    for part in parts {
        connection.on_bytes(part, 0, &mut seen);
    }
    connection.on_closed(1, &mut seen);
    assert_eq!(seen.outcomes.len() as u64, REQUESTS);
    seen
}

fuzz_target!(|input: &[u8]| {
    let Some((length, bytes)) = input.split_first() else { return };
    let whole = outcomes([bytes].into_iter());
    let parts = outcomes(bytes.chunks(usize::from(*length).max(1)));
    assert_eq!(whole.outcomes, parts.outcomes);
});

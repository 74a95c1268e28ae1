//! Checks a stream of replies against the requests on the same connection.
//!
//! `Flight` has the requests that are not yet answered, oldest first. `Checker` reads replies,
//! keeps its place inside a value that arrives in pieces, and reports the result of every key and
//! request to a `Sink`. It never sees a socket. The input that it does not use is at most the
//! beginning of one reply line.

use std::collections::VecDeque;

use crate::error::Wrong;
use crate::items::Items;
use crate::wire::{Head, Protocol};

/// How closely replies are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// Status, framing, order, keys, lengths and every byte of every value.
    Full,
    /// Like `Full`, but a request may fail with an error of the server, which counts as refused.
    #[value(skip)]
    Failures,
    /// Status, framing and lengths, all that a server of canned replies gets right.
    Frame,
}

/// The items and the protocol that both ends of a conversation agree on, and how to check replies.
#[derive(Debug)]
pub struct Terms<'a> {
    pub items: &'a Items,
    pub protocol: Protocol,
    pub check: Check,
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Set,
}

/// An outstanding request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub verb: Verb,
    /// Number of keys not yet answered, 1 for a set.
    pub keys: u32,
    /// The time when it was sent, or should have been: nanoseconds on the sender's clock.
    pub sent: u64,
}

/// Outstanding requests, oldest first, and their items.
#[derive(Debug, Default)]
pub struct Flight {
    requests: VecDeque<Request>,
    ids: VecDeque<u64>,
}

/// Receives the results of requests.
pub trait Sink {
    /// Called when a get found item `id`.
    fn hit(&mut self, id: u64);
    /// Called when a get did not find item `id`.
    fn miss(&mut self, id: u64);
    /// Called when a set of item `id` was refused, or a request for it failed.
    fn refused(&mut self, id: u64);
    /// Called when a request is answered, with all its keys.
    fn done(&mut self, request: Request);
}

/// Reads the replies of one connection.
#[derive(Debug, Default)]
pub struct Checker {
    /// The value whose bytes are being read.
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    id: u64,
    /// Number of bytes of value and trailer that have been read.
    seen: usize,
    /// Whether this value completes the reply to the request.
    last: bool,
}

impl Flight {
    /// Adds a request for `ids`, which must not be empty.
    #[inline]
    pub fn push(&mut self, verb: Verb, ids: &[u64], sent: u64) {
        self.ids.extend(ids);
        self.requests.push_back(Request { verb, keys: ids.len() as u32, sent });
    }

    /// Returns the number of outstanding requests.
    #[inline]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns whether every request is answered.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns the item that a value under `key` answers. Reports the items before it as misses.
    fn find(&mut self, key: Option<&[u8]>, terms: &Terms, sink: &mut impl Sink) -> Option<u64> {
        let request = self.requests.front_mut()?;
        while request.keys > 0 {
            request.keys -= 1;
            let id = self.ids.pop_front()?;
            match key {
                Some(key) if terms.check != Check::Frame && !terms.items.is_key(id, key) => sink.miss(id),
                _ => return Some(id),
            }
        }
        None
    }
}

impl Checker {
    /// Reads as many replies as `input` has and returns the number of bytes used.
    pub fn advance(
        &mut self,
        input: &[u8],
        terms: &Terms,
        flight: &mut Flight,
        sink: &mut impl Sink,
    ) -> Result<usize, Wrong> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if let Some(body) = &mut self.body {
                let (taken, whole) = body.take(rest, terms)?;
                used += taken;
                if !whole {
                    break;
                }
                sink.hit(body.id);
                if body.last {
                    finish(flight, sink);
                }
                self.body = None;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let verb = flight.requests.front().map(|request| request.verb);
            match (terms.protocol.head(rest), verb) {
                (Head::Partial, _) => break,
                (_, None) => return Err(Wrong::Unasked { got: excerpt(rest) }),
                (Head::Value { key, length, used: taken }, Some(Verb::Get)) => {
                    let Some(id) = flight.find(key, terms, sink) else {
                        return Err(Wrong::Key { got: excerpt(rest) });
                    };
                    let expected = terms.items.value_length(id);
                    if length != expected {
                        return Err(Wrong::Length { id, expected, got: length });
                    }
                    self.body = Some(Body { id, seen: 0, last: key.is_none() });
                    used += taken;
                }
                (Head::End { used: taken }, Some(Verb::Get)) => {
                    finish(flight, sink);
                    used += taken;
                }
                (Head::Stored { used: taken }, Some(Verb::Set)) => {
                    flight.ids.pop_front();
                    finish_set(flight, sink);
                    used += taken;
                }
                (Head::Refused { used: taken }, Some(Verb::Set)) => {
                    refuse(flight, sink);
                    used += taken;
                }
                (Head::Failed { used: taken }, Some(_)) if terms.check == Check::Failures => {
                    refuse(flight, sink);
                    used += taken;
                }
                _ => return Err(Wrong::Reply { got: excerpt(rest) }),
            }
        }
        Ok(used)
    }
}

impl Body {
    /// Checks the part of the value and its trailer that `input` has. Returns its length, and
    /// whether the value is complete. A value without bytes or trailer is complete at once.
    #[inline]
    fn take(&mut self, input: &[u8], terms: &Terms) -> Result<(usize, bool), Wrong> {
        let value = terms.items.value(self.id);
        let total = value.len() + terms.protocol.trailer().len();
        let taken = input.len().min(total - self.seen);
        let (bytes, trailer) = input[..taken].split_at(taken.min(value.len().saturating_sub(self.seen)));
        if terms.check != Check::Frame {
            let due = &value[self.seen.min(value.len())..][..bytes.len()];
            if bytes != due {
                let offset = bytes.iter().zip(due).take_while(|(got, due)| got == due).count();
                return Err(Wrong::Bytes { id: self.id, offset: self.seen + offset });
            }
        }
        self.seen += bytes.len();
        let due = &terms.protocol.trailer()[self.seen - value.len().min(self.seen)..];
        if !due.starts_with(trailer) {
            return Err(Wrong::Trailer { id: self.id });
        }
        self.seen += trailer.len();
        Ok((taken, self.seen == total))
    }
}

/// Completes the oldest request, a get. Keys still open are misses.
#[inline]
fn finish(flight: &mut Flight, sink: &mut impl Sink) {
    if let Some(request) = flight.requests.pop_front() {
        for id in flight.ids.drain(..request.keys as usize) {
            sink.miss(id);
        }
        sink.done(request);
    }
}

/// Completes the oldest request, a set.
#[inline]
fn finish_set(flight: &mut Flight, sink: &mut impl Sink) {
    if let Some(request) = flight.requests.pop_front() {
        sink.done(request);
    }
}

/// Completes the oldest request, which was refused.
fn refuse(flight: &mut Flight, sink: &mut impl Sink) {
    if let Some(request) = flight.requests.pop_front() {
        for id in flight.ids.drain(..request.keys as usize) {
            sink.refused(id);
        }
        sink.done(request);
    }
}

/// Returns enough of a reply to recognise it in an error.
fn excerpt(input: &[u8]) -> Vec<u8> {
    input[..input.len().min(80)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Check, Checker, Flight, Request, Sink, Terms, Verb};
    use crate::error::Wrong;
    use crate::items::Items;
    use crate::lengths::Lengths;
    use crate::wire::Protocol;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        hits: Vec<u64>,
        misses: Vec<u64>,
        refused: Vec<u64>,
        done: usize,
    }

    impl Sink for Seen {
        fn hit(&mut self, id: u64) {
            self.hits.push(id);
        }
        fn miss(&mut self, id: u64) {
            self.misses.push(id);
        }
        fn refused(&mut self, id: u64) {
            self.refused.push(id);
        }
        fn done(&mut self, _: Request) {
            self.done += 1;
        }
    }

    fn items() -> Items {
        Items::new(100, Lengths::Fixed(5), Lengths::Table((0..100).map(|id| id % 7).collect()))
    }

    /// A conversation: `get 1 2 3` finds 1 and 3, `set 4` is stored, `set 5` is refused, `get 6`
    /// misses, `get 7` finds an empty value.
    fn conversation(items: &Items) -> (Flight, Vec<u8>) {
        let mut flight = Flight::default();
        flight.push(Verb::Get, &[1, 2, 3], 0);
        flight.push(Verb::Set, &[4], 0);
        flight.push(Verb::Set, &[5], 0);
        flight.push(Verb::Get, &[6], 0);
        flight.push(Verb::Get, &[7], 0);
        let mut replies = Vec::new();
        value(items, 1, &mut replies);
        value(items, 3, &mut replies);
        replies.extend_from_slice(b"END\r\nSTORED\r\nSERVER_ERROR out of memory storing object\r\nEND\r\n");
        value(items, 7, &mut replies);
        replies.extend_from_slice(b"END\r\n");
        (flight, replies)
    }

    fn value(items: &Items, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"VALUE ");
        items.put_key(id, out);
        out.extend_from_slice(format!(" 0 {}\r\n", items.value_length(id)).as_bytes());
        out.extend_from_slice(items.value(id));
        out.extend_from_slice(b"\r\n");
    }

    fn terms(items: &Items) -> Terms<'_> {
        Terms { items, protocol: Protocol::Classic, check: Check::Full }
    }

    #[test]
    fn any_split_of_the_input_tells_the_same() {
        let items = items();
        let due = Seen { hits: vec![1, 3, 7], misses: vec![2, 6], refused: vec![5], done: 5 };
        for step in 1..60 {
            let (mut flight, replies) = conversation(&items);
            let mut checker = Checker::default();
            let mut seen = Seen::default();
            let mut held = Vec::new();
            for piece in replies.chunks(step) {
                held.extend_from_slice(piece);
                let used = checker.advance(&held, &terms(&items), &mut flight, &mut seen);
                assert!(used.is_ok(), "{used:?}");
                held.drain(..used.unwrap_or(0));
            }
            assert_eq!(seen, due, "in pieces of {step}");
            assert!(held.is_empty() && flight.is_empty());
        }
    }

    fn verdict(asked: &[u64], replies: &[u8]) -> Result<usize, Wrong> {
        let items = items();
        let mut flight = Flight::default();
        if !asked.is_empty() {
            flight.push(Verb::Get, asked, 0);
        }
        Checker::default().advance(replies, &terms(&items), &mut flight, &mut Seen::default())
    }

    #[test]
    fn wrong_replies_are_told_apart() {
        let items = items();
        let mut good = Vec::new();
        value(&items, 6, &mut good);
        assert_eq!(verdict(&[6], &good), Ok(good.len()));
        let at = good.len() - 4;
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(verdict(&[6], &bad), Err(Wrong::Bytes { id: 6, offset: 4 }));
        let mut bad = good.clone();
        bad[at + 2] = b'x';
        assert_eq!(verdict(&[6], &bad), Err(Wrong::Trailer { id: 6 }));
        assert!(matches!(verdict(&[5], &good), Err(Wrong::Key { .. })));
        assert!(matches!(verdict(&[], &good), Err(Wrong::Unasked { .. })));
        assert!(matches!(verdict(&[6], b"STORED\r\n"), Err(Wrong::Reply { .. })));
        let length = Wrong::Length { id: 6, expected: 6, got: 5 };
        assert_eq!(verdict(&[6], b"VALUE k0006 0 5\r\nabcde\r\n"), Err(length));
    }

    #[test]
    fn a_failed_request_counts_as_refused_where_failures_are_expected() {
        let items = items();
        let replies = b"SERVER_ERROR backend failure\r\nSERVER_ERROR backend failure\r\nEND\r\n";
        let mut flight = Flight::default();
        flight.push(Verb::Get, &[1, 2], 0);
        flight.push(Verb::Set, &[3], 0);
        flight.push(Verb::Get, &[4], 0);
        let terms = Terms { items: &items, protocol: Protocol::Classic, check: Check::Failures };
        let mut seen = Seen::default();
        assert_eq!(Checker::default().advance(replies, &terms, &mut flight, &mut seen), Ok(replies.len()));
        assert_eq!(seen, Seen { hits: vec![], misses: vec![4], refused: vec![1, 2, 3], done: 3 });
        assert!(matches!(verdict(&[1, 2], replies), Err(Wrong::Reply { .. })));
    }

    #[test]
    fn an_empty_binary_value_is_whole_at_once() {
        let items = items();
        let terms = Terms { items: &items, protocol: Protocol::Binary, check: Check::Full };
        let mut flight = Flight::default();
        flight.push(Verb::Get, &[7], 0);
        let mut reply = vec![0_u8; 28];
        reply[0] = 0x81;
        reply[4] = 4;
        reply[11] = 4;
        let mut seen = Seen::default();
        assert_eq!(Checker::default().advance(&reply, &terms, &mut flight, &mut seen), Ok(28));
        assert_eq!((seen.hits, seen.done), (vec![7], 1));
    }
}

//! The connections of one worker to all backends, by number. They have no sockets.
//!
//! ```text
//!   engine ── acquire, submit ──▶ Links ── changed ──▶ owner of the sockets
//!     └────── release ──────────▶        ◀── remove ─┘
//! ```
//!
//! An engine acquires a link to each [`Place`] that its pools name. Equal places share a link, so a
//! backend that is in the old and the new configuration keeps its connection. The owner closes the
//! socket of a link that has no users and no requests, and removes the link.
//!
//! A link to a shared place has no connection here: the requests go to the thread that has it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::backend::Address;
use super::connection::{Connection, Failure, Refusal};
use super::counters::{BackendCounters, WorkerCounters};
use super::exchange::{Replies, WorkerEnd};
use super::failure::Reason;
pub use super::place::{Ask, Origin, Place};
use super::reply::Meaning;
use super::slots::Slots;
use crate::base::sampler::Sampler;

/// Most bytes of parts of replies of all links.
const MOST_KEPT: usize = 256 * 1024 * 1024;

/// A connection and its users.
#[derive(Debug)]
pub struct Link {
    /// Where it leads.
    pub place: Arc<Place>,
    /// The connection.
    pub connection: Connection<Ask>,
    /// Pools that use it.
    users: usize,
    /// Whether another thread has the connection.
    is_shared: bool,
    /// Grows with each connection.
    epoch: u64,
    /// The choice of a round among this link and those after it to the same backend.
    chosen: Option<(u64, usize)>,
    /// Those of all connections of the worker to this backend.
    counters: Arc<BackendCounters>,
    /// Whether the counters show it as open, and as bad.
    shown: (bool, bool),
    /// Replies to requests.
    replies: u64,
    /// Bytes of a part of a reply.
    kept: usize,
    /// Sampled requests without a reply: the number of the reply to come, and the begin.
    sampled: VecDeque<(u64, Instant)>,
}

/// The connections of one worker.
#[derive(Debug)]
pub struct Links {
    counters: Arc<WorkerCounters>,
    sampler: Sampler,
    all: Slots<Link>,
    /// The links to each address.
    known: HashMap<Address, Vec<usize>>,
    /// Bytes of parts of replies.
    kept: usize,
    /// Links with bytes to write, or that want a socket, or that are unused. One may occur twice.
    changed: Vec<usize>,
    /// Links whose connections are here, and the most that there have been at a time.
    own: usize,
    most_own: usize,
    /// The first epoch of a new link, above those of links that had its number.
    epoch: u64,
    /// Counts rounds of the owner.
    round: u64,
    /// Links whose connections have to end.
    ending: Vec<(usize, Reason)>,
    /// The way to the thread that has the shared connections. That thread has none.
    worker_end: Option<WorkerEnd>,
    /// Shared connections that have given a wrong reply: the epoch of the last one, by the link in
    /// the other thread.
    wrong: HashMap<usize, u64>,
}

impl Link {
    /// Returns the next reply, as [`Connection::next_reply`] does, and counts it.
    ///
    /// # Errors
    /// As [`Connection::next_reply`].
    pub fn next_reply(
        &mut self,
        input: &[u8],
        now: Instant,
    ) -> Result<Option<(Ask, usize, Meaning)>, Reason> {
        let reply = self.connection.next_reply(input, now)?;
        if let Some((_, length, meaning)) = &reply {
            self.counters.received.add(*length as u64);
            if *meaning == Meaning::Item {
                return Ok(reply);
            }
            self.counters.depth.sub(1);
            if matches!(meaning, Meaning::ServerError | Meaning::Refused) {
                self.counters.error_replies.add(1);
            }
            if let Some((number, begin)) = self.sampled.front()
                && *number == self.replies
            {
                self.counters.times.record(begin.elapsed());
                self.sampled.pop_front();
            }
            self.replies += 1;
        }
        Ok(reply)
    }

    /// Takes back the input, as [`Connection::keep_input`] does.
    fn keep_input(&mut self, input: Vec<u8>, used: usize, now: Instant) {
        self.connection.keep_input(input, used, now);
        self.show();
    }

    /// Records that the owner has closed the socket, as [`Connection::left`] does.
    pub fn left(&mut self) {
        self.connection.left();
        self.epoch += 1;
        self.show();
    }

    /// Forgets failures, as [`Connection::retry`] does, and counts that.
    pub fn retry(&mut self) -> bool {
        let closes = !self.is_shared && self.connection.retry();
        self.show();
        closes
    }

    /// Returns whether another thread has the connection.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Ends the connection, as [`Connection::fail`] does, and counts that.
    pub fn fail(&mut self, reason: Reason, now: Instant, worker: &WorkerCounters) -> Failure<Ask> {
        let was_bad = self.connection.is_bad();
        let failure = self.connection.fail(reason, now);
        self.epoch += 1;
        match failure.pause {
            Some(_) if was_bad => {}
            Some(_) => worker.marked_bad.add(1),
            None => worker.failed.add(1),
        }
        let lost = failure.lost.len() as u64;
        self.counters.depth.sub(lost);
        if let Some(counter) = self.counters.lost.get(reason as usize) {
            counter.add(lost);
        }
        self.sampled.clear();
        self.replies = 0;
        self.show();
        failure
    }

    /// Counts a change of the state of the connection.
    fn show(&mut self) {
        let is = (self.connection.is_open(), self.connection.is_bad());
        let was = std::mem::replace(&mut self.shown, is);
        if was == is {
            return;
        }
        let counters = &self.counters;
        if is.0 && !was.0 {
            counters.connects.add(1);
        }
        for (counter, was, is) in [(&counters.open, was.0, is.0), (&counters.bad, was.1, is.1)] {
            counter.add(u64::from(is));
            counter.sub(u64::from(was));
        }
    }
}

/// Links without counters that anything reads, for tests.
impl Default for Links {
    fn default() -> Self {
        Self::new(Arc::default(), Sampler::new(0))
    }
}

impl Links {
    /// Returns no links yet. The worker counts in `counters`. `sampler` decides which requests are
    /// timed.
    pub fn new(counters: Arc<WorkerCounters>, sampler: Sampler) -> Self {
        Self {
            counters,
            sampler,
            all: Slots::default(),
            known: HashMap::new(),
            kept: 0,
            changed: Vec::new(),
            own: 0,
            most_own: 0,
            epoch: 0,
            round: 0,
            ending: Vec::new(),
            worker_end: None,
            wrong: HashMap::new(),
        }
    }

    /// Has the connections of shared places in another thread.
    pub fn share(&mut self, end: Option<WorkerEnd>) {
        self.worker_end = end;
    }

    /// Ends a round. Hands over its requests on shared connections.
    pub fn end_round(&mut self) {
        self.round += 1;
        self.worker_end.iter_mut().for_each(WorkerEnd::flush);
    }

    /// Takes replies to requests on shared connections.
    pub fn take_replies(&mut self) -> Option<Replies> {
        self.worker_end.as_mut()?.take_replies()
    }

    /// Returns the counters of the worker.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// Ends the connection of a link. Returns `None` if there is no such link.
    pub fn fail(&mut self, number: usize, reason: Reason, now: Instant) -> Option<Failure<Ask>> {
        self.changed.push(number);
        let link = self.all.get_mut(number)?;
        self.kept -= std::mem::take(&mut link.kept);
        Some(link.fail(reason, now, &self.counters))
    }

    /// Takes back the input of a link, as [`Connection::keep_input`] does.
    ///
    /// # Errors
    /// [`Reason::OutOfMemory`] if parts of replies hold too much.
    pub fn keep_input(
        &mut self,
        number: usize,
        input: Vec<u8>,
        used: usize,
        now: Instant,
    ) -> Result<(), Reason> {
        self.changed.push(number);
        let Some(link) = self.all.get_mut(number) else { return Ok(()) };
        link.keep_input(input, used, now);
        let kept = link.connection.kept();
        self.kept = self.kept - std::mem::replace(&mut link.kept, kept) + kept;
        if self.kept > MOST_KEPT { Err(Reason::OutOfMemory) } else { Ok(()) }
    }

    /// Returns the number of the link to a place, which gets one user more.
    pub fn acquire(&mut self, place: &Arc<Place>) -> usize {
        let known = self.known.get(&place.address).into_iter().flatten().copied();
        for number in known {
            if let Some(link) = self.all.get_mut(number)
                && link.place == *place
            {
                link.users += 1;
                // The files of TLS may have other contents, for the next socket.
                let old = std::mem::replace(&mut link.place, Arc::clone(place));
                if let Some(end) = self.worker_end.as_mut().filter(|_| link.is_shared)
                    && !Arc::ptr_eq(&old, place)
                {
                    end.acquire(number, Arc::clone(place));
                }
                return number;
            }
        }
        let connection = Connection::new(place.bounds.clone());
        let is_shared = place.bounds.shared && self.worker_end.is_some();
        // The thread that has the connection counts.
        let counters = if is_shared { Arc::default() } else { self.counters.backends.of(&place.to_string()) };
        counters.connections.add(1);
        let number = self.all.add(Link {
            place: Arc::clone(place),
            connection,
            users: 1,
            is_shared,
            epoch: self.epoch,
            chosen: None,
            counters,
            shown: (false, false),
            replies: 0,
            kept: 0,
            sampled: VecDeque::new(),
        });
        if let Some(end) = self.worker_end.as_mut().filter(|_| is_shared) {
            end.acquire(number, Arc::clone(place));
        } else {
            self.own += 1;
            self.most_own = self.most_own.max(self.own);
        }
        self.known.entry(place.address.clone()).or_default().push(number);
        self.changed.push(number);
        number
    }

    /// Takes a user from a link. Without users, it ends when its requests have their replies.
    pub fn release(&mut self, number: usize) {
        if let Some(link) = self.all.get_mut(number) {
            link.users = link.users.saturating_sub(1);
            self.changed.push(number);
        }
    }

    /// Returns whether a link has neither users nor requests. The owner closes its socket, and
    /// removes it.
    pub fn is_unused(&self, number: usize) -> bool {
        self.get(number).is_some_and(|link| link.users == 0 && link.connection.depth() == 0)
    }

    /// Removes an unused link. Its number is given out again.
    pub fn remove(&mut self, number: usize) {
        if !self.is_unused(number) {
            return;
        }
        let Some(link) = self.all.remove(number) else { return };
        if let Some(end) = self.worker_end.as_mut().filter(|_| link.is_shared) {
            end.release(number);
        } else {
            self.own -= 1;
        }
        self.epoch = self.epoch.max(link.epoch + 1);
        self.kept -= link.kept;
        link.counters.connections.sub(1);
        link.counters.open.sub(u64::from(link.shown.0));
        link.counters.bad.sub(u64::from(link.shown.1));
        if let Some(known) = self.known.get_mut(&link.place.address) {
            known.retain(|other| *other != number);
            if known.is_empty() {
                self.known.remove(&link.place.address);
            }
        }
    }

    /// Returns the link with this number.
    pub fn get(&self, number: usize) -> Option<&Link> {
        self.all.get(number)
    }

    /// Returns the link with this number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Link> {
        self.all.get_mut(number)
    }

    /// Returns about how many sockets the links have needed at a time.
    pub fn sockets(&self) -> usize {
        self.most_own
    }

    /// Returns a number above that of each link.
    pub fn end(&self) -> usize {
        self.all.end()
    }

    /// Returns the link for the next request, among those to one backend. As in memcached, that is
    /// the first without requests, else the one with the fewest, and a bad one only if all are. The
    /// requests of a round take the same one, so those of a pipeline mostly keep their order.
    pub fn choose(&mut self, among: &[usize]) -> Option<usize> {
        let (first, rest) = among.split_first()?;
        if rest.is_empty() {
            return Some(*first);
        }
        let round = self.round;
        if let Some((of, number)) = self.get(*first)?.chosen
            && of == round
            && self
                .get(number)
                .is_some_and(|link| !link.connection.is_bad() && !link.connection.is_too_deep())
        {
            return Some(number);
        }
        let good = among.iter().filter_map(|number| {
            let connection = &self.get(*number)?.connection;
            (!connection.is_bad()).then_some((connection.depth(), *number))
        });
        let chosen = good.min_by_key(|(depth, _)| *depth).map_or(*first, |(_, number)| number);
        self.get_mut(*first)?.chosen = Some((round, chosen));
        Some(chosen)
    }

    /// Takes a request that `push` appends to the output of a link.
    ///
    /// # Errors
    /// The reason for which it is not taken.
    pub fn submit(
        &mut self,
        number: usize,
        ask: Ask,
        now: Instant,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let Some(link) = self.all.get_mut(number) else { return Err(Refusal::Bad) };
        if let Some(end) = self.worker_end.as_mut().filter(|_| link.is_shared) {
            end.send(number, ask, push);
            return Ok(());
        }
        let (held, depth) = (link.connection.queued(), link.connection.depth());
        let counters = &link.counters;
        match link.connection.submit(ask, ask.is_batch(), now, push) {
            Ok(()) => {
                counters.requests.add(1);
                counters.depth.add(1);
                counters.sent.add((link.connection.queued() - held) as u64);
                if self.sampler.is_due() {
                    link.sampled.push_back((link.replies + depth as u64, Instant::now()));
                }
                // The requests of a round mostly follow each other.
                if self.changed.last() != Some(&number) {
                    self.changed.push(number);
                }
                Ok(())
            }
            Err(refusal) => {
                match refusal {
                    Refusal::Bad => counters.refused.add(1),
                    Refusal::Depth => {
                        counters.too_deep.add(1);
                        self.counters.too_deep.add(1);
                    }
                }
                Err(refusal)
            }
        }
    }

    /// Returns the connection of a link, for its replies.
    pub fn origin(&self, link: usize) -> Option<Origin> {
        self.get(link).map(|Link { epoch, .. }| Origin { link, epoch: *epoch })
    }

    /// Ends a shared connection that has given a wrong reply.
    pub fn end_shared(&mut self, origin: Origin, reason: Reason) {
        self.wrong.insert(origin.link, origin.epoch);
        self.worker_end.iter_mut().for_each(|end| end.fail(origin, reason));
    }

    /// Returns whether a shared connection has given a wrong reply. Its later replies may be wrong
    /// too.
    pub fn is_wrong(&self, origin: Origin) -> bool {
        self.wrong.get(&origin.link) == Some(&origin.epoch)
    }

    /// Ends a connection that has given a wrong reply, unless it has ended. Later requests wait for
    /// the next connection.
    pub fn end_connection(&mut self, origin: Origin, reason: Reason) {
        if let Some(link) = self.get_mut(origin.link)
            && link.epoch == origin.epoch
        {
            link.epoch += 1;
            link.connection.end();
            self.ending.push((origin.link, reason));
        }
    }

    /// Takes a link whose connection has to end.
    pub fn take_ending(&mut self) -> Option<(usize, Reason)> {
        self.ending.pop()
    }

    /// Records that a link has something to do.
    pub fn touch(&mut self, number: usize) {
        self.changed.push(number);
    }

    /// Takes a link that has something to do.
    pub fn take_changed(&mut self) -> Option<usize> {
        self.changed.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::bounds::Bounds;
    use crate::proxy::exchange::{Wake, exchange};
    use crate::proxy::failure::Reason;

    fn place(port: u16, ordinal: usize) -> Arc<Place> {
        let address = Address::Tcp("a".into(), port);
        Arc::new(Place {
            address,
            label: None,
            bounds: Bounds::default(),
            rules: None,
            server_name: None,
            ordinal,
        })
    }

    fn connection(links: &mut Links, number: usize) -> &mut Connection<Ask> {
        let Some(link) = links.get_mut(number) else { panic!("no link {number}") };
        &mut link.connection
    }

    #[test]
    fn equal_places_share_a_link_until_the_last_user_leaves() {
        let mut links = Links::default();
        let (one, other) = (links.acquire(&place(1, 0)), links.acquire(&place(2, 0)));
        assert_ne!(one, other);
        assert_eq!(links.acquire(&place(1, 0)), one);
        let slow = Bounds { read_timeout: Duration::from_secs(9), ..Bounds::default() };
        let slow = links.acquire(&Arc::new(Place { bounds: slow, ..(*place(1, 0)).clone() }));
        assert_ne!(slow, one);
        links.release(one);
        assert!(!links.is_unused(one));
        links.remove(one);
        assert!(links.get(one).is_some());
        let ask = Ask { id: 1, number: 0 };
        assert_eq!(links.submit(one, ask, Instant::now(), |_| {}), Ok(()));
        links.release(one);
        assert!(!links.is_unused(one), "its request waits");
        let lost = connection(&mut links, one).fail(Reason::Timeout, Instant::now()).lost;
        assert_eq!(lost, [ask]);
        assert!(links.is_unused(one));
        links.remove(one);
        assert!(links.get(one).is_none());
        // The number is used again, for a place that the link to the old one does not stand for.
        assert_eq!(links.acquire(&place(3, 0)), one);
        assert_ne!(links.acquire(&place(1, 0)), one);
        assert!(links.end() <= 4);
    }

    /// A connection with wrong replies ends once. Requests after that wait for the next one.
    #[test]
    fn a_connection_ends_once() {
        let mut links = Links::default();
        let (now, number) = (Instant::now(), links.acquire(&place(1, 0)));
        let submit = |links: &mut Links, id| {
            assert_eq!(links.submit(number, Ask { id, number: 0 }, now, |_| {}), Ok(()));
        };
        let Some(origin) = links.origin(number) else { panic!("no link {number}") };
        submit(&mut links, 1);
        links.end_connection(origin, Reason::WrongReply);
        submit(&mut links, 2);
        links.end_connection(origin, Reason::WrongReply);
        assert_eq!(links.take_ending(), Some((number, Reason::WrongReply)));
        assert_eq!(links.take_ending(), None);
        let lost = |links: &mut Links, reason| {
            links
                .fail(number, reason, now)
                .map(|failure| failure.lost.iter().map(|ask| ask.id).collect::<Vec<_>>())
        };
        assert_eq!(lost(&mut links, Reason::WrongReply), Some(vec![1]));
        links.end_connection(origin, Reason::WrongReply);
        assert_eq!(links.take_ending(), None, "it has ended");
        assert_eq!(lost(&mut links, Reason::Timeout), Some(vec![2]));
        let old = links.origin(number);
        links.release(number);
        links.remove(number);
        assert_eq!(links.acquire(&place(2, 0)), number);
        assert!(links.origin(number).zip(old).is_some_and(|(new, old)| new.epoch > old.epoch));
    }

    /// Links without a connection here need no socket, nor do their numbers once they are free.
    #[test]
    fn links_with_a_connection_here_are_counted() {
        let wake: Wake = Arc::new(|| {});
        let (ends, _io) = exchange(&wake, vec![Arc::clone(&wake)]);
        let mut links = Links::default();
        links.share(ends.into_iter().next());
        let bounds = Bounds { shared: true, ..Bounds::default() };
        let shared = links.acquire(&Arc::new(Place { bounds, ..(*place(1, 0)).clone() }));
        assert_eq!(links.sockets(), 0);
        links.release(shared);
        links.remove(shared);
        assert_eq!(links.sockets(), 0);
        let own = [links.acquire(&place(1, 0)), links.acquire(&place(2, 0))];
        assert_eq!(links.sockets(), 2);
        for number in own {
            links.release(number);
            links.remove(number);
        }
        links.acquire(&place(3, 0));
        assert_eq!(links.sockets(), 2, "the most at a time");
    }

    /// Parts of replies of all links together are bounded.
    #[test]
    fn parts_of_replies_are_bounded() {
        let mut links = Links::default();
        let now = Instant::now();
        let mut keep = |port, length: usize| {
            let number = links.acquire(&place(port, 0));
            assert_eq!(links.submit(number, Ask { id: 1, number: 0 }, now, |_| {}), Ok(()));
            let link = connection(&mut links, number);
            link.connecting(now);
            link.connected(now);
            assert_eq!(link.next_reply(b"VERSION 1\r\n", now).ok(), Some(None));
            // The pages of the zeros are not touched.
            let mut input = vec![0; length];
            input[..22].copy_from_slice(b"VALUE k 0 1000000000\r\n");
            assert_eq!(link.next_reply(&input, now).ok(), Some(None));
            (number, links.keep_input(number, input, 0, now))
        };
        let (first, kept) = keep(1, MOST_KEPT - 1000);
        assert_eq!(kept, Ok(()));
        let (second, kept) = keep(2, 1001);
        assert_eq!(kept, Err(Reason::OutOfMemory));
        for number in [second, first] {
            assert!(links.fail(number, Reason::OutOfMemory, now).is_some());
        }
        assert_eq!(links.kept, 0);
    }

    #[test]
    fn requests_go_to_the_connection_with_the_fewest() {
        let mut links = Links::default();
        let all: Vec<_> = (0..3).map(|ordinal| links.acquire(&place(1, ordinal))).collect();
        let now = Instant::now();
        let mut chosen = Vec::new();
        for id in 0..8 {
            let Some(number) = links.choose(&all) else { panic!("none of {all:?}") };
            chosen.push(number);
            assert_eq!(links.submit(number, Ask { id, number: 0 }, now, |_| {}), Ok(()));
            // Two requests a round.
            if id % 2 == 1 {
                links.end_round();
            }
        }
        assert_eq!(chosen, [0, 0, 1, 1, 2, 2, 0, 0].map(|ordinal: usize| all[ordinal]));
        for _ in 0..4 {
            connection(&mut links, all[1]).fail(Reason::Connecting, now);
        }
        assert_eq!(links.choose(&all), Some(all[2]));
        assert_eq!(links.choose(&all[1..2]), Some(all[1]));
        assert_eq!(links.choose(&[]), None);
    }
}

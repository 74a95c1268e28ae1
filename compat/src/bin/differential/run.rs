//! Sends groups to both servers and compares their replies.

use std::time::Duration;

use memcache_compat::Outcome;
use memcache_compat::link::{Link, Received};
use memcache_compat::packet::Packet;
use memcache_compat::reply::{Comparison, hash};
use memcache_compat::rng::Rng;

use crate::generate::Generator;
use crate::group::{Ending, Group, Numbers};
use crate::proxy::EXCUSES;
use crate::side::{Side, Subject};
use crate::{statistics, words};

/// Time in which a reply must arrive.
const PATIENCE: Duration = Duration::from_secs(8);

/// Time in which a close must arrive. If neither server closes, they agree, and the wait takes this
/// long.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Groups that are sent together.
#[derive(Debug)]
pub struct Batch {
    pub groups: Vec<Group>,
}

impl Batch {
    /// Takes the next groups, at most `limit`. A group that is sent alone is taken alone.
    pub fn take(generator: &mut Generator, limit: usize) -> Self {
        let mut groups = Vec::new();
        while groups.len() < limit {
            let group = match generator.held.take() {
                Some(group) => group,
                None => generator.next(),
            };
            let is_alone = group.is_alone();
            if is_alone && !groups.is_empty() {
                generator.held = Some(group);
                break;
            }
            groups.push(group);
            if is_alone {
                break;
            }
        }
        Self { groups }
    }
}

/// A difference between two servers.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Index of the group in the batch.
    pub at: usize,
    /// A description of the difference.
    pub what: String,
    /// The two replies.
    pub left: Received,
    /// See `left`.
    pub right: Received,
}

/// The two servers, a connection to each, and the map of their CAS numbers.
#[derive(Debug)]
pub struct Pair {
    pub left: Side,
    pub right: Side,
    /// The number of differences for each of [`EXCUSES`].
    pub excused: Vec<usize>,
    links: (Link, Link),
    comparison: Comparison,
    numbers: Numbers,
    splits: Rng,
}

impl Pair {
    /// Starts both and connects.
    pub fn start(left: &Subject, right: &Subject) -> Outcome<Self> {
        let (left, right) = (Side::start(left, "left")?, Side::start(right, "right")?);
        let links = (left.server.connect()?, right.server.connect()?);
        let pair = Self {
            left,
            right,
            excused: vec![0; EXCUSES.len()],
            links,
            comparison: Comparison::default(),
            numbers: Numbers::new(),
            splits: Rng::new(7),
        };
        pair.empty()?;
        Ok(pair)
    }

    /// Sends a batch and compares the replies. Passes the CAS numbers in them to the generator.
    pub fn exchange(&mut self, batch: &Batch, generator: &mut Generator) -> Result<(), Difference> {
        self.send(&batch.groups);
        let numbers_before = self.numbers.len();
        for (at, group) in batch.groups.iter().enumerate() {
            self.compare(group).map_err(|difference| Difference { at, ..*difference })?;
            if self.numbers.len() > numbers_before
                && let Some(key) = group.key
            {
                let mut nth = 0;
                while self.numbers.contains_key(&(group.id, nth)) {
                    generator.saw(key, group.id, nth);
                    nth += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends a group alone and compares its replies.
    pub fn replay(&mut self, group: &Group) -> Result<(), Box<Difference>> {
        self.send(std::slice::from_ref(group));
        self.compare(group)
    }

    fn send(&mut self, groups: &[Group]) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for group in groups {
            let (a, b) = group.bytes(&self.numbers);
            let marker = group.marker();
            left.extend(a);
            left.extend(&marker);
            right.extend(b);
            right.extend(&marker);
        }
        for (link, bytes) in [(&mut self.links.0, left), (&mut self.links.1, right)] {
            let mut cuts: Vec<usize> = Vec::new();
            if self.splits.chance(2, 3) {
                let most = 1 + self.splits.below(8);
                cuts.extend((0..most).map(|_| self.splits.below(bytes.len())));
                cuts.sort_unstable();
            }
            let pause = if self.splits.chance(1, 3) { Duration::from_micros(60) } else { Duration::ZERO };
            link.send(&bytes, &cuts, pause);
            if groups.iter().any(|group| group.ending == Ending::Finish) {
                link.finish();
            }
        }
    }

    fn compare(&mut self, group: &Group) -> Result<(), Box<Difference>> {
        let (left, right) = match group.ending {
            Ending::Kill(backend) => return self.on_both(|side| side.kill(backend)),
            Ending::Revive(backend) => return self.on_both(|side| side.revive(backend)),
            Ending::Marker | Ending::Noop | Ending::Proxied => {
                let marker = group.marker_reply();
                let left = self.links.0.read_until(&marker, PATIENCE);
                let right = self.links.1.read_until(&marker, PATIENCE);
                (left, right)
            }
            Ending::Close | Ending::Finish => {
                let left = self.links.0.read_until_closed(CLOSE_PATIENCE);
                let right = self.links.1.read_until_closed(CLOSE_PATIENCE);
                (left, right)
            }
        };
        let what = match (&left, &right) {
            (Received::Reply(a), Received::Reply(b)) => {
                let mut found = Vec::new();
                if group.ending == Ending::Proxied {
                    let key = group.key.and_then(|key| words::KEYS.get(key));
                    self.comparison.key = Some(hash(key.copied().unwrap_or_default()));
                }
                let verdict = if group.ending == Ending::Noop {
                    self.comparison.compare_packets(a, b, &mut found, statistics::compare)
                } else {
                    self.comparison.compare(a, b, &mut found)
                };
                for (nth, pair) in found.into_iter().enumerate() {
                    self.numbers.insert((group.id, nth), pair);
                }
                match verdict {
                    Ok(()) => return Ok(()),
                    // The background crawler of either server may be at work.
                    Err(_) if busy(a) || busy(b) => return Ok(()),
                    Err(_) if group.ending == Ending::Proxied && self.excuse(group, a, b) => return Ok(()),
                    Err(what) => what,
                }
            }
            (Received::Closed(a), Received::Closed(b))
                if group.ending == Ending::Marker || (a == b && group.ending == Ending::Close) =>
            {
                return self.reconnect().map_err(|what| Box::new(Difference { at: 0, what, left, right }));
            }
            (Received::Silence(a), Received::Silence(b)) if a == b && group.ending == Ending::Close => {
                return self.reconnect().map_err(|what| Box::new(Difference { at: 0, what, left, right }));
            }
            (Received::Silence(_), Received::Silence(_)) => "both servers swallowed the marker".to_owned(),
            // memcached reports a refused value once it has arrived, and here it never arrives in
            // full. Another server may report it at once.
            (Received::Closed(a), Received::Closed(b))
                if group.ending == Ending::Finish && a.is_empty() && Packet::is_refusal(b) =>
            {
                return self.reconnect().map_err(|what| Box::new(Difference { at: 0, what, left, right }));
            }
            (Received::Closed(a), Received::Closed(b)) if group.ending == Ending::Finish => {
                let comparison = &mut self.comparison;
                match comparison.compare_packets(a, b, &mut Vec::new(), statistics::compare) {
                    Ok(()) => {
                        return self
                            .reconnect()
                            .map_err(|what| Box::new(Difference { at: 0, what, left, right }));
                    }
                    Err(what) => what,
                }
            }
            (Received::Closed(_), Received::Closed(_)) if group.ending == Ending::Noop => {
                "both servers closed".to_owned()
            }
            (Received::Closed(_), Received::Closed(_)) => "different replies before the close".to_owned(),
            (_, Received::Closed(_)) => "the right server closed, the left one did not".to_owned(),
            (Received::Closed(_), _) => "the left server closed, the right one did not".to_owned(),
            (_, Received::Silence(_)) => "the right server does not answer".to_owned(),
            (Received::Silence(_), _) => "the left server does not answer".to_owned(),
        };
        let ends: Vec<String> =
            [self.left.server.ended(), self.right.server.ended()].into_iter().flatten().collect();
        let what = if ends.is_empty() { what } else { format!("{what} ({})", ends.join(", ")) };
        Err(Box::new(Difference { at: 0, what, left, right }))
    }

    /// Returns whether a difference has a reason, and counts it.
    fn excuse(&mut self, group: &Group, left: &[u8], right: &[u8]) -> bool {
        let request = group.bytes(&self.numbers).0;
        let found = EXCUSES.iter().position(|excuse| (excuse.holds)(&request, left, right));
        if let Some(at) = found {
            self.excused[at] += 1;
        }
        found.is_some()
    }

    fn on_both(&mut self, mut act: impl FnMut(&mut Side) -> Outcome<()>) -> Result<(), Box<Difference>> {
        act(&mut self.left).and_then(|()| act(&mut self.right)).map_err(|what| {
            let nothing = || Received::Reply(Vec::new());
            Box::new(Difference { at: 0, what, left: nothing(), right: nothing() })
        })
    }

    /// Connects again and empties both.
    pub fn start_over(&mut self) -> Outcome<()> {
        self.reconnect()?;
        self.empty()
    }

    fn reconnect(&mut self) -> Outcome<()> {
        self.links = (self.left.server.connect()?, self.right.server.connect()?);
        Ok(())
    }

    /// Servers that ran before may hold items, backends of a proxy do not. The connection for
    /// commands may use the binary protocol.
    fn empty(&self) -> Outcome<()> {
        for side in [&self.left, &self.right].into_iter().filter(|side| side.backends.is_empty()) {
            let mut link = side.server.connect()?;
            link.send(b"flush_all\r\nmn\r\n", &[], Duration::ZERO);
            link.read_until(b"MN\r\n", PATIENCE);
        }
        Ok(())
    }
}

fn busy(reply: &[u8]) -> bool {
    reply.starts_with(b"BUSY ")
}

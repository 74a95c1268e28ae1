//! Gets of several keys whose route is one pool: a backend gets one request for all its keys.
//!
//! The items of a reply are taken one by one. The answer has them in the order of the client.

use super::engine::Host;
use super::failure::Reason;
use super::generations::{Generation, Generations};
use super::gets::Gets;
use super::health::Eject;
use super::held::{BACKEND_FAILURE, Held, cost};
use super::links::Ask;
use super::reply::{Meaning, key_of};
use super::request::{ClientRequest, Requests};
use super::slots::Slots;
use crate::protocol::output::SlotId;

/// Most keys of a batch. Their line has at most 16 KiB.
const MOST_KEYS: usize = 64;

/// The keys of a get that one backend has.
#[derive(Debug)]
pub struct Batch {
    get: usize,
    /// Their places in the get, ascending. `None` for a key that has its item.
    keys: Vec<Option<usize>>,
    /// The index behind that of the last item.
    next: usize,
    /// The pool of its backend.
    pool: usize,
    /// The number of its configuration.
    generation: u64,
}

/// The parts of a worker that all its requests share.
pub struct World<'a> {
    /// The configurations.
    pub generations: &'a mut Generations,
    /// The gets under way.
    pub gets: &'a mut Gets,
    /// Bytes that requests and replies under way hold.
    pub held: &'a mut Held,
}

/// The batches of one worker that have no reply.
#[derive(Debug, Default)]
pub struct Batches {
    all: Slots<Batch>,
    /// For each backend of a pool, the keys of a get. Empty between calls.
    keys: Vec<Vec<usize>>,
}

impl Batches {
    /// Begins a get of several keys. `pool` is an index of the current configuration.
    pub fn begin(
        &mut self,
        slot: SlotId,
        requests: Requests,
        pool: usize,
        world: &mut World<'_>,
        host: &mut Host<'_>,
    ) {
        let (generation, Generation { routes, links, counters, .. }) = world.generations.begin();
        let Some(((chosen, backends), counters)) =
            routes.pools.get(pool).zip(links.get(pool)).zip(counters.get(pool))
        else {
            return;
        };
        counters.requests.add(requests.len() as u64);
        self.keys.resize_with(backends.len().max(self.keys.len()), Vec::new);
        let mut lost = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            match chosen.find(request.key()) {
                Ok(index) => self.keys.get_mut(index).into_iter().for_each(|keys| keys.push(place)),
                Err(Eject::Miss) => lost.push((place, Ok(&[][..]))),
                Err(Eject::No | Eject::Rehash) => lost.push((place, Err(BACKEND_FAILURE))),
            }
        }
        let get = world.gets.begin_batches(slot, requests);
        for (keys, among) in self.keys.iter_mut().zip(backends) {
            for part in keys.chunks(MOST_KEYS) {
                let id = self.all.add(Batch {
                    get,
                    keys: part.iter().copied().map(Some).collect(),
                    next: 0,
                    pool,
                    generation,
                });
                let requests = world.gets.requests(get);
                let push = |out: &mut Vec<u8>| push(requests, part, out);
                let ask = Ask::of_batch(id);
                let link = host.links.choose(among);
                if link.is_none_or(|link| host.links.submit(link, ask, host.now, push).is_err()) {
                    self.all.drop(id);
                    lost.extend(part.iter().map(|place| (*place, Err(BACKEND_FAILURE))));
                }
            }
            keys.clear();
        }
        counters.errors.add(lost.iter().filter(|(_, item)| item.is_err()).count() as u64);
        for (place, item) in lost {
            take(get, (place, item), generation, world, host);
        }
    }

    /// Takes an item of the reply to a batch, its end, or its absence.
    pub fn reply(
        &mut self,
        id: usize,
        reply: Option<(&[u8], Meaning)>,
        world: &mut World<'_>,
        host: &mut Host<'_>,
    ) {
        if let Some((item, Meaning::Item)) = reply {
            let Some(batch) = self.all.get_mut(id) else { return };
            let Some(index) = batch.find(item, world.gets) else { return };
            let Some(place) = batch.keys.get_mut(index).and_then(Option::take) else { return };
            batch.next = index + 1;
            return take(batch.get, (place, Ok(item)), batch.generation, world, host);
        }
        let Some(Batch { get, keys, pool, generation, .. }) = self.all.remove(id) else { return };
        let item = match reply {
            Some((_, Meaning::Miss)) => Ok(&[][..]),
            Some((error, _)) => Err(error),
            None => Err(BACKEND_FAILURE),
        };
        let left = keys.into_iter().flatten();
        if item.is_err()
            && let Some(counters) = world.generations.get(generation).counters.get(pool)
        {
            counters.errors.add(left.clone().count() as u64);
        }
        left.for_each(|place| take(get, (place, item), generation, world, host));
    }

    /// Checks whether a reply may be that to a batch, or an item of it.
    ///
    /// # Errors
    /// [`Reason::WrongReply`].
    pub fn check(&self, id: usize, gets: &Gets, reply: &[u8], meaning: Meaning) -> Result<(), Reason> {
        let Some(batch) = self.all.get(id) else { return Ok(()) };
        let is_answer = match meaning {
            Meaning::ServerError | Meaning::Refused => true,
            Meaning::Miss => reply.starts_with(b"END"),
            Meaning::Item => batch.find(reply, gets).is_some(),
            Meaning::Value | Meaning::Done | Meaning::Version => false,
        };
        if is_answer { Ok(()) } else { Err(Reason::WrongReply) }
    }
}

impl Batch {
    /// Returns the index of the key of an item that has none yet.
    ///
    /// memcached sends items in the order of the keys. twemproxy does not.
    fn find(&self, item: &[u8], gets: &Gets) -> Option<usize> {
        let (own, requests) = (key_of(item), gets.requests(self.get));
        let is_own = |place: &Option<usize>| place.is_some_and(|place| key(requests, place) == own);
        let later = self.keys.iter().skip(self.next).position(is_own).map(|index| self.next + index);
        later.or_else(|| self.keys.iter().take(self.next).position(is_own))
    }
}

/// Takes the item of a key, or its error. Ends the get with its last key.
fn take(
    get: usize,
    (place, item): (usize, Result<&[u8], &[u8]>),
    generation: u64,
    world: &mut World<'_>,
    host: &mut Host<'_>,
) {
    if let Some(requests) = world.gets.take(get, place, item, world.held, host.answers) {
        world.held.release(requests.iter().map(cost).sum());
        world.generations.end(generation, host.links);
    }
}

/// Appends the request of a batch.
fn push(requests: &[ClientRequest], places: &[usize], out: &mut Vec<u8>) {
    let Some(first) = requests.first() else { return };
    out.extend_from_slice(first.command.word.as_bytes());
    for place in places {
        out.push(b' ');
        out.extend_from_slice(key(requests, *place));
    }
    out.extend_from_slice(b"\r\n");
}

/// Returns a key of a get.
fn key(requests: &[ClientRequest], place: usize) -> &[u8] {
    requests.get(place).map_or(&[], ClientRequest::key)
}

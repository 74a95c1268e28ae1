//! Gets of several keys whose route is one pool: a backend gets one request for all its keys.
//!
//! So the proxy parses one reply in place of many, and the backend one line. The answer has the
//! items in the order of the client's keys.

use smallvec::{SmallVec, smallvec};

use super::engine::Host;
use super::failure::Reason;
use super::generations::{Generation, Generations};
use super::gets::Gets;
use super::health::Eject;
use super::held::{BACKEND_FAILURE, Held, cost};
use super::links::Ask;
use super::reply::{Meaning, items};
use super::request::{ClientRequest, Requests};
use super::slots::Slots;
use crate::protocol::output::SlotId;

/// Most keys of a batch. Their line has at most 16 KiB.
const MOST_KEYS: usize = 64;

/// Items by the keys of a batch.
type Found<'a> = SmallVec<[&'a [u8]; MOST_KEYS]>;

/// The keys of a get that one backend has.
#[derive(Debug)]
pub struct Batch {
    get: usize,
    /// Their places in the get, ascending.
    keys: Vec<usize>,
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
                let id = self.all.add(Batch { get, keys: part.to_vec(), pool, generation });
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

    /// Takes the reply to a batch, or its absence.
    pub fn reply(
        &mut self,
        id: usize,
        reply: Option<(&[u8], Meaning)>,
        world: &mut World<'_>,
        host: &mut Host<'_>,
    ) {
        let Some(Batch { get, keys, pool, generation }) = self.all.remove(id) else { return };
        if !matches!(reply, Some((_, Meaning::Value | Meaning::Miss)))
            && let Some(counters) = world.generations.get(generation).counters.get(pool)
        {
            counters.errors.add(keys.len() as u64);
        }
        let requests = world.gets.requests(get);
        let found = reply.and_then(|(reply, _)| assign(reply, requests, &keys)).unwrap_or_default();
        for (index, place) in keys.iter().enumerate() {
            let item = match reply {
                Some((_, Meaning::Value | Meaning::Miss)) => {
                    Ok(found.get(index).copied().unwrap_or_default())
                }
                Some((error, _)) => Err(error),
                None => Err(BACKEND_FAILURE),
            };
            take(get, (*place, item), generation, world, host);
        }
    }

    /// Checks whether a reply may be that to a batch.
    ///
    /// # Errors
    /// [`Reason::WrongReply`].
    pub fn check(&self, id: usize, gets: &Gets, reply: &[u8], meaning: Meaning) -> Result<(), Reason> {
        let Some(Batch { get, keys, .. }) = self.all.get(id) else { return Ok(()) };
        let is_answer = match meaning {
            Meaning::ServerError | Meaning::Refused => true,
            Meaning::Miss => reply.starts_with(b"END"),
            Meaning::Value => {
                reply.starts_with(b"VALUE ") && assign(reply, gets.requests(*get), keys).is_some()
            }
            Meaning::Done | Meaning::Version => false,
        };
        if is_answer { Ok(()) } else { Err(Reason::WrongReply) }
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

/// Returns the items of a reply by the keys of a batch. A key without one has an empty item.
/// Returns `None` if an item has another key.
///
/// memcached sends items in the order of the keys. twemproxy does not.
fn assign<'a>(reply: &'a [u8], requests: &[ClientRequest], places: &[usize]) -> Option<Found<'a>> {
    let mut found: Found<'a> = smallvec![&[][..]; places.len()];
    let mut next = 0;
    for (own, item) in items(reply) {
        let mut others = (next..places.len()).chain(0..next);
        let at = others.find(|at| {
            let is_free = found.get(*at).is_some_and(|item| item.is_empty());
            is_free && places.get(*at).is_some_and(|place| key(requests, *place) == own)
        })?;
        *found.get_mut(at)? = item;
        next = at + 1;
    }
    Some(found)
}

/// Returns a key of a get.
fn key(requests: &[ClientRequest], place: usize) -> &[u8] {
    requests.get(place).map_or(&[], ClientRequest::key)
}

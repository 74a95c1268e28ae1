//! Gets of several keys whose route is one pool: a backend gets one request for all its keys.
//!
//! The items of a reply are taken one by one. The answer has them in the order of the client.

use super::engine::Host;
use super::failure::Reason;
use super::generations::Generation;
use super::gets::Gets;
use super::health::Eject;
use super::held::{BACKEND_FAILURE, cost};
use super::links::Ask;
use super::relay_state::RelayState;
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
    /// Their numbers in the get, ascending. `None` for a key that has its item.
    keys: Vec<Option<usize>>,
    /// The index behind that of the last item.
    next: usize,
    /// The pool of its backend.
    pool: usize,
    /// The number of its configuration.
    generation: u64,
}

/// The batches of one worker that have no reply.
#[derive(Debug, Default)]
pub struct Batches {
    all: Slots<Batch>,
    /// For each backend of a pool, the numbers of its keys in a get. Empty between calls.
    keys: Vec<Vec<usize>>,
}

impl Batches {
    /// Begins a get of several keys. `pool` is an index of the current configuration.
    pub fn begin(
        &mut self,
        slot: SlotId,
        requests: Requests,
        pool: usize,
        state: &mut RelayState,
        host: &mut Host<'_>,
    ) {
        let (generation, Generation { routes, links, counters, .. }) = state.generations.begin();
        let Some(((chosen, backends), counters)) =
            routes.pools.get(pool).zip(links.get(pool)).zip(counters.get(pool))
        else {
            return;
        };
        counters.requests.add(requests.len() as u64);
        self.keys.resize_with(backends.len().max(self.keys.len()), Vec::new);
        let mut lost = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            match chosen.find(request.key()) {
                Ok(index) => self.keys.get_mut(index).into_iter().for_each(|keys| keys.push(number)),
                Err(Eject::Miss) => lost.push((number, Ok(&[][..]))),
                Err(Eject::No | Eject::Rehash) => lost.push((number, Err(BACKEND_FAILURE))),
            }
        }
        let get = state.gets.begin_batches(slot, requests);
        for (keys, among) in self.keys.iter_mut().zip(backends) {
            for part in keys.chunks(MOST_KEYS) {
                let id = self.all.add(Batch {
                    get,
                    keys: part.iter().copied().map(Some).collect(),
                    next: 0,
                    pool,
                    generation,
                });
                let requests = state.gets.requests(get);
                let push = |out: &mut Vec<u8>| push(requests, part, out);
                let ask = Ask::of_batch(id);
                let link = host.links.choose(among);
                if link.is_none_or(|link| host.links.submit(link, ask, host.now, push).is_err()) {
                    self.all.drop(id);
                    lost.extend(part.iter().map(|number| (*number, Err(BACKEND_FAILURE))));
                }
            }
            keys.clear();
        }
        counters.errors.add(lost.iter().filter(|(_, item)| item.is_err()).count() as u64);
        for (number, item) in lost {
            take(get, (number, item), generation, state, host);
        }
    }

    /// Takes an item of the reply to a batch, its end, or its absence.
    pub fn reply(
        &mut self,
        id: usize,
        reply: Option<(&[u8], Meaning)>,
        state: &mut RelayState,
        host: &mut Host<'_>,
    ) {
        if let Some((item, Meaning::Item)) = reply {
            let Some(batch) = self.all.get_mut(id) else { return };
            let Some(index) = batch.find(item, &state.gets) else { return };
            let Some(number) = batch.keys.get_mut(index).and_then(Option::take) else { return };
            batch.next = index + 1;
            return take(batch.get, (number, Ok(item)), batch.generation, state, host);
        }
        let Some(Batch { get, keys, pool, generation, .. }) = self.all.remove(id) else { return };
        let item = match reply {
            Some((_, Meaning::Miss)) => Ok(&[][..]),
            Some((error, _)) => Err(error),
            None => Err(BACKEND_FAILURE),
        };
        let left = keys.into_iter().flatten();
        if item.is_err()
            && let Some(counters) = state.generations.get(generation).counters.get(pool)
        {
            counters.errors.add(left.clone().count() as u64);
        }
        left.for_each(|number| take(get, (number, item), generation, state, host));
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
        let is_own = |number: &Option<usize>| number.is_some_and(|number| key(requests, number) == own);
        let later = self.keys.iter().skip(self.next).position(is_own).map(|index| self.next + index);
        later.or_else(|| self.keys.iter().take(self.next).position(is_own))
    }
}

/// Takes the item of a key, or its error. Ends the get with its last key.
fn take(
    get: usize,
    (number, item): (usize, Result<&[u8], &[u8]>),
    generation: u64,
    state: &mut RelayState,
    host: &mut Host<'_>,
) {
    if let Some(requests) = state.gets.take(get, number, item, &mut state.held, host.answers) {
        state.held.release(requests.iter().map(cost).sum());
        state.generations.end(generation, host.links);
    }
}

/// Appends the request of a batch.
fn push(requests: &[ClientRequest], keys: &[usize], out: &mut Vec<u8>) {
    let Some(first) = requests.first() else { return };
    out.extend_from_slice(first.command.word.as_bytes());
    for number in keys {
        out.push(b' ');
        out.extend_from_slice(key(requests, *number));
    }
    out.extend_from_slice(b"\r\n");
}

/// Returns a key of a get.
fn key(requests: &[ClientRequest], number: usize) -> &[u8] {
    requests.get(number).map_or(&[], ClientRequest::key)
}

//! Gets of several keys. Each key is a request of its own on its way to a backend, or a batch has
//! those of one backend.

use std::ops::Range;

use super::engine::Answers;
use super::held::{Held, NO_MEMORY};
use super::request::{ClientRequest, Requests};
use super::slots::Slots;
use crate::protocol::output::SlotId;

/// The end of a get.
pub const END: &[u8] = b"END\r\n";

/// Bytes of a buffer that is kept.
const KEEP: usize = 64 * 1024;

/// A get of several keys. It is answered when all keys are, and fails if one of them does.
#[derive(Debug)]
struct Get {
    slot: SlotId,
    /// The requests, if the keys are sent in batches.
    requests: Requests,
    /// The items in the order in which they came.
    items: Vec<u8>,
    /// For each key, the range of its item there.
    ranges: Vec<Range<usize>>,
    /// Keys without an answer.
    left: usize,
    /// The first error.
    error: Option<Vec<u8>>,
}

/// The gets of one worker.
#[derive(Debug, Default)]
pub struct Gets {
    all: Slots<Get>,
    /// An answer. Empty between calls.
    whole: Vec<u8>,
}

impl Gets {
    /// Begins a get of `keys` keys. Returns its number.
    pub fn begin(&mut self, slot: SlotId, keys: usize) -> usize {
        self.add(slot, keys, Requests::new())
    }

    /// Begins a get whose keys are sent in batches. Returns its number.
    pub fn begin_batches(&mut self, slot: SlotId, requests: Requests) -> usize {
        self.add(slot, requests.len(), requests)
    }

    fn add(&mut self, slot: SlotId, keys: usize, requests: Requests) -> usize {
        let (items, ranges) = (Vec::new(), vec![0..0; keys]);
        self.all.add(Get { slot, requests, items, ranges, left: keys, error: None })
    }

    /// Returns the requests of a get whose keys are sent in batches.
    pub fn requests(&self, get: usize) -> &[ClientRequest] {
        self.all.get(get).map_or(&[], |get| &get.requests)
    }

    /// Takes the item of the key with this number, which is empty after a miss, or the reply that
    /// is an error. The last key completes the answer of the get. Returns its requests then.
    pub fn take(
        &mut self,
        get: usize,
        number: usize,
        item: Result<&[u8], &[u8]>,
        held: &mut Held,
        answers: &mut dyn Answers,
    ) -> Option<Requests> {
        let own = self.all.get_mut(get)?;
        own.left -= 1;
        match item {
            Err(error) => _ = own.error.get_or_insert_with(|| error.to_vec()),
            Ok(item) if !held.take(item.len()) => _ = own.error.get_or_insert_with(|| NO_MEMORY.to_vec()),
            Ok(item) => {
                let start = own.items.len();
                own.items.extend_from_slice(item);
                if let Some(range) = own.ranges.get_mut(number) {
                    *range = start..own.items.len();
                }
            }
        }
        if own.left > 0 {
            return None;
        }
        held.release(own.items.len());
        match &own.error {
            Some(error) => answers.answer(own.slot, error),
            None => {
                for range in &own.ranges {
                    self.whole.extend_from_slice(own.items.get(range.clone()).unwrap_or_default());
                }
                self.whole.extend_from_slice(END);
                answers.answer(own.slot, &self.whole);
                self.whole.clear();
                self.whole.shrink_to(KEEP);
            }
        }
        self.all.remove(get).map(|get| get.requests)
    }
}

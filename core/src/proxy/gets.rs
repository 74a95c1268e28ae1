//! Gets of several keys. Each key is a request of its own on its way to a backend.

use std::ops::Range;

use super::engine::Answers;
use super::held::{Held, NO_MEMORY};
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
    /// The items in the order in which they came.
    items: Vec<u8>,
    /// The place of each key's item.
    places: Vec<Range<usize>>,
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
    /// Begins a get. Returns its number.
    pub fn begin(&mut self, slot: SlotId, keys: usize) -> usize {
        let (items, places) = (Vec::new(), vec![0..0; keys]);
        self.all.add(Get { slot, items, places, left: keys, error: None })
    }

    /// Takes the answer of one key. The last one completes the answer of the get.
    pub fn take(
        &mut self,
        get: usize,
        key: usize,
        (answer, is_error): (&[u8], bool),
        held: &mut Held,
        answers: &mut dyn Answers,
    ) {
        let Some(own) = self.all.get_mut(get) else { return };
        own.left -= 1;
        // One `END` follows the last key.
        match answer.strip_suffix(END).filter(|_| !is_error) {
            None => _ = own.error.get_or_insert_with(|| answer.to_vec()),
            Some(item) if !held.take(item.len()) => _ = own.error.get_or_insert_with(|| NO_MEMORY.to_vec()),
            Some(item) => {
                let start = own.items.len();
                own.items.extend_from_slice(item);
                if let Some(place) = own.places.get_mut(key) {
                    *place = start..own.items.len();
                }
            }
        }
        if own.left > 0 {
            return;
        }
        held.release(own.items.len());
        match &own.error {
            Some(error) => answers.answer(own.slot, error),
            None => {
                for place in &own.places {
                    self.whole.extend_from_slice(own.items.get(place.clone()).unwrap_or_default());
                }
                self.whole.extend_from_slice(END);
                answers.answer(own.slot, &self.whole);
                self.whole.clear();
                self.whole.shrink_to(KEEP);
            }
        }
        self.all.drop(get);
    }
}

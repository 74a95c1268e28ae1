//! Pinned values, which are read without a lock.

use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::store::beside::Charge;
use crate::store::mem::{HEADER, Item, Memory, Ref, bit, fill, pieces};
use crate::store::shard::Shard;
use crate::store::store::Store;

/// A value that stays readable until it is dropped, even if its key is changed or removed.
///
/// It holds the segments of the value, or it is a copy. It is a copy if too many segments are held
/// already and [`crate::store::Beside`] allows one. It is also a copy if the value is small and was
/// read without the lock.
pub struct PinnedValue {
    value: Value,
    length: usize,
}

opaque_debug!(PinnedValue);

enum Value {
    Held {
        store: Arc<Store>,
        hash: u64,
        parts: Parts,
        #[expect(dead_code, reason = "it ends with the value")]
        charge: Option<Charge>,
    },
    Copied(Box<[u8]>, #[expect(dead_code, reason = "it ends with the copy")] Option<Charge>),
}

/// The entries of a held value. Links between pieces may change while the value is read, so they
/// are not followed after the lock is released.
enum Parts {
    Whole { at: Ref, offset: usize },
    Pieces(Box<[Ref]>),
}

impl Parts {
    fn entries(&self) -> &[Ref] {
        match self {
            Self::Whole { at, .. } => std::slice::from_ref(at),
            Self::Pieces(pieces) => pieces,
        }
    }
}

impl PinnedValue {
    /// Pins the LINKED item at `at`, in the locked `shard` of `hash`. With `briefly`, it is always
    /// held and never copied.
    pub(in crate::store) fn new(
        store: &Arc<Store>,
        shard: &mut Shard,
        at: Ref,
        hash: u64,
        briefly: bool,
    ) -> Self {
        let memory = store.common.memory();
        let header = memory.header(at);
        let length = header.length() as usize;
        let parts = if header.has(bit::CHUNKED) {
            Parts::Pieces(pieces(memory, at).collect())
        } else {
            Parts::Whole { at, offset: header.value_offset() }
        };
        let entries = parts.entries();
        let segments = &store.common.segments;
        let held = entries.iter().take_while(|&&at| shard.logs.hold(segments, at, briefly)).count();
        if held < entries.len() {
            let mut copy = Vec::new();
            if let Some(charge) = store.common.beside.take(length)
                && copy.try_reserve_exact(length).is_ok()
            {
                for &at in &entries[..held] {
                    shard.logs.release(segments, at);
                }
                Item::new(memory, at).copy_to(&mut copy);
                return Self { value: Value::Copied(copy.into_boxed_slice(), Some(charge)), length };
            }
            // There is no memory for a copy, so the segments are held, and count as memory of
            // clients.
            for &at in &entries[held..] {
                shard.logs.hold(segments, at, true);
            }
            let charge = Some(store.common.beside.force(length));
            return Self { value: Value::Held { store: Arc::clone(store), hash, parts, charge }, length };
        }
        Self { value: Value::Held { store: Arc::clone(store), hash, parts, charge: None }, length }
    }

    /// Returns a pinned value that is a copy.
    pub(in crate::store) fn copied(copy: Vec<u8>) -> Self {
        Self { length: copy.len(), value: Value::Copied(copy.into_boxed_slice(), None) }
    }

    /// Returns the length of the value in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies the value to `to`, as many bytes as fit.
    pub fn fill(&self, to: &mut [MaybeUninit<u8>]) {
        fill(to, self.slices());
    }

    /// Returns whether the item has this value. Bytes that moved since the pin are compared. Held
    /// entries are not overwritten, so equal places need no comparison.
    pub(in crate::store) fn is_value_of(&self, item: Item<'_>) -> bool {
        if let Value::Held { store, parts, .. } = &self.value {
            let stays = match parts {
                Parts::Whole { at, .. } => item.at() == *at,
                Parts::Pieces(held) => {
                    item.header().has(bit::CHUNKED)
                        && pieces(store.common.memory(), item.at()).eq(held.iter().copied())
                }
            };
            if stays {
                return true;
            }
        }
        item.len() == self.length && same_bytes(self.slices(), item.slices())
    }

    /// Iterates over the pieces of the value.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (memory, entries, copy) = match &self.value {
            Value::Held { store, parts, .. } => (Some(store.common.memory()), parts.entries(), None),
            Value::Copied(copy, _) => (None, [].as_slice(), Some(&**copy)),
        };
        let slice = move |memory: &'_ Memory, at: Ref| -> (usize, usize) {
            match &self.value {
                Value::Held { parts: Parts::Whole { offset, .. }, .. } => (*offset, self.length),
                _ => (HEADER, memory.header(at).length() as usize),
            }
        };
        let held = memory.into_iter().flat_map(move |memory| {
            entries.iter().map(move |&at| {
                let (offset, length) = slice(memory, at);
                memory.bytes(at, offset, length)
            })
        });
        copy.into_iter().chain(held)
    }
}

/// Returns whether two chunked values of the same length are equal.
fn same_bytes<'a>(mut left: impl Iterator<Item = &'a [u8]>, right: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut piece: &[u8] = &[];
    for mut other in right {
        while !other.is_empty() {
            if piece.is_empty() {
                let Some(next) = left.next() else { return false };
                piece = next;
                continue;
            }
            let length = piece.len().min(other.len());
            if piece[..length] != other[..length] {
                return false;
            }
            (piece, other) = (&piece[length..], &other[length..]);
        }
    }
    true
}

impl Drop for PinnedValue {
    fn drop(&mut self) {
        if let Value::Held { store, hash, parts, .. } = &self.value {
            let mut shard = store.shard(*hash).lock();
            for &at in parts.entries() {
                shard.logs.release(&store.common.segments, at);
            }
        }
    }
}

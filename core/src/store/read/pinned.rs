//! Pinned values, which are read without a lock.

use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::store::beside::Charge;
use crate::store::mem::{Hold, Item, Ref, Segments, fill};
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
    Whole(Hold),
    Pieces(Box<[Hold]>),
}

impl Parts {
    fn holds(&self) -> &[Hold] {
        match self {
            Self::Whole(hold) => std::slice::from_ref(hold),
            Self::Pieces(holds) => holds,
        }
    }

    fn release(self, shard: &mut Shard, segments: &Segments) {
        match self {
            Self::Whole(hold) => shard.logs.release(segments, hold),
            Self::Pieces(holds) => holds.into_iter().for_each(|hold| shard.logs.release(segments, hold)),
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
        let (common, segments) = (&store.common, &store.common.segments);
        let item = shard.item(common, at);
        let (length, first) = (item.len(), item.first_piece());
        let held = |parts, charge| Self {
            value: Value::Held { store: Arc::clone(store), hash, parts, charge },
            length,
        };
        if !briefly {
            if let Some(parts) = Self::try_hold(shard, store, at, first) {
                return held(parts, None);
            }
            let mut copy = Vec::new();
            if let Some(charge) = common.beside.take(length)
                && copy.try_reserve_exact(length).is_ok()
            {
                shard.item(common, at).copy_to(&mut copy);
                return Self { value: Value::Copied(copy.into_boxed_slice(), Some(charge)), length };
            }
        }
        let parts = match first.some() {
            None => Parts::Whole(shard.logs.hold(segments, at)),
            Some(_) => {
                let pieces = common.memory().pieces_from(first);
                Parts::Pieces(pieces.map(|at| shard.logs.hold(segments, at)).collect())
            }
        };
        // If there was no memory for a copy, the segments count as memory of clients.
        held(parts, (!briefly).then(|| common.beside.force(length)))
    }

    /// Holds the item at `at`, or all pieces from `first` on, unless too much is held already.
    fn try_hold(shard: &mut Shard, store: &Store, at: Ref, first: Ref) -> Option<Parts> {
        let segments = &store.common.segments;
        if first.is_none() {
            return shard.logs.try_hold(segments, at).map(Parts::Whole);
        }
        let mut holds = Vec::new();
        for at in store.common.memory().pieces_from(first) {
            let Some(hold) = shard.logs.try_hold(segments, at) else {
                holds.into_iter().for_each(|hold| shard.logs.release(segments, hold));
                return None;
            };
            holds.push(hold);
        }
        Some(Parts::Pieces(holds.into()))
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
                Parts::Whole(hold) => item.at() == hold.at(),
                Parts::Pieces(holds) => {
                    let pieces = store.common.memory().pieces_from(item.first_piece());
                    pieces.eq(holds.iter().map(Hold::at))
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
        let (held, copy) = match &self.value {
            Value::Held { store, parts, .. } => (Some((store.common.memory(), parts.holds())), None),
            Value::Copied(copy, _) => (None, Some(&**copy)),
        };
        let held =
            held.into_iter().flat_map(|(memory, holds)| holds.iter().map(move |hold| hold.value(memory)));
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
        let copied = Value::Copied(Box::default(), None);
        if let Value::Held { store, hash, parts, .. } = std::mem::replace(&mut self.value, copied) {
            parts.release(&mut store.shard(hash).lock(), &store.common.segments);
        }
    }
}

//! A reservation: an item that is being written. It has memory, its value arrives in parts, and
//! lookups do not find it yet. Large sets are read from the socket directly into a reservation.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::beside::Charge;
use super::log::AppendFor;
use super::mem::{EntryWriter, HEADER, Hold, Kind, Ref, bit, item_size};
use super::new_item::{NewItem, write_head};
use super::policy;
use super::shard::Shard;
use super::store::Store;
use crate::base::error::AllocError;
use crate::config::MIB;

/// An item that is being written. Dropping it frees its memory.
///
/// It holds the segments that it lies in. If too many segments are held already, it is a buffer
/// outside the store. Such a buffer is stored when it is complete, and counts in [`super::Beside`].
pub struct Reservation {
    store: Arc<Store>,
    hash: u64,
    class: u8,
    /// Bytes of the whole value.
    length: usize,
    /// Bytes written so far, at most `length`.
    filled: usize,
    place: Place,
}

opaque_debug!(Reservation);

/// Most bytes of a buffer that one target lends. Reserved memory is not resident before it is
/// written.
const BUFFER_STEP: usize = 64 * 1024;

/// Bytes of memory that a buffer leaves to other users.
const LEFT_TO_OTHERS: usize = 4 * MIB;

enum Place {
    /// In one entry.
    Whole(Part),
    /// In pieces, of which the last one may have room for more.
    Pieces { head: Part, pieces: Pieces },
    /// Outside the store. Room for the whole value is reserved. The length is that of the written
    /// bytes plus the last target.
    Buffer(Vec<u8>, #[expect(dead_code, reason = "it ends with the buffer")] Charge),
    /// Linked.
    Done,
}

/// An entry that is written without the lock, so it is held.
struct Part {
    writer: EntryWriter<'static>,
    hold: Hold,
}

/// The pieces of a value. Few ones take no allocation.
#[derive(Default)]
struct Pieces {
    first: ArrayVec<Part, 2>,
    more: Vec<Part>,
}

impl Pieces {
    fn push(&mut self, part: Part) {
        if let Err(full) = self.first.try_push(part) {
            self.more.push(full.element());
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Part> {
        self.first.iter().chain(&self.more)
    }

    fn last(&self) -> Option<&Part> {
        self.more.last().or(self.first.last())
    }

    fn last_mut(&mut self) -> Option<&mut Part> {
        self.more.last_mut().or(self.first.last_mut())
    }
}

impl Reservation {
    /// Starts an item whose value will have `length` bytes. `urgent` means that the value is
    /// complete and the reservation does not wait for a client.
    ///
    /// # Errors
    /// There is no memory for the item, or for the first piece of a large value. Or it would be a
    /// buffer, and [`super::Beside`] does not allow a further one.
    pub fn new(
        store: &Arc<Store>,
        hash: u64,
        new: &NewItem<'_>,
        length: usize,
        urgent: bool,
    ) -> Result<Self, AllocError> {
        let common = &store.common;
        let chunked = store.is_chunked(new.key.len(), new.flags, length);
        let stored = if chunked { size_of::<Ref>() } else { length };
        let size = common.segments.round(item_size(new.key.len(), new.flags, stored));
        let bits = if chunked { bit::CHUNKED } else { 0 };
        let mut draft =
            Self { store: Arc::clone(store), hash, class: new.class, length, filled: 0, place: Place::Done };
        let mut attempts = store.attempts(hash);
        loop {
            let mut shard = store.shard(hash).lock();
            let time = common.time();
            let queue = policy::admit(shard.tuning, &time, new.expiry, None);
            let rank = common.rank_of(queue, 0, item_size(new.key.len(), new.flags, length));
            let Some(mut writer) = shard.logs.append(&common.segments, rank, size, AppendFor::Client) else {
                drop(shard);
                attempts.make_room(new.class)?;
                continue;
            };
            let at = writer.at();
            write_head(&mut writer, common.memory(), new, length, bits);
            let header = common.memory().header(at);
            header.set_kind(Kind::Reserved);
            header.set_queue(queue);
            if chunked {
                common.segments.link_piece(&mut shard.logs.token, at, Ref::NONE, Ref::NONE);
            }
            let hold = if urgent {
                Some(shard.logs.hold(&common.segments, at))
            } else {
                shard.logs.try_hold(&common.segments, at)
            };
            let Some(hold) = hold else {
                shard.mark_dead(common, at);
                drop(shard);
                let charge = common.beside.take(length).ok_or(AllocError::NoMemory)?;
                let mut buffer = Vec::new();
                buffer.try_reserve_exact(length).map_err(|_| AllocError::NoMemory)?;
                // Leave memory for small allocations that cannot be refused.
                Vec::<u8>::new().try_reserve_exact(LEFT_TO_OTHERS).map_err(|_| AllocError::NoMemory)?;
                draft.place = Place::Buffer(buffer, charge);
                return Ok(draft);
            };
            shard.pay_compaction_debt(common, time, size);
            drop(shard);
            let part = Part { writer, hold };
            draft.place = if chunked {
                Place::Pieces { head: part, pieces: Pieces::default() }
            } else {
                Place::Whole(part)
            };
            return Ok(draft);
        }
    }

    /// Returns the number of bytes that are still missing.
    pub fn missing(&self) -> usize {
        self.length - self.filled
    }

    /// Bytes of the whole value.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the slab class that the item counts in.
    pub fn class(&self) -> u8 {
        self.class
    }

    /// Returns the whole value if the reservation is a buffer.
    ///
    /// # Errors
    /// Returns the reservation itself if its memory is in the store.
    pub fn into_buffer(mut self) -> Result<Vec<u8>, Self> {
        match std::mem::replace(&mut self.place, Place::Done) {
            Place::Buffer(bytes, _) => Ok(bytes),
            other => {
                self.place = other;
                Err(self)
            }
        }
    }

    fn head(&self) -> Option<Ref> {
        match &self.place {
            Place::Whole(head) | Place::Pieces { head, .. } => Some(head.writer.at()),
            Place::Buffer(..) | Place::Done => None,
        }
    }

    /// Changes the expiry of the item.
    pub fn set_expiry(&mut self, expiry: u32) {
        if let Some(at) = self.head() {
            self.store.common.memory().header(at).set_expiry(expiry);
        }
    }

    /// Returns memory for the next bytes. It is empty if no bytes are missing.
    ///
    /// # Errors
    /// A large value needs another piece, and there is no memory for it.
    pub fn target(&mut self) -> Result<&mut [u8], AllocError> {
        let missing = self.missing();
        if missing == 0 {
            return Ok(&mut []);
        }
        if let Place::Pieces { pieces, .. } = &self.place
            && pieces.last().is_none_or(|last| last.writer.is_full())
        {
            self.add_piece()?;
        }
        let memory = self.store.common.memory();
        let rest = match &mut self.place {
            Place::Whole(part) => part.writer.rest(memory),
            Place::Pieces { pieces, .. } => match pieces.last_mut() {
                Some(last) => last.writer.rest(memory),
                None => &mut [],
            },
            Place::Buffer(bytes, _) => {
                bytes.resize(self.filled + missing.min(BUFFER_STEP), 0);
                &mut bytes[self.filled..]
            }
            Place::Done => &mut [],
        };
        // The size of an entry is rounded.
        let length = rest.len().min(missing);
        Ok(&mut rest[..length])
    }

    /// Adds a piece, with as many of the missing bytes as fit the open segment, or a new one.
    fn add_piece(&mut self) -> Result<(), AllocError> {
        let missing = self.missing();
        let store = Arc::clone(&self.store);
        let Place::Pieces { head, pieces } = &mut self.place else { return Ok(()) };
        let owner = head.writer.at();
        let last = pieces.last().map_or(Ref::NONE, |last| last.writer.at());
        let common = &store.common;
        let (segments, memory) = (&common.segments, common.memory());
        let wanted = segments.round(HEADER + missing).min(segments.size());
        let queue = memory.header(owner).queue();
        let rank = common.rank(queue, memory.header(owner));
        let mut attempts = store.attempts(self.hash);
        loop {
            let mut shard = store.shard(self.hash).lock();
            let remaining = shard.logs.remaining(segments, rank);
            // A tiny piece is not worth its header.
            let size =
                if remaining >= wanted.min(segments.whole_max()) { wanted.min(remaining) } else { wanted };
            let Some(mut writer) = shard.logs.append(segments, rank, size, AppendFor::Client) else {
                drop(shard);
                attempts.make_room(self.class)?;
                continue;
            };
            let (at, length) = (writer.at(), missing.min(size - HEADER));
            writer.start(memory, self.class, 0, length, 0, Kind::Piece as u16);
            let header = memory.header(at);
            header.set_links(owner, Ref::NONE);
            header.set_queue(queue);
            segments.link_piece(&mut shard.logs.token, owner, last, at);
            let hold = shard.logs.hold(segments, at);
            pieces.push(Part { writer, hold });
            let time = common.time();
            shard.pay_compaction_debt(common, time, size);
            return Ok(());
        }
    }

    /// Records that `n` bytes of [`Reservation::target`] were written.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.missing());
        let n = n.min(self.missing());
        self.filled += n;
        match &mut self.place {
            Place::Whole(part) => part.writer.advance(n),
            Place::Pieces { pieces, .. } => {
                pieces.last_mut().into_iter().for_each(|last| last.writer.advance(n));
            }
            Place::Buffer(..) | Place::Done => {}
        }
    }

    /// Appends bytes to the value, at most [`Reservation::missing`].
    ///
    /// # Errors
    /// A large value needs another piece, and there is no memory for it.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), AllocError> {
        while !bytes.is_empty() && self.missing() > 0 {
            let target = self.target()?;
            let n = target.len().min(bytes.len());
            target[..n].copy_from_slice(&bytes[..n]);
            self.advance(n);
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Iterates over the pieces of the value, which must be complete.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        debug_assert_eq!(self.missing(), 0);
        let memory = self.store.common.memory();
        let buffer = match &self.place {
            Place::Buffer(bytes, _) => Some(&**bytes),
            _ => None,
        };
        let (whole, pieces) = match &self.place {
            Place::Whole(part) => (Some(part), None),
            Place::Pieces { pieces, .. } => (None, Some(pieces)),
            Place::Buffer(..) | Place::Done => (None, None),
        };
        let parts = whole.into_iter().chain(pieces.into_iter().flat_map(Pieces::iter));
        buffer.into_iter().chain(parts.map(|part| part.writer.value(memory)))
    }

    /// Returns the complete item, to be linked. Call [`Reservation::release`] afterwards. Returns
    /// `None` if the reservation is a buffer.
    pub(super) fn finish(&self) -> Option<Ref> {
        debug_assert_eq!(self.missing(), 0);
        self.head()
    }

    /// Ends the reservation, in its locked shard. Its item is linked or dead.
    pub(super) fn release(&mut self, shard: &mut Shard) {
        let segments = &self.store.common.segments;
        match std::mem::replace(&mut self.place, Place::Done) {
            Place::Whole(part) => shard.logs.release(segments, part.hold),
            Place::Pieces { head, pieces } => {
                for part in std::iter::once(head).chain(pieces.first).chain(pieces.more) {
                    shard.logs.release(segments, part.hold);
                }
            }
            Place::Buffer(..) | Place::Done => {}
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(at) = self.head() {
            let store = Arc::clone(&self.store);
            let mut shard = store.shard(self.hash).lock();
            shard.mark_dead(&store.common, at);
            self.release(&mut shard);
        }
    }
}

//! The unsent output of a connection: encoded bytes, and between them large values that are pinned
//! in the store in place of being copied, and slots for replies that come later.
//!
//! ```text
//!   bytes   | VALUE a 0 9\r\n........\r\n VALUE b 0 100000\r\n | \r\nEND\r\n | STORED\r\n |
//!   inserts                                          value of b ^    open slot ^
//!   stream    bytes[..at]            value of b   bytes[at..at]    (nothing before it is filled)
//! ```
//!
//! The encoders append. The owner of the socket calls [`Output::write_to`], which makes one
//! vectored write. Writing stops at the first open slot. [`Output::fill`] replaces a slot by its
//! reply, in any order. This module does not use sockets.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::ops::Range;

use crate::store::PinnedValue;

/// Most slices handed to one vectored write.
const SLICES: usize = 64;

/// Bytes that one step of a session appends, except statistics and dumps: 16 copied values and
/// their lines.
const STEP: usize = 16 * (crate::store::INLINE_COPY_MAX + 512);

/// Fewest bytes that an open slot counts as. So the limit of an output also limits its slots.
const SLOT: usize = 64;

/// Names a reply slot. A worker gives each name to one slot, so a late reply never reaches another
/// slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId {
    /// The connection's number in its worker. A later connection may have the same number.
    pub client: usize,
    /// Counts the slots of a worker, from 1.
    pub serial: u64,
}

/// A part of the stream that is not in `bytes`.
struct Insert {
    /// Offset in `bytes` before which the part goes; `head <= at <= bytes.len()`. Ascending.
    at: usize,
    /// Serial number of the last slot up to this insert, this one included. Ascending.
    serial: u64,
    part: Part,
}

enum Part {
    /// A pinned value, and the number of its bytes that were sent.
    Value(PinnedValue, usize),
    /// A slot without a reply. It counts as this many bytes.
    Open(usize),
    /// A slot with its reply, which has no open slots.
    Filled(Box<Output>),
    /// A slot with its reply, whose unsent bytes these are in `replies`.
    Reply(Range<usize>),
}

impl Part {
    /// Returns the number of unsent bytes.
    fn len(&self) -> usize {
        match self {
            Self::Value(value, sent) => value.len() - sent,
            Self::Open(reserved) => *reserved,
            Self::Filled(reply) => reply.len(),
            Self::Reply(range) => range.len(),
        }
    }

    /// Returns the bytes of memory that a slot holds, or will hold, beside `replies`.
    fn held(&self) -> usize {
        match self {
            Self::Value(..) | Self::Reply(_) => 0,
            Self::Open(reserved) => *reserved,
            Self::Filled(reply) => reply.held(),
        }
    }
}

/// A stream of bytes to send, some of them pinned in the store, and some of them not known yet.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were sent.
    head: usize,
    inserts: VecDeque<Insert>,
    /// The bytes of replies that filled slots.
    replies: Vec<u8>,
    /// Sum of [`Part::len`] of the inserts.
    inserted: usize,
    /// Sum of [`Part::held`] of the inserts.
    slots: usize,
    /// Number of open slots.
    open: usize,
}

opaque_debug!(Output);

impl Output {
    /// Returns an empty output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the buffer that encoders append to.
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Reserves memory for the output of one step of a session. Returns `false` if there is none.
    #[inline]
    pub fn make_room(&mut self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= STEP || self.bytes.try_reserve(STEP).is_ok()
    }

    /// Appends bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a pinned value. It is unpinned when its last byte is sent.
    pub fn pin(&mut self, value: PinnedValue) {
        let serial = self.inserts.back().map_or(0, |last| last.serial);
        self.insert(serial, Part::Value(value, 0));
    }

    /// Appends an open slot. It counts as `reserved` bytes until it is filled, with more bytes or
    /// with fewer. The serial numbers of an output's slots ascend.
    pub fn open_slot(&mut self, slot: SlotId, reserved: usize) {
        self.open += 1;
        self.insert(slot.serial, Part::Open(reserved.max(SLOT)));
    }

    fn insert(&mut self, serial: u64, part: Part) {
        self.inserted += part.len();
        self.slots += part.held();
        self.inserts.push_back(Insert { at: self.bytes.len(), serial, part });
    }

    /// Fills a slot with its reply, which may be empty and has no open slots. Returns `false`, and
    /// drops the reply, if the slot is not open here.
    pub fn fill(&mut self, slot: SlotId, reply: Self) -> bool {
        debug_assert_eq!(reply.open, 0);
        self.fill_with(slot, |_| Part::Filled(Box::new(reply)))
    }

    /// Fills a slot with a copy of its reply, as [`Output::fill`] does.
    pub fn fill_from(&mut self, slot: SlotId, reply: &[u8]) -> bool {
        self.fill_with(slot, |replies| {
            let start = replies.len();
            replies.extend_from_slice(reply);
            Part::Reply(start..replies.len())
        })
    }

    fn fill_with(&mut self, slot: SlotId, make: impl FnOnce(&mut Vec<u8>) -> Part) -> bool {
        // A value behind the slot has the slot's serial number, too.
        let index = self.inserts.partition_point(|insert| insert.serial < slot.serial);
        let Some(Insert { serial, part, .. }) = self.inserts.get_mut(index) else { return false };
        if *serial != slot.serial || !matches!(part, Part::Open(_)) {
            return false;
        }
        let open = std::mem::replace(part, make(&mut self.replies));
        self.inserted += part.len();
        self.slots += part.held();
        self.removed(&open);
        // Removes an empty reply that is next.
        self.consume(0);
        true
    }

    /// Returns the number of open slots.
    #[inline]
    pub fn open_slots(&self) -> usize {
        self.open
    }

    /// Returns whether nothing can be sent before a slot is filled.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.inserts.front().is_some_and(|next| next.at == self.head && matches!(next.part, Part::Open(_)))
    }

    /// Returns the number of unsent bytes. An open slot counts as the bytes that it reserves.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.head + self.inserted
    }

    /// Returns whether everything was sent and no slot is open.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of heap that this output holds, beside pinned values. An open slot counts
    /// as the bytes that it reserves.
    pub fn held(&self) -> usize {
        self.bytes.capacity() + self.replies.capacity() + self.slots
    }

    /// Returns a position for [`Output::rewind`].
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), inserts: self.inserts.len() }
    }

    /// Returns whether anything was appended since `mark`.
    pub fn grew_since(&self, mark: &Mark) -> bool {
        self.bytes.len() > mark.bytes || self.inserts.len() > mark.inserts
    }

    /// Returns whether a slot was opened since `mark`.
    pub fn opened_since(&self, mark: &Mark) -> bool {
        self.inserts.iter().skip(mark.inserts).any(|insert| matches!(insert.part, Part::Open(_)))
    }

    /// Returns the encoded bytes appended since `mark`, without pinned values.
    pub fn since(&self, mark: &Mark) -> &[u8] {
        self.bytes.get(mark.bytes..).unwrap_or_default()
    }

    /// Removes what was appended since `mark`. Nothing may have been sent since.
    pub fn rewind(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        while self.inserts.len() > mark.inserts
            && let Some(insert) = self.inserts.pop_back()
        {
            self.removed(&insert.part);
        }
    }

    /// Takes out what was appended since `mark`. Nothing may have been sent since.
    pub fn split_off(&mut self, mark: &Mark) -> Self {
        let mut taken = Self { bytes: self.since(mark).to_vec(), ..Self::default() };
        self.bytes.truncate(mark.bytes);
        for mut insert in self.inserts.drain(mark.inserts.min(self.inserts.len())..) {
            if let Part::Reply(range) = &mut insert.part {
                let start = taken.replies.len();
                taken.replies.extend_from_slice(self.replies.get(range.clone()).unwrap_or_default());
                *range = start..taken.replies.len();
            }
            taken.inserted += insert.part.len();
            taken.slots += insert.part.held();
            taken.open += usize::from(matches!(insert.part, Part::Open(_)));
            taken.inserts.push_back(Insert { at: insert.at - mark.bytes, ..insert });
        }
        self.inserted -= taken.inserted;
        self.slots -= taken.slots;
        self.open -= taken.open;
        taken
    }

    /// Keeps the first `len` bytes of [`Output::len`] and the open slots among them. A value that
    /// is cut is copied: this is not for a hot path.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let (mut left, mut from) = (len, self.head);
        let mut kept = 0;
        for insert in &mut self.inserts {
            let plain = insert.at - from;
            if left < plain {
                break;
            }
            left -= plain;
            from = insert.at;
            let part = insert.part.len();
            match &mut insert.part {
                Part::Filled(reply) => reply.truncate(left),
                Part::Reply(range) => range.end = range.end.min(range.start.saturating_add(left)),
                Part::Value(value, sent) if left < part => {
                    let mut copy = Self::new();
                    for slice in unsent(value, *sent) {
                        copy.push(first(slice, left - copy.len()));
                    }
                    insert.part = Part::Filled(Box::new(copy));
                }
                Part::Value(..) | Part::Open(_) => {}
            }
            left = left.saturating_sub(part);
            kept += 1;
        }
        self.bytes.truncate(from.saturating_add(left));
        self.inserts.truncate(kept);
        self.inserted = self.inserts.iter().map(|insert| insert.part.len()).sum();
        self.slots = self.inserts.iter().map(|insert| insert.part.held()).sum();
        self.open = self.inserts.iter().filter(|insert| matches!(insert.part, Part::Open(_))).count();
        self.consume(0);
    }

    /// Moves the unsent output to another one, which is empty. A small rest is copied, so that it
    /// does not keep a large buffer.
    pub fn move_to(&mut self, to: &mut Self) {
        debug_assert!(to.is_empty());
        std::mem::swap(self, to);
        if to.bytes.len() - to.head <= to.bytes.capacity() / 2 {
            self.bytes.extend_from_slice(to.bytes.get(to.head..).unwrap_or_default());
            to.inserts.iter_mut().for_each(|insert| insert.at -= to.head);
            to.head = 0;
            std::mem::swap(&mut self.bytes, &mut to.bytes);
            self.bytes.clear();
        }
    }

    /// Frees memory of the replies of an empty output above `keep` bytes.
    pub fn shrink_replies(&mut self, keep: usize) {
        debug_assert!(self.inserts.is_empty());
        self.replies.shrink_to(keep);
    }

    /// Returns the bytes of memory of an empty output.
    pub fn memory(&self) -> usize {
        self.held() + self.inserts.capacity() * size_of::<Insert>()
    }

    /// Removes everything and frees memory above `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.head = 0;
        self.inserts.clear();
        self.replies.clear();
        self.replies.shrink_to(keep);
        (self.inserted, self.slots, self.open) = (0, 0, 0);
    }

    /// Writes as much as possible to `sink` in one vectored write, up to the first open slot.
    /// Returns the number of bytes written.
    ///
    /// # Errors
    /// Errors of the sink, `WouldBlock` included.
    pub fn write_to(&mut self, sink: &mut impl Write) -> io::Result<usize> {
        self.write_some(sink, usize::MAX)
    }

    /// Like [`Output::write_to`], for at most `most` bytes.
    ///
    /// # Errors
    /// Errors of the sink, `WouldBlock` included.
    pub fn write_some(&mut self, sink: &mut impl Write, most: usize) -> io::Result<usize> {
        if self.inserts.is_empty() {
            let bytes = &self.bytes[self.head..];
            let n = sink.write(&bytes[..bytes.len().min(most)])?;
            self.consume(n);
            return Ok(n);
        }
        let mut slices = Slices { list: std::array::from_fn(|_| IoSlice::new(&[])), used: 0, left: most };
        self.gather(&mut slices);
        let n = match slices.list.get(..slices.used).unwrap_or_default() {
            [only] => sink.write(only)?,
            several => sink.write_vectored(several)?,
        };
        self.consume(n);
        Ok(n)
    }

    /// Appends the unsent bytes up to the first open slot.
    fn gather<'a>(&'a self, to: &mut Slices<'a>) {
        let mut from = self.head;
        // Replies that follow each other here and there.
        let mut run = 0..0;
        for insert in &self.inserts {
            if insert.at > from || !matches!(&insert.part, Part::Reply(next) if next.start == run.end) {
                to.add(self.replies.get(std::mem::take(&mut run)).unwrap_or_default());
            }
            to.add(self.bytes.get(from..insert.at).unwrap_or_default());
            from = insert.at;
            if to.used == SLICES {
                return;
            }
            match &insert.part {
                Part::Value(value, sent) => unsent(value, *sent).for_each(|slice| to.add(slice)),
                Part::Filled(reply) => reply.gather(to),
                Part::Reply(range) if run.is_empty() => run = range.clone(),
                Part::Reply(range) => run.end = range.end,
                Part::Open(_) => return,
            }
        }
        to.add(self.replies.get(run).unwrap_or_default());
        to.add(self.bytes.get(from..).unwrap_or_default());
    }

    /// Marks `n` bytes as sent.
    fn consume(&mut self, mut n: usize) {
        while let Some(insert) = self.inserts.front_mut() {
            let plain = n.min(insert.at - self.head);
            self.head += plain;
            n -= plain;
            if self.head < insert.at {
                return;
            }
            let part = n.min(insert.part.len());
            match &mut insert.part {
                Part::Value(_, sent) => *sent += part,
                Part::Filled(reply) => {
                    self.slots -= reply.held();
                    reply.consume(part);
                    self.slots += reply.held();
                }
                Part::Reply(range) => range.start += part,
                Part::Open(_) => return,
            }
            self.inserted -= part;
            n -= part;
            if insert.part.len() > 0 {
                return;
            }
            self.slots -= insert.part.held();
            self.inserts.pop_front();
        }
        self.replies.clear();
        self.head += n;
        debug_assert!(self.head <= self.bytes.len());
        if self.head == self.bytes.len() {
            self.head = 0;
            self.bytes.clear();
        }
    }

    /// Counts a part that is no longer here.
    fn removed(&mut self, part: &Part) {
        self.inserted -= part.len();
        self.slots -= part.held();
        self.open -= usize::from(matches!(part, Part::Open(_)));
    }
}

/// The slices of one vectored write.
struct Slices<'a> {
    list: [IoSlice<'a>; SLICES],
    used: usize,
    /// Bytes that may still be added.
    left: usize,
}

impl<'a> Slices<'a> {
    fn add(&mut self, slice: &'a [u8]) {
        let slice = first(slice, self.left);
        if let Some(next) = self.list.get_mut(self.used)
            && !slice.is_empty()
        {
            self.left -= slice.len();
            *next = IoSlice::new(slice);
            self.used += 1;
        }
    }
}

/// Returns the bytes of `value` behind the first `sent`.
fn unsent(value: &PinnedValue, sent: usize) -> impl Iterator<Item = &[u8]> {
    let mut skip = sent;
    value.slices().map(move |slice| {
        let cut = skip.min(slice.len());
        skip -= cut;
        slice.get(cut..).unwrap_or_default()
    })
}

/// Returns the first `most` bytes of `slice`.
fn first(slice: &[u8], most: usize) -> &[u8] {
    &slice[..slice.len().min(most)]
}

/// A position in an [`Output`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    inserts: usize,
}

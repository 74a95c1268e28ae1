//! The unsent output of a connection: encoded bytes, and between them large values that are pinned
//! in the store in place of being copied.
//!
//! ```text
//!   bytes   | VALUE a 0 9\r\n........\r\n VALUE b 0 100000\r\n | \r\nEND\r\n |
//!   pins                                                  ^ at
//!   stream    bytes[..at]                  value of b       bytes[at..]
//! ```
//!
//! The encoders append. The owner of the socket calls [`Output::write_to`], which makes one
//! vectored write. This module does not use sockets.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use crate::store::PinnedValue;

/// Most slices handed to one vectored write.
const SLICES: usize = 64;

/// Bytes that one step of a session appends, except statistics and dumps: 16 copied values and
/// their lines.
const STEP: usize = 16 * (crate::store::INLINE_COPY_MAX + 512);

struct Pin {
    /// Offset in `bytes` before which the value goes; `head <= at <= bytes.len()`.
    at: usize,
    value: PinnedValue,
    /// Bytes of the value that were sent.
    sent: usize,
}

/// A stream of bytes to send, some of them pinned in the store.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were sent.
    head: usize,
    pins: VecDeque<Pin>,
    /// Unsent bytes of pinned values.
    pinned: usize,
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
        self.pinned += value.len();
        self.pins.push_back(Pin { at: self.bytes.len(), value, sent: 0 });
    }

    /// Returns the number of unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.head + self.pinned
    }

    /// Returns whether everything was sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of heap that this output holds when idle.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns a position for [`Output::rewind`].
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), pins: self.pins.len() }
    }

    /// Returns whether bytes or values were appended since `mark`.
    pub fn grew_since(&self, mark: &Mark) -> bool {
        self.bytes.len() > mark.bytes || self.pins.len() > mark.pins
    }

    /// Returns the encoded bytes appended since `mark`, without pinned values.
    pub fn since(&self, mark: &Mark) -> &[u8] {
        self.bytes.get(mark.bytes..).unwrap_or_default()
    }

    /// Removes what was appended since `mark`. Nothing may have been sent since.
    pub fn rewind(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        while self.pins.len() > mark.pins {
            if let Some(pin) = self.pins.pop_back() {
                self.pinned -= pin.value.len() - pin.sent;
            }
        }
    }

    /// Keeps the first `len` unsent bytes. Copies pinned values: this is not for a hot path.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let mut kept = vec![0; len];
        let mut to = kept.as_mut_slice();
        while !to.is_empty() && self.write_to(&mut to).is_ok_and(|n| n > 0) {}
        *self = Self { bytes: kept, ..Self::default() };
    }

    /// Takes the unsent output out. A small rest is copied, so that it does not keep a large
    /// buffer.
    pub fn take(&mut self) -> Self {
        let rest = self.bytes.len() - self.head;
        if rest > self.bytes.capacity() / 2 {
            return std::mem::take(self);
        }
        let mut pins = std::mem::take(&mut self.pins);
        pins.iter_mut().for_each(|pin| pin.at -= self.head);
        let taken = Self {
            bytes: self.bytes.get(self.head..).unwrap_or_default().to_vec(),
            head: 0,
            pins,
            pinned: std::mem::take(&mut self.pinned),
        };
        self.bytes.clear();
        self.head = 0;
        taken
    }

    /// Removes everything and frees memory above `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.head = 0;
        self.pins.clear();
        self.pinned = 0;
    }

    /// Writes as much as possible to `sink` in one vectored write. Returns the number of bytes
    /// written.
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
    pub fn write_some(&mut self, sink: &mut impl Write, mut most: usize) -> io::Result<usize> {
        if self.pins.is_empty() {
            let bytes = &self.bytes[self.head..];
            let n = sink.write(&bytes[..bytes.len().min(most)])?;
            self.consume(n);
            return Ok(n);
        }
        let mut slices: [IoSlice<'_>; SLICES] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        let mut from = self.head;
        let mut add = |slice| {
            let slice = first(slice, most);
            if used < SLICES && !slice.is_empty() {
                most -= slice.len();
                slices[used] = IoSlice::new(slice);
                used += 1;
            }
        };
        // Each is at least one slice, so there is no room for further ones.
        for pin in self.pins.iter().take(SLICES) {
            if from < pin.at {
                add(&self.bytes[from..pin.at]);
                from = pin.at;
            }
            let mut skip = pin.sent;
            for slice in pin.value.slices() {
                let cut = skip.min(slice.len());
                skip -= cut;
                if cut < slice.len() {
                    add(&slice[cut..]);
                }
            }
        }
        if from < self.bytes.len() {
            add(&self.bytes[from..]);
        }
        let n = sink.write_vectored(&slices[..used])?;
        self.consume(n);
        Ok(n)
    }

    /// Marks `n` bytes as sent.
    fn consume(&mut self, mut n: usize) {
        while let Some(pin) = self.pins.front_mut() {
            let plain = n.min(pin.at - self.head);
            self.head += plain;
            n -= plain;
            if self.head < pin.at {
                return;
            }
            let part = n.min(pin.value.len() - pin.sent);
            pin.sent += part;
            self.pinned -= part;
            n -= part;
            if pin.sent < pin.value.len() {
                return;
            }
            self.pins.pop_front();
        }
        self.head += n;
        debug_assert!(self.head <= self.bytes.len());
        if self.head == self.bytes.len() {
            self.head = 0;
            self.bytes.clear();
        }
    }
}

/// Returns the first `most` bytes of `slice`.
fn first(slice: &[u8], most: usize) -> &[u8] {
    &slice[..slice.len().min(most)]
}

/// A position in an [`Output`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    pins: usize,
}

//! Input bytes between a socket and a session.
//!
//! A worker owns one [`Input`], the scratch buffer that all its connections read into. A connection
//! owns a [`Leftover`]. It holds memory only while a command is partial, or while whole commands
//! wait for the connection's next turn.
//!
//! ```text
//!   buf  | consumed | not yet used | space to read into |
//!        0        start           end                buf.len()
//! ```
//!
//! A leftover that waits for more input is an exact copy, because it may wait for long. A leftover
//! that waits for its turn is the scratch buffer itself, handed over. It comes back at once, and
//! copying it twice would cost more than the commands in it.

/// Size of the scratch buffer: the most that one read takes. No session waits for a longer partial
/// command.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// Scratch buffers kept for the next hand-over.
const SPARES: usize = 16;

/// A worker's read buffer. `start <= end <= SCRATCH`.
pub(crate) struct Input {
    /// [`SCRATCH`] bytes.
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// Each of [`SCRATCH`] bytes.
    spares: Vec<Box<[u8]>>,
}

/// Unused input of a connection. Takes no memory while empty.
#[derive(Default)]
pub(crate) struct Leftover {
    buf: Box<[u8]>,
    /// `start <= end <= buf.len() <= SCRATCH`
    start: u32,
    end: u32,
}

impl Leftover {
    /// Returns whether there is no unused input.
    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Returns the bytes of memory held.
    pub(crate) fn held(&self) -> usize {
        self.buf.len()
    }
}

impl Input {
    /// Returns an empty scratch buffer.
    pub(crate) fn new() -> Self {
        Self { buf: scratch(), start: 0, end: 0, spares: Vec::new() }
    }

    /// Returns the received bytes that are not used.
    #[inline]
    pub(crate) fn unused(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns whether every byte is used.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Marks `n` bytes as used.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Moves unused bytes to the front and returns the space behind them.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            if self.start < self.end {
                self.buf.copy_within(self.start..self.end, 0);
            }
            self.end -= self.start;
            self.start = 0;
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts `n` bytes that the caller has read into [`Input::space`].
    #[inline]
    pub(crate) fn filled(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buf.len());
    }

    /// Returns whether unused bytes leave no room to read into.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start >= self.buf.len()
    }

    /// Takes the leftover of a connection. Every byte before it must be used.
    pub(crate) fn load(&mut self, from: &mut Leftover) {
        debug_assert!(self.is_empty());
        (self.start, self.end) = (0, 0);
        if from.buf.is_empty() {
            return;
        }
        let (start, end) = (from.start as usize, from.end as usize);
        let buf = std::mem::take(&mut from.buf);
        (from.start, from.end) = (0, 0);
        if buf.len() == SCRATCH {
            let old = std::mem::replace(&mut self.buf, buf);
            if self.spares.len() < SPARES {
                self.spares.push(old);
            }
            (self.start, self.end) = (start, end);
        } else if let (Some(bytes), Some(front)) = (buf.get(start..end), self.buf.get_mut(..end - start)) {
            front.copy_from_slice(bytes);
            self.end = end - start;
        }
    }

    /// Moves the unused bytes to the connection. With `soon`, they come back without waiting for
    /// input. Returns `false` if there is no memory.
    #[must_use]
    pub(crate) fn save(&mut self, to: &mut Leftover, soon: bool) -> bool {
        let len = self.end - self.start;
        if len == 0 {
            self.clear();
            return true;
        }
        // Below 1 KiB, a copy is cheaper than an exchange of buffers.
        if soon && len > 1024 {
            let Some(next) = self.spares.pop().or_else(|| allocated(&[], SCRATCH)) else { return false };
            to.buf = std::mem::replace(&mut self.buf, next);
            (to.start, to.end) = (self.start as u32, self.end as u32);
        } else {
            let Some(copy) = allocated(self.unused(), len) else { return false };
            to.buf = copy;
            (to.start, to.end) = (0, len as u32);
        }
        self.clear();
        true
    }

    /// Removes all bytes.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// Allocates `len` bytes that begin with `bytes`. Returns `None` if there is no memory.
pub(crate) fn allocated(bytes: &[u8], len: usize) -> Option<Box<[u8]>> {
    let mut made = Vec::new();
    made.try_reserve_exact(len).ok()?;
    made.extend_from_slice(bytes);
    made.resize(len, 0);
    Some(made.into_boxed_slice())
}

fn scratch() -> Box<[u8]> {
    vec![0; SCRATCH].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(input: &mut Input, bytes: &[u8]) {
        let space = input.space();
        space[..bytes.len()].copy_from_slice(bytes);
        input.filled(bytes.len());
    }

    #[test]
    fn a_partial_command_comes_back_in_front() {
        let (mut input, mut left) = (Input::new(), Leftover::default());
        feed(&mut input, b"version\r\nvers");
        input.consume(9);
        assert!(input.save(&mut left, false));
        assert_eq!(left.held(), 4);
        assert!(input.is_empty());
        input.load(&mut left);
        assert!(left.is_empty());
        feed(&mut input, b"ion\r\n");
        assert_eq!(input.unused(), b"version\r\n");
    }

    #[test]
    fn commands_that_wait_for_a_turn_are_not_copied() {
        let (mut input, mut left) = (Input::new(), Leftover::default());
        feed(&mut input, &vec![b'x'; SCRATCH]);
        input.consume(1000);
        let at = input.unused().as_ptr();
        assert!(input.save(&mut left, true));
        assert_eq!(left.held(), SCRATCH);
        input.load(&mut left);
        assert_eq!(input.unused().as_ptr(), at);
        assert_eq!(input.unused().len(), SCRATCH - 1000);
    }

    #[test]
    fn what_waits_for_input_is_an_exact_copy() {
        let (mut input, mut left) = (Input::new(), Leftover::default());
        feed(&mut input, &vec![b'x'; SCRATCH]);
        assert!(input.is_full());
        input.consume(SCRATCH - 20_000);
        assert!(!input.is_full());
        assert!(input.save(&mut left, false));
        assert_eq!(left.held(), 20_000);
        input.load(&mut left);
        assert_eq!((input.unused().len(), left.held()), (20_000, 0));
    }
}

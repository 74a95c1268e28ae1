//! What one visit to a client may cost before the others have their turn.
//!
//! There is one budget for every kind of work, and whatever does the work charges it: the session its
//! commands, keys and listings, the connection and the UDP socket the bytes that they read and send.
//! Commands are counted; all else is counted in bytes that are moved, or in so many bytes as take about as
//! long. The clock has the last word, since not all bytes cost the same.
//!
//! The clock is read after large pieces of work and after every few commands only: a visit to a client that
//! sends a command and waits does not read it.

use std::time::{Duration, Instant};

/// Bytes that a turn may move.
pub const WORK: usize = 256 * 1024;

/// Time of a turn, from the first look at the clock on.
const TIME: Duration = Duration::from_micros(250);

/// Least that one write is offered, whatever is left of the turn.
const LEAST_WRITE: usize = 64 * 1024;

/// Work that is worth a look at the clock, in bytes.
const LARGE: usize = 16 * 1024;

/// Commands between two looks at the clock. A power of two.
const COMMANDS: usize = 16;

/// What is left of a visit.
#[derive(Debug)]
pub struct Turn {
    /// Commands at the beginning, and now.
    given: usize,
    commands: usize,
    /// Bytes that may still be moved; at most [`WORK`].
    work: usize,
    /// When it is over; `None` before the first look at the clock.
    ends: Option<Instant>,
}

impl Turn {
    /// A turn of at most `commands` commands.
    #[inline]
    pub fn new(commands: usize) -> Self {
        Self { given: commands, commands, work: WORK, ends: None }
    }

    /// Charges a command.
    #[inline]
    pub fn command(&mut self) {
        self.commands = self.commands.saturating_sub(1);
        if self.commands.is_multiple_of(COMMANDS) {
            self.look();
        }
    }

    /// Takes the charge of a command back that is not there yet.
    pub fn no_command(&mut self) {
        self.commands = self.given.min(self.commands.saturating_add(1));
    }

    /// Charges work that takes about as long as moving so many bytes.
    #[inline]
    pub fn spend(&mut self, bytes: usize) {
        self.work = self.work.saturating_sub(bytes);
        if bytes >= LARGE {
            self.look();
        }
    }

    /// Ends the turn: what was done costs as much as a whole one.
    pub fn end(&mut self) {
        self.work = 0;
    }

    /// Bytes that the next write may take.
    #[inline]
    pub fn write_share(&self) -> usize {
        self.work.max(LEAST_WRITE)
    }

    /// Whether it is the others' turn.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.work == 0 || self.commands == 0
    }

    /// Whether enough was done for a look at the clock.
    #[inline]
    pub fn was_long(&self) -> bool {
        self.given - self.commands >= COMMANDS || WORK - self.work >= LARGE
    }

    /// Whether a command was carried out.
    #[inline]
    pub fn has_served(&self) -> bool {
        self.commands < self.given
    }

    /// Looks at the clock: work was done whose length is not known.
    #[cold]
    pub fn look(&mut self) {
        let now = Instant::now();
        if now >= *self.ends.get_or_insert_with(|| now + TIME) {
            self.work = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_bytes_end_a_turn() {
        let mut turn = Turn::new(2);
        turn.command();
        assert!(!turn.is_over() && turn.has_served());
        turn.command();
        assert!(turn.is_over());
        let mut turn = Turn::new(2);
        turn.spend(WORK - 1);
        turn.spend(1);
        assert!(turn.is_over() && !turn.has_served());
        assert_eq!(turn.write_share(), LEAST_WRITE);
    }

    #[test]
    fn many_commands_or_bytes_make_a_turn_long() {
        let mut turn = Turn::new(256);
        (1..COMMANDS).for_each(|_| turn.command());
        turn.spend(LARGE - 1);
        assert!(!turn.was_long());
        turn.command();
        assert!(turn.was_long());
        let mut turn = Turn::new(256);
        turn.spend(LARGE);
        assert!(turn.was_long());
    }

    #[test]
    fn what_is_no_command_is_not_charged() {
        let mut turn = Turn::new(1);
        turn.command();
        turn.no_command();
        assert!(!turn.is_over() && !turn.has_served());
        turn.no_command();
        turn.command();
        assert!(turn.is_over());
    }
}

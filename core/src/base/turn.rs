//! The budget of one visit to a client.
//!
//! All kinds of work share one budget, and each place that does work charges it. The session
//! charges commands, keys and listings. The connection and the UDP socket charge the bytes that
//! they read and send.
//!
//! Commands are counted. Other work is counted in moved bytes, or in the bytes whose moving takes
//! about as long. The clock decides in the end, because not all bytes cost the same.
//!
//! The clock is read only after large pieces of work and after every few commands. A visit to a
//! client that sends a command and waits does not read it.
//!
//! A visit of at least 16 commands or 16 KiB was long. The next visit to its client waits on the
//! worker's ready list.

use std::time::{Duration, Instant};

/// Bytes that a turn may move.
pub const WORK: usize = 256 * 1024;

/// Time of a turn, from the first check of the clock on.
const TIME: Duration = Duration::from_micros(250);

/// Least bytes that one write is offered, even at the end of a turn.
const LEAST_WRITE: usize = 64 * 1024;

/// Work, in bytes, after which the clock is read.
const LARGE: usize = 16 * 1024;

/// Commands between two checks of the clock. A power of two.
const COMMANDS: usize = 16;

/// The rest of a visit's budget.
#[derive(Debug)]
pub struct Turn {
    /// Commands at the beginning, and now.
    given: usize,
    commands: usize,
    /// Bytes that may still be moved; at most [`WORK`].
    work: usize,
    /// The end of the turn. `None` before the first check of the clock.
    ends: Option<Instant>,
}

impl Turn {
    /// Returns a turn of at most `commands` commands.
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

    /// Takes back the charge of a command that is incomplete.
    pub fn no_command(&mut self) {
        self.commands = self.given.min(self.commands.saturating_add(1));
    }

    /// Charges work that takes about as long as moving `bytes` bytes.
    #[inline]
    pub fn spend(&mut self, bytes: usize) {
        self.work = self.work.saturating_sub(bytes);
        if bytes >= LARGE {
            self.look();
        }
    }

    /// Ends the turn, after work that costs as much as a whole one.
    pub fn end(&mut self) {
        self.work = 0;
    }

    /// Returns the bytes that the next write may take.
    #[inline]
    pub fn write_share(&self) -> usize {
        self.work.max(LEAST_WRITE)
    }

    /// Returns whether the turn is over.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.work == 0 || self.commands == 0
    }

    /// Returns whether the visit carried out `COMMANDS` commands or `LARGE` bytes of work.
    #[inline]
    pub fn was_long(&self) -> bool {
        self.given - self.commands >= COMMANDS || WORK - self.work >= LARGE
    }

    /// Returns whether a command was carried out.
    #[inline]
    pub fn has_served(&self) -> bool {
        self.commands < self.given
    }

    /// Reads the clock after work of unknown length.
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

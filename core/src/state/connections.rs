//! The table of open connections behind `stats conns`, and the states with memcached's names.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The state of a connection, with memcached's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnState {
    /// A listening socket.
    Listening = 1,
    /// Waiting for a command.
    Read = 2,
    /// A command is being carried out.
    ParseCmd = 3,
    /// Waiting for the rest of a value.
    Nread = 4,
    /// Discarding a refused value.
    Swallow = 5,
    /// Waiting for the client to read.
    Mwrite = 6,
    /// A watcher.
    Watch = 7,
    /// A command is done. This one and the next three are logged at `-vvv` and never shown.
    NewCmd = 8,
    /// About to wait for a command.
    Waiting = 9,
    /// About to be closed.
    Closing = 10,
    /// Closed.
    Closed = 11,
    /// Waiting for replies that come later.
    IoPending = 12,
}

impl ConnState {
    /// Returns memcached's name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Listening => "conn_listening",
            Self::Read => "conn_read",
            Self::ParseCmd => "conn_parse_cmd",
            Self::Nread => "conn_nread",
            Self::Swallow => "conn_swallow",
            Self::Mwrite => "conn_mwrite",
            Self::Watch => "conn_watch",
            Self::NewCmd => "conn_new_cmd",
            Self::Waiting => "conn_waiting",
            Self::Closing => "conn_closing",
            Self::Closed => "conn_closed",
            Self::IoPending => "conn_io_pending",
        }
    }

    fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            1 => Self::Listening,
            2 => Self::Read,
            3 => Self::ParseCmd,
            4 => Self::Nread,
            5 => Self::Swallow,
            6 => Self::Mwrite,
            7 => Self::Watch,
            12 => Self::IoPending,
            _ => return None,
        })
    }
}

const BLOCK: usize = 1024;

/// State and last use of every open descriptor of a server, for `stats conns`.
///
/// A word for each descriptor: `state << 32 | second of the last command`; 0 is closed. The owner
/// of the descriptor writes it, and any thread reads it.
#[derive(Debug)]
pub struct ConnectionTable {
    blocks: Vec<OnceLock<Box<[AtomicU64; BLOCK]>>>,
    highest: AtomicU32,
}

impl Default for ConnectionTable {
    fn default() -> Self {
        Self { blocks: (0..BLOCK).map(|_| OnceLock::new()).collect(), highest: AtomicU32::new(0) }
    }
}

impl ConnectionTable {
    fn slot(&self, fd: i32) -> Option<&AtomicU64> {
        let fd = usize::try_from(fd).ok()?;
        let block = self.blocks.get(fd / BLOCK)?;
        let block = block.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BLOCK]));
        block.get(fd % BLOCK)
    }

    /// Records the state of `fd`, and `now` as the time of its last command.
    pub fn set(&self, fd: i32, state: ConnState, now: u32) {
        if let Some(slot) = self.slot(fd) {
            slot.store((state as u64) << 32 | u64::from(now), Relaxed);
            if self.highest.load(Relaxed) < fd as u32 {
                self.highest.fetch_max(fd as u32, Relaxed);
            }
        }
    }

    /// Records that `fd` is closed. Call before closing it.
    pub fn clear(&self, fd: i32) {
        if let Some(slot) = self.slot(fd) {
            slot.store(0, Relaxed);
        }
    }

    /// Iterates over open descriptors from `first` on, in ascending order, with state and time of
    /// the last command.
    pub fn iter(&self, first: i32) -> impl Iterator<Item = (i32, ConnState, u32)> + '_ {
        let highest = self.highest.load(Relaxed) as i32;
        (first..=highest).filter_map(|fd| {
            let block = self.blocks.get(fd as usize / BLOCK)?.get()?;
            let word = block.get(fd as usize % BLOCK)?.load(Relaxed);
            Some((fd, ConnState::from_bits(word >> 32)?, word as u32))
        })
    }
}

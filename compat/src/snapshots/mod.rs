//! Checks that snapshots keep what a cache held.
//!
//! `value` makes values that describe themselves. `model` records what each key may hold. `stress`
//! saves and loads a cache that threads use and disturb. `kill_save` kills processes that save.
//! `kill_server` kills or stops servers under the load of each `client`, and compares what they
//! load with what they had answered.

pub mod client;
pub mod kill_save;
pub mod kill_server;
pub mod model;
pub mod stress;
pub mod value;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{fs, process};

use crate::Outcome;

/// When a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this number of rounds.
    Rounds(u64),
    /// At the end of the round in which this time is over.
    Time(Duration),
}

impl Length {
    /// Returns whether a check that began at `began` and made `rounds` rounds goes on.
    pub fn goes_on(self, rounds: u64, began: Instant) -> bool {
        match self {
            Self::Rounds(most) => rounds < most,
            Self::Time(time) => began.elapsed() < time,
        }
    }
}

/// A new directory, which is removed at the end.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Creates a directory in `parent`.
    ///
    /// # Errors
    /// The system's.
    pub fn create(parent: &Path, name: &str) -> Outcome<Self> {
        /// Two checks of one process may run at the same time.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = parent.join(format!("mcrs-{name}-{}-{number}", process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns the path of a file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A file that stays does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

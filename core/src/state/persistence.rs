//! The state of a server's snapshot: requests, the work under way, and the outcome of the last.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::base::sync::{Condvar, Mutex};
use crate::config::{ServerConfig, SnapshotWork};
use crate::persist::{Loaded, Saved};

/// The state of a server's snapshot. Any thread may use it; one thread saves and loads.
#[derive(Debug)]
pub struct Persistence {
    file: PathBuf,
    shared: Mutex<Shared>,
    changed: Condvar,
    aborted: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    status: Status,
    /// A save was asked for.
    wanted: bool,
    /// The server stops.
    ending: bool,
}

/// How a save ended.
#[derive(Clone, Copy, Debug)]
pub struct LastSave {
    /// Time of its end, in seconds since 1970.
    pub at: i64,
    /// Its counts, or `None` if it failed.
    pub saved: Option<Saved>,
}

/// The work under way, and the outcome of the last save and of the load.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The work under way.
    pub work: Option<SnapshotWork>,
    /// The last save.
    pub last: Option<LastSave>,
    /// Number of saves that ended well.
    pub saves: u64,
    /// Number of saves that failed or were interrupted.
    pub failures: u64,
    /// The outcome of the load at start.
    pub loaded: Option<Loaded>,
}

/// The next thing that the thread of the snapshot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It saves.
    Save,
    /// It saves for the last time, because the server stops.
    End,
}

impl Persistence {
    /// Returns the state for the file that the settings name, or `None` if they name none.
    pub(super) fn new(config: &ServerConfig) -> Option<Self> {
        let file = config.persist.as_ref().or(config.memory_file.as_ref())?;
        Some(Self {
            file: file.clone(),
            shared: Mutex::new(Shared {
                // A lazy load begins after the server does.
                status: Status {
                    work: config.persist_lazy.then_some(SnapshotWork::Load),
                    ..Status::default()
                },
                ..Shared::default()
            }),
            changed: Condvar::default(),
            aborted: AtomicBool::default(),
        })
    }

    /// Returns the file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Asks for a save in the background. Returns `false` if one is under way or was asked for.
    pub fn request(&self) -> bool {
        let mut shared = self.shared.lock();
        let idle = !shared.wanted && !shared.ending && shared.status.work.is_none();
        shared.wanted |= idle;
        drop(shared);
        self.changed.notify_all();
        idle
    }

    /// Interrupts the save that is under way, also the last one. The file stays as it is.
    pub fn abort(&self) {
        self.aborted.store(true, Relaxed);
    }

    /// Returns whether [`Persistence::abort`] was called.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    /// Records that the server stops.
    pub(crate) fn end(&self) {
        self.shared.lock().ending = true;
        self.changed.notify_all();
    }

    /// Waits until a save is due: because it was asked for, after `interval`, or at the end.
    pub(crate) fn next(&self, interval: Option<Duration>) -> Next {
        let due = interval.and_then(|interval| Instant::now().checked_add(interval));
        let mut shared = self.shared.lock();
        loop {
            if shared.ending {
                return Next::End;
            }
            if shared.wanted {
                shared.wanted = false;
                return Next::Save;
            }
            shared = match due.map(|due| due.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(shared),
                Some(Duration::ZERO) => return Next::Save,
                Some(time) => self.changed.wait_for(shared, time),
            };
        }
    }

    /// Records the work that begins.
    pub(crate) fn begin(&self, work: SnapshotWork) {
        self.shared.lock().status.work = Some(work);
    }

    /// Records the outcome of the load.
    pub(crate) fn has_loaded(&self, loaded: Option<Loaded>) {
        let status = &mut self.shared.lock().status;
        status.work = None;
        status.loaded = loaded;
    }

    /// Records the end of a save: its counts, or `None` if it failed.
    pub(crate) fn has_saved(&self, at: i64, saved: Option<Saved>) {
        let status = &mut self.shared.lock().status;
        status.work = None;
        *if saved.is_some() { &mut status.saves } else { &mut status.failures } += 1;
        status.last = Some(LastSave { at, saved });
    }

    /// Returns the work under way, and the outcome of the last save and of the load.
    pub fn status(&self) -> Status {
        self.shared.lock().status.clone()
    }
}

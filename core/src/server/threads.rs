//! The threads of a server: starting them, and waiting until they have ended.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::error::StopError;
use crate::base::signals::block_signals;
use crate::base::sync::{Condvar, Mutex};
use crate::net::settle;

/// Time in which a thread of a server must end after a stop, or after the deadline of a graceful
/// stop. A thread that takes longer is left behind, because a callback may never return.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The threads of a server. Any thread may wait for them; one joins them.
#[derive(Default)]
pub(super) struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<(Mutex<Counts>, Condvar)>,
}

#[derive(Default)]
struct Counts {
    /// Number of running threads.
    working: usize,
    /// Names of the running threads, and of the thread that runs the last hook.
    running: Vec<String>,
    /// Time by which they must end, set by a stop.
    end: Option<Instant>,
    /// Whether the thread that ends after the others runs. It has no limit of time.
    has_last: bool,
    /// Whether a caller has received the error that some have not ended.
    told: bool,
    /// The hook that runs when no thread runs any more.
    stopped: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Counts {
    /// Returns whether only the last thread runs.
    fn only_last_runs(&self) -> bool {
        self.has_last && self.working == 1
    }

    /// Returns whether `now` is too late for a thread that still runs.
    fn is_stuck(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| end <= now) && !self.only_last_runs()
    }
}

/// The other threads, for the last one.
pub(super) struct Others(Arc<(Mutex<Counts>, Condvar)>);

impl Others {
    /// Waits until the other threads have ended. Returns `false` if one does not end in time.
    pub(super) fn wait(&self) -> bool {
        let (count, changed) = &*self.0;
        let mut count = count.lock();
        while !count.only_last_runs() {
            let now = Instant::now();
            if count.is_stuck(now) {
                return false;
            }
            count = match count.end {
                None => changed.wait(count),
                Some(at) => changed.wait_for(count, at.saturating_duration_since(now)),
            };
        }
        true
    }
}

impl Threads {
    /// Starts a thread that belongs to a server and takes no signals.
    pub(super) fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.start(name, false, body)
    }

    /// Starts the thread that ends after all others, and takes its time.
    pub(super) fn spawn_last(
        &self,
        name: String,
        body: impl FnOnce(&Others) + Send + 'static,
    ) -> io::Result<()> {
        let others = Others(Arc::clone(&self.shared));
        self.start(name, true, move || body(&others))
    }

    /// Starts a thread of a process that is a server. Nothing waits for it: the end of the process
    /// ends it.
    pub(super) fn spawn_unawaited(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let body = move || {
            prepare();
            body();
        };
        thread::Builder::new().name(name).spawn(body).map(drop)
    }

    fn start(&self, name: String, last: bool, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        {
            let mut count = self.shared.0.lock();
            count.working += 1;
            count.running.push(name.clone());
            count.has_last |= last;
        }
        let end = End { shared: Arc::clone(&self.shared), name: name.clone(), last };
        let handle = thread::Builder::new().name(name).spawn(move || {
            let _end = end;
            prepare();
            body();
        })?;
        self.handles.lock().push(handle);
        Ok(())
    }

    /// Sets the hook that runs after the last thread. Call after all threads were started.
    pub(super) fn when_all_ended(&self, stopped: Option<Arc<dyn Fn() + Send + Sync>>) {
        let mut count = self.shared.0.lock();
        if count.working > 0 {
            count.stopped = stopped;
            return;
        }
        drop(count);
        // They were stopped before they began.
        stopped.into_iter().for_each(|stopped| stopped());
    }

    /// Returns a function that records that the threads must end, at a given time at the earliest.
    pub(super) fn ender(&self) -> impl Fn(Instant) + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |from| {
            let (count, changed) = &*shared;
            let end = from.checked_add(STOP_PATIENCE);
            let mut count = count.lock();
            count.end = count.end.into_iter().chain(end).min();
            drop(count);
            changed.notify_all();
        }
    }

    /// Returns whether a caller has received the error that some threads have not ended.
    pub(super) fn reported_stuck(&self) -> bool {
        self.shared.0.lock().told
    }

    /// Returns the number of running threads.
    pub(super) fn running(&self) -> usize {
        self.shared.0.lock().running.len()
    }

    /// Waits for all threads. Returns `false` if some still run at `until`.
    pub(super) fn wait_until(&self, until: Option<Instant>) -> Result<bool, StopError> {
        let (count, changed) = &*self.shared;
        let mut count = count.lock();
        while !count.running.is_empty() {
            let now = Instant::now();
            if count.is_stuck(now) {
                count.told = true;
                return Err(StopError::Stuck(count.running.clone()));
            }
            if until.is_some_and(|at| at <= now) {
                return Ok(false);
            }
            let end = count.end.filter(|_| !count.only_last_runs());
            count = match until.into_iter().chain(end).min() {
                None => changed.wait(count),
                Some(at) => changed.wait_for(count, at.saturating_duration_since(now)),
            }
        }
        drop(count);
        for handle in self.handles.lock().drain(..) {
            // A panic was reported by the panic hook when it happened.
            let _ = handle.join();
        }
        Ok(true)
    }
}

/// Prepares a new thread of a server.
fn prepare() {
    block_signals();
    settle::serves();
}

/// Counts a thread out when it ends, also by a panic.
struct End {
    shared: Arc<(Mutex<Counts>, Condvar)>,
    name: String,
    last: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        let (count, changed) = &*self.shared;
        let stopped = {
            let mut count = count.lock();
            count.working -= 1;
            if self.last {
                count.has_last = false;
                // The hook below has its time from now on.
                count.end = count.end.max(Instant::now().checked_add(STOP_PATIENCE));
            }
            if count.working == 0 { count.stopped.take() } else { None }
        };
        if let Some(stopped) = stopped {
            // Waiting callers are woken even if the hook panics. The panic hook reports the panic.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| stopped()));
        }
        count.lock().running.retain(|name| *name != self.name);
        changed.notify_all();
    }
}

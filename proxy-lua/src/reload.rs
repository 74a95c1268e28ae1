//! A reload of all workers: each loads the new configuration, and all begin to use it once each has
//! loaded it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::functions::Functions;
use crate::loaded::Loaded;

/// Time in which workers load a configuration. A worker that is busy for longer keeps the old one.
const PATIENCE: Duration = Duration::from_mins(1);

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The state of loads.
#[derive(Default)]
struct State {
    /// The configuration in use.
    current: Option<Arc<Loaded>>,
    /// The one that workers load, and the workers that have not begun.
    next: Option<(Arc<Loaded>, Vec<usize>)>,
    /// Number of the last load.
    load: u64,
    /// Workers that have loaded it, and the first fault.
    done: usize,
    fault: Option<String>,
    /// Workers that have loaded it, and know whether it is used.
    followed: usize,
    /// Whether the last load is used. `None` until that is decided.
    decided: Option<bool>,
    wakes: Vec<(usize, Wake)>,
}

/// The loads of a server.
#[derive(Default)]
pub struct Reloads {
    state: Mutex<State>,
    reported: Condvar,
    functions: Arc<Functions>,
}

impl std::fmt::Debug for Reloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}

impl Reloads {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another thread leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counts of functions of all workers.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// Returns the configuration in use.
    pub fn current(&self) -> Option<Arc<Loaded>> {
        self.state().current.clone()
    }

    /// Adds a worker.
    pub fn join(&self, worker: usize, wake: Wake) {
        self.state().wakes.push((worker, wake));
    }

    /// Lets all workers load a configuration, and use it if all can. Before there are workers, they
    /// begin with it.
    ///
    /// # Errors
    /// The line of the first worker that cannot load it. All workers keep the old one.
    pub fn reload(&self, loaded: Loaded) -> Result<(), String> {
        let loaded = Arc::new(loaded);
        let mut state = self.state();
        let workers: Vec<usize> = state.wakes.iter().map(|(worker, _)| *worker).collect();
        let count = workers.len();
        state.load += 1;
        state.next = Some((Arc::clone(&loaded), workers));
        (state.done, state.followed, state.fault, state.decided) = (0, 0, None, None);
        wake_all(&state);
        let end = Instant::now() + PATIENCE;
        while state.done < count && state.fault.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.fault = Some("a worker is too busy to load the configuration".into());
                break;
            }
            let waited = self.reported.wait_timeout(state, left);
            state = waited.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
        state.next = None;
        let fault = state.fault.take();
        state.decided = Some(fault.is_none());
        if fault.is_none() {
            state.current = Some(loaded);
        }
        wake_all(&state);
        // A worker that is busy follows later.
        while state.followed < state.done {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.reported.wait_timeout(state, left);
            state = waited.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
        fault.map_or(Ok(()), Err)
    }

    /// Returns the configuration that a worker has to load, and the number of its load.
    pub fn to_load(&self, worker: usize) -> Option<(u64, Arc<Loaded>)> {
        let mut state = self.state();
        let load = state.load;
        let (loaded, workers) = state.next.as_mut()?;
        let at = workers.iter().position(|other| *other == worker)?;
        workers.swap_remove(at);
        Some((load, Arc::clone(loaded)))
    }

    /// Reports that a worker has loaded a configuration, or why it cannot.
    pub fn report(&self, load: u64, result: Result<(), String>) {
        let mut state = self.state();
        if state.load == load {
            match result {
                Ok(()) => state.done += 1,
                Err(line) => {
                    state.fault.get_or_insert(line);
                }
            }
        }
        drop(state);
        self.reported.notify_all();
    }

    /// Returns whether a load is used, once that is decided. A load before the last one is not. The
    /// worker follows the decision.
    pub fn decision(&self, load: u64) -> Option<bool> {
        let mut state = self.state();
        if state.load != load {
            return Some(false);
        }
        let decided = state.decided?;
        state.followed += 1;
        drop(state);
        self.reported.notify_all();
        Some(decided)
    }
}

fn wake_all(state: &State) {
    state.wakes.iter().for_each(|(_, wake)| wake());
}

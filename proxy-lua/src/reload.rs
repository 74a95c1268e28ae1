//! A reload of all workers: each loads the new configuration, and all begin to use it once each has
//! loaded it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::functions::Functions;
use crate::loaded::Loaded;

/// Time in which workers load a configuration. A worker that is busy for longer keeps the old one.
const PATIENCE: Duration = Duration::from_mins(1);

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The progress of a worker in the last load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is left to do.
    Done,
    /// It has to load the configuration.
    Asked,
    /// It has loaded it, and does not know whether it is used.
    Loaded,
}

/// A worker.
struct Member {
    worker: usize,
    wake: Wake,
    stage: Stage,
}

/// The state of loads.
#[derive(Default)]
struct State {
    /// The configuration in use.
    current: Option<Arc<Loaded>>,
    /// The one that workers load.
    next: Option<Arc<Loaded>>,
    /// Number of the last load.
    load: u64,
    /// Number of the load of the configuration in use.
    used: u64,
    /// The first fault of the last load.
    fault: Option<String>,
    /// Whether the last load is used. `None` until that is decided.
    decided: Option<bool>,
    members: Vec<Member>,
}

impl State {
    fn any_is(&self, stage: Stage) -> bool {
        self.members.iter().any(|member| member.stage == stage)
    }

    fn member(&mut self, worker: usize) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.worker == worker)
    }

    fn wake_all(&self) {
        self.members.iter().for_each(|member| (member.wake)());
    }
}

/// The loads of a server.
#[derive(Default)]
pub struct Reloads {
    state: Mutex<State>,
    /// Signals that a worker has got further.
    changed: Condvar,
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

    /// Adds a worker. Returns the configuration that it begins with. A worker that joins during a
    /// load takes part in it.
    pub fn join(&self, worker: usize, wake: Wake) -> Option<Arc<Loaded>> {
        let mut state = self.state();
        let current = state.current.clone()?;
        let mut member = Member { worker, wake, stage: Stage::Done };
        if state.next.is_some() {
            member.stage = Stage::Asked;
            (member.wake)();
        }
        state.members.push(member);
        Some(current)
    }

    /// Removes a worker. Loads do not wait for it any more.
    pub fn leave(&self, worker: usize) {
        self.state().members.retain(|member| member.worker != worker);
        self.changed.notify_all();
    }

    /// Lets all workers load a configuration, and use it if all can. Before there are workers, they
    /// begin with it.
    ///
    /// # Errors
    /// The line of the first worker that cannot load it. All workers keep the old one.
    pub fn reload(&self, loaded: Loaded) -> Result<(), String> {
        let loaded = Arc::new(loaded);
        let mut state = self.state();
        state.load += 1;
        state.next = Some(Arc::clone(&loaded));
        (state.fault, state.decided) = (None, None);
        state.members.iter_mut().for_each(|member| member.stage = Stage::Asked);
        state.wake_all();
        let end = Instant::now() + PATIENCE;
        let is_loading = |state: &mut State| state.any_is(Stage::Asked) && state.fault.is_none();
        let mut state = self.wait_while(state, end, is_loading);
        if state.any_is(Stage::Asked) {
            state.fault.get_or_insert_with(|| "a worker is too busy to load the configuration".into());
        }
        state.next = None;
        let fault = state.fault.take();
        state.decided = Some(fault.is_none());
        if fault.is_none() {
            (state.current, state.used) = (Some(loaded), state.load);
        }
        state.wake_all();
        // A worker that is busy follows later.
        let end = Instant::now() + PATIENCE;
        drop(self.wait_while(state, end, |state| state.any_is(Stage::Loaded)));
        fault.map_or(Ok(()), Err)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        end: Instant,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(state, left, condition);
        waited.map_or_else(|e| e.into_inner().0, |(state, _)| state)
    }

    /// Returns the configuration that a worker has to load, and the number of its load.
    pub fn to_load(&self, worker: usize) -> Option<(u64, Arc<Loaded>)> {
        let mut state = self.state();
        let loaded = state.next.clone()?;
        let is_asked = state.member(worker)?.stage == Stage::Asked;
        is_asked.then_some((state.load, loaded))
    }

    /// Reports that a worker has loaded a configuration, or why it cannot.
    pub fn report(&self, worker: usize, load: u64, result: Result<(), String>) {
        let mut state = self.state();
        if state.load != load {
            return;
        }
        if let Some(member) = state.member(worker) {
            member.stage = if result.is_ok() { Stage::Loaded } else { Stage::Done };
        }
        if let Err(line) = result {
            state.fault.get_or_insert(line);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Returns whether a load is used, once that is decided. The worker follows the decision.
    pub fn decision(&self, worker: usize, load: u64) -> Option<bool> {
        let mut state = self.state();
        if state.load != load {
            return Some(state.used == load);
        }
        let decided = state.decided?;
        if let Some(member) = state.member(worker) {
            member.stage = Stage::Done;
        }
        drop(state);
        self.changed.notify_all();
        Some(decided)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::{Receiver, channel};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Returns a configuration with this argument.
    fn loaded(argument: &str) -> Loaded {
        Loaded { argument: Some(argument.into()), ..Loaded::default() }
    }

    /// Adds a worker. Returns the argument of its configuration, and its calls.
    fn join(reloads: &Reloads, worker: usize) -> (String, Receiver<()>) {
        let (sender, calls) = channel();
        let current = reloads.join(worker, Arc::new(move || sender.send(()).unwrap())).unwrap();
        (current.argument.clone().unwrap(), calls)
    }

    /// Begins a load of `new`, which asks worker 0, while the workers have `old`.
    fn begin() -> (Arc<Reloads>, JoinHandle<Result<(), String>>, Receiver<()>) {
        let reloads = Arc::new(Reloads::default());
        reloads.reload(loaded("old")).unwrap();
        let (argument, calls) = join(&reloads, 0);
        assert_eq!(argument, "old");
        let other = Arc::clone(&reloads);
        let load = thread::spawn(move || other.reload(loaded("new")));
        calls.recv_timeout(PATIENCE).unwrap();
        (reloads, load, calls)
    }

    fn load(reloads: &Reloads, worker: usize) -> u64 {
        let (load, loaded) = reloads.to_load(worker).unwrap();
        assert_eq!(loaded.argument.as_deref(), Some("new"));
        reloads.report(worker, load, Ok(()));
        assert!(reloads.to_load(worker).is_none());
        load
    }

    /// It kept the old configuration for good.
    #[test]
    fn a_worker_that_joins_during_a_load_takes_part() {
        let (reloads, reload, calls) = begin();
        let (argument, other_calls) = join(&reloads, 1);
        assert_eq!(argument, "old");
        other_calls.recv_timeout(PATIENCE).unwrap();
        let number = load(&reloads, 0);
        assert_eq!(reloads.decision(0, number), None, "worker 1 has not loaded");
        load(&reloads, 1);
        for (worker, calls) in [(0, calls), (1, other_calls)] {
            calls.recv_timeout(PATIENCE).unwrap();
            assert_eq!(reloads.decision(worker, number), Some(true));
        }
        assert_eq!(reload.join().unwrap(), Ok(()));
        assert_eq!(join(&reloads, 2).0, "new");
    }

    /// A load waited a minute for it.
    #[test]
    fn a_load_does_not_wait_for_a_worker_that_has_left() {
        let (reloads, reload, _calls) = begin();
        let (_, other_calls) = join(&reloads, 1);
        let number = load(&reloads, 0);
        reloads.leave(1);
        drop(other_calls);
        while reloads.decision(0, number).is_none() {
            thread::yield_now();
        }
        assert_eq!(reload.join().unwrap(), Ok(()));
    }

    /// It kept the configuration before both.
    #[test]
    fn a_late_worker_uses_the_load_before_one_that_fails() {
        let (reloads, reload, calls) = begin();
        let number = load(&reloads, 0);
        calls.recv_timeout(PATIENCE).unwrap();
        let other = Arc::clone(&reloads);
        let failing = thread::spawn(move || other.reload(loaded("bad")));
        calls.recv_timeout(PATIENCE).unwrap();
        let (failed, _) = reloads.to_load(0).unwrap();
        assert_eq!(reloads.decision(0, number), Some(true));
        reloads.report(0, failed, Err("no room".into()));
        assert_eq!(failing.join().unwrap(), Err("no room".into()));
        assert_eq!(reloads.decision(0, number), Some(true));
        assert_eq!(reloads.decision(0, failed), Some(false));
        assert_eq!(reload.join().unwrap(), Ok(()));
    }

    #[test]
    fn no_worker_uses_what_one_cannot_load() {
        let (reloads, reload, calls) = begin();
        let (_, _other_calls) = join(&reloads, 1);
        let number = load(&reloads, 0);
        reloads.report(1, number, Err("no room".into()));
        calls.recv_timeout(PATIENCE).unwrap();
        assert_eq!(reloads.decision(0, number), Some(false));
        assert_eq!(reload.join().unwrap(), Err("no room".into()));
        assert_eq!(join(&reloads, 2).0, "old");
    }
}

//! Counters of the proxy of one worker. The worker adds to them without a lock, and any thread
//! reads them.
//!
//! Those of a backend or a pool live as long as a link or an engine uses them. A new configuration
//! that names the same ones goes on with their counters.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::command::COMMANDS;
use super::failure::Reason;
use crate::base::counter::Counter;
use crate::base::durations::Durations;
use crate::base::sync::Mutex;

/// The counters of a worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// Requests of clients. Each key of a get counts.
    pub requests: Counter,
    /// Requests that are malformed or too long.
    pub errors: Counter,
    /// Requests refused because those under way hold too much memory.
    pub no_memory: Counter,
    /// Requests without an answer. A get of several keys counts once.
    pub active: Counter,
    /// Bytes that requests and replies under way hold.
    pub held: Counter,
    /// Connections that ended, and are opened again at once.
    pub failed: Counter,
    /// Connections that became bad.
    pub marked_bad: Counter,
    /// Requests refused because too many waited at the backend.
    pub too_deep: Counter,
    /// Collections of the garbage of a Lua program.
    pub vm_collections: Counter,
    /// Memory of a Lua program in KiB.
    pub vm_memory: Counter,
    /// Requests by the index of the command in [`COMMANDS`].
    pub commands: [Counter; COMMANDS.len()],
    /// Counters of the backends.
    pub backends: Registry<BackendCounters>,
    /// Counters of the pools.
    pub pools: Registry<PoolCounters>,
}

/// The counters of a backend.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct BackendCounters {
    /// Requests sent.
    pub requests: Counter,
    /// Requests without a reply, by the number of the [`Reason`].
    pub lost: [Counter; Reason::ALL.len()],
    /// Requests that were not sent because the backend is bad.
    pub refused: Counter,
    /// Requests that were not sent because too many waited.
    pub too_deep: Counter,
    /// Replies that are error lines.
    pub error_replies: Counter,
    /// Bytes of requests.
    pub sent: Counter,
    /// Bytes of replies.
    pub received: Counter,
    /// Connections opened, whose backend has told its version.
    pub connects: Counter,
    /// Connections now.
    pub connections: Counter,
    /// Of these, open ones.
    pub open: Counter,
    /// Of these, bad ones.
    pub bad: Counter,
    /// Requests that wait for replies now.
    pub depth: Counter,
    /// Times of sampled requests from the worker to the backend and back.
    pub times: Durations,
}

/// The counters of a pool.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PoolCounters {
    /// Requests sent to backends of the pool.
    pub requests: Counter,
    /// Of these, those that got an error or no reply.
    pub errors: Counter,
    /// Labels of its backends.
    pub backends: Mutex<Vec<String>>,
}

/// Counters by name. It keeps those that something uses.
#[derive(Debug, Default)]
pub struct Registry<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T: Default> Registry<T> {
    /// Returns the counters of a name.
    pub fn of(&self, name: &str) -> Arc<T> {
        let mut all = self.0.lock();
        if let Some(found) = all.get(name).and_then(Weak::upgrade) {
            return found;
        }
        // So the unused ones are no more than those in use.
        if all.len().is_power_of_two() {
            all.retain(|_, counters| counters.strong_count() > 0);
        }
        let new = Arc::new(T::default());
        all.insert(name.to_owned(), Arc::downgrade(&new));
        new
    }

    /// Returns all counters with their names.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        let all = self.0.lock();
        all.iter().filter_map(|(name, counters)| Some((name.clone(), counters.upgrade()?))).collect()
    }
}

impl WorkerCounters {
    /// Resets the counters that `stats reset` sets to 0, as in memcached, and those of backends and
    /// pools that memcached does not have.
    pub fn reset(&self) {
        for counter in [&self.requests, &self.errors, &self.no_memory] {
            counter.reset();
        }
        for (_, pool) in self.pools.all() {
            pool.requests.reset();
            pool.errors.reset();
        }
        for (_, backend) in self.backends.all() {
            backend.reset();
        }
    }
}

impl BackendCounters {
    fn reset(&self) {
        let Self { requests, lost, refused, too_deep, error_replies, sent, received, connects, .. } = self;
        for counter in [requests, refused, too_deep, error_replies, sent, received, connects] {
            counter.reset();
        }
        lost.iter().for_each(Counter::reset);
        self.times.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_live_as_long_as_they_are_used() {
        let registry = Registry::<PoolCounters>::default();
        let one = registry.of("a");
        one.requests.add(3);
        let again = registry.of("a");
        drop(one);
        assert_eq!((again.requests.get(), registry.all().len()), (3, 1));
        drop(again);
        assert_eq!(registry.all().len(), 0);
        assert_eq!(registry.of("a").requests.get(), 0);
        let kept = registry.of("kept");
        for number in 0..100 {
            registry.of(&number.to_string());
        }
        assert!(registry.0.lock().len() <= 3);
        assert_eq!(registry.all().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["kept"]);
        drop(kept);
    }
}

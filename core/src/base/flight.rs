//! Single flight: one caller, the leader, makes a value, and the waiters get it from the leader.
//!
//! ```text
//!   join(key) -- first --> Leader: the caller makes the value and finishes with it
//!             -- later --> Waiting: the caller's function is called when the leader has finished,
//!                          with the value, or without one if making it failed
//! ```
//!
//! Dropping a [`Leader`] counts as a failure. So a thread, a task or an interpreter that ends keeps
//! no caller waiting. A child of `fork` finishes nothing of its parent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use super::fork::ForkMark;
use super::sync::Mutex;

/// The function of a waiter. It is called once, without a lock, on the thread of the leader.
pub type Waiter<V> = Box<dyn FnOnce(Option<&V>) + Send>;

/// The values of a cache that are being made. `V` is a value, `T` says which caller a leader is.
pub struct SingleFlight<V: ?Sized, T = ()>(Mutex<Flights<V, T>>);

type Flights<V, T> = HashMap<Box<[u8]>, Flight<V, T>>;

struct Flight<V: ?Sized, T> {
    leader: T,
    waiters: Vec<Waiter<V>>,
}

/// The role of a caller that has joined.
#[derive(Debug)]
pub enum Role<V: ?Sized, T = ()> {
    /// It makes the value.
    Leader(Leader<V, T>),
    /// It waits for the value of this leader.
    Waiting(T),
}

impl<V: ?Sized, T: Copy> SingleFlight<V, T> {
    /// Makes `caller` the leader of a key if there is none. Otherwise it waits: `waiter` is called
    /// when the leader has finished.
    pub fn join(self: &Arc<Self>, key: &[u8], caller: T, waiter: Waiter<V>) -> Role<V, T> {
        match self.0.lock().entry(key.into()) {
            Entry::Occupied(mut flight) => {
                flight.get_mut().waiters.push(waiter);
                Role::Waiting(flight.get().leader)
            }
            Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(Flight { leader: caller, waiters: Vec::new() });
                Role::Leader(Leader {
                    of: Arc::clone(self),
                    key: Some(key),
                    mark: ForkMark::of_this_process(),
                })
            }
        }
    }
}

impl<V: ?Sized, T> Default for SingleFlight<V, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: ?Sized, T> fmt::Debug for SingleFlight<V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

/// The right and duty to make a value.
pub struct Leader<V: ?Sized, T = ()> {
    of: Arc<SingleFlight<V, T>>,
    /// `None` once it has finished.
    key: Option<Box<[u8]>>,
    mark: ForkMark,
}

impl<V: ?Sized, T> Leader<V, T> {
    /// Hands the value to the waiters, or tells them that there is none. A second call does
    /// nothing.
    pub fn finish(&mut self, value: Option<&V>) {
        let Some(key) = self.key.take().filter(|_| self.mark.holds()) else { return };
        // The lock is released before the waiters run.
        let flight = self.of.0.lock().remove(&key);
        for waiter in flight.into_iter().flat_map(|flight| flight.waiters) {
            // One that panics must not keep the others waiting. The panic hook has reported it.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| waiter(value)));
        }
    }
}

impl<V: ?Sized, T> Drop for Leader<V, T> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl<V: ?Sized, T> fmt::Debug for Leader<V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    type Shared = Arc<SingleFlight<[u8], u32>>;

    fn join(flights: &Shared, caller: u32, to: &mpsc::Sender<Option<Vec<u8>>>) -> Role<[u8], u32> {
        let to = to.clone();
        let waiter = move |value: Option<&[u8]>| to.send(value.map(<[u8]>::to_vec)).unwrap();
        flights.join(b"key", caller, Box::new(waiter))
    }

    #[test]
    fn a_waiter_that_panics_keeps_no_other_waiting() {
        let flights = Shared::default();
        let (to, values) = mpsc::channel();
        let Role::Leader(mut leader) = join(&flights, 1, &to) else { panic!("the first leads") };
        let role = flights.join(b"key", 2, Box::new(|_| panic!("a waker that fails")));
        assert!(matches!(role, Role::Waiting(1)));
        join(&flights, 3, &to);
        leader.finish(Some(b"value"));
        assert_eq!(values.recv().unwrap().as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn waiters_get_the_value_of_the_leader() {
        let flights = Shared::default();
        let (to, values) = mpsc::channel();
        let Role::Leader(mut leader) = join(&flights, 1, &to) else { panic!("the first leads") };
        thread::scope(|scope| {
            for caller in 2..5 {
                let (flights, to) = (&flights, &to);
                scope.spawn(move || assert!(matches!(join(flights, caller, to), Role::Waiting(1))));
            }
        });
        leader.finish(Some(b"value"));
        leader.finish(Some(b"again"));
        drop(leader);
        assert_eq!(values.try_iter().collect::<Vec<_>>(), vec![Some(b"value".to_vec()); 3]);
        assert!(matches!(join(&flights, 9, &to), Role::Leader(_)));
    }

    #[test]
    fn a_leader_that_is_dropped_leaves_its_place() {
        let flights = Shared::default();
        let (to, values) = mpsc::channel();
        let first = join(&flights, 1, &to);
        assert!(matches!(join(&flights, 2, &to), Role::Waiting(1)));
        drop(first);
        assert_eq!(values.try_iter().collect::<Vec<_>>(), [None]);
        assert!(matches!(join(&flights, 2, &to), Role::Leader(_)));
    }

    #[test]
    fn a_waiter_may_join_again_at_once() {
        let flights = Shared::default();
        let (to, _values) = mpsc::channel();
        let Role::Leader(mut first) = join(&flights, 1, &to) else { panic!("the first leads") };
        let (again, now) = (Arc::clone(&flights), to.clone());
        let (role, roles) = mpsc::channel();
        let waiter =
            move |_: Option<&[u8]>| role.send(matches!(join(&again, 2, &now), Role::Leader(_))).unwrap();
        assert!(matches!(flights.join(b"key", 2, Box::new(waiter)), Role::Waiting(1)));
        first.finish(None);
        assert_eq!(roles.try_iter().collect::<Vec<_>>(), [true]);
    }
}

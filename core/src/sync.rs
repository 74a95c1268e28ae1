//! Locks and atomics: the standard library's, of which each lock stands for
//! itself.
//!
//! Those of `parking_lot` keep whoever waits in one table of the process. A child
//! of `fork` would inherit that table as it was: with parts of it locked by
//! threads that are not there, and with places of their stacks, which its own
//! threads are given anew. Here a child may make caches and servers of its own,
//! so nothing that it needs may be in such a table.
//!
//! A panic while a lock is held leaves the lock usable, as in `parking_lot`.
//!
//! With `--cfg loom` tests swap them for ones that try every order (`make loom`).

use std::sync::PoisonError;
use std::time::Duration;

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic;

#[cfg(not(all(loom, test)))]
pub(crate) use std::thread;

/// Threads of a model, which know no time.
#[cfg(all(loom, test))]
pub(crate) mod thread {
    pub(crate) use loom::thread::yield_now;

    pub(crate) fn sleep(_: std::time::Duration) {
        yield_now();
    }
}

#[cfg(all(loom, test))]
use loom::sync as locks;
#[cfg(not(all(loom, test)))]
use std::sync as locks;

pub use locks::MutexGuard;

/// A value that one thread at a time uses.
#[derive(Debug, Default)]
pub struct Mutex<T>(locks::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked one.
    pub fn new(value: T) -> Self {
        Self(locks::Mutex::new(value))
    }

    /// Waits until nobody else has it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where threads that hold a [`Mutex`] wait.
#[derive(Debug, Default)]
pub struct Condvar(locks::Condvar);

impl Condvar {
    /// One where nobody waits.
    pub fn new() -> Self {
        Self(locks::Condvar::new())
    }

    /// Lets go of the lock until it is notified, or for no reason.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for `time` at most.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

//! Locks and atomics, from the standard library.
//!
//! `parking_lot` keeps waiting threads in one table for the process. A child of `fork` inherits
//! that table with parts locked by threads that do not exist there, and with stale stack addresses.
//! A child may make caches and servers of its own, so no lock may depend on such a table.
//!
//! A panic while a lock is held leaves the lock usable, as in `parking_lot`.
//!
//! With `--cfg loom` they are loom's, which tries every order of steps (`make loom`).

use std::sync::PoisonError;
use std::time::Duration;

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic;

#[cfg(not(all(loom, test)))]
pub(crate) use std::thread;

/// Threads of a loom model, in which time does not pass.
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

/// A mutex. A panic while it is locked leaves it usable.
#[derive(Debug, Default)]
pub struct Mutex<T>(locks::Mutex<T>);

impl<T> Mutex<T> {
    /// Returns an unlocked mutex.
    pub fn new(value: T) -> Self {
        Self(locks::Mutex::new(value))
    }

    /// Waits until no other thread holds the lock.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(locks::Condvar);

impl Condvar {
    /// Returns a condition variable without waiting threads.
    pub fn new() -> Self {
        Self(locks::Condvar::new())
    }

    /// Releases the lock and waits for a notification; may also wake without one.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Like [`Condvar::wait`], for at most `time`.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

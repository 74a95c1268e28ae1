//! A sequence lock: readers need not take it.
//!
//! ```text
//!   version   0      1         2      3         4
//!             |------|=========|------|=========|----
//!                     held             held
//!   a read      ok      late     late,  refused
//!               --      -----------     -
//! ```
//!
//! The version is also the lock: it is odd while the lock is held. An optimistic read
//! ([`SeqLock::version`], then [`SeqLock::is_at`]) is valid if the version was even before it and
//! the same after it. Otherwise the bytes read may be anything, and the reader takes the lock.
//! Linux calls this a seqlock.
//!
//! Locking costs one locked instruction, unlocking none. A thread that finds the lock taken spins
//! first, because it is mostly held for some tens of nanoseconds. Then the thread yields. If the
//! lock is still taken, its holder has lost its core or compacts a segment, so the waiting thread
//! sleeps and tries again.

#![expect(unsafe_code, reason = "a value behind a lock of our own")]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::atomic::{AtomicU64, fence};
use crate::base::sync::thread;

/// Spins before the first yield, and yields before the thread sleeps.
const SPINS: usize = if cfg!(loom) { 1 } else { 100 };
const YIELDS: usize = if cfg!(loom) { usize::MAX } else { 16 };

/// Time of one sleep: about as long as the compaction of a segment takes.
const NAP: Duration = Duration::from_micros(50);

/// A value that one thread at a time changes. The lock shares a cache line with the first fields of
/// the value.
#[derive(Default)]
#[repr(C)]
pub(in crate::store) struct SeqLock<T> {
    version: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: a thread reaches the value of a shared SeqLock only with the lock. So one thread at a
// time uses the value, as if it were sent from thread to thread.
unsafe impl<T: Send> Sync for SeqLock<T> {}

impl<T> SeqLock<T> {
    pub(in crate::store) fn new(value: T) -> Self {
        Self { version: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }

    /// Locks the value. Waits while another thread has the lock.
    #[inline]
    pub(in crate::store) fn lock(&self) -> SeqLockGuard<'_, T> {
        if !self.take() {
            self.wait();
        }
        // A thread that sees a later write sees the odd version, too.
        fence(Release);
        SeqLockGuard(self)
    }

    /// Takes the lock if it is free. Returns whether it did.
    #[inline]
    fn take(&self) -> bool {
        let version = self.version.load(Relaxed);
        version.is_multiple_of(2)
            && self.version.compare_exchange(version, version + 1, Acquire, Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        for round in 0.. {
            for _ in 0..SPINS {
                if self.take() {
                    return;
                }
                std::hint::spin_loop();
            }
            if round < YIELDS {
                thread::yield_now();
            } else {
                thread::sleep(NAP);
            }
        }
    }

    /// Returns the version, or `None` if the lock is held. Later reads see this version or a newer
    /// one.
    #[inline]
    pub(in crate::store) fn version(&self) -> Option<u64> {
        let version = self.version.load(Acquire);
        version.is_multiple_of(2).then_some(version)
    }

    /// Returns whether all reads since [`SeqLock::version`] returned `version` were of that
    /// version.
    #[inline]
    pub(in crate::store) fn is_at(&self, version: u64) -> bool {
        fence(Acquire);
        self.version.load(Relaxed) == version
    }
}

/// The locked value of a [`SeqLock`].
pub(in crate::store) struct SeqLockGuard<'a, T>(&'a SeqLock<T>);

// SAFETY: as of a reference to the value.
unsafe impl<T: Sync> Sync for SeqLockGuard<'_, T> {}

impl<T> SeqLockGuard<'_, T> {
    /// Returns whether no other thread had the lock since [`SeqLock::version`] returned `version`.
    #[inline]
    pub(in crate::store) fn is_next_after(&self, version: u64) -> bool {
        self.0.version.load(Relaxed) == version + 1
    }
}

impl<T> Deref for SeqLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread has the lock, so no other thread has a reference.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for SeqLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the only `SeqLockGuard` is borrowed exclusively.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for SeqLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.version.store(self.0.version.load(Relaxed) + 1, Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use super::*;

    /// Two words that are equal while the lock is free.
    struct Pair {
        lock: SeqLock<()>,
        words: [AtomicU64; 2],
    }

    impl Pair {
        fn write(&self, value: u64) {
            let _held = self.lock.lock();
            self.words.iter().for_each(|word| word.store(value, Relaxed));
        }

        fn read(&self) -> Option<u64> {
            let version = self.lock.version()?;
            let [one, other] = [0, 1].map(|n| self.words[n].load(Relaxed));
            self.lock.is_at(version).then(|| {
                assert_eq!(one, other, "torn");
                one
            })
        }
    }

    fn pair() -> Arc<Pair> {
        Arc::new(Pair { lock: SeqLock::new(()), words: [AtomicU64::new(0), AtomicU64::new(0)] })
    }

    /// A valid optimistic read sees no torn change, and no value older than the last one.
    #[test]
    fn valid_reads_see_whole_changes_in_order() {
        loom::model(|| {
            let pair = pair();
            let writer = {
                let pair = Arc::clone(&pair);
                loom::thread::spawn(move || {
                    pair.write(1);
                    pair.write(2);
                })
            };
            let (first, second) = (pair.read(), pair.read());
            if let (Some(first), Some(second)) = (first, second) {
                assert!(first <= second);
            }
            writer.join().unwrap();
            assert_eq!(pair.read(), Some(2));
        });
    }

    /// One thread at a time has the lock, and sees the writes of the holder before it.
    #[test]
    fn one_thread_has_it_at_a_time() {
        loom::model(|| {
            let lock = Arc::new(SeqLock::new(AtomicU64::new(0)));
            let add = |lock: &SeqLock<AtomicU64>| {
                let held = lock.lock();
                let before = held.load(Relaxed);
                held.store(before + 1, Relaxed);
            };
            let other = {
                let lock = Arc::clone(&lock);
                loom::thread::spawn(move || add(&lock))
            };
            add(&lock);
            other.join().unwrap();
            assert_eq!((lock.lock().load(Relaxed), lock.version()), (2, None));
        });
    }

    /// A guard knows whether another thread had the lock after an optimistic read.
    #[test]
    fn a_guard_knows_of_changes_since_a_read() {
        loom::model(|| {
            let pair = pair();
            let writer = {
                let pair = Arc::clone(&pair);
                loom::thread::spawn(move || pair.write(1))
            };
            if let Some(version) = pair.lock.version() {
                let seen = pair.words[1].load(Relaxed);
                let held = pair.lock.lock();
                if held.is_next_after(version) {
                    assert_eq!(pair.words[1].load(Relaxed), seen);
                }
            }
            writer.join().unwrap();
        });
    }

    /// Memory may pass from one seqlock to another. It goes through a third lock, that of the pool,
    /// so an optimistic read under the first one notices.
    #[test]
    fn memory_that_was_given_away_is_not_taken_for_what_it_was() {
        loom::model(|| {
            // An index of one entry, 0 for none; the entry; the pool.
            let index = Arc::new((SeqLock::new(()), AtomicU64::new(1)));
            let entry = Arc::new(AtomicU64::new(7));
            let pool = Arc::new(crate::base::sync::Mutex::new(false));
            let giver = {
                let (index, pool) = (Arc::clone(&index), Arc::clone(&pool));
                loom::thread::spawn(move || {
                    let _held = index.0.lock();
                    index.1.store(0, Relaxed);
                    *pool.lock() = true;
                })
            };
            let taker = {
                let (entry, pool) = (Arc::clone(&entry), Arc::clone(&pool));
                loom::thread::spawn(move || {
                    let taken = *pool.lock();
                    if taken {
                        fence(Release);
                        entry.store(99, Relaxed);
                    }
                })
            };
            if let Some(version) = index.0.version()
                && index.1.load(Relaxed) == 1
            {
                let seen = entry.load(Relaxed);
                if index.0.is_at(version) {
                    assert_eq!(seen, 7);
                }
            }
            giver.join().unwrap();
            taker.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn reads_conflict_with_a_held_lock_and_its_changes() {
        let lock = SeqLock::new(5);
        let before = lock.version().unwrap_or_else(|| unreachable!("the lock is free"));
        assert!(lock.is_at(before));
        let held = lock.lock();
        assert_eq!((*held, held.is_next_after(before)), (5, true));
        assert!(lock.version().is_none() && !lock.is_at(before));
        drop(held);
        assert!(lock.version().is_some_and(|now| now > before) && !lock.is_at(before));
        assert!(!lock.lock().is_next_after(before));
    }
}

//! A lock with a version: who only looks need not take it.
//!
//! ```text
//!   version   0      1         2      3         4
//!             |------|=========|------|=========|----
//!                     held             held
//!   a look      ok      late     late,  refused
//!               --      -----------     -
//! ```
//!
//! The version is odd while the lock is held. A look ([`Latch::version`], then
//! [`Latch::is_at`]) was undisturbed if the version was even before it and the same
//! after it. Otherwise what was seen may be anything, and the one who looked
//! takes the lock. (This is the sequence lock of Linux, with a lock that sleeps.)

use std::ops::{Deref, DerefMut};

use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicU64, fence};
use crate::sync::{Mutex, MutexGuard};

/// A value that one thread at a time changes.
#[derive(Default)]
pub(super) struct Latch<T> {
    version: AtomicU64,
    value: Mutex<T>,
}

impl<T> Latch<T> {
    pub(super) fn new(value: T) -> Self {
        Self { version: AtomicU64::new(0), value: Mutex::new(value) }
    }

    /// Waits until nobody else has it.
    #[inline]
    pub(super) fn lock(&self) -> Held<'_, T> {
        let value = self.value.lock();
        let version = self.version.load(Relaxed);
        self.version.store(version + 1, Relaxed);
        // Who sees what is written from now on sees the odd version too.
        fence(Release);
        Held { version: &self.version, value }
    }

    /// The version, if nobody holds the lock. What is read from now on is of no
    /// version before it.
    #[inline]
    pub(super) fn version(&self) -> Option<u64> {
        let version = self.version.load(Acquire);
        version.is_multiple_of(2).then_some(version)
    }

    /// Whether all that was read since [`Latch::version`] said `version` was of it.
    #[inline]
    pub(super) fn is_at(&self, version: u64) -> bool {
        fence(Acquire);
        self.version.load(Relaxed) == version
    }
}

/// The value of a [`Latch`], locked.
pub(super) struct Held<'a, T> {
    version: &'a AtomicU64,
    value: MutexGuard<'a, T>,
}

impl<T> Held<'_, T> {
    /// Whether nobody has had the lock since [`Latch::version`] said `version`.
    #[inline]
    pub(super) fn follows(&self, version: u64) -> bool {
        self.version.load(Relaxed) == version + 1
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // The lock itself is released after this.
        self.version.store(self.version.load(Relaxed) + 1, Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use super::*;

    /// Two words that are equal whenever nobody holds the lock.
    struct Pair {
        latch: Latch<()>,
        words: [AtomicU64; 2],
    }

    impl Pair {
        fn write(&self, value: u64) {
            let _held = self.latch.lock();
            self.words.iter().for_each(|word| word.store(value, Relaxed));
        }

        fn look(&self) -> Option<u64> {
            let version = self.latch.version()?;
            let [one, other] = [0, 1].map(|n| self.words[n].load(Relaxed));
            self.latch.is_at(version).then(|| {
                assert_eq!(one, other, "torn");
                one
            })
        }
    }

    fn pair() -> Arc<Pair> {
        Arc::new(Pair { latch: Latch::new(()), words: [AtomicU64::new(0), AtomicU64::new(0)] })
    }

    /// No look takes half a change for a whole one, or sees time go back.
    #[test]
    fn an_undisturbed_look_sees_whole_changes_in_order() {
        loom::model(|| {
            let pair = pair();
            let writer = {
                let pair = Arc::clone(&pair);
                loom::thread::spawn(move || {
                    pair.write(1);
                    pair.write(2);
                })
            };
            let (first, second) = (pair.look(), pair.look());
            if let (Some(first), Some(second)) = (first, second) {
                assert!(first <= second);
            }
            writer.join().unwrap();
            assert_eq!(pair.look(), Some(2));
        });
    }

    /// A lock that follows a look has nobody between them.
    #[test]
    fn who_follows_a_look_finds_what_it_saw() {
        loom::model(|| {
            let pair = pair();
            let writer = {
                let pair = Arc::clone(&pair);
                loom::thread::spawn(move || pair.write(1))
            };
            if let Some(version) = pair.latch.version() {
                let seen = pair.words[1].load(Relaxed);
                let held = pair.latch.lock();
                if held.follows(version) {
                    assert_eq!(pair.words[1].load(Relaxed), seen);
                }
            }
            writer.join().unwrap();
        });
    }

    /// Memory that leaves one lock's care for another's betrays no look at the
    /// first: it goes through a third lock, the pool's.
    #[test]
    fn memory_that_was_given_away_is_not_taken_for_what_it_was() {
        loom::model(|| {
            // An index of one entry, 0 for none; the entry; the pool.
            let index = Arc::new((Latch::new(()), AtomicU64::new(1)));
            let entry = Arc::new(AtomicU64::new(7));
            let pool = Arc::new(Mutex::new(false));
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
    fn looks_are_refused_while_it_is_held_and_late_after() {
        let latch = Latch::new(5);
        let before = latch.version().unwrap_or_else(|| unreachable!("nobody holds it"));
        assert!(latch.is_at(before));
        let held = latch.lock();
        assert_eq!((*held, held.follows(before)), (5, true));
        assert!(latch.version().is_none() && !latch.is_at(before));
        drop(held);
        assert!(latch.version().is_some_and(|now| now > before) && !latch.is_at(before));
        assert!(!latch.lock().follows(before));
    }
}

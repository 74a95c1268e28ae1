//! Atomics and locks of what loom models: with `--cfg loom` its tests swap them
//! for ones that try every order (`make loom`).

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

#[cfg(not(all(loom, test)))]
pub(crate) use parking_lot::Mutex;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use self::model::Mutex;

#[cfg(all(loom, test))]
mod model {
    use loom::sync::MutexGuard;

    /// loom's mutex with the methods of parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }
}

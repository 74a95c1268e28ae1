//! The latest end of a graceful stop.

use std::time::{Duration, Instant};

use crate::base::sync::Mutex;

/// The latest end of a graceful stop.
#[derive(Default)]
pub(crate) struct Deadline(Mutex<Option<Instant>>);

impl Deadline {
    /// Applies to a stop that was requested without a deadline.
    const DEFAULT: Duration = Duration::from_secs(10);

    /// Sets the deadline. `None` is a time beyond the clock's range.
    pub(crate) fn set(&self, at: Option<Instant>) {
        // Longer than the life of any process.
        *self.0.lock() = at.or_else(|| Instant::now().checked_add(Duration::from_hours(24 * 365 * 100)));
    }

    /// Returns the deadline. Sets the default if there is none.
    pub(crate) fn get(&self) -> Instant {
        let now = Instant::now();
        *self.0.lock().get_or_insert_with(|| now.checked_add(Self::DEFAULT).unwrap_or(now))
    }
}

//! The bound of every loop that retries to store an item.
//!
//! A command retries for two reasons. Its shard had no memory, room was made, and another thread
//! took that room first. Or it left its critical section to write a large value, and the item
//! changed in this time. In both cases another client's command succeeded, so the cache as a whole
//! makes progress. The bound is for the command itself: it ends, with the error for exhausted
//! memory, even if other threads are always faster.

use super::store::Store;
use crate::base::error::AllocError;

/// The attempts of one command to store its item.
pub struct Attempts<'a> {
    store: &'a Store,
    hash: u64,
    left: u32,
}

impl<'a> Attempts<'a> {
    /// Most attempts of a command. In tests with eight threads that overwrite one large item, no
    /// command needed more than twelve.
    pub(crate) const LIMIT: u32 = 64;

    pub(super) fn new(store: &'a Store, hash: u64) -> Self {
        Self { store, hash, left: Self::LIMIT }
    }

    /// Frees memory for the item before a retry. The caller must not hold a
    /// [`LockedEntry`](super::LockedEntry).
    ///
    /// # Errors
    /// There is nothing to evict, or this was the last attempt.
    pub fn make_room(&mut self, class: u8) -> Result<(), AllocError> {
        self.store.make_room(self.hash, class)?;
        self.again()
    }

    /// Counts a retry because another client changed the item.
    ///
    /// # Errors
    /// This was the last attempt.
    pub fn again(&mut self) -> Result<(), AllocError> {
        self.left = self.left.checked_sub(1).ok_or(AllocError::NoMemory)?;
        Ok(())
    }
}

impl Store {
    /// Returns the attempts of a command to store an item with this hash.
    pub(crate) fn attempts(&self, hash: u64) -> Attempts<'_> {
        Attempts::new(self, hash)
    }
}

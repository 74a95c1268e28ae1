//! The bound of every loop that begins to store an item again.
//!
//! A command begins again for two reasons. Its shard had no memory, and room was
//! made for it; then another thread may take that room first. Or it left its
//! critical section to write a large value, and the item changed before it came
//! back. In both cases another client's command succeeded, so the cache as a
//! whole makes progress. The bound is for the command itself: it ends, with the
//! error for exhausted memory, however often others are faster.

use super::Store;
use crate::error::AllocError;

/// Attempts of one command to store its item.
pub struct Attempts<'a> {
    store: &'a Store,
    hash: u64,
    left: u32,
}

impl<'a> Attempts<'a> {
    /// Attempts that a command has. In tests with eight threads that overwrite one
    /// large item none needed more than twelve.
    pub(crate) const LIMIT: u32 = 64;

    pub(super) fn new(store: &'a Store, hash: u64) -> Self {
        Self { store, hash, left: Self::LIMIT }
    }

    /// Frees memory for the item, to begin again. Call without holding a
    /// [`LockedEntry`](super::Visit).
    ///
    /// # Errors
    /// If there is nothing to evict, or this was the last attempt.
    pub fn make_room(&mut self, class: u8) -> Result<(), AllocError> {
        self.store.make_room(self.hash, class)?;
        self.again()
    }

    /// Begins again because another client changed the item.
    ///
    /// # Errors
    /// If this was the last attempt.
    pub fn again(&mut self) -> Result<(), AllocError> {
        self.left = self.left.checked_sub(1).ok_or(AllocError::NoMemory)?;
        Ok(())
    }
}

//! Memory for a shard that has none: from its own items, or from other shards.

use std::cmp::Reverse;

use super::store::Store;
use crate::base::error::AllocError;

/// Attempts of a store to get memory before it gives up. Other threads may use the memory first.
const TRIES: usize = 8;

impl Store {
    /// Frees memory for the shard of `hash`, in it or in others. The caller must not hold a
    /// [`LockedEntry`]. Loops call `Attempts::make_room`, which bounds them.
    ///
    /// # Errors
    /// There is no memory, and nothing to evict.
    pub fn make_room(&self, hash: u64, class: u8) -> Result<(), AllocError> {
        let common = &self.common;
        let home = self.shard(hash);
        // Not of the limit, because the index counts against it, too.
        let share = (common.segments.usage().malloced / common.segments.size() / self.shards.len()).max(1);
        for _ in 0..TRIES {
            let owned = {
                let mut own = home.lock();
                // A shard uses its own share if it has nearly all of it.
                if (own.logs.owned() * 8 >= share * 7 || self.shards.len() == 1)
                    && own.ensure_free_segment(common, common.time())
                {
                    return Ok(());
                }
                own.logs.owned()
            };
            let others = self.shards.iter().map(|cell| &cell.0).filter(|&cell| !std::ptr::eq(cell, home));
            let mut richer: Vec<_> = others
                .map(|cell| (cell.lock().logs.owned(), cell))
                .filter(|&(others, _)| others >= owned)
                .collect();
            richer.sort_unstable_by_key(|&(others, _)| Reverse(others));
            // Not by way of the pool: it gives segments back to the system after the limit was
            // lowered, and another shard may take them.
            let given = richer.into_iter().find_map(|(_, cell)| {
                let mut other = cell.lock();
                other.ensure_free_segment(common, common.time()).then(|| other.logs.hand_over()).flatten()
            });
            let mut own = home.lock();
            if let Some(number) = given {
                own.logs.receive(&common.segments, number);
            }
            if own.ensure_free_segment(common, common.time()) {
                return Ok(());
            }
            if given.is_none() && !own.sweep(common, common.time()) {
                break;
            }
        }
        home.lock().stats(class).outofmemory += 1;
        Err(AllocError::NoMemory)
    }
}

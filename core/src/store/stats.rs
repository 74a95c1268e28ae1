//! Counters of the store. They live in the shards and are guarded by the
//! shards' locks, so counting costs an addition.

/// Makes a structure of counters that can be summed.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// Adds the counts of another.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counters! {
    /// Counters of one slab class.
    ClassStats {
        /// Hits on items that were hot.
        hits_to_hot,
        /// Hits on items that were warm.
        hits_to_warm,
        /// Hits on items that were cold.
        hits_to_cold,
        /// Hits on items that were temporary.
        hits_to_temp,
        /// Items allocated for storing.
        set_cmds,
        /// Touches that hit.
        touch_hits,
        /// Deletes that hit.
        delete_hits,
        /// CAS stores that matched.
        cas_hits,
        /// CAS stores that did not match.
        cas_badval,
        /// Increments that hit.
        incr_hits,
        /// Decrements that hit.
        decr_hits,
        /// Items evicted.
        evicted,
        /// Of these, with a TTL.
        evicted_nonzero,
        /// Of these, never fetched.
        evicted_unfetched,
        /// Of these, fetched since they became cold.
        evicted_active,
        /// Allocations that failed.
        outofmemory,
        /// Dead items whose memory an allocation took.
        reclaimed,
        /// Dead items that were never fetched.
        expired_unfetched,
        /// Dead items that the crawler freed.
        crawler_reclaimed,
        /// Items that the crawler looked at.
        crawler_items_checked,
        /// Pinned items that eviction met.
        lrutail_reflocked,
        /// Moves to the cold queue.
        moves_to_cold,
        /// Moves to the warm queue.
        moves_to_warm,
        /// Second rounds in the warm queue.
        moves_within_lru,
        /// Evictions and reclaims that a store had to wait for.
        direct_reclaims,
    }
}

counters! {
    /// Counters of commands, whatever the class.
    CommandStats {
        /// Keys asked for.
        get_cmds,
        /// Of these, not there.
        get_misses,
        /// Of these, expired.
        get_expired,
        /// Of these, flushed.
        get_flushed,
        /// Touches.
        touch_cmds,
        /// Touches that missed.
        touch_misses,
        /// Deletes that missed.
        delete_misses,
        /// Increments that missed.
        incr_misses,
        /// Decrements that missed.
        decr_misses,
        /// CAS stores that missed.
        cas_misses,
        /// `me` commands.
        meta_cmds,
        /// Stores refused for their size.
        store_too_large,
        /// Stores refused for want of memory.
        store_no_memory,
        /// Items linked.
        total_items,
    }
}

/// The page mover's counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoverStats {
    /// Pages moved.
    pub moved: u64,
    /// Items that were copied out of a page.
    pub rescues: u64,
    /// Chunks of large items that were copied out of a page.
    pub chunk_rescues: u64,
    /// Items that were given up because there was no memory to copy them to.
    pub inline_reclaim: u64,
    /// Times an item in use was met.
    pub busy_items: u64,
    /// Items in use that were removed to free a page.
    pub busy_deletes: u64,
    /// Times something was evicted to have memory to copy to.
    pub busy_nomem: u64,
    /// Why it last had to wait.
    pub last_busy: &'static str,
    /// Whether a page is being emptied.
    pub running: bool,
}

/// One class, summed over the shards.
#[derive(Clone, Debug, Default)]
pub struct ClassTotals {
    /// Bytes of a chunk.
    pub chunk_size: usize,
    /// Chunks of a page.
    pub per_page: usize,
    /// Pages.
    pub pages: usize,
    /// Chunks that hold nothing.
    pub free_chunks: usize,
    /// Items by queue: hot, warm, cold, temporary.
    pub items: [u64; 4],
    /// Bytes of the items.
    pub bytes: u64,
    /// Idle seconds of the oldest hot, warm and cold item.
    pub ages: [u32; 3],
    /// Idle seconds of the item evicted last.
    pub evicted_time: u32,
    /// Counters.
    pub counts: ClassStats,
}

/// The whole store, summed over the shards.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By class number; 0 is unused.
    pub classes: Vec<ClassTotals>,
    /// Counters of commands.
    pub commands: CommandStats,
    /// Items in the index.
    pub curr_items: u64,
    /// Bytes of these items.
    pub curr_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: usize,
    /// Slots of the index.
    pub index_slots: usize,
    /// Bytes of committed pages.
    pub malloced: usize,
    /// The memory limit in bytes.
    pub limit: usize,
    /// Pages without a class.
    pub pool: usize,
    /// The page mover.
    pub mover: MoverStats,
}

impl Totals {
    /// The counters of all classes together.
    pub fn class_sum(&self) -> ClassStats {
        let mut sum = ClassStats::default();
        for class in &self.classes {
            sum.add(&class.counts);
        }
        sum
    }
}

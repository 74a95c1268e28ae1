//! The decisions of an eviction policy.

use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{Header, Queue, bit};

/// The decisions of an eviction policy.
pub(super) trait Policy {
    /// Whether the log of COLD items keeps their order. Then segments that are mostly dead are not
    /// compacted while items may be evicted.
    const KEEPS_ORDER: bool;

    /// Whether a new cache has one shard, so that there is one order over all items.
    const ONE_SHARD: bool = false;

    /// Whether a store over a dead item counts as reclaimed memory, as in memcached without its
    /// maintainer.
    const COUNTS_RECLAIMED: bool = false;

    /// Returns the queue of a new item. `was` is the queue of the item that it replaces.
    fn admit(was: Option<Queue>) -> Queue;

    /// Returns the state and stamp of an item after a fetch.
    fn fetched(state: u16, stamp: u32, time: &TimeSnapshot) -> (u16, u32);

    /// Judges an item whose segment is compacted. Returns its new queue, or `None` to evict it.
    /// `idle` means that the segment was chosen because it is not in use.
    fn judge(header: &Header, idle: bool) -> Option<Queue>;
}

/// Returns whether one of the bits `used` is set, and clears the marks of use.
pub(super) fn stays(header: &Header, used: u16) -> bool {
    let stays = header.has(used);
    header.unmark(used | bit::USED | bit::RECENT);
    stays
}

//! Plain LRU, for tests and comparisons: one log for each shard, in the order of last use.
//!
//! A fetch moves nothing, so the log knows only whether an item was used since it was put where
//! it is. An item whose turn has come goes to the end of the log if it was used, and is evicted if
//! not. So an item that was used within the last pass over the log is never evicted. Of the others,
//! those that were put there first go first. Exact LRU would know when in that pass an item was
//! used. Here the used items of a pass keep their order.
//!
//! In contrast to `flat`, every use counts at once, and a cache has as many shards as its threads
//! need. Each shard has an order of its own.

use super::decisions::{Policy, stays};
use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{Header, Queue, bit};

pub(super) struct Lru;

impl Policy for Lru {
    const KEEPS_ORDER: bool = true;

    fn admit(_: Option<Queue>) -> Queue {
        Queue::Cold
    }

    #[inline]
    fn fetched(state: u16, _: u32, time: &TimeSnapshot) -> (u16, u32) {
        let again = if state & bit::FETCHED == 0 { 0 } else { bit::ACTIVE };
        (state | bit::FETCHED | bit::USED | bit::RECENT | again, time.stamp)
    }

    fn judge(header: &Header, _: bool) -> Option<Queue> {
        stays(header, bit::USED).then_some(Queue::Cold)
    }
}

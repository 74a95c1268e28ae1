//! memcached's policy without its maintainer: one log, in the order of last use.
//!
//! As in memcached, a use within a minute of the last one changes nothing. The item whose turn has
//! come goes to the end of the log if a use was recorded. Otherwise it is evicted.

use super::decisions::{Policy, stays};
use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{Header, Queue, bit};

/// Seconds within which further uses of an item change nothing (memcached's
/// `ITEM_UPDATE_INTERVAL`).
const UPDATE_INTERVAL: u32 = 60;

pub(super) struct Flat;

impl Policy for Flat {
    const KEEPS_ORDER: bool = true;
    const ONE_SHARD: bool = true;
    const COUNTS_RECLAIMED: bool = true;

    fn admit(_: Option<Queue>) -> Queue {
        Queue::Cold
    }

    #[inline]
    fn fetched(state: u16, stamp: u32, time: &TimeSnapshot) -> (u16, u32) {
        if time.stamp.saturating_sub(stamp) > UPDATE_INTERVAL {
            (state | bit::FETCHED | bit::ACTIVE, time.stamp)
        } else {
            (state | bit::FETCHED, stamp)
        }
    }

    fn judge(header: &Header, _: bool) -> Option<Queue> {
        stays(header, bit::ACTIVE).then_some(Queue::Cold)
    }
}

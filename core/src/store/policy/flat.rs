//! Strict least-recently-used order, one queue (`-o no_lru_maintainer`,
//! `lru mode flat`). The queue is COLD, as in memcached's flat mode.
//!
//! memcached moves an item at most once a minute; so does this, because a
//! move costs three cache lines and order within a minute matters little.

use super::{Moment, Ordered, Policy};
use crate::store::item::{Header, Queue, Ref, bit};

pub(super) struct Flat;

/// Seconds within which further uses of an item change nothing (memcached's
/// `ITEM_UPDATE_INTERVAL`).
const UPDATE_INTERVAL: u32 = 60;

impl Policy for Flat {
    fn admit(&self) -> Queue {
        Queue::Cold
    }

    #[inline]
    fn hit(&self, header: &Header, moment: &Moment) {
        // The move to the head waits until the item reaches the tail: a fetch
        // costs one bit, and the order is that of last uses all the same.
        if moment.idle(header) > UPDATE_INTERVAL {
            header.mark(bit::FETCHED | bit::ACTIVE);
            header.set_stamp(moment.stamp);
        } else if !header.has(bit::FETCHED) {
            header.mark(bit::FETCHED);
        }
    }

    fn settle(&self, _class: &mut Ordered<'_>) {}

    fn juggle(&self, class: &mut Ordered<'_>) {
        class.queues.flatten(class.memory);
    }

    fn victim(&self, class: &mut Ordered<'_>) -> Option<Ref> {
        let list = class.queues.list(Queue::Cold);
        if list.count == 0 {
            class.queues.flatten(class.memory);
        }
        let mut spared = class.queues.list(Queue::Cold).count;
        loop {
            let at = class.queues.list(Queue::Cold).tail.some()?;
            let header = class.memory.header(at);
            if spared == 0 || !header.has(bit::ACTIVE) {
                return Some(at);
            }
            spared -= 1;
            header.unmark(bit::ACTIVE);
            class.queues.shift(class.memory, at, Queue::Cold);
        }
    }
}

//! Hot, warm and cold queues, as memcached names them, without its readers'
//! work: a hit sets a bit, and items move when something else is at work.
//!
//! ```text
//!   new -> HOT --fetched twice--> WARM <--fetched while cold-- COLD -> evicted
//!           |                      |                            ^
//!           +------ otherwise -----+------- not fetched --------+
//! ```
//!
//! HOT is a short queue that filters items nobody asks for again, so that a
//! scan passes through HOT and COLD and leaves WARM alone. Each queue is a
//! FIFO; an item that was fetched in WARM goes round once more.

use super::{Moment, Ordered, Policy};
use crate::store::item::{Header, Queue, Ref, bit};

pub(super) struct Segmented;

/// Items looked at for one victim before the next is taken as it is.
const PATIENCE: usize = 64;

/// Items of a cold queue's tail that one round of juggling looks at.
const JUGGLED: usize = 128;

impl Policy for Segmented {
    fn admit(&self) -> Queue {
        Queue::Hot
    }

    #[inline]
    fn hit(&self, header: &Header, moment: &Moment) {
        // The first fetch makes an item FETCHED; a further one makes it ACTIVE
        // and counts as its last use. As in memcached, the first does not.
        let state = header.state();
        if state & bit::FETCHED == 0 {
            header.set_state(state | bit::FETCHED);
            return;
        }
        if state & bit::ACTIVE == 0 {
            header.set_state(state | bit::ACTIVE);
        }
        if header.stamp() != moment.stamp {
            header.set_stamp(moment.stamp);
        }
    }

    fn settle(&self, class: &mut Ordered<'_>) {
        // An insertion adds one item: two moves keep up with it.
        for _ in 0..2 {
            if !shrink_hot(class) {
                break;
            }
        }
        for _ in 0..2 {
            if !shrink_warm(class) {
                break;
            }
        }
    }

    fn juggle(&self, class: &mut Ordered<'_>) {
        for _ in 0..JUGGLED {
            if !shrink_hot(class) && !shrink_warm(class) {
                break;
            }
        }
        let mut next = class.queues.list(Queue::Cold).tail;
        for _ in 0..JUGGLED {
            let Some(at) = next.some() else { break };
            let header = class.memory.header(at);
            next = header.prev();
            if header.has(bit::ACTIVE) {
                promote(class, at);
            }
        }
    }

    fn victim(&self, class: &mut Ordered<'_>) -> Option<Ref> {
        for _ in 0..PATIENCE {
            let Some(at) = class.queues.list(Queue::Cold).tail.some() else { break };
            if !class.memory.header(at).has(bit::ACTIVE) {
                return Some(at);
            }
            promote(class, at);
            shrink_warm(class);
        }
        for queue in [Queue::Cold, Queue::Hot, Queue::Warm] {
            if let Some(at) = class.queues.list(queue).tail.some() {
                return Some(at);
            }
        }
        None
    }
}

/// Moves an item that was fetched to the warm queue.
fn promote(class: &mut Ordered<'_>, at: Ref) {
    class.memory.header(at).unmark(bit::ACTIVE);
    class.stats.moves_to_warm += 1;
    class.queues.shift(class.memory, at, Queue::Warm);
}

/// Bytes that a queue with `percent` of the class may hold.
fn share(class: &Ordered<'_>, percent: u32) -> u64 {
    class.queues.bytes() * u64::from(percent) / 100
}

/// Whether the tail of `queue` has been idle for `factor` times the cold age.
fn outlived(class: &Ordered<'_>, queue: Queue, factor: f64) -> bool {
    let age = |q| class.queues.list(q).tail.some().map(|at| class.moment.idle(class.memory.header(at)));
    match (age(queue), age(Queue::Cold)) {
        (Some(own), Some(cold)) if cold > 0 => f64::from(own) > f64::from(cold) * factor,
        _ => false,
    }
}

/// Takes one item off the hot queue if it is too long. `false`: it is not.
fn shrink_hot(class: &mut Ordered<'_>) -> bool {
    let list = class.queues.list(Queue::Hot);
    let (count, bytes, tail) = (list.count, list.bytes, list.tail);
    if count < 2
        || (bytes <= share(class, class.tuning.hot_pct)
            && !outlived(class, Queue::Hot, class.tuning.hot_factor))
    {
        return false;
    }
    if class.memory.header(tail).has(bit::ACTIVE) {
        promote(class, tail);
    } else {
        class.stats.moves_to_cold += 1;
        class.queues.shift(class.memory, tail, Queue::Cold);
    }
    true
}

/// Takes one item off the warm queue if it is too long. `false`: it is not.
fn shrink_warm(class: &mut Ordered<'_>) -> bool {
    let list = class.queues.list(Queue::Warm);
    let (count, bytes, tail) = (list.count, list.bytes, list.tail);
    if count < 2
        || (bytes <= share(class, class.tuning.warm_pct)
            && !outlived(class, Queue::Warm, class.tuning.warm_factor))
    {
        return false;
    }
    if class.memory.header(tail).has(bit::ACTIVE) {
        class.memory.header(tail).unmark(bit::ACTIVE);
        class.stats.moves_within_lru += 1;
        class.queues.shift(class.memory, tail, Queue::Warm);
    } else {
        class.stats.moves_to_cold += 1;
        class.queues.shift(class.memory, tail, Queue::Cold);
    }
    true
}

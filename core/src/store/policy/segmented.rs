//! The default policy: GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998), which weighs uses
//! against size, on logs.
//!
//! ```text
//!   weight = (uses + 1) / size, in octaves: a log for each
//!
//!   new, small ----> rank 20  | H 9 | H 8 | H 7 |--.
//!   new, large ----> rank 17  | H 6 | H 3 |--------+--> the segment with the lowest H is judged;
//!                    ...                           |    L rises to its H
//!   used: a new <---------- used since it was put there, its weight grown --+
//!   rank                                           `--> not used: evicted
//! ```
//!
//! In GDSF, an item has the priority H: its weight, uses by size, plus L. L is the *inflation* at
//! the item's last use: the priority of the item that was evicted last. The item of the lowest
//! priority is evicted. H and L are the letters of GreedyDual-Size (Cao and Irani, 1997). The GDSF
//! paper writes Pr and Clock.
//!
//! Here items of about the same weight share a log, and a segment has one priority: the inflation
//! when it was opened plus the least weight of its log. So the oldest segment of a log has its
//! lowest priority, and the next segment to judge is one of a few.
//!
//! A fetch moves no item. It counts up to seven uses in the header, and sets a bit. Items are
//! judged when their segment is compacted. An item used since it was put there moves to the log
//! of its weight, as if it had been used at this time. The others are evicted.
//! docs/performance.md has the evidence.

use super::decisions::{Policy, stays};
use crate::store::expiry::TimeSnapshot;
use crate::store::mem::{Header, Queue, bit};

pub(super) struct Segmented;

impl Policy for Segmented {
    const KEEPS_ORDER: bool = false;

    fn admit(was: Option<Queue>) -> Queue {
        if was == Some(Queue::Warm) { Queue::Warm } else { Queue::Hot }
    }

    #[inline]
    fn fetched(state: u16, stamp: u32, time: &TimeSnapshot) -> (u16, u32) {
        let used = Header::used(state) | bit::FETCHED;
        // The first fetch makes an item FETCHED. As in memcached, only a further one makes it
        // ACTIVE and counts as its last use.
        if state & bit::FETCHED == 0 { (used, stamp) } else { (used | bit::ACTIVE, time.stamp) }
    }

    fn judge(header: &Header, idle: bool) -> Option<Queue> {
        stays(header, if idle { bit::RECENT } else { bit::USED }).then_some(Queue::Warm)
    }
}

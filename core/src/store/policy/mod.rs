//! Eviction policies: which items stay. This file has what every policy has in common.
//!
//! A policy is a file of this folder that implements [`Policy`], and a line in the list of
//! `config/policy.rs`. It places items by their queue: HOT and WARM items are in logs by weight
//! (`weight.rs`), COLD ones in one log in the order of arrival, TEMP ones are never evicted.

mod decisions;
mod weight;

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use self::decisions::Policy;
pub(super) use self::weight::Weights;
use super::expiry::TimeSnapshot;
use super::mem::{Header, Queue, bit};
use crate::config::{EvictionGoal, EvictionPolicy, eviction_policies};

/// Generates the modules of the policies, and a `match` over them for each decision.
macro_rules! dispatch {
    ($($(#[$doc:meta])* $policy:ident $name:ident,)*) => {
        $(mod $name;)*

        impl EvictionPolicy {
            /// Returns whether the order of COLD items is kept.
            pub(in crate::store) fn keeps_order(self) -> bool {
                match self { $(Self::$policy => $name::$policy::KEEPS_ORDER,)* }
            }

            /// Returns whether a new cache has one shard.
            pub(in crate::store) fn has_one_shard(self) -> bool {
                match self { $(Self::$policy => $name::$policy::ONE_SHARD,)* }
            }

            /// Returns whether a store over a dead item counts as reclaimed memory.
            pub(in crate::store) fn counts_reclaimed(self) -> bool {
                match self { $(Self::$policy => $name::$policy::COUNTS_RECLAIMED,)* }
            }

            fn admit(self, was: Option<Queue>) -> Queue {
                match self { $(Self::$policy => $name::$policy::admit(was),)* }
            }

            #[cold]
            fn fetched_otherwise(self, state: u16, stamp: u32, time: &TimeSnapshot) -> (u16, u32) {
                match self { $(Self::$policy => $name::$policy::fetched(state, stamp, time),)* }
            }

            fn judge(self, header: &Header, idle: bool) -> Option<Queue> {
                match self { $(Self::$policy => $name::$policy::judge(header, idle),)* }
            }
        }

        impl PolicyCell {
            /// Returns the policy.
            #[inline]
            pub(super) fn get(&self) -> EvictionPolicy {
                match self.0.load(Relaxed) {
                    $(number if number == EvictionPolicy::$policy as u8 => EvictionPolicy::$policy,)*
                    _ => EvictionPolicy::Segmented,
                }
            }
        }
    };
}

impl EvictionPolicy {
    /// Returns the state and stamp of an item after a fetch. Every get calls it, so the default
    /// policy comes first.
    #[inline]
    fn fetched(self, state: u16, stamp: u32, time: &TimeSnapshot) -> (u16, u32) {
        if self == Self::Segmented {
            segmented::Segmented::fetched(state, stamp, time)
        } else {
            self.fetched_otherwise(state, stamp, time)
        }
    }
}

/// The policy, for reads without a lock.
pub(super) struct PolicyCell(AtomicU8);

eviction_policies!(dispatch);

impl PolicyCell {
    pub(super) fn new(policy: EvictionPolicy) -> Self {
        Self(AtomicU8::new(policy as u8))
    }

    pub(super) fn set(&self, policy: EvictionPolicy) {
        self.0.store(policy as u8, Relaxed);
    }
}

/// The settings of the policy. They may change at any time.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The policy.
    pub policy: EvictionPolicy,
    /// The goal of the policy, if it weighs items.
    pub goal: EvictionGoal,
    /// Whether there is a log for temporary items.
    pub temporary: bool,
    /// Items with at most this TTL are temporary.
    pub temporary_ttl: u32,
}

/// Records a fetch in the header of an item, under the lock, or in a copy of it.
#[inline]
pub(super) fn record_access(policy: EvictionPolicy, header: &Header, time: &TimeSnapshot) {
    let (state, stamp) = (header.state(), header.stamp());
    let after = policy.fetched(state, stamp, time);
    if after.0 != state {
        header.set_state(after.0);
    }
    if after.1 != stamp {
        header.set_stamp(after.1);
    }
}

/// Returns whether a fetch would change nothing in the header. Needs no lock.
#[inline]
pub(super) fn is_noted(policy: EvictionPolicy, header: &Header, time: &TimeSnapshot) -> bool {
    let (state, stamp) = (header.state(), header.stamp());
    policy.fetched(state, stamp, time) == (state, stamp)
}

/// Returns whether a fetch changes only the record of use: the item is alive, and neither won nor
/// stale. Needs no lock.
#[inline]
pub(super) fn is_plain(header: &Header, time: &TimeSnapshot) -> bool {
    header.state() & (bit::WIN | bit::STALE) == 0 && !time.is_perhaps_dead(header)
}

/// Returns the queue of a new item. `was` is the queue of the item that it replaces.
pub(super) fn admit(tuning: Tuning, time: &TimeSnapshot, expiry: u32, was: Option<Queue>) -> Queue {
    if tuning.temporary && expiry != 0 && expiry.saturating_sub(time.now) <= tuning.temporary_ttl {
        return Queue::Temp;
    }
    tuning.policy.admit(was)
}

/// Judges an item whose segment is compacted. Returns its new queue, or `None` to evict it. `idle`
/// means that the segment was chosen because it is not in use.
pub(super) fn judge(policy: EvictionPolicy, header: &Header, idle: bool) -> Option<Queue> {
    match header.queue() {
        Queue::Temp => Some(Queue::Temp),
        Queue::Hot | Queue::Warm | Queue::Cold => policy.judge(header, idle),
    }
}

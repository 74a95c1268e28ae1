//! The timers of a worker: a binary heap of times, and the values in a table beside it.
//!
//! ```text
//!   heap      (time, serial, place) (time, serial, place) …    the earliest on top
//!   entries   | serial, value | free | serial, value | …       by place
//! ```
//!
//! Cancelling empties the entry and leaves its time in the heap. Such a time is dropped when it
//! comes to the top, or with all others once they are more than half of the heap. So adding and
//! cancelling take constant time on average: new timers are usually the latest ones, and those stay
//! at the bottom of the heap.
//!
//! This module does not read the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Times and entries kept while there are no timers.
const KEEP: usize = 64;

/// Names a timer. Each name is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    place: u32,
    serial: u64,
}

/// A set of timers with values. Timers of one time expire in the order of their addition.
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    entries: Vec<Option<(u64, T)>>,
    /// Places of empty entries.
    free: Vec<u32>,
    /// Serial number of the last timer.
    serial: u64,
}

impl<T> Timers<T> {
    /// Returns an empty set.
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), entries: Vec::new(), free: Vec::new(), serial: 0 }
    }

    /// Returns the number of timers.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Adds a timer.
    pub(crate) fn add(&mut self, at: Instant, value: T) -> TimerId {
        self.serial += 1;
        let entry = Some((self.serial, value));
        let place = if let Some(place) = self.free.pop() {
            if let Some(slot) = self.entries.get_mut(place as usize) {
                *slot = entry;
            }
            place
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        };
        self.heap.push(Reverse((at, self.serial, place)));
        TimerId { place, serial: self.serial }
    }

    /// Removes a timer. Returns its value, or `None` if it has expired or was cancelled.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<T> {
        let value = self.remove(id)?;
        if self.heap.len() > 2 * self.len() + KEEP {
            let entries = &self.entries;
            self.heap.retain(|Reverse((_, serial, place))| is_live(entries, *serial, *place));
        }
        Some(value)
    }

    /// Returns the time of the next timer.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        loop {
            let &Reverse((at, serial, place)) = self.heap.peek()?;
            if is_live(&self.entries, serial, place) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    /// Removes and returns the next timer if its time is not after `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(TimerId, T)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, serial, place)) = self.heap.pop()?;
        let id = TimerId { place, serial };
        Some((id, self.remove(id)?))
    }

    fn remove(&mut self, id: TimerId) -> Option<T> {
        let (_, value) =
            self.entries.get_mut(id.place as usize)?.take_if(|(serial, _)| *serial == id.serial)?;
        self.free.push(id.place);
        if self.len() == 0 {
            self.heap.clear();
            self.entries.clear();
            self.free.clear();
            self.heap.shrink_to(KEEP);
            self.entries.shrink_to(KEEP);
            self.free.shrink_to(KEEP);
        }
        Some(value)
    }
}

/// Returns whether a time of the heap belongs to a timer.
fn is_live<T>(entries: &[Option<(u64, T)>], serial: u64, place: u32) -> bool {
    matches!(entries.get(place as usize), Some(Some((live, _))) if *live == serial)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(u16),
        /// Cancels one of the timers that were ever added.
        Cancel(prop::sample::Index),
        Expire(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..300_u16).prop_map(Step::Add),
            3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            1 => (0..100_u16).prop_map(Step::Expire),
        ];
        prop::collection::vec(step, 0..600)
    }

    proptest! {
        #[test]
        fn timers_agree_with_a_sorted_map(steps in steps()) {
            let (mut timers, mut model) = (Timers::new(), BTreeSet::new());
            let (mut added, mut now) = (Vec::new(), Instant::now());
            for step in steps {
                match step {
                    Step::Add(after) => {
                        let at = now + Duration::from_millis(after.into());
                        let value = added.len();
                        model.insert((at, value));
                        added.push((at, timers.add(at, value)));
                    }
                    Step::Cancel(index) if !added.is_empty() => {
                        let value = index.index(added.len());
                        let (at, id) = added[value];
                        let live = model.remove(&(at, value));
                        prop_assert_eq!(timers.cancel(id), live.then_some(value));
                    }
                    Step::Cancel(_) => {}
                    Step::Expire(after) => {
                        now += Duration::from_millis(after.into());
                        while let Some((id, value)) = timers.expire(now) {
                            let (at, _) = added[value];
                            prop_assert_eq!(model.pop_first(), Some((at, value)));
                            prop_assert_eq!(added[value], (at, id));
                            prop_assert!(at <= now);
                        }
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.next(), model.first().map(|&(at, _)| at));
                prop_assert!(timers.heap.len() <= 2 * timers.len() + KEEP + 1);
            }
        }
    }

    #[test]
    fn memory_of_a_hundred_thousand_timers_is_freed() {
        let (mut timers, start) = (Timers::new(), Instant::now());
        let add = |timers: &mut Timers<u64>, n| timers.add(start + Duration::from_millis(n % 1000), n);
        let ids: Vec<_> = (0..100_000).map(|n| add(&mut timers, n)).collect();
        assert_eq!(timers.len(), ids.len());
        for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
            assert_eq!(timers.cancel(*id), Some(n as u64));
        }
        let mut order = Vec::new();
        while let Some((_, n)) = timers.expire(start + Duration::from_secs(1)) {
            order.push((n % 1000, n));
        }
        assert_eq!(order.len(), ids.len() / 2);
        assert!(order.is_sorted());
        assert!(timers.heap.capacity() + timers.entries.capacity() + timers.free.capacity() <= 3 * KEEP);
        assert!(ids.iter().all(|id| timers.cancel(*id).is_none()));
    }
}

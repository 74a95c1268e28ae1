//! Loads: values that callers are making, to store them. A delete must not be lost on them.
//!
//! A caller that found no item reads its source, and then stores the value. If the source changes
//! in between, the delete that announces it finds no item. So a delete marks the loads of its key,
//! and a load that is marked stores nothing.
//!
//! ```text
//!   loader    begin, read the source ........... | unless marked: store |
//!   deleter              change the source, mark | remove the item
//! ```
//!
//! The check and the store are under a lock that the mark needs. So a load is marked before it
//! stores, or the delete removes what it has stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::base::fork::ForkMark;
use crate::base::sync::Mutex;

/// The loads of a cache.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    /// Length of `keys`. A delete takes no lock while it is 0.
    count: AtomicUsize,
    keys: Mutex<HashMap<Box<[u8]>, Key>>,
}

/// A key whose value is loaded.
#[derive(Debug, Default)]
struct Key {
    loads: usize,
    /// Number of marks. Locked during a store.
    marks: Arc<Mutex<u64>>,
}

impl Key {
    fn mark(&self) {
        *self.marks.lock() += 1;
    }
}

impl Loads {
    /// Begins the load of a value. Call it before the source is read, and before the last lookup
    /// that finds no item.
    pub(super) fn begin(self: &Arc<Self>, key: &[u8]) -> Load {
        let mut keys = self.keys.lock();
        let entry = keys.entry(key.into()).or_default();
        entry.loads += 1;
        let marks = Arc::clone(&entry.marks);
        self.count.store(keys.len(), Relaxed);
        drop(keys);
        let seen = *marks.lock();
        Load { of: Arc::clone(self), key: key.into(), seen, mark: ForkMark::of_this_process() }
    }

    /// Calls `store` if the load of `key` that began with `seen` marks has no more of them, and has
    /// not ended.
    pub(super) fn finish<R>(&self, key: &[u8], seen: u64, store: impl FnOnce() -> R) -> Option<R> {
        let marks = Arc::clone(&self.keys.lock().get(key)?.marks);
        let marks = marks.lock();
        (*marks == seen).then(store)
    }

    /// Marks the loads of a key. Call it before the item is removed.
    #[inline]
    pub(super) fn mark(&self, key: &[u8]) {
        if self.count.load(Relaxed) > 0 {
            self.keys.lock().get(key).into_iter().for_each(Key::mark);
        }
    }

    /// Marks the loads of all keys with a prefix. Call it before the items are removed.
    pub(super) fn mark_prefix(&self, prefix: &[u8]) {
        let keys = self.keys.lock();
        keys.iter().filter(|(key, _)| key.starts_with(prefix)).for_each(|(_, found)| found.mark());
    }
}

/// A load that is under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    of: Arc<Loads>,
    key: Box<[u8]>,
    seen: u64,
    mark: ForkMark,
}

impl Load {
    /// Returns the number of marks at its begin, for [`Cache::finish_load`].
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // In a child of `fork` the lock may be held by a thread of the parent.
        if !self.mark.holds() {
            return;
        }
        let mut keys = self.of.keys.lock();
        if let Some(entry) = keys.get_mut(&self.key) {
            entry.loads -= 1;
            if entry.loads == 0 {
                keys.remove(&self.key);
            }
        }
        self.of.count.store(keys.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_marked(loads: &Loads, load: &Load) -> bool {
        loads.finish(&load.key, load.seen, || ()).is_none()
    }

    #[test]
    fn a_mark_is_for_the_loads_that_began_before() {
        let loads = Arc::<Loads>::default();
        let (first, other) = (loads.begin(b"key"), loads.begin(b"other"));
        loads.mark(b"key");
        let second = loads.begin(b"key");
        assert_eq!([&first, &second, &other].map(|load| is_marked(&loads, load)), [true, false, false]);
        loads.mark_prefix(b"ot");
        assert_eq!([&second, &other].map(|load| is_marked(&loads, load)), [false, true]);
        loads.mark_prefix(b"");
        assert!(is_marked(&loads, &second));
    }

    #[test]
    fn a_load_ends_with_its_object() {
        let loads = Arc::<Loads>::default();
        let (first, second) = (loads.begin(b"key"), loads.begin(b"key"));
        let seen = first.seen();
        drop(first);
        loads.mark(b"key");
        assert!(is_marked(&loads, &second));
        drop(second);
        assert_eq!(loads.finish(b"key", seen, || ()), None);
        assert!(loads.keys.lock().is_empty());
        assert_eq!(loads.count.load(Relaxed), 0);
    }
}

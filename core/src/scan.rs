//! Every item of a cache, a little at a time: no lock is held between two steps.

use crate::cache::Cache;
use crate::store::{Item, TimeSnapshot};

/// A walk under way.
///
/// Items that stay from its beginning to its end are seen at least once, unless
/// so many go meanwhile that the index shrinks; those that come or go meanwhile
/// may be seen or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    shard: usize,
    bucket: usize,
}

impl Scan {
    /// Shows `look` the next items, at least `most` unless a part of the cache
    /// ends before. `false`: that was the end. That part is locked while `look`
    /// runs.
    pub fn advance(&mut self, cache: &Cache, most: usize, look: impl FnMut(Item<'_>, &TimeSnapshot)) -> bool {
        let store = cache.store();
        if self.shard >= store.shard_count() {
            return false;
        }
        match store.scan(self.shard, self.bucket, most, look) {
            Some(bucket) => self.bucket = bucket,
            None => *self = Self { shard: self.shard + 1, bucket: 0 },
        }
        self.shard < store.shard_count()
    }

    /// Whether it is at its end.
    pub fn is_done(&self, cache: &Cache) -> bool {
        self.shard >= cache.store().shard_count()
    }
}

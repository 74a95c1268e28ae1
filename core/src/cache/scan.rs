//! A cursor over all items of a cache. No lock is held between two steps.

use crate::cache::Cache;
use crate::store::{Bucket, Item, TimeSnapshot};

/// A position in a scan.
///
/// An item that exists during the whole scan is seen once, as it is at one moment. An item that is
/// stored or removed during the scan is seen at most once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    shard: usize,
    bucket: Bucket,
}

impl Scan {
    /// Calls `look` with the items of whole buckets, until there were `most` or more, or the shard
    /// ends. The shard is locked while `look` runs. Returns `false` after the last step.
    pub fn advance(&mut self, cache: &Cache, most: usize, look: impl FnMut(Item<'_>, &TimeSnapshot)) -> bool {
        let store = cache.store();
        if self.shard >= store.shard_count() {
            return false;
        }
        match store.scan(self.shard, self.bucket, most, look) {
            Some(bucket) => self.bucket = bucket,
            None => *self = Self { shard: self.shard + 1, bucket: Bucket::default() },
        }
        self.shard < store.shard_count()
    }

    /// Returns whether the scan is at its end.
    pub fn is_done(&self, cache: &Cache) -> bool {
        self.shard >= cache.store().shard_count()
    }
}

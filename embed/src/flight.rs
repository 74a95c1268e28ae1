//! Single flight: the core's, and the renewal of a stale value.
//!
//! ```text
//!   lease -- stale --> Renewal: the caller makes the value while the others get the old one
//! ```
//!
//! Dropping a [`Renewal`] counts as a failure, as dropping a [`Leader`] does.

use std::sync::{Arc, Weak};

use memcache_core::Cache;
pub use memcache_core::internal::base::flight::{Leader, Role, SingleFlight, Waiter};
use memcache_core::internal::base::fork::ForkMark;
use memcache_core::internal::cache::{MetaDelete, MetaGet, Request};
use memcache_core::internal::store::{EntryRef, ReadConflict, bit};

/// Looks a value up, and says whether the caller must renew it with a [`Renewal`].
///
/// The cache chooses one caller, if the item is stale or expires before `recache`. `copy` copies
/// the value.
#[inline]
pub fn lease<R>(
    cache: &Cache,
    key: &[u8],
    recache: Option<u32>,
    mut copy: impl FnMut(&mut EntryRef<'_>) -> Result<R, ReadConflict>,
) -> Option<(R, bool)> {
    let request = MetaGet { update: true, recache, ..MetaGet::default() };
    cache.meta_get(&Request::new(key, request), |entry, state| Ok((copy(entry)?, state.win)))
}

/// The right and duty to make a stale value anew, while other callers get the old one.
///
/// The item itself records that a caller makes it anew, and would keep saying so if that caller
/// ended.
#[derive(Debug)]
pub struct Renewal {
    cache: Weak<Cache>,
    /// `None` once it has ended.
    key: Option<Box<[u8]>>,
    mark: ForkMark,
}

impl Renewal {
    /// Creates the renewal of a key. The cache has chosen the caller for it.
    pub fn new(cache: &Arc<Cache>, key: &[u8]) -> Self {
        Self { cache: Arc::downgrade(cache), key: Some(key.into()), mark: ForkMark::of_this_process() }
    }

    /// Ends the renewal. If it has failed, the cache chooses the next caller, unless the value was
    /// stored since. A second call does nothing.
    pub fn finish(&mut self, is_stored: bool) {
        let Some(key) = self.key.take().filter(|_| self.mark.holds() && !is_stored) else { return };
        let Some(cache) = self.cache.upgrade() else { return };
        let cas = cache.inspect(&key, 0, |entry| {
            let header = entry.header();
            Ok((header.state() & bit::WIN != 0).then(|| header.cas()))
        });
        if let Some(compare) = cas.flatten() {
            let request = MetaDelete { stale: true, compare: Some(compare), ..MetaDelete::default() };
            cache.meta_delete(&Request::new(&key, request));
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.finish(false);
    }
}

#[cfg(test)]
mod tests {
    use memcache_core::{CacheConfig, Ttl};

    use super::*;

    /// Returns whether the cache chooses this caller to make a stale value anew.
    fn is_chosen(cache: &Cache) -> bool {
        lease(cache, b"key", None, |_| Ok(())).unwrap().1
    }

    #[test]
    fn after_a_failed_renewal_the_next_caller_is_chosen() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        cache.set("key", "old", Ttl::Never).unwrap();
        cache.meta_delete(&Request::new(b"key", MetaDelete { stale: true, ..MetaDelete::default() }));
        assert!(is_chosen(&cache) && !is_chosen(&cache));
        drop(Renewal::new(&cache, b"key"));
        assert!(is_chosen(&cache));
        let mut renewal = Renewal::new(&cache, b"key");
        renewal.finish(true);
        drop(renewal);
        assert!(!is_chosen(&cache));
        // A failure leaves a value alone that was stored since.
        let renewal = Renewal::new(&cache, b"key");
        cache.set("key", "new", Ttl::Never).unwrap();
        drop(renewal);
        assert!(!is_chosen(&cache));
    }
}

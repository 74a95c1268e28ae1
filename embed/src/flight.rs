//! Single flight: the core's, the renewal of a stale value, and the store of what was made.
//!
//! ```text
//!   lease -- stale --> Renewal: the caller makes the value while the others get the old one
//! ```
//!
//! Dropping a [`Renewal`] counts as a failure, as dropping a [`Leader`] does.

use std::sync::{Arc, Weak};

use memcache_core::Cache;
use memcache_core::internal::base::error::AllocError;
pub use memcache_core::internal::base::flight::{Leader, Role, SingleFlight, Waiter};
use memcache_core::internal::base::fork::ForkMark;
pub use memcache_core::internal::cache::{Load, Mode};
use memcache_core::internal::cache::{MetaDelete, MetaGet, Request, StoreOperation, StoreValue, Stored};
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

/// The conditions under which a value is stored that a caller has made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The marks that its [`Load`] has seen.
    pub seen: u64,
    /// [`Mode::Add`] if there was no item. Otherwise the value replaces a stale item: by its CAS,
    /// or by [`Mode::Set`] in a cache without CAS.
    pub mode: Mode,
    /// The CAS of the stale item.
    pub compare: u64,
}

impl Made {
    /// Returns the conditions for a value that had no item.
    pub fn new(load: &Load) -> Self {
        Self { seen: load.seen(), mode: Mode::Add, compare: 0 }
    }
}

/// Stores a value that a caller has made. A newer value stays. Returns `false` if the key was
/// deleted while the value was made, so that later callers must not get it.
///
/// # Errors
/// There is no room for the value.
pub fn store_made(
    cache: &Cache,
    key: &[u8],
    made: Made,
    operation: StoreOperation,
    value: &[u8],
) -> Result<bool, AllocError> {
    let store = |mode| {
        // A value of another caller stays, also if this one does not fit.
        let operation = StoreOperation { mode, compare: made.compare, purge_on_failure: false, ..operation };
        let request = Request::new(key, operation);
        cache.store_value(&request, StoreValue::Bytes(value)).map(|reply| reply.stored)
    };
    let stored = cache.finish_load(key, made.seen, || match store(made.mode)? {
        // The stale item has expired since.
        Stored::NotFound => store(Mode::Add),
        stored => Ok(stored),
    });
    let stored = stored.transpose();
    if stored.is_err() && made.mode != Mode::Add {
        // The stale item that the value would replace is out of date. A newer one has another CAS.
        let compare = (made.compare != 0).then_some(made.compare);
        cache.meta_delete(&Request::new(key, MetaDelete { compare, ..MetaDelete::default() }));
    }
    Ok(stored?.is_some())
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
    load: Option<Load>,
    mode: Mode,
    compare: u64,
}

impl Renewal {
    /// Creates the renewal of a key. The cache has chosen the caller for it.
    pub fn new(cache: &Arc<Cache>, key: &[u8]) -> Self {
        let load = cache.begin_load(key);
        let (mode, compare) = match chosen(cache, key) {
            None => (Mode::Add, 0),
            Some(0) => (Mode::Set, 0),
            Some(cas) => (Mode::Cas, cas),
        };
        let (key, mark) = (Some(key.into()), ForkMark::of_this_process());
        Self { cache: Arc::downgrade(cache), key, mark, load: Some(load), mode, compare }
    }

    /// Returns the conditions under which its value is stored, or `None` once it has ended.
    pub fn made(&self) -> Option<Made> {
        self.load.as_ref().map(|load| Made { seen: load.seen(), mode: self.mode, compare: self.compare })
    }

    /// Ends the renewal. If it has failed, the cache chooses the next caller, unless the value was
    /// stored since. A second call does nothing.
    pub fn finish(&mut self, is_stored: bool) {
        self.load = None;
        let Some(key) = self.key.take().filter(|_| self.mark.holds() && !is_stored) else { return };
        let Some(cache) = self.cache.upgrade() else { return };
        if let Some(compare) = chosen(&cache, &key) {
            let request = MetaDelete { stale: true, compare: Some(compare), ..MetaDelete::default() };
            cache.meta_delete(&Request::new(&key, request));
        }
    }
}

/// Returns the CAS of an item for which a caller was chosen.
fn chosen(cache: &Cache, key: &[u8]) -> Option<u64> {
    let cas = cache.inspect(key, 0, |entry| {
        let header = entry.header();
        Ok((header.state() & bit::WIN != 0).then(|| header.cas()))
    });
    cas.flatten()
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

    fn made(cache: &Cache, made: Made, value: &str) -> bool {
        store_made(cache, b"key", made, StoreOperation::default(), value.as_bytes()).unwrap()
    }

    #[test]
    fn a_newer_value_or_a_delete_outlives_what_was_made() {
        for use_cas in [true, false] {
            let cache = Cache::new(CacheConfig { use_cas, ..CacheConfig::default() }).unwrap();
            let value = || cache.get("key").map(|value| String::from_utf8(value).unwrap());
            let invalidate = || {
                cache.meta_delete(&Request::new(b"key", MetaDelete { stale: true, ..MetaDelete::default() }));
                assert!(is_chosen(&cache));
            };
            let load = cache.begin_load(b"key");
            assert!(made(&cache, Made::new(&load), "first"));
            assert!(made(&cache, Made::new(&load), "second"), "it is current, but there is a newer one");
            assert_eq!(value().as_deref(), Some("first"));
            cache.delete("key");
            assert!(!made(&cache, Made::new(&load), "third"));
            drop(load);
            assert_eq!(value(), None);
            cache.set("key", "old", Ttl::Never).unwrap();
            invalidate();
            let renewal = Renewal::new(&cache, b"key");
            assert!(made(&cache, renewal.made().unwrap(), "renewed"));
            assert_eq!(value().as_deref(), Some("renewed"));
            invalidate();
            let renewal = Renewal::new(&cache, b"key");
            cache.set("key", "newer", Ttl::Never).unwrap();
            assert!(made(&cache, renewal.made().unwrap(), "made"));
            // Without CAS the newer value looks like the stale one.
            assert_eq!(value().as_deref(), Some(if use_cas { "newer" } else { "made" }));
            invalidate();
            let renewal = Renewal::new(&cache, b"key");
            cache.delete("key");
            assert!(!made(&cache, renewal.made().unwrap(), "made"));
            assert_eq!(value(), None);
        }
    }

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

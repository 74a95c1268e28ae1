//! A stale value that one caller makes anew while the others still get the old one.
//!
//! The item itself records that a caller makes it anew (`bit::WIN`), and would keep saying so if
//! that caller ended. So the caller holds a `Renewal`. Dropping one counts as a failure, and the
//! next caller makes the value. Node drops the objects of an environment that ends.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::cache::{MetaDelete, Request};
use memcache_core::internal::store::bit;
use napi_derive::napi;

use crate::raw::guarded;
use crate::shared_cache::{SharedCache, WeakCache};

/// The duty to make a stale value anew.
#[napi]
pub struct Renewal {
    cache: WeakCache,
    /// `None` once it has ended.
    key: Option<Vec<u8>>,
}

impl Renewal {
    /// Creates the renewal of a key that the caller was chosen to make anew.
    pub fn new(cache: &Arc<SharedCache>, key: &[u8]) -> Self {
        Self { cache: WeakCache::new(cache), key: Some(key.to_vec()) }
    }
}

#[napi]
impl Renewal {
    /// Ends it after the value was stored.
    #[napi(catch_unwind)]
    pub fn done(&mut self) {
        self.key = None;
    }

    /// Ends it without a value.
    #[napi(catch_unwind)]
    pub fn fail(&mut self) {
        if let (Some(key), Ok(shared)) = (self.key.take(), self.cache.get()) {
            hand_over(&shared.core, &key);
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        guarded(|| self.fail());
    }
}

/// Lets the next caller make the item anew, unless it was stored again since.
fn hand_over(cache: &Cache, key: &[u8]) {
    let cas = cache.inspect(key, 0, |entry| {
        let header = entry.header();
        Ok((header.state() & bit::WIN != 0).then(|| header.cas()))
    });
    if let Some(compare) = cas.flatten() {
        let operation = MetaDelete { stale: true, compare: Some(compare), ..MetaDelete::default() };
        cache.meta_delete(&Request::new(key, operation));
    }
}

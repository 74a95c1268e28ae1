//! Values that are made anew while others get the old one.
//!
//! The item itself tells that somebody does (`bit::WIN`), and would go on
//! telling so if that somebody ended. So the one who does holds a Renewal: one
//! that is dropped has failed, and the next caller wins. Node drops what an
//! environment had that ended.

use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::cache::MetaDelete;
use memcache_core::internal::store::bit;
use napi_derive::napi;

use crate::handle::{Seen, Shared};
use crate::raw::guarded;

/// A value that the holder is making anew.
#[napi]
pub struct Renewal {
    of: Seen,
    /// None: it has ended.
    key: Option<Vec<u8>>,
}

impl Renewal {
    /// Of a key whose item the caller was told to make anew.
    pub fn new(of: &Arc<Shared>, key: &[u8]) -> Self {
        Self { of: Seen::new(of), key: Some(key.to_vec()) }
    }
}

#[napi]
impl Renewal {
    /// Ends it: the value is stored.
    #[napi(catch_unwind)]
    pub fn done(&mut self) {
        self.key = None;
    }

    /// Ends it without a value.
    #[napi(catch_unwind)]
    pub fn fail(&mut self) {
        if let (Some(key), Ok(shared)) = (self.key.take(), self.of.get()) {
            give_back(&shared.core, &key);
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        guarded(|| self.fail());
    }
}

/// Has the next caller make the item anew, unless somebody has stored another
/// one since.
fn give_back(cache: &Cache, key: &[u8]) {
    let told = cache.inspect(key, 0, |entry| {
        let header = entry.header();
        Ok((header.state() & bit::WIN != 0).then(|| header.cas()))
    });
    if let Some(compare) = told.flatten() {
        cache.meta_delete(key, &MetaDelete { stale: true, compare: Some(compare), ..MetaDelete::default() });
    }
}

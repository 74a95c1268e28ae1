//! Hot keys as objects.

use memcache_core::HotKeys;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

/// A key that many requests are for.
#[napi(object)]
pub struct HotKey {
    pub key: Buffer,
    pub reads: f64,
    pub writes: f64,
    pub error: f64,
    pub share: f64,
}

/// Converts hot keys.
pub fn list(hot: HotKeys) -> Vec<HotKey> {
    let convert = |hot: memcache_core::HotKey| HotKey {
        key: hot.key.into(),
        reads: hot.reads as f64,
        writes: hot.writes as f64,
        error: hot.error as f64,
        share: hot.share,
    };
    hot.keys.into_iter().map(convert).collect()
}

//! Carries out a request: calls the cache and passes the result to the encoder.

use crate::base::error::DeltaError;
use crate::cache::{Cache, Deleted, StoreRequest, StoreValue};
use crate::protocol::reply::Reply;
use crate::protocol::request::{Request, StoreHead};
use crate::store::LookupHint;

/// Carries out `request` of the client with descriptor `client`.
#[inline]
pub fn dispatch(cache: &Cache, request: &Request<'_>, client: i32, reply: &mut impl Reply) {
    match request {
        Request::Get { key, touch } => {
            let hint = cache.store().lookup_hint(key.bytes());
            get(cache, *key, hint, touch.map(|exptime| cache.clock().expiry(exptime)), client, reply);
        }
        Request::Delete { key, compare } => reply.deleted(cache.delete_for(key.bytes(), *compare, client)),
        Request::Touch { key, exptime } => {
            reply.touched(cache.touch_for(key.bytes(), cache.clock().expiry(*exptime), client));
        }
        Request::Delta(delta) => reply.number(cache.add_delta(delta)),
        Request::MetaGet { key, ask } => {
            let shown = cache.meta_get(key.bytes(), ask, |entry, tokens| reply.meta_hit(entry, tokens));
            if shown.is_none() {
                reply.meta_miss();
            }
        }
        Request::MetaDelete { key, ask } => reply.deleted(cache.meta_delete(key.bytes(), ask)),
        Request::Inspect { key } => {
            if cache.inspect(key.bytes(), client, |entry| reply.inspected(entry)).is_none() {
                reply.meta_miss();
            }
        }
    }
}

/// Answers `request` as if there were no such item (an injected miss).
pub fn miss(request: &Request<'_>, reply: &mut impl Reply) {
    match request {
        Request::Get { key, .. } => reply.miss(*key),
        Request::Delete { .. } | Request::MetaDelete { .. } => reply.deleted(Deleted::NotFound),
        Request::Touch { .. } => reply.touched(false),
        Request::Delta(_) => reply.number(Err(DeltaError::NotFound)),
        Request::MetaGet { .. } | Request::Inspect { .. } => reply.meta_miss(),
    }
}

/// Reads one key; `touch` is a second of the clock.
#[inline]
pub(crate) fn get(
    cache: &Cache,
    key: crate::protocol::request::Key<'_>,
    hint: LookupHint,
    touch: Option<u32>,
    client: i32,
    reply: &mut impl Reply,
) {
    if cache.fetch_at(key.bytes(), hint, None, touch, client, |entry| reply.hit(entry)).is_none() {
        reply.miss(key);
    }
}

/// Returns the cache's form of a store.
#[inline]
pub fn store_request<'a>(cache: &Cache, head: &StoreHead<'a>, client: i32) -> StoreRequest<'a> {
    StoreRequest {
        key: head.key.bytes(),
        mode: head.mode,
        vivify: head.vivify,
        flags: head.flags,
        expiry: cache.clock().expiry(head.exptime),
        compare: head.compare,
        cas: head.cas,
        allow_stale: head.allow_stale,
        key_binary: head.key_binary,
        purge_on_failure: head.purge_on_failure,
        client,
    }
}

/// Stores a complete value.
#[inline]
pub fn store(cache: &Cache, request: &StoreRequest<'_>, value: StoreValue<'_>, reply: &mut impl Reply) {
    match cache.store_value(request, value) {
        Ok(stored) => reply.stored(&stored),
        Err(error) => reply.refused(error),
    }
}

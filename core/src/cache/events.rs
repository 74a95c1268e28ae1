//! The lines that watchers receive about commands, in memcached's words.

use std::fmt::Write as _;

use crate::base::clock::Clock;
use crate::base::error::AllocError;
use crate::base::watch::{WatchHub, kind, push_uri_encoded};
use crate::cache::{Mode, Request, StoreOperation, StoreReply, Stored};
use crate::store::{Item, LockedEntry, Lookup};

/// A key was looked up.
#[inline]
pub fn fetched(hub: &WatchHub, key: &[u8], visit: &LockedEntry<'_>, client: i32) {
    if !hub.wants(kind::FETCHERS) {
        return;
    }
    hub.event(kind::FETCHERS, |line| {
        let status = match visit.lookup() {
            Lookup::Missing => "not_found",
            Lookup::Found => "found",
            Lookup::Flushed => "flushed",
            Lookup::Expired => "expired",
        };
        let (class, size) = visit.item().map_or((0, 0), |item| (item.header().class(), item.len()));
        line.push_str("type=item_get key=");
        push_uri_encoded(line, key);
        let _ = write!(line, " status={status} clsid={class} cfd={client} size={size}");
    });
}

/// A store was carried out, or its condition did not hold.
#[inline]
pub fn stored(
    hub: &WatchHub,
    request: &Request<'_, StoreOperation>,
    reply: &StoreReply,
    class: u8,
    clock: &Clock,
) {
    if !hub.wants(kind::MUTATIONS) {
        return;
    }
    let status = match reply.stored {
        Stored::Stored => "stored",
        Stored::NotStored => "not_stored",
        Stored::Exists => "exists",
        Stored::NotFound => "not_found",
    };
    let expiry = request.operation.expiry;
    let ttl = if expiry == 0 { 0 } else { expiry.wrapping_sub(clock.now()) };
    store_line(hub, request, status, ttl, class, reply.length);
}

/// A store was refused because there is no memory.
pub fn refused(hub: &WatchHub, request: &Request<'_, StoreOperation>, error: AllocError) {
    if !hub.wants(kind::MUTATIONS) {
        return;
    }
    let status = match error {
        AllocError::TooLarge => "too_large",
        AllocError::NoMemory => "no_memory",
    };
    store_line(hub, request, status, 0, 0, 0);
}

fn store_line(
    hub: &WatchHub,
    request: &Request<'_, StoreOperation>,
    status: &str,
    ttl: u32,
    class: u8,
    size: usize,
) {
    hub.event(kind::MUTATIONS, |line| {
        let command = match request.operation.mode {
            Mode::Set => "set",
            Mode::Add => "add",
            Mode::Replace => "replace",
            Mode::Append => "append",
            Mode::Prepend => "prepend",
            Mode::Cas => "cas",
        };
        line.push_str("type=item_store key=");
        push_uri_encoded(line, request.key);
        let _ = write!(
            line,
            " status={status} cmd={command} ttl={ttl} clsid={class} cfd={} size={size}",
            request.client
        );
    });
}

/// An item is about to be deleted.
#[inline]
pub fn deleted(hub: &WatchHub, item: Item<'_>, command: &str) {
    if !hub.wants(kind::DELETIONS) {
        return;
    }
    hub.event(kind::DELETIONS, |line| {
        line.push_str("type=deleted key=");
        push_uri_encoded(line, item.key());
        let _ = write!(line, " cmd={command} clsid={} size={}", item.header().class(), item.len());
    });
}

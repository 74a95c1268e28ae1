//! Replies whose length grows with the cache or with the number of connections: all keys, the keys
//! of a class, prefixes, sizes, connections.
//!
//! Each is written in parts, one for each turn of its client. So a reply is never in memory as a
//! whole, and other clients wait for one part only.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lines::{Lines, put_connection, put_sizes};
use crate::base::turn::Turn;
use crate::cache::Cache;
use crate::cache::scan::Scan;
use crate::protocol::binary::Echo;
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::state::ServerState;
use crate::store::{Item, Listing, TimeSnapshot, bit};

/// Items, prefixes or sizes between two checks of the turn and the output.
const STEP: usize = 128;

/// Connections between two checks: naming one takes two system calls.
const CONNECTIONS: usize = 16;

/// The cost of examining an item, in bytes of a turn. Most items are not in the processor's caches.
const ITEM_WORK: usize = 128;

/// The cost of examining an entry of a table, in bytes of a turn.
const ENTRY_WORK: usize = 8;

/// Longest line of a prefix in bytes: its name, no longer than a key, and four numbers.
const PREFIX_LINE: usize = 384;

/// Largest answer of `stats cachedump` in bytes, as in memcached.
const CACHEDUMP_MAX: usize = 2 * 1024 * 1024;

/// The format of a dump of keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `key=... exp=...`
    Meta,
    /// `mg <key>`
    Mg,
}

/// A long reply in progress.
pub struct Dump {
    what: What,
}

opaque_debug!(Dump);

enum What {
    /// `lru_crawler metadump` and `mgdump`, of the classes in `classes` (bits).
    Keys { form: Form, classes: u64, scan: Scan, begun: bool },
    /// `stats cachedump`: the class, and the items and bytes that are left.
    Class { class: u8, listing: Listing, items: usize, bytes: usize },
    /// `stats detail dump`, from this number on. A packet begins with its length, so the text is
    /// collected first.
    Prefixes { at: usize, packet: Option<(Echo, Vec<u8>)> },
    /// `stats sizes`, from this number on.
    Sizes { at: usize, echo: Option<Echo> },
    /// `stats conns`, from this descriptor on, for `client`.
    Connections { at: i32, client: i32 },
}

impl Dump {
    /// All keys of the classes in `classes` (bits).
    pub(super) fn keys(form: Form, classes: u64) -> Self {
        Self { what: What::Keys { form, classes, scan: Scan::default(), begun: false } }
    }

    /// At most `most` items of `class`, or all if `most` is 0. Empty if there is no such class.
    pub(super) fn class(class: u8, most: usize) -> Self {
        let items = if most == 0 { usize::MAX } else { most };
        Self { what: What::Class { class, listing: Listing::default(), items, bytes: CACHEDUMP_MAX - 512 } }
    }

    /// Counts by prefix, as lines or as a packet.
    pub(super) fn prefixes(echo: Option<Echo>) -> Self {
        Self { what: What::Prefixes { at: 0, packet: echo.map(|echo| (echo, Vec::new())) } }
    }

    /// Counts by size, as lines or as packets.
    pub(super) fn sizes(echo: Option<Echo>) -> Self {
        Self { what: What::Sizes { at: 0, echo } }
    }

    /// All connections, for the connection `client`.
    pub(super) fn connections(client: i32) -> Self {
        Self { what: What::Connections { at: 0, client } }
    }

    /// Bytes collected so far.
    pub(crate) fn held(&self) -> usize {
        match &self.what {
            What::Prefixes { packet: Some((_, gathered)), .. } => gathered.capacity(),
            _ => 0,
        }
    }

    /// Writes until the output holds `limit` bytes, the turn is over, or the reply is complete.
    /// Returns `true` if it is complete.
    pub fn advance(
        &mut self,
        context: &ServerState,
        turn: &mut Turn,
        out: &mut Output,
        limit: usize,
    ) -> bool {
        loop {
            // The dump may list few of the items it examines.
            if out.len() >= limit || turn.is_over() {
                return false;
            }
            let before = out.len();
            let step = self.what.step(context, out);
            turn.spend(step.work + out.len() - before);
            if step.last {
                return true;
            }
        }
    }
}

/// The cost of a part of a reply.
struct Step {
    /// In bytes that take as long, without the bytes that were written.
    work: usize,
    /// Whether it was the last part.
    last: bool,
}

impl What {
    fn step(&mut self, context: &ServerState, out: &mut Output) -> Step {
        let cache = &context.cache;
        match self {
            Self::Keys { form, classes, scan, begun } => {
                if !*begun {
                    out.push(b"OK\r\n");
                    *begun = true;
                }
                if scan.is_done(cache) {
                    out.push(if *form == Form::Meta { b"END\r\n" } else { b"EN\r\n" });
                    return Step { work: 0, last: true };
                }
                list_keys(cache, *form, *classes, scan, out.bytes());
                Step { work: STEP * ITEM_WORK, last: false }
            }
            Self::Class { class, listing, items, bytes } => {
                let looked = if *items == 0 || *bytes == 0 || !is_class(cache, *class) {
                    None
                } else {
                    list_class(cache, *class, listing, items, bytes, out.bytes())
                };
                if looked.is_none() {
                    out.push(b"END\r\n");
                }
                Step { work: looked.unwrap_or(0) * ENTRY_WORK, last: looked.is_none() }
            }
            Self::Prefixes { at, packet } => {
                let bytes = match packet {
                    Some((_, gathered)) => gathered,
                    None => out.bytes(),
                };
                if bytes.try_reserve(STEP * PREFIX_LINE).is_err() {
                    return out_of_memory(packet.take(), out);
                }
                let next = cache.prefixes().each(*at, STEP, |prefix, [gets, hits, sets, deletes]| {
                    bytes.extend_from_slice(b"PREFIX ");
                    bytes.extend_from_slice(prefix);
                    // Writing to a Vec cannot fail.
                    let _ = write!(bytes, " get {gets} hit {hits} set {sets} del {deletes}\r\n");
                });
                if let Some(next) = next {
                    *at = next;
                } else {
                    bytes.extend_from_slice(b"END\r\n");
                    if let Some((echo, gathered)) = packet {
                        if out.bytes().try_reserve(gathered.len() + PREFIX_LINE).is_err() {
                            return out_of_memory(packet.take(), out);
                        }
                        echo.statistic(out.bytes(), b"detailed", gathered);
                        Lines::Packets(out.bytes(), *echo).end();
                    }
                }
                Step { work: STEP * ITEM_WORK, last: next.is_none() }
            }
            Self::Sizes { at, echo } => {
                let mut lines = match *echo {
                    Some(echo) => Lines::Packets(out.bytes(), echo),
                    None => Lines::Text(out.bytes()),
                };
                let next = put_sizes(cache.store().sizes(), *at, STEP, &mut lines);
                match next {
                    Some(next) => *at = next,
                    None => lines.end(),
                }
                Step { work: STEP * ENTRY_WORK, last: next.is_none() }
            }
            Self::Connections { at, client } => {
                let mut lines = Lines::Text(out.bytes());
                let mut some = false;
                for (fd, state, last) in context.connections.iter(*at).take(CONNECTIONS) {
                    put_connection(context, *client, fd, state, last, &mut lines);
                    *at = fd.saturating_add(1);
                    some = true;
                }
                if !some {
                    lines.end();
                }
                Step { work: CONNECTIONS * 1024, last: !some }
            }
        }
    }
}

/// Ends a dump for which there is no memory, in memcached's words.
fn out_of_memory(packet: Option<(Echo, Vec<u8>)>, out: &mut Output) -> Step {
    const TEXT: &str = "SERVER_ERROR Out of memory generating stats";
    match packet {
        Some((echo, gathered)) => {
            drop(gathered);
            echo.server_error(out, TEXT);
        }
        None => push_line(out, TEXT),
    }
    Step { work: 0, last: true }
}

fn is_class(cache: &Cache, class: u8) -> bool {
    class >= 1 && class <= cache.store().largest_class()
}

fn list_keys(cache: &Cache, form: Form, classes: u64, scan: &mut Scan, bytes: &mut Vec<u8>) {
    let origin = cache.clock().origin();
    scan.advance(cache, STEP, |item, time| {
        if classes & 1 << (item.header().class() & 63) == 0 {
            return;
        }
        match form {
            Form::Meta => meta_line(bytes, item, time, origin),
            Form::Mg => mg_line(bytes, item),
        }
    });
}

/// Lists items of a part of a class. `items` and `left` are the items and bytes that may still be
/// listed. Returns the number of entries that were examined.
fn list_class(
    cache: &Cache,
    class: u8,
    listing: &mut Listing,
    items: &mut usize,
    left: &mut usize,
    bytes: &mut Vec<u8>,
) -> Option<usize> {
    let origin = cache.clock().origin();
    cache.store().list_class(class, listing, STEP.min(*items), |item| {
        *items -= 1;
        let header = item.header();
        if header.has(bit::KEY_BINARY) || *left == 0 {
            return;
        }
        let expiry = match header.expiry() {
            0 => 0,
            expiry => i64::from(expiry) + origin,
        };
        let before = bytes.len();
        bytes.extend_from_slice(b"ITEM ");
        bytes.extend_from_slice(item.key());
        // Writing to a Vec cannot fail.
        let _ = write!(bytes, " [{} b; {expiry} s]\r\n", item.len());
        *left = left.saturating_sub(bytes.len() - before);
    })
}

fn meta_line(bytes: &mut Vec<u8>, item: Item<'_>, time: &TimeSnapshot, origin: i64) {
    let header = item.header();
    let mut key = String::with_capacity(item.key().len());
    crate::base::watch::push_uri_encoded(&mut key, item.key());
    let expiry = match header.expiry() {
        0 => -1,
        expiry => i64::from(expiry) + origin,
    };
    let used = i64::from(time.now) - i64::from(time.idle(header)) + origin;
    let fetched = if header.has(bit::FETCHED) { "yes" } else { "no" };
    let line = format!(
        "key={key} exp={expiry} la={used} cas={} fetch={fetched} cls={} size={} flags={} \n",
        header.cas(),
        header.class(),
        header.total(),
        item.flags(),
    );
    bytes.extend_from_slice(line.as_bytes());
}

fn mg_line(bytes: &mut Vec<u8>, item: Item<'_>) {
    bytes.extend_from_slice(b"mg ");
    if item.header().has(bit::KEY_BINARY) {
        bytes.extend_from_slice(STANDARD.encode(item.key()).as_bytes());
        bytes.extend_from_slice(b" b");
    } else {
        bytes.extend_from_slice(item.key());
    }
    bytes.extend_from_slice(b"\r\n");
}

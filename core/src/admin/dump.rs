//! `lru_crawler metadump` and `mgdump`: every key of the cache, a little at a
//! time, so that the output of a large cache is never held in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cache::Cache;
use crate::output::Output;
use crate::store::{Item, Moment, bit};
use crate::walk::Walk;

/// Items between looks at the output.
const STEP: usize = 128;

/// Looks before others get their turn.
const STEPS: usize = 16;

/// What a line looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `key=... exp=...`
    Meta,
    /// `mg <key>`
    Mg,
}

/// A dump under way.
pub struct Dump {
    form: Form,
    classes: u64,
    walk: Walk,
    begun: bool,
}

impl Dump {
    /// A dump of the classes in `classes` (bits).
    pub fn new(form: Form, classes: u64) -> Self {
        Self { form, classes, walk: Walk::default(), begun: false }
    }

    /// Writes until the output holds `limit` bytes, many items were looked at, or
    /// all is written; then `true`.
    pub fn advance(&mut self, cache: &Cache, out: &mut Output, limit: usize) -> bool {
        if !self.begun {
            out.push(b"OK\r\n");
            self.begun = true;
        }
        let origin = cache.clock().origin();
        for steps in 0.. {
            if self.walk.is_done(cache) {
                break;
            }
            // Few of the items may be wanted.
            if out.len() >= limit || steps >= STEPS {
                return false;
            }
            let (form, classes) = (self.form, self.classes);
            let bytes = out.bytes();
            self.walk.step(cache, STEP, |item, moment| {
                if classes & 1 << (item.header().class() & 63) == 0 {
                    return;
                }
                match form {
                    Form::Meta => meta_line(bytes, item, moment, origin),
                    Form::Mg => mg_line(bytes, item),
                }
            });
        }
        out.push(if self.form == Form::Meta { b"END\r\n" } else { b"EN\r\n" });
        true
    }
}

fn meta_line(bytes: &mut Vec<u8>, item: Item<'_>, moment: &Moment, origin: i64) {
    let header = item.header();
    let mut key = String::with_capacity(item.key().len());
    crate::watch::push_uri_encoded(&mut key, item.key());
    let expiry = match header.expiry() {
        0 => -1,
        expiry => i64::from(expiry) + origin,
    };
    let used = i64::from(moment.now) - i64::from(moment.idle(header)) + origin;
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

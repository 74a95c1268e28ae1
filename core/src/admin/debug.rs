//! Commands of memcached's debug build: `debugtime` and `debugitem`.

use super::context::{AdminContext, Outcome};
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_i64};

/// `debugtime p|r|<seconds>`: stops, resumes and moves the clock.
pub(super) fn debugtime(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let clock = ctx.context.cache.clock();
    match tokens.get(1) {
        None => return ctx.line(text::ERROR),
        Some(b"p") => clock.freeze(),
        Some(b"r") => clock.resume(),
        Some(seconds) => match strict_i64(seconds) {
            Some(seconds) if clock.advance(seconds).is_ok() => {}
            _ => return ctx.line(text::ERROR),
        },
    }
    ctx.line("OK")
}

/// `debugitem lock|unlock|ref|unref <key>`: pins an item, for tests of code that waits for items in
/// use.
pub(super) fn debugitem(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let (Some(_), Some(key)) = (tokens.get(1), tokens.get(2)) else { return ctx.line(text::ERROR) };
    let holds = tokens.abbreviates(1, "lock") || tokens.abbreviates(1, "ref");
    if holds {
        let store = ctx.context.cache.store();
        let pinned = store.entry(key, store.hash(key)).pin();
        match pinned {
            Some(value) => ctx.held.push((key.to_vec(), value)),
            None if tokens.abbreviates(1, "ref") => return ctx.line("MISS"),
            None => {}
        }
    } else if tokens.abbreviates(1, "unlock") || tokens.abbreviates(1, "unref") {
        ctx.held.retain(|(held, _)| held != key && key != b"reffed");
    } else {
        return ctx.line(text::ERROR);
    }
    ctx.line("OK")
}

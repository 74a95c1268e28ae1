//! `slabs`: the commands of memcached's page mover, which has no counterpart here.

use super::context::{AdminContext, Outcome};
use crate::cache::Cache;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, float, strict_i32, strict_u32};

pub(super) fn slabs(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if tokens.len() == 4 && tokens.abbreviates(1, "reassign") {
        if !ctx.cache().config().slab_reassign {
            return ctx.line("CLIENT_ERROR slab reassignment disabled");
        }
        let number = |index| tokens.get(index).and_then(strict_i32);
        let (Some(from), Some(to)) = (number(2), number(3)) else { return ctx.line(text::BAD_LINE) };
        return ctx.line(reassign(ctx.cache(), from, to));
    }
    if tokens.len() >= 3 && tokens.abbreviates(1, "automove") {
        return automove(ctx, tokens);
    }
    ctx.line(text::ERROR)
}

/// Replies like a memcached whose classes have at most one page each. Memory does not belong to
/// classes here, and scripts repeat the command until there is nothing to move.
fn reassign(cache: &Cache, from: i32, to: i32) -> &'static str {
    // Class 0 is memcached's pool of free pages. -1 asks for any class with spare pages. Without
    // one, it is an invalid class.
    let known = 0..cache.store().totals().classes.len() as i32;
    if from == to {
        "SAME src and dst class are identical"
    } else if known.contains(&from) && known.contains(&to) {
        "NOSPARE source class has no spare pages"
    } else {
        "BADCLASS invalid src or dst class id"
    }
}

fn automove(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if tokens.abbreviates(2, "ratio") {
        let Some(ratio) = tokens.get(3).and_then(float) else { return ctx.line(text::ERROR) };
        ctx.context.reported.lock().slab_automove_ratio = ratio;
    } else if tokens.abbreviates(2, "freeratio") {
        // A setting of extstore: checked, without effect.
        if tokens.get(3).and_then(float).is_none() {
            return ctx.line(text::ERROR);
        }
    } else if tokens.abbreviates(2, "window") {
        let Some(window) = tokens.get(3).and_then(strict_u32) else { return ctx.line(text::BAD_LINE) };
        if !(3..=1800).contains(&window) {
            return ctx.line("CLIENT_ERROR automove window too low or too high");
        }
        ctx.context.reported.lock().slab_automove_window = window;
    } else {
        match tokens.get(2).and_then(strict_u32) {
            None => return ctx.line(text::BAD_LINE),
            Some(level @ 0..=2) => ctx.context.reported.lock().slab_automove = level,
            Some(_) => return ctx.line(text::ERROR),
        }
    }
    ctx.line("OK")
}

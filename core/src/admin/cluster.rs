//! `config get|set|delete cluster`: the list of nodes of a hosted cluster.
//!
//! `get` follows `ElastiCache`'s documentation. The others follow its Java client. memcached has
//! none of them.

use super::context::{AdminContext, Outcome};
use super::upload::NodesUpload;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_u32};
use crate::protocol::write::push_line;
use crate::state::cluster::TEXT_MAX;

/// The only name of a configuration.
const KEY: &[u8] = b"cluster";

/// Carries out a `config` line.
pub(super) fn config(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    match (tokens.get(1), tokens.len()) {
        (Some(b"get"), 3) => get(ctx, tokens),
        (Some(b"set"), 5) => set(ctx, tokens),
        (Some(b"delete"), 3) => {
            let deleted = tokens.get(2) == Some(KEY) && ctx.context.cluster.delete();
            ctx.line(if deleted { "DELETED" } else { "NOT_FOUND" })
        }
        _ => ctx.line(text::ERROR),
    }
}

/// Returns the bytes of the list that follows a `config` line, its line end included.
pub fn value_len(tokens: &Tokens<'_>) -> usize {
    let is_set = tokens.len() == 5 && tokens.get(1) == Some(b"set");
    let [flags, length] = [3, 4].map(|index| tokens.get(index).and_then(strict_u32));
    match (flags, length) {
        (Some(_), Some(length)) if is_set => length as usize + 2,
        _ => 0,
    }
}

fn get(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if tokens.get(2) == Some(KEY)
        && let Some((flags, text)) = ctx.context.cluster.get()
    {
        push_line(ctx.out, &format!("CONFIG cluster {flags} {}", text.len()));
        ctx.out.push(&text);
        ctx.out.push(b"\r\n");
    }
    ctx.line("END")
}

fn set(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let number = |index| tokens.get(index).and_then(strict_u32);
    let (Some(flags), Some(length)) = (number(3), number(4)) else { return ctx.line(text::BAD_LINE) };
    let length = length as usize;
    let mut bytes = Vec::new();
    let refused = if length > TEXT_MAX {
        text::TOO_LARGE
    } else if tokens.get(2) != Some(KEY) {
        "CLIENT_ERROR unknown configuration"
    } else if bytes.try_reserve_exact(length + 2).is_err() {
        text::NO_MEMORY
    } else {
        return Outcome::Upload(Box::new(NodesUpload::new(flags, length, bytes)));
    };
    push_line(ctx.out, refused);
    Outcome::Swallow(length + 2)
}

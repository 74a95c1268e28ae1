//! Commands about the server as a whole: `version`, `shutdown`, `flush_all`, `flush_prefix`,
//! `verbosity`, `cache_memlimit` and `refresh_certs`.

use std::sync::atomic::Ordering::Relaxed;

use super::context::{AdminContext, Outcome};
use crate::cache::is_key;
use crate::config::MIB;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_i32, strict_u32};
use crate::protocol::write::push_line;
use crate::state::{CloseReason, ServerState, Stop, WorkerStats};

/// The version that clients see: memcached's, because clients derive behaviour from it.
pub const VERSION: &str = "1.6.45";

/// Highest level that `verbosity` sets.
const MAX_VERBOSITY: u32 = 2;

pub(super) fn version(ctx: &mut AdminContext<'_>) -> Outcome {
    ctx.line(&format!("VERSION {VERSION}"))
}

pub(super) fn shutdown(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.shutdown_enabled {
        return ctx.line("SERVER_ERROR: shutdown not enabled");
    }
    let how = match tokens.len() {
        1 => Stop::Now,
        2 if tokens.abbreviates(1, "graceful") => Stop::Graceful,
        _ => return ctx.line("CLIENT_ERROR invalid shutdown mode"),
    };
    ctx.context.control.request_stop(how);
    Outcome::Abort(CloseReason::Shutdown)
}

pub(super) fn memlimit(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let Some(megabytes) = tokens.get(1).and_then(strict_u32) else { return ctx.line(text::ERROR) };
    if megabytes < 8 {
        return ctx.line("MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    }
    if megabytes > 1_000_000_000 {
        return ctx.line("MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    }
    if !ctx.cache().store().set_limit(megabytes as usize * MIB) {
        return ctx.line("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
    }
    ctx.context.log(1, || format!("maxbytes adjusted to {megabytes}m"));
    ctx.cache().maintainer().wake();
    ctx.line("OK")
}

/// Removes all items, at once or after `delay` (an exptime). Returns `false` if that is not
/// allowed.
pub fn flush(context: &ServerState, stats: &WorkerStats, delay: i64) -> bool {
    if !context.config.flush_enabled {
        return false;
    }
    stats.flush_cmds.add(1);
    let at = (delay > 0).then(|| context.cache.clock().expiry(delay).saturating_sub(1));
    context.cache.flush(at);
    true
}

pub(super) fn flush_all(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let delay = if tokens.len() == if ctx.quiet { 2 } else { 1 } {
        Some(0)
    } else {
        tokens.get(1).and_then(strict_i32)
    };
    match delay {
        Some(delay) if flush(ctx.context, ctx.stats, i64::from(delay)) => ctx.line("OK"),
        // memcached counts refused ones, too.
        delay => {
            ctx.stats.flush_cmds.add(1);
            let allowed = ctx.context.config.flush_enabled;
            ctx.line(if allowed && delay.is_none() {
                text::BAD_EXPTIME
            } else {
                "CLIENT_ERROR flush_all not allowed"
            })
        }
    }
}

/// `flush_prefix PREFIX`, which memcached does not have.
pub(super) fn flush_prefix(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let is_whole = tokens.len() == if ctx.quiet { 3 } else { 2 };
    let prefix = tokens.get(1).filter(|prefix| is_whole && is_key(prefix));
    let Some(prefix) = prefix else { return ctx.line(text::BAD_LINE) };
    ctx.stats.flush_cmds.add(1);
    if !ctx.context.config.flush_enabled {
        return ctx.line("CLIENT_ERROR flush_prefix not allowed");
    }
    ctx.line(if ctx.cache().try_flush_prefix(prefix) {
        "OK"
    } else {
        "SERVER_ERROR too many prefixes are being flushed"
    })
}

pub(super) fn verbosity(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let Some(level) = tokens.get(1).and_then(strict_u32) else { return ctx.line(text::BAD_LINE) };
    ctx.context.verbosity.store(level.min(MAX_VERBOSITY) as u8, Relaxed);
    ctx.line("OK")
}

pub(super) fn refresh_certs(ctx: &mut AdminContext<'_>) -> Outcome {
    match ctx.context.reload_certificates() {
        Some(Ok(())) => return ctx.line("OK"),
        // As in memcached, these are sent in spite of `noreply`.
        Some(Err(line)) => push_line(ctx.out, &line),
        None => push_line(ctx.out, "Error TLS not enabled"),
    }
    Outcome::Done
}

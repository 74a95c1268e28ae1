//! `stats hotkeys` and `stats latency`: what samples of the requests say.

use super::context::{AdminContext, Outcome};
use super::lines::Lines;
use crate::base::watch::push_uri_encoded;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_u32};
use crate::state::{CommandClass, ServerState};

/// Keys that `stats hotkeys` shows if the client gives no number.
const HOT_KEYS: usize = 10;

/// Quantiles of durations that statistics show.
pub(super) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// Carries out `stats hotkeys [NUMBER]`.
pub(super) fn stats_hot_keys(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.dump_enabled {
        return ctx.line("CLIENT_ERROR stats hotkeys not allowed");
    }
    let Some(most) = tokens.get(2).map_or(Some(HOT_KEYS as u32), strict_u32) else {
        return ctx.line(text::BAD_LINE);
    };
    hot_keys(ctx.context, most as usize, Lines::Text(ctx.out.bytes()));
    Outcome::Done
}

/// Returns the number of keys that a group of the binary protocol or of a program asks for.
/// Returns `None` if it is another group.
pub(super) fn hot_keys_wanted(group: &[u8]) -> Option<usize> {
    match group.strip_prefix(b"hotkeys")? {
        b"" => Some(HOT_KEYS),
        number => strict_u32(number.strip_prefix(b" ")?).map(|most| most as usize),
    }
}

/// Writes the keys with the most requests.
pub(super) fn hot_keys(context: &ServerState, most: usize, mut out: Lines<'_>) {
    let hot = context.cache.hot_keys(most);
    out.put("window_seconds", hot.window_seconds);
    out.put("sample_rate", hot.sample_rate);
    out.put("requests", hot.requests);
    for (rank, key) in (1..).zip(&hot.keys) {
        let mut name = String::new();
        push_uri_encoded(&mut name, &key.key);
        out.put(format_args!("{rank}:key"), name);
        out.put(format_args!("{rank}:reads"), key.reads);
        out.put(format_args!("{rank}:writes"), key.writes);
        out.put(format_args!("{rank}:error"), key.error);
    }
    out.end();
}

/// Writes the durations by class of command, without classes that had no request.
pub(super) fn latency(context: &ServerState, mut out: Lines<'_>) {
    out.put("sample_rate", context.cache.config().sample_rate);
    for class in CommandClass::ALL {
        let (name, durations) = (class.name(), context.latency.of(class));
        if durations.count() == 0 {
            continue;
        }
        out.put(format_args!("{name}:count"), durations.count());
        out.put(format_args!("{name}:sum_ns"), durations.sum());
        for (quantile, share) in QUANTILES {
            let Some(bound) = durations.quantile(share) else { continue };
            out.put(format_args!("{name}:{quantile}_ns"), bound);
        }
        for (bound, count) in durations.buckets() {
            out.put(format_args!("{name}:le_{bound}"), count);
        }
    }
    out.end();
}

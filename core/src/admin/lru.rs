//! `lru`: the settings of eviction.

use super::context::{AdminContext, Outcome};
use crate::config::{EvictionGoal, EvictionPolicy};
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, float, strict_i32, strict_u32};

pub(super) fn lru(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let maintained = ctx.cache().config().lru_maintainer;
    let line = if tokens.len() >= 6 && tokens.abbreviates(1, "tune") {
        tune(ctx, tokens)
    } else if tokens.len() >= 3 && tokens.abbreviates(1, "mode") && maintained {
        mode(ctx, tokens)
    } else if tokens.len() >= 3 && tokens.abbreviates(1, "goal") && maintained {
        goal(ctx, tokens)
    } else if tokens.len() >= 3 && tokens.abbreviates(1, "temp_ttl") && maintained {
        temp_ttl(ctx, tokens)
    } else {
        text::ERROR
    };
    ctx.line(line)
}

/// `lru tune HOT WARM HOT_FACTOR WARM_FACTOR`
fn tune(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let (Some(hot), Some(warm), Some(hot_factor), Some(warm_factor)) = (
        tokens.get(2).and_then(strict_u32),
        tokens.get(3).and_then(strict_u32),
        tokens.get(4).and_then(float),
        tokens.get(5).and_then(float),
    ) else {
        return text::ERROR;
    };
    if hot.wrapping_add(warm) > 80 {
        return "ERROR hot and warm pcts must not exceed 80";
    }
    if hot_factor <= 0.0 || warm_factor <= 0.0 {
        return "ERROR hot/warm age factors must be greater than 0";
    }
    let mut reported = ctx.context.reported.lock();
    reported.hot_lru_pct = hot;
    reported.warm_lru_pct = warm;
    reported.hot_max_factor = hot_factor;
    reported.warm_max_factor = warm_factor;
    "OK"
}

/// `lru mode POLICY`
fn mode(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let Some(&policy) = EvictionPolicy::ALL.iter().find(|policy| tokens.abbreviates(2, policy.name())) else {
        return text::ERROR;
    };
    ctx.cache().store().tune(|tuning| tuning.policy = policy);
    "OK"
}

/// `lru goal GOAL`
fn goal(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let Some(&goal) = EvictionGoal::ALL.iter().find(|goal| tokens.abbreviates(2, goal.name())) else {
        return text::ERROR;
    };
    ctx.cache().store().tune(|tuning| tuning.goal = goal);
    "OK"
}

/// `lru temp_ttl TTL`
fn temp_ttl(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let Some(ttl) = tokens.get(2).and_then(strict_i32) else { return text::ERROR };
    ctx.cache().store().tune(|tuning| {
        tuning.temporary = ttl >= 0;
        tuning.temporary_ttl = u32::try_from(ttl).unwrap_or(tuning.temporary_ttl);
    });
    "OK"
}

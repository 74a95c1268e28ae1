//! `lru_crawler`: the crawler, and dumps of keys.

use std::sync::atomic::Ordering::Relaxed;

use super::context::{AdminContext, Outcome};
use super::dump::{Dump, Form};
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_u32};

const DISABLED: &str = "CLIENT_ERROR lru crawler disabled";

const BAD_CLASS: &str = "BADCLASS invalid class id";

pub(super) fn lru_crawler(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let line = match tokens.len() {
        2 => switch(ctx, tokens),
        3 if tokens.abbreviates(1, "crawl") => crawl(ctx, tokens),
        3 if tokens.abbreviates(1, "metadump") => return dump(ctx, tokens, Form::Meta),
        3 if tokens.abbreviates(1, "mgdump") => return dump(ctx, tokens, Form::Mg),
        3 => tune(ctx, tokens),
        _ => text::ERROR,
    };
    ctx.line(line)
}

/// `lru_crawler enable|disable`
fn switch(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let maintainer = ctx.cache().maintainer();
    let crawler = &maintainer.state().crawler;
    if tokens.abbreviates(1, "enable") {
        if crawler.swap(true, Relaxed) {
            return "ERROR failed to start lru crawler thread";
        }
        maintainer.wake();
    } else if tokens.abbreviates(1, "disable") {
        crawler.store(false, Relaxed);
    } else {
        return text::ERROR;
    }
    "OK"
}

/// `lru_crawler crawl CLASSES`
fn crawl(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let maintainer = ctx.cache().maintainer();
    if !maintainer.state().crawler.load(Relaxed) {
        return DISABLED;
    }
    let Some(classes) = tokens.get(2).and_then(parse_classes) else { return BAD_CLASS };
    if maintainer.crawl(classes) { "OK" } else { "BUSY currently processing crawler request" }
}

/// `lru_crawler metadump|mgdump CLASSES|hash`
fn dump(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>, form: Form) -> Outcome {
    let (refused, pipelined) = match form {
        Form::Meta => ("ERROR metadump not allowed", "ERROR cannot pipeline other commands before metadump"),
        Form::Mg => ("ERROR key dump not allowed", "ERROR cannot pipeline other commands before mgdump"),
    };
    if !ctx.cache().maintainer().state().crawler.load(Relaxed) {
        return ctx.line(DISABLED);
    }
    if !ctx.context.config.dump_enabled {
        return ctx.line(refused);
    }
    if ctx.pipelined {
        return ctx.line(pipelined);
    }
    let classes = match tokens.get(2) {
        Some(b"hash") => Some(u64::MAX),
        other => other.and_then(parse_classes),
    };
    let Some(classes) = classes else { return ctx.line(BAD_CLASS) };
    Outcome::Dump(Box::new(Dump::keys(form, classes)))
}

/// `lru_crawler tocrawl|sleep NUMBER`
fn tune(ctx: &AdminContext<'_>, tokens: &Tokens<'_>) -> &'static str {
    let background = ctx.cache().maintainer().state();
    let number = tokens.get(2).and_then(strict_u32);
    if tokens.abbreviates(1, "tocrawl") {
        let Some(most) = number else { return text::BAD_LINE };
        background.crawler_tocrawl.store(most, Relaxed);
    } else if tokens.abbreviates(1, "sleep") {
        let Some(micros) = number else { return text::BAD_LINE };
        if micros > 1_000_000 {
            return "CLIENT_ERROR sleep must be one second or less";
        }
        background.crawler_sleep.store(micros, Relaxed);
    } else {
        return text::ERROR;
    }
    "OK"
}

/// Classes by number, `1,2,5`, or `all`, as bits.
fn parse_classes(token: &[u8]) -> Option<u64> {
    if token == b"all" {
        return Some(u64::MAX);
    }
    let mut classes = 0;
    for number in token.split(|&byte| byte == b',').filter(|number| !number.is_empty()) {
        let number = strict_u32(number).filter(|number| (1..64).contains(number))?;
        classes |= 1 << number;
    }
    (classes != 0).then_some(classes)
}

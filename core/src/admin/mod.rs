//! Commands that inspect or change a server: `stats`, `slabs`, `lru`, `lru_crawler`, `watch`,
//! `verbosity`, `flush_all`, `shutdown`, the commands of memcached's debug build, and `config` of
//! hosted clusters.
//!
//! They are text commands with memcached's words and errors. As in memcached, most subcommands may
//! be abbreviated.

pub(crate) mod cluster;
pub(crate) mod debug;
mod dump;
mod stats;

use std::sync::atomic::Ordering::Relaxed;

pub use self::cluster::NodesUpload;
pub use self::dump::Dump;
pub use self::stats::{binary as binary_stats, each as each_stat, reset as reset_stats};
use crate::admin::debug::PinnedItems;
use crate::base::watch::kind;
use crate::cache::Cache;
use crate::config::{EvictionGoal, EvictionPolicy, MIB};
use crate::protocol::classic::push_line;
use crate::protocol::output::Output;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, float, strict_i32, strict_u32};
use crate::state::CloseReason;
use crate::state::{ServerState, Stop, WorkerStats};

/// The version that clients see: memcached's, because clients derive behaviour from it.
pub const VERSION: &str = "1.6.45";

/// Highest level that `verbosity` sets.
const MAX_VERBOSITY: u32 = 2;

/// The action of the session after an admin command.
#[derive(Debug)]
pub enum Outcome {
    /// Reads the next command.
    Done,
    /// Closes the connection after flushing.
    Close(CloseReason),
    /// Closes the connection at once.
    Abort(CloseReason),
    /// Streams events of these kinds.
    Watch(u32),
    /// Sends a long list.
    Dump(Box<Dump>),
    /// Reads a list of nodes.
    Upload(Box<NodesUpload>),
    /// Discards this many bytes of input.
    Swallow(usize),
}

/// The context of an admin command.
#[derive(Debug)]
pub struct AdminContext<'a> {
    /// The server.
    pub context: &'a ServerState,
    /// Counters of this worker.
    pub stats: &'a WorkerStats,
    /// Descriptor of the client.
    pub client: i32,
    /// The output for replies.
    pub out: &'a mut Output,
    /// Whether `noreply` was given: replies are dropped.
    pub quiet: bool,
    /// Whether replies to earlier commands wait to be sent.
    pub pipelined: bool,
    /// Set for commands that cost much more than a get. A turn carries out one of them.
    pub is_dear: bool,
    /// Items pinned by `debugitem`.
    pub held: &'a mut PinnedItems,
}

impl AdminContext<'_> {
    fn line(&mut self, line: &str) -> Outcome {
        if self.quiet {
            self.context.log(2, || format!(">{} NOREPLY {line}", self.client));
        } else {
            push_line(self.out, line);
        }
        Outcome::Done
    }

    fn cache(&self) -> &Cache {
        &self.context.cache
    }
}

/// Carries out a line without its end, whose first word has the length `word`. Returns `None` if it
/// is not a command.
pub fn run(ctx: &mut AdminContext<'_>, line: &[u8], word: usize) -> Option<Outcome> {
    match line.get(..word)? {
        b"version" => return Some(ctx.line(concat!("VERSION ", "1.6.45"))),
        b"quit" => return Some(Outcome::Close(CloseReason::Normal)),
        _ => {}
    }
    let outcome = run_dear(ctx, line, word);
    ctx.is_dear = outcome.is_some();
    outcome
}

fn run_dear(ctx: &mut AdminContext<'_>, line: &[u8], word: usize) -> Option<Outcome> {
    match line.get(..word)? {
        b"stats" => return Some(stats::stats(ctx, &Tokens::new(line))),
        b"watch" => return Some(watch(ctx, &Tokens::new(line))),
        _ => {}
    }
    let tokens = Tokens::new(line);
    ctx.quiet = tokens.is_noreply();
    let outcome = match tokens.get(0)? {
        b"shutdown" => shutdown(ctx, &tokens),
        b"slabs" => slabs(ctx, &tokens),
        b"cache_memlimit" => memlimit(ctx, &tokens),
        b"flush_all" => flush_all(ctx, &tokens),
        b"lru_crawler" => lru_crawler(ctx, &tokens),
        b"verbosity" => verbosity(ctx, &tokens),
        b"lru" => lru(ctx, &tokens),
        b"refresh_certs" => {
            match ctx.context.reload_certificates() {
                Some(Ok(())) => return Some(ctx.line("OK")),
                // As in memcached, these are sent in spite of `noreply`.
                Some(Err(line)) => push_line(ctx.out, &line),
                None => push_line(ctx.out, "Error TLS not enabled"),
            }
            Outcome::Done
        }
        b"config" if ctx.context.cluster.is_on() => cluster::config(ctx, &tokens),
        b"debugtime" if ctx.context.config.debug_commands => debug::debugtime(ctx, &tokens),
        b"debugitem" if ctx.context.config.debug_commands => debug::debugitem(ctx, &tokens),
        b"misbehave" if ctx.context.config.debug_commands => ctx.line(text::ERROR),
        _ if tokens.len() > 1 && tokens.last()?.starts_with(b"HTTP/") => {
            // A browser, or a web page that makes it post to this server.
            Outcome::Abort(CloseReason::Error)
        }
        _ => return None,
    };
    Some(outcome)
}

fn shutdown(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
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

fn slabs(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
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
    let background = ctx.context.cache.maintainer().state();
    if tokens.abbreviates(2, "ratio") {
        let Some(ratio) = tokens.get(3).and_then(float) else { return ctx.line(text::ERROR) };
        background.automove_ratio.store(ratio.to_bits(), Relaxed);
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
        background.automove_window.store(window, Relaxed);
    } else {
        match tokens.get(2).and_then(strict_u32) {
            None => return ctx.line(text::BAD_LINE),
            Some(level @ 0..=2) => {
                background.automove.store(level, Relaxed);
            }
            Some(_) => return ctx.line(text::ERROR),
        }
    }
    ctx.line("OK")
}

fn memlimit(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
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

fn flush_all(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
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

fn verbosity(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let Some(level) = tokens.get(1).and_then(strict_u32) else { return ctx.line(text::BAD_LINE) };
    ctx.context.verbosity.store(level.min(MAX_VERBOSITY) as u8, Relaxed);
    ctx.line("OK")
}

fn lru(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let maintained = ctx.cache().config().lru_maintainer;
    if tokens.len() >= 6 && tokens.abbreviates(1, "tune") {
        let (Some(hot), Some(warm), Some(hot_factor), Some(warm_factor)) = (
            tokens.get(2).and_then(strict_u32),
            tokens.get(3).and_then(strict_u32),
            tokens.get(4).and_then(float),
            tokens.get(5).and_then(float),
        ) else {
            return ctx.line(text::ERROR);
        };
        if hot.wrapping_add(warm) > 80 {
            return ctx.line("ERROR hot and warm pcts must not exceed 80");
        }
        if hot_factor <= 0.0 || warm_factor <= 0.0 {
            return ctx.line("ERROR hot/warm age factors must be greater than 0");
        }
        ctx.cache().store().tune(|tuning| {
            tuning.hot_pct = hot;
            tuning.warm_pct = warm;
            tuning.hot_factor = hot_factor;
            tuning.warm_factor = warm_factor;
        });
        return ctx.line("OK");
    }
    if tokens.len() >= 3 && tokens.abbreviates(1, "mode") && maintained {
        let mut policies = EvictionPolicy::ALL.iter();
        let Some(&policy) = policies.find(|policy| tokens.abbreviates(2, policy.name())) else {
            return ctx.line(text::ERROR);
        };
        ctx.cache().store().tune(|tuning| tuning.policy = policy);
        return ctx.line("OK");
    }
    if tokens.len() >= 3 && tokens.abbreviates(1, "goal") && maintained {
        let mut goals = EvictionGoal::ALL.iter();
        let Some(&goal) = goals.find(|goal| tokens.abbreviates(2, goal.name())) else {
            return ctx.line(text::ERROR);
        };
        ctx.cache().store().tune(|tuning| tuning.goal = goal);
        return ctx.line("OK");
    }
    if tokens.len() >= 3 && tokens.abbreviates(1, "temp_ttl") && maintained {
        let Some(ttl) = tokens.get(2).and_then(strict_i32) else { return ctx.line(text::ERROR) };
        ctx.cache().store().tune(|tuning| {
            tuning.temporary = ttl >= 0;
            tuning.temporary_ttl = u32::try_from(ttl).unwrap_or(tuning.temporary_ttl);
        });
        return ctx.line("OK");
    }
    ctx.line(text::ERROR)
}

fn lru_crawler(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    const DISABLED: &str = "CLIENT_ERROR lru crawler disabled";
    let maintainer = ctx.context.cache.maintainer();
    let background = maintainer.state();
    let enabled = background.crawler.load(Relaxed);
    if tokens.len() == 2 {
        if tokens.abbreviates(1, "enable") {
            if background.crawler.swap(true, Relaxed) {
                return ctx.line("ERROR failed to start lru crawler thread");
            }
            maintainer.wake();
        } else if tokens.abbreviates(1, "disable") {
            background.crawler.store(false, Relaxed);
        } else {
            return ctx.line(text::ERROR);
        }
        return ctx.line("OK");
    }
    if tokens.len() != 3 {
        return ctx.line(text::ERROR);
    }
    if tokens.abbreviates(1, "crawl") {
        if !enabled {
            return ctx.line(DISABLED);
        }
        let Some(classes) = tokens.get(2).and_then(parse_classes) else {
            return ctx.line("BADCLASS invalid class id");
        };
        if !maintainer.crawl(classes) {
            return ctx.line("BUSY currently processing crawler request");
        }
        return ctx.line("OK");
    }
    for (word, refused, pipelined, end) in [
        (
            "metadump",
            "ERROR metadump not allowed",
            "ERROR cannot pipeline other commands before metadump",
            dump::Form::Meta,
        ),
        (
            "mgdump",
            "ERROR key dump not allowed",
            "ERROR cannot pipeline other commands before mgdump",
            dump::Form::Mg,
        ),
    ] {
        if !tokens.abbreviates(1, word) {
            continue;
        }
        if !enabled {
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
        let Some(classes) = classes else { return ctx.line("BADCLASS invalid class id") };
        return Outcome::Dump(Box::new(Dump::keys(end, classes)));
    }
    if tokens.abbreviates(1, "tocrawl") {
        let Some(most) = tokens.get(2).and_then(strict_u32) else { return ctx.line(text::BAD_LINE) };
        background.crawler_tocrawl.store(most, Relaxed);
        return ctx.line("OK");
    }
    if tokens.abbreviates(1, "sleep") {
        let Some(micros) = tokens.get(2).and_then(strict_u32) else { return ctx.line(text::BAD_LINE) };
        if micros > 1_000_000 {
            return ctx.line("CLIENT_ERROR sleep must be one second or less");
        }
        background.crawler_sleep.store(micros, Relaxed);
        return ctx.line("OK");
    }
    ctx.line(text::ERROR)
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

fn watch(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.watch_enabled {
        return ctx.line("CLIENT_ERROR watch commands not allowed");
    }
    if ctx.pipelined {
        return ctx.line("ERROR cannot pipeline other commands before watch");
    }
    if tokens.len() == 1 {
        return Outcome::Watch(kind::FETCHERS);
    }
    let mut wanted = 0;
    for index in 1..tokens.len() {
        let words = [
            ("rawcmds", kind::RAWCMDS),
            ("evictions", kind::EVICTIONS),
            ("fetchers", kind::FETCHERS),
            ("mutations", kind::MUTATIONS),
            ("sysevents", kind::SYSEVENTS),
            ("connevents", kind::CONNEVENTS),
            ("proxyreqs", kind::PROXY),
            ("proxyevents", kind::PROXY),
            ("proxyuser", kind::PROXY),
            ("deletions", kind::DELETIONS),
        ];
        let Some((_, kind)) = words.iter().find(|(word, _)| tokens.abbreviates(index, word)) else {
            return ctx.line(text::ERROR);
        };
        wanted |= kind;
    }
    Outcome::Watch(wanted)
}

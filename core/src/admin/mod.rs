//! Commands that inspect or change a server: `stats`, `slabs`, `lru`, `lru_crawler`, `watch`,
//! `verbosity`, `flush_all`, `shutdown`, `persist`, the commands of memcached's debug build, and
//! `config` of hosted clusters.
//!
//! They are text commands with memcached's words and errors. As in memcached, most subcommands may
//! be abbreviated.

mod cluster;
mod context;
mod crawler;
mod debug;
mod dump;
mod lines;
mod lru;
mod metrics;
mod persist;
mod proxy;
mod samples;
mod server;
mod slabs;
mod stats;
mod upload;
mod watch;

pub use self::cluster::value_len;
pub use self::context::{AdminContext, Outcome, PinnedItems};
pub use self::dump::Dump;
pub use self::metrics::{
    MetricFamily, MetricHistogram, MetricKind, MetricSample, MetricValue, Metrics, MetricsFormat, bound_text,
    metrics,
};
pub use self::proxy::{ProxyBackendStats, ProxyNameStats, ProxyPoolStats, ProxyStats, proxy_stats};
pub use self::server::{VERSION, flush};
pub use self::stats::{
    GROUPS as STAT_GROUPS, PROXY_GROUPS as PROXY_STAT_GROUPS, binary as binary_stats, each as each_stat,
    reset as reset_stats,
};
pub use self::upload::NodesUpload;
use crate::protocol::commands::{self, Admin, Kind};
use crate::protocol::text;
use crate::protocol::tokens::Tokens;
use crate::state::CloseReason;

/// Carries out a line without its end. Returns `None` if it is not a command.
pub fn run(ctx: &mut AdminContext<'_>, line: &[u8]) -> Option<Outcome> {
    let tokens = Tokens::new(line);
    let word = tokens.get(0)?;
    match commands::find(word).map(|row| row.kind) {
        // As in memcached, spaces may precede the other commands.
        Some(Kind::Admin(command)) if line.starts_with(word) || !is_exact(command) => {
            carry_out(ctx, command, &tokens)
        }
        _ => {
            ctx.quiet = tokens.is_noreply();
            refuse(ctx, &tokens)
        }
    }
}

/// Returns whether memcached recognizes a command only at the start of a line, and without
/// `noreply`.
fn is_exact(command: Admin) -> bool {
    matches!(command, Admin::Version | Admin::Quit | Admin::Stats | Admin::Watch)
}

/// Returns whether a command asks for no reply.
pub fn is_quiet(command: Admin, tokens: &Tokens<'_>) -> bool {
    !is_exact(command) && tokens.is_noreply()
}

/// The commands.
fn carry_out(ctx: &mut AdminContext<'_>, command: Admin, tokens: &Tokens<'_>) -> Option<Outcome> {
    ctx.quiet = is_quiet(command, tokens);
    ctx.is_dear = !matches!(command, Admin::Version | Admin::Quit);
    let has_debug = ctx.context.config.debug_commands;
    Some(match command {
        Admin::Version => server::version(ctx),
        Admin::Quit => Outcome::Close(CloseReason::Normal),
        Admin::Stats => stats::stats(ctx, tokens),
        Admin::Watch => watch::watch(ctx, tokens),
        Admin::Shutdown => server::shutdown(ctx, tokens),
        Admin::Slabs => slabs::slabs(ctx, tokens),
        Admin::CacheMemlimit => server::memlimit(ctx, tokens),
        Admin::FlushAll => server::flush_all(ctx, tokens),
        Admin::FlushPrefix => server::flush_prefix(ctx, tokens),
        Admin::LruCrawler => crawler::lru_crawler(ctx, tokens),
        Admin::Verbosity => server::verbosity(ctx, tokens),
        Admin::Lru => lru::lru(ctx, tokens),
        Admin::RefreshCerts => server::refresh_certs(ctx),
        Admin::Config if ctx.context.cluster.is_on() => cluster::config(ctx, tokens),
        Admin::Persist if ctx.context.persistence.is_some() => persist::persist(ctx, tokens),
        Admin::Debugtime if has_debug => debug::debugtime(ctx, tokens),
        Admin::Debugitem if has_debug => debug::debugitem(ctx, tokens),
        Admin::Misbehave if has_debug => ctx.line(text::ERROR),
        Admin::Config | Admin::Persist | Admin::Debugtime | Admin::Debugitem | Admin::Misbehave => {
            return refuse(ctx, tokens);
        }
    })
}

/// Returns the outcome of a line that is not a command. `None` is an error line.
fn refuse(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Option<Outcome> {
    // A browser, or a web page that makes it post to this server.
    ctx.is_dear = tokens.len() > 1 && tokens.last()?.starts_with(b"HTTP/");
    ctx.is_dear.then_some(Outcome::Abort(CloseReason::Error))
}

//! Commands that inspect or change a server: `stats`, `slabs`, `lru`, `lru_crawler`, `watch`,
//! `verbosity`, `flush_all`, `shutdown`, the commands of memcached's debug build, and `config` of
//! hosted clusters.
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
mod server;
mod slabs;
mod stats;
mod upload;
mod watch;

pub use self::context::{AdminContext, Outcome, PinnedItems};
pub use self::dump::Dump;
pub use self::server::{VERSION, flush};
pub use self::stats::{binary as binary_stats, each as each_stat, reset as reset_stats};
pub use self::upload::NodesUpload;
use crate::protocol::text;
use crate::protocol::tokens::Tokens;
use crate::state::CloseReason;

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
        b"watch" => return Some(watch::watch(ctx, &Tokens::new(line))),
        _ => {}
    }
    let tokens = Tokens::new(line);
    ctx.quiet = tokens.is_noreply();
    let outcome = match tokens.get(0)? {
        b"shutdown" => server::shutdown(ctx, &tokens),
        b"slabs" => slabs::slabs(ctx, &tokens),
        b"cache_memlimit" => server::memlimit(ctx, &tokens),
        b"flush_all" => server::flush_all(ctx, &tokens),
        b"lru_crawler" => crawler::lru_crawler(ctx, &tokens),
        b"verbosity" => server::verbosity(ctx, &tokens),
        b"lru" => lru::lru(ctx, &tokens),
        b"refresh_certs" => server::refresh_certs(ctx),
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

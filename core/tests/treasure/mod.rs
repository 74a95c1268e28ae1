//! The state of a server after refused commands, for tests: nothing may have changed.

use std::sync::atomic::Ordering::Relaxed;

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::state::ServerState;

/// Returns whether the server is unchanged.
pub fn untouched(context: &ServerState) -> bool {
    let cache = &context.cache;
    let totals = cache.store().totals();
    cache.get(b"door").as_deref() == Some(&b"treasure"[..])
        && cache.get(b"number").as_deref() == Some(&b"7"[..])
        && cache.get(b"other").is_none()
        && totals.curr_items == 2
        && cache.watch_hub().count() == 0
        && cache.store().limit() == 8 * MIB
        && !cache.prefixes().enabled()
        && cache.clock().uptime() < 1000
        && context.cluster.get().is_some_and(|(_, nodes)| nodes.starts_with(b"1\ntreasure.example"))
        && context.control.stopping().is_none()
        && context.verbosity.load(Relaxed) == 0
        && context.workers[0].flush_cmds.get() == 0
}

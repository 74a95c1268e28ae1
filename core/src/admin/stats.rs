//! `stats`: memcached's names, order and formats, because monitoring tools
//! parse them.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::context::{AdminContext, Outcome};
use super::dump::Dump;
use super::lines::{Lines, put_connection, put_sizes};
use super::persist::put_status;
use super::proxy;
use super::samples::{hot_keys, hot_keys_wanted, latency, stats_hot_keys};
use super::server::VERSION;
use crate::config::AuthMethod;
use crate::config::{
    EvictionPolicy, KeyFormat, Listen, PAGE_SIZE, Protocol, Row, Scope, ServerConfig, TlsConfig, TlsVersion,
    Value, VerifyMode,
};
use crate::protocol::binary::Echo;
use crate::protocol::output::Output;
use crate::protocol::text;
use crate::protocol::tokens::{Tokens, strict_u32};
use crate::state::ServerState;
use crate::store::stats::{ClassTotals, Totals};

fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// The groups of statistics that [`each`] knows, beside the general ones.
pub const GROUPS: [&str; 8] =
    ["items", "slabs", "sizes", "quotas", "settings", "conns", "latency", "hotkeys"];

/// The groups of statistics of a proxy. memcached does not have the last one.
pub const PROXY_GROUPS: [&str; 4] = ["proxy", "proxyfuncs", "proxybe", "proxypools"];

/// Carries out a `stats` line.
pub fn stats(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let context = ctx.context;
    if tokens.len() == 1 {
        general(context, Lines::Text(ctx.out.bytes()));
        return Outcome::Done;
    }
    let exactly = |word: &[u8]| tokens.get(1) == Some(word);
    if tokens.abbreviates(1, "reset") {
        reset(context);
        return ctx.line("RESET");
    }
    if tokens.abbreviates(1, "detail") {
        return detail(ctx, tokens);
    }
    if tokens.abbreviates(1, "cachedump") {
        return cachedump(ctx, tokens);
    }
    if tokens.abbreviates(1, "conns") {
        return Outcome::Dump(Box::new(Dump::connections(ctx.client)));
    }
    if exactly(b"hotkeys") {
        return stats_hot_keys(ctx, tokens);
    }
    if exactly(b"sizes") && context.cache.store().sizes().enabled() {
        return Outcome::Dump(Box::new(Dump::sizes(None)));
    }
    if let Some(program) = &context.proxy {
        // As in memcached, the first word that the client abbreviates.
        let word = PROXY_GROUPS.into_iter().find(|word| tokens.abbreviates(1, word));
        if let Some(group) = word.and_then(proxy::group) {
            group(context, &**program, Lines::Text(ctx.out.bytes()));
            return Outcome::Done;
        }
    }
    let out = Lines::Text(ctx.out.bytes());
    if tokens.abbreviates(1, "settings") {
        settings(context, out);
    } else if exactly(b"items") {
        items(context, out);
    } else if exactly(b"slabs") {
        slabs(context, out);
    } else if exactly(b"sizes") {
        sizes(context, out);
    } else if exactly(b"latency") {
        latency(context, out);
    } else if exactly(b"quotas") {
        quotas(context, out);
    } else {
        return ctx.line(text::ERROR);
    }
    Outcome::Done
}

/// Replies to `stat` of the binary protocol. Returns `None` if there is no such group, or it is not
/// allowed.
pub fn binary(context: &ServerState, group: &[u8], echo: Echo, out: &mut Output) -> Option<Outcome> {
    let prefixes = context.cache.prefixes();
    let bytes = out.bytes();
    match group {
        b"" => general(context, Lines::Packets(bytes, echo)),
        b"items" => items(context, Lines::Packets(bytes, echo)),
        b"slabs" => slabs(context, Lines::Packets(bytes, echo)),
        b"sizes" if context.cache.store().sizes().enabled() => {
            return Some(Outcome::Dump(Box::new(Dump::sizes(Some(echo)))));
        }
        b"sizes" => sizes(context, Lines::Packets(bytes, echo)),
        b"latency" => latency(context, Lines::Packets(bytes, echo)),
        b"quotas" => quotas(context, Lines::Packets(bytes, echo)),
        _ if group.starts_with(b"settings") => settings(context, Lines::Packets(bytes, echo)),
        _ if group.starts_with(b"reset") => {
            reset(context);
            Lines::Packets(bytes, echo).end();
        }
        _ if group.starts_with(b"hotkeys") && context.config.dump_enabled => {
            hot_keys(context, hot_keys_wanted(group)?, Lines::Packets(bytes, echo));
        }
        _ => {
            let what = group.strip_prefix(b"detail").filter(|_| context.config.dump_enabled)?;
            if what.starts_with(b" dump") {
                return Some(Outcome::Dump(Box::new(Dump::prefixes(Some(echo)))));
            } else if what.starts_with(b" on") {
                prefixes.enable(true);
            } else if what.starts_with(b" off") {
                prefixes.enable(false);
            } else {
                return None;
            }
            Lines::Packets(bytes, echo).end();
        }
    }
    Some(Outcome::Done)
}

/// Calls `each` with the names and values of a group of statistics: `""`, one of [`GROUPS`], or
/// for a proxy one of [`PROXY_GROUPS`]. A space and a number may follow `hotkeys`. Returns `false`
/// for another group.
pub fn each(context: &ServerState, group: &str, each: &mut dyn FnMut(&str, &str)) -> bool {
    let out = Lines::Program(each);
    match group {
        "" => general(context, out),
        "items" => items(context, out),
        "slabs" => slabs(context, out),
        "sizes" => sizes(context, out),
        "quotas" => quotas(context, out),
        "settings" => settings(context, out),
        // -1 is not a descriptor: the caller is not a connection.
        "conns" => conns(context, -1, out),
        "latency" => latency(context, out),
        _ => match (context.proxy.as_ref().zip(proxy::group(group)), hot_keys_wanted(group.as_bytes())) {
            (Some((program, group)), _) => group(context, &**program, out),
            (None, Some(most)) => hot_keys(context, most, out),
            (None, None) => return false,
        },
    }
    true
}

/// Sets counters to 0, as `stats reset` does.
pub fn reset(context: &ServerState) {
    context.cache.reset_stats();
    context.workers.iter().for_each(|worker| worker.reset());
    context.io_thread.reset();
    context.listener.reset();
    context.latency.reset();
    proxy::reset(context);
    context.tls.as_ref().into_iter().for_each(|tls| tls.stats.reset());
}

fn detail(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.dump_enabled {
        return ctx.line("CLIENT_ERROR stats detail not allowed");
    }
    let prefixes = ctx.context.cache.prefixes();
    if tokens.abbreviates(2, "on") {
        prefixes.enable(true);
        ctx.line("OK")
    } else if tokens.abbreviates(2, "off") {
        prefixes.enable(false);
        ctx.line("OK")
    } else if tokens.abbreviates(2, "dump") {
        Outcome::Dump(Box::new(Dump::prefixes(None)))
    } else {
        ctx.line("CLIENT_ERROR usage: stats detail on|off|dump")
    }
}

fn cachedump(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.dump_enabled {
        return ctx.line("CLIENT_ERROR stats cachedump not allowed");
    }
    if tokens.len() < 4 {
        return ctx.line("CLIENT_ERROR bad command line");
    }
    let number = |index| tokens.get(index).and_then(strict_u32);
    let (Some(class), Some(most)) = (number(2), number(3)) else { return ctx.line(text::BAD_LINE) };
    if class >= 64 {
        return ctx.line("CLIENT_ERROR Illegal slab id");
    }
    Outcome::Dump(Box::new(Dump::class(class as u8, most as usize)))
}

#[expect(clippy::too_many_lines, reason = "a flat table of rows in memcached's order")]
fn general(context: &ServerState, mut out: Lines<'_>) {
    let cache = &context.cache;
    let clock = cache.clock();
    let totals = cache.store().totals();
    let classes = totals.class_sum();
    let commands = &totals.commands;
    let sum = |pick: fn(&crate::state::WorkerStats) -> u64| {
        context.workers.iter().map(|worker| pick(worker)).sum::<u64>()
    };
    let listener = &context.listener;
    let connections = sum(|w| w.connections.get());
    let usage = rusage();
    let background = cache.maintainer().state();
    let hits = classes.hits_to_hot + classes.hits_to_warm + classes.hits_to_cold + classes.hits_to_temp;
    out.put("pid", std::process::id());
    out.put("uptime", clock.uptime());
    out.put("time", clock.unix());
    out.put("version", VERSION);
    out.put("libevent", concat!("memcache-rs-mio-", env!("CARGO_PKG_VERSION")));
    out.put("pointer_size", usize::BITS);
    out.put("rusage_user", &usage[0]);
    out.put("rusage_system", &usage[1]);
    out.put("max_connections", context.config.max_connections);
    out.put("curr_connections", connections);
    out.put("total_connections", listener.total.load(Relaxed));
    if context.config.maxconns_fast {
        out.put("rejected_connections", listener.rejected.load(Relaxed));
    }
    out.put("connection_structures", connections);
    out.put("response_obj_oom", sum(|w| w.response_obj_oom.get()));
    out.put("response_obj_count", 0);
    out.put("response_obj_bytes", 0);
    out.put("read_buf_count", context.workers.len());
    out.put("read_buf_bytes", cache.store().beside().held());
    out.put("read_buf_bytes_free", 0);
    out.put("read_buf_oom", sum(|w| w.read_buf_oom.get()));
    out.put("reserved_fds", context.workers.len() * 2 + 2);
    proxy::put_requests(context, &mut out);
    out.put("cmd_get", commands.get_cmds);
    out.put("cmd_set", classes.set_cmds);
    out.put("cmd_flush", sum(|w| w.flush_cmds.get()));
    out.put("cmd_touch", commands.touch_cmds);
    out.put("cmd_meta", commands.meta_cmds);
    out.put("get_hits", hits);
    out.put("get_misses", commands.get_misses);
    out.put("get_expired", commands.get_expired);
    out.put("get_flushed", commands.get_flushed);
    out.put("delete_misses", commands.delete_misses);
    out.put("delete_hits", classes.delete_hits);
    out.put("incr_misses", commands.incr_misses);
    out.put("incr_hits", classes.incr_hits);
    out.put("decr_misses", commands.decr_misses);
    out.put("decr_hits", classes.decr_hits);
    out.put("cas_misses", commands.cas_misses);
    out.put("cas_hits", classes.cas_hits);
    out.put("cas_badval", classes.cas_badval);
    out.put("touch_hits", classes.touch_hits);
    out.put("touch_misses", commands.touch_misses);
    out.put("store_too_large", commands.store_too_large);
    out.put("store_no_memory", commands.store_no_memory);
    out.put("auth_cmds", sum(|w| w.auth_cmds.get()));
    out.put("auth_errors", sum(|w| w.auth_errors.get()));
    if context.config.idle_timeout > 0 {
        out.put("idle_kicks", sum(|w| w.idle_kicks.get()));
    }
    out.put("bytes_read", sum(|w| w.bytes_read.get()));
    out.put("bytes_written", sum(|w| w.bytes_written.get()));
    out.put("limit_maxbytes", totals.usage.limit);
    out.put("accepting_conns", 1 - listener.paused.load(Relaxed).min(1));
    out.put("listen_disabled_num", listener.disabled.load(Relaxed));
    out.put("time_in_listen_disabled_us", listener.disabled_us.load(Relaxed));
    out.put("threads", context.config.threads);
    out.put("conn_yields", sum(|w| w.conn_yields.get()));
    out.put("hash_power_level", totals.index_slots.max(1).ilog2());
    out.put("hash_bytes", totals.index_bytes);
    out.put("hash_is_expanding", 0);
    if cache.config().slab_reassign {
        // Pages do not belong to classes here. The nearest equivalent is compaction.
        out.put("slab_reassign_rescues", totals.moved);
        out.put("slab_reassign_chunk_rescues", 0);
        out.put("slab_reassign_inline_reclaim", 0);
        out.put("slab_reassign_busy_items", 0);
        out.put("slab_reassign_busy_deletes", 0);
        out.put("slab_reassign_busy_nomem", 0);
        out.put("slab_reassign_last_busy_status", "none");
        out.put("slab_reassign_running", 0);
        out.put("slabs_moved", totals.compacted);
    }
    if background.crawler.load(Relaxed) {
        out.put("lru_crawler_running", u8::from(background.crawler_running.load(Relaxed)));
        out.put("lru_crawler_starts", background.crawler_starts.load(Relaxed));
    }
    let maintained = cache.config().lru_maintainer;
    if maintained {
        out.put("lru_maintainer_juggles", background.juggles.load(Relaxed));
    }
    let watch = cache.watch_hub();
    out.put("malloc_fails", 0);
    out.put("log_worker_dropped", 0);
    out.put("log_worker_written", watch.written.load(Relaxed));
    out.put("log_watcher_skipped", watch.skipped.load(Relaxed));
    out.put("log_watcher_sent", watch.sent.load(Relaxed));
    out.put("log_watchers", watch.count());
    proxy::put_program(context, &mut out);
    if let Some(tls) = context.tls.as_ref() {
        if context.config.tls.as_ref().is_some_and(|tls| tls.session_cache) {
            out.put("ssl_new_sessions", tls.stats.new_sessions.load(Relaxed));
        }
        out.put("ssl_handshake_errors", tls.stats.handshake_errors.load(Relaxed));
        out.put("ssl_proto_errors", tls.stats.proto_errors.load(Relaxed));
        out.put("time_since_server_cert_refresh", clock.now().saturating_sub(tls.refreshed()));
    }
    out.put("unexpected_napi_ids", 0);
    out.put("round_robin_fallback", 0);
    out.put("bytes", totals.curr_bytes);
    out.put("curr_items", totals.curr_items);
    out.put("total_items", commands.total_items);
    out.put("slab_global_page_pool", totals.usage.pool * totals.segment_size / PAGE_SIZE);
    out.put("expired_unfetched", classes.expired_unfetched);
    out.put("evicted_unfetched", classes.evicted_unfetched);
    if maintained {
        out.put("evicted_active", classes.evicted_active);
    }
    out.put("evictions", classes.evicted);
    out.put("reclaimed", classes.reclaimed);
    out.put("crawler_reclaimed", classes.crawler_reclaimed);
    out.put("crawler_items_checked", classes.crawler_items_checked);
    out.put("lrutail_reflocked", 0);
    if maintained {
        out.put("moves_to_cold", 0);
        out.put("moves_to_warm", classes.moves_to_warm);
        out.put("moves_within_lru", classes.moves_within_lru);
        out.put("direct_reclaims", 0);
        out.put("lru_bumps_dropped", 0);
    }
    for (name, value) in commands.own().into_iter().chain(classes.own()).chain(worker_sums(context)) {
        out.put(name, value);
    }
    out.put("memcache_rs_rejected_per_ip", listener.rejected_per_ip.load(Relaxed));
    if let Some(persistence) = &context.persistence {
        put_status(persistence, &mut out);
    }
    out.end();
}

/// Returns the workers' counters that memcached does not have, summed.
fn worker_sums(context: &ServerState) -> Vec<(&'static str, u64)> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for worker in &context.workers {
        for (index, (name, value)) in worker.own().into_iter().enumerate() {
            match sums.get_mut(index) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name, value)),
            }
        }
    }
    sums
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Negotiating => "auto-negotiate",
        Protocol::Ascii => "ascii",
        Protocol::Binary => "binary",
    }
}

/// Writes memcached's rows in its order, then ours. A row that commands change is read where they
/// change it. The others come from the table of settings.
#[expect(clippy::too_many_lines, reason = "a flat table of rows in memcached's order")]
fn settings(context: &ServerState, mut out: Lines<'_>) {
    let config = &context.config;
    let cache = &context.cache;
    let own = cache.config();
    let reported = &config.reported;
    let tuning = cache.store().tuning();
    let background = cache.maintainer().state();
    let unix = config.listen.iter().find_map(|listen| match listen {
        Listen::Unix { path, mask, .. } => Some((path.display().to_string(), *mask)),
        Listen::Tcp { .. } | Listen::Udp { .. } => None,
    });
    let protocol = config.listen.iter().find_map(Listen::protocol).unwrap_or(Protocol::Negotiating);
    let row = |out: &mut Lines<'_>, stat: &str| {
        if let Some(row) = ServerConfig::rows().find(|row| row.stat == Some(stat)) {
            out.put(stat, setting(context, row));
        }
    };
    out.put("maxbytes", cache.store().limit());
    row(&mut out, "maxconns");
    out.put("tcpport", reported.tcp_port);
    out.put("udpport", reported.udp_port);
    out.put("inter", reported.inter.as_deref().unwrap_or("NULL"));
    out.put("verbosity", context.verbosity.load(Relaxed));
    out.put("oldest", cache.store().oldest_live());
    out.put("evictions", if cache.store().evicts() { "on" } else { "off" });
    out.put("domain_socket", unix.as_ref().map_or("NULL", |(path, _)| path));
    out.put("umask", format_args!("{:o}", unix.as_ref().map_or(0o700, |(_, mask)| *mask)));
    row(&mut out, "shutdown_command");
    row(&mut out, "growth_factor");
    row(&mut out, "chunk_size");
    row(&mut out, "num_threads");
    out.put("num_threads_per_udp", config.threads);
    out.put("stat_key_prefix", char::from(own.prefix_delimiter));
    out.put("detail_enabled", yes(cache.prefixes().enabled()));
    row(&mut out, "reqs_per_event");
    row(&mut out, "cas_enabled");
    row(&mut out, "tcp_backlog");
    out.put("binding_protocol", protocol_name(protocol));
    let users = context.users.as_ref();
    out.put("auth_enabled_sasl", yes(users.is_some_and(|users| users.method() == Some(AuthMethod::Sasl))));
    match users.filter(|users| users.method() == Some(AuthMethod::Text)) {
        None => out.put("auth_enabled_ascii", "no"),
        Some(users) => match users.file() {
            Some(path) => out.put("auth_enabled_ascii", path.display()),
            None => out.put("auth_enabled_ascii", "yes"),
        },
    }
    row(&mut out, "item_size_max");
    row(&mut out, "maxconns_fast");
    row(&mut out, "hashpower_init");
    row(&mut out, "slab_reassign");
    row(&mut out, "slab_automove");
    row(&mut out, "slab_automove_ratio");
    row(&mut out, "slab_automove_window");
    out.put("slab_chunk_max", own.chunk_max());
    out.put("lru_crawler", yes(background.crawler.load(Relaxed)));
    out.put("lru_crawler_sleep", background.crawler_sleep.load(Relaxed));
    out.put("lru_crawler_tocrawl", background.crawler_tocrawl.load(Relaxed));
    row(&mut out, "tail_repair_time");
    row(&mut out, "flush_enabled");
    row(&mut out, "dump_enabled");
    row(&mut out, "hash_algorithm");
    row(&mut out, "lru_maintainer_thread");
    out.put("lru_segmented", yes(tuning.policy == EvictionPolicy::Segmented));
    out.put("eviction_policy", tuning.policy.name());
    out.put("eviction_goal", tuning.goal.name());
    row(&mut out, "hot_lru_pct");
    row(&mut out, "warm_lru_pct");
    row(&mut out, "hot_max_factor");
    row(&mut out, "warm_max_factor");
    out.put("temp_lru", yes(tuning.temporary));
    out.put("temporary_ttl", tuning.temporary_ttl);
    row(&mut out, "idle_timeout");
    row(&mut out, "watcher_logbuf_size");
    row(&mut out, "worker_logbuf_size");
    row(&mut out, "read_buf_mem_limit");
    out.put("track_sizes", yes(cache.store().sizes().enabled()));
    out.put("inline_ascii_response", "no");
    tls_settings(config.tls.as_ref(), &mut out);
    proxy::put_settings(context, &mut out);
    out.put("num_napi_ids", reported.napi_ids);
    out.put(
        "memory_file",
        config.memory_file.as_ref().map_or("(null)".into(), |file| file.display().to_string()),
    );
    out.put("client_flags_size", 4);
    out.put("memcache_rs_version", env!("CARGO_PKG_VERSION"));
    out.put("memcache_rs_shards", cache.store().shard_count());
    for stat in ServerConfig::rows().filter_map(|row| row.stat).filter(|stat| stat.starts_with(OWN)) {
        row(&mut out, stat);
    }
    out.end();
}

/// How the names of rows begin that memcached does not have.
const OWN: &str = "memcache_rs_";

/// Returns the value of a setting in memcached's format.
fn setting(context: &ServerState, row: &Row) -> String {
    let value = match row.scope {
        Scope::Cache => context.cache.config().get(row.name),
        Scope::Reported => context.reported.lock().get(row.name),
        _ => context.config.get(row.name),
    };
    match value {
        Some(Value::Bool(on)) => yes(on).to_owned(),
        Some(Value::Float(number)) => format!("{number:.2}"),
        Some(Value::Text(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// The number of the mode, as in memcached and OpenSSL.
fn tls_settings(given: Option<&TlsConfig>, out: &mut Lines<'_>) {
    let tls = given.cloned().unwrap_or_default();
    let path = |path: Option<&PathBuf>, otherwise: &str| {
        path.map_or_else(|| otherwise.to_owned(), |path| path.display().to_string())
    };
    let memory = PathBuf::from("(memory)");
    let (chain_cert, key, ca_cert) = match &tls.in_memory {
        Some(pem) => (Some(&memory), Some(&memory), pem.ca_cert.as_ref().map(|_| &memory)),
        None => (tls.chain_cert.as_ref(), tls.key.as_ref(), tls.ca_cert.as_ref()),
    };
    out.put("ssl_enabled", yes(given.is_some()));
    out.put("ssl_chain_cert", path(chain_cert, "(null)"));
    out.put("ssl_key", path(key, "(null)"));
    out.put(
        "ssl_verify_mode",
        match tls.verify_mode {
            VerifyMode::None => 0,
            VerifyMode::Request => 1,
            VerifyMode::Require => 3,
            VerifyMode::Once => 7,
        },
    );
    out.put(
        "ssl_keyformat",
        match tls.key_format {
            KeyFormat::Pem => 1,
            KeyFormat::Der => 2,
        },
    );
    out.put("ssl_ciphers", tls.ciphers.as_deref().unwrap_or("NULL"));
    out.put("ssl_ca_cert", path(ca_cert, "NULL"));
    out.put("ssl_wbuf_size", tls.wbuf_size);
    out.put("ssl_session_cache", yes(tls.session_cache));
    out.put("ssl_kernel_tls", yes(tls.kernel_tls));
    out.put(
        "ssl_min_version",
        match tls.min_version {
            TlsVersion::V1_2 => "tlsv1.2",
            TlsVersion::V1_3 => "tlsv1.3",
        },
    );
}

/// `stats quotas`, which memcached does not have.
fn quotas(context: &ServerState, mut out: Lines<'_>) {
    for (quota, number) in context.cache.quotas().iter().zip(1..) {
        out.put(format_args!("quota:{number}:prefix"), quota.prefix.escape_ascii());
        let mut put = |name: &str, value: u64| out.put(format_args!("quota:{number}:{name}"), value);
        put("limit", quota.limit);
        put("bytes", quota.bytes);
        put("items", quota.items);
        put("evicted", quota.evicted);
    }
    out.end();
}

fn items(context: &ServerState, mut out: Lines<'_>) {
    let totals = context.cache.store().totals();
    let maintained = context.cache.config().lru_maintainer;
    let tuning = context.cache.store().tuning();
    let ages = context.cache.store().ages();
    for (number, (class, ages)) in totals.classes.iter().zip(ages).enumerate().skip(1) {
        let held = class.count();
        if held == 0 {
            continue;
        }
        let counts = &class.counts;
        let mut put = |name: &str, value: u64| out.put(format_args!("items:{number}:{name}"), value);
        put("number", held);
        if maintained {
            put("number_hot", class.items[0]);
            put("number_warm", class.items[1]);
            put("number_cold", class.items[2]);
            if tuning.temporary {
                put("number_temp", class.items[3]);
            }
            put("age_hot", u64::from(ages[0]));
            put("age_warm", u64::from(ages[1]));
        }
        // The age of the items that stay longest: cold ones in memcached, warm ones here.
        put("age", u64::from(ages.into_iter().max().unwrap_or(0)));
        put("mem_requested", class.bytes);
        put("evicted", counts.evicted);
        put("evicted_nonzero", counts.evicted_nonzero);
        put("evicted_time", u64::from(class.evicted_time));
        put("outofmemory", counts.outofmemory);
        put("tailrepairs", 0);
        put("reclaimed", counts.reclaimed);
        put("expired_unfetched", counts.expired_unfetched);
        put("evicted_unfetched", counts.evicted_unfetched);
        if maintained {
            put("evicted_active", counts.evicted_active);
        }
        put("crawler_reclaimed", counts.crawler_reclaimed);
        put("crawler_items_checked", counts.crawler_items_checked);
        put("lrutail_reflocked", 0);
        if maintained {
            put("moves_to_cold", 0);
            put("moves_to_warm", counts.moves_to_warm);
            put("moves_within_lru", counts.moves_within_lru);
            put("direct_reclaims", 0);
            put("hits_to_hot", counts.hits_to_hot);
            put("hits_to_warm", counts.hits_to_warm);
            put("hits_to_cold", counts.hits_to_cold);
            put("hits_to_temp", counts.hits_to_temp);
        }
    }
    out.end();
}

fn slabs(context: &ServerState, mut out: Lines<'_>) {
    let totals: Totals = context.cache.store().totals();
    let mut active = 0;
    for (number, class) in totals.classes.iter().enumerate().skip(1) {
        let pages = class.pages();
        if pages == 0 {
            continue;
        }
        active += 1;
        let ClassTotals { chunk_size, per_page, counts, .. } = class;
        let (chunks, used) = (pages * *per_page as u64, class.count());
        let hits = counts.hits_to_hot + counts.hits_to_warm + counts.hits_to_cold + counts.hits_to_temp;
        let mut put = |name: &str, value: u64| out.put(format_args!("{number}:{name}"), value);
        put("chunk_size", *chunk_size as u64);
        put("chunks_per_page", *per_page as u64);
        put("total_pages", pages);
        put("total_chunks", chunks);
        put("used_chunks", used);
        put("free_chunks", chunks - used);
        put("free_chunks_end", 0);
        put("get_hits", hits);
        put("cmd_set", counts.set_cmds);
        put("delete_hits", counts.delete_hits);
        put("incr_hits", counts.incr_hits);
        put("decr_hits", counts.decr_hits);
        put("cas_hits", counts.cas_hits);
        put("cas_badval", counts.cas_badval);
        put("touch_hits", counts.touch_hits);
    }
    out.put("active_slabs", active);
    out.put("total_malloced", totals.usage.malloced);
    out.end();
}

fn sizes(context: &ServerState, mut out: Lines<'_>) {
    let sizes = context.cache.store().sizes();
    if sizes.enabled() {
        put_sizes(sizes, 0, usize::MAX, &mut out);
    } else {
        out.put("sizes_status", "disabled");
    }
    out.end();
}

fn conns(context: &ServerState, client: i32, mut out: Lines<'_>) {
    for (fd, state, last) in context.connections.iter(0) {
        put_connection(context, client, fd, state, last, &mut out);
    }
    out.end();
}

/// User and system time of the process as seconds with six digits.
#[expect(unsafe_code, reason = "a system call that fills a structure")]
fn rusage() -> [String; 2] {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the structure it is given. Zeros are valid for all its fields if it
    // fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime].map(|time| format!("{}.{:06}", time.tv_sec, time.tv_usec))
}

//! Statistics of the proxy: memcached's rows, and those of pools and backends.

use std::collections::HashMap;
use std::time::Duration;

use super::lines::Lines;
use crate::base::counter::Counter;
use crate::base::durations::Durations;
use crate::base::histogram::Histogram;
use crate::proxy::command::COMMANDS;
use crate::proxy::counters::{BackendCounters, WorkerCounters};
use crate::proxy::failure::Reason;
use crate::proxy::health::Condition;
use crate::proxy::pool::Pool;
use crate::proxy::program::Program;
use crate::state::ServerState;

/// Most pools, most backends and most names of `stats proxypools` and of the metrics.
pub(super) const MOST: usize = 1000;

/// memcached's order of the commands.
const COMMAND_ROWS: [&str; 20] = [
    "mg", "ms", "md", "mn", "ma", "me", "get", "gat", "set", "add", "cas", "gets", "gats", "incr", "decr",
    "touch", "append", "prepend", "delete", "replace",
];

/// Statistics of a server's proxy.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Requests of clients. Each key of a get counts.
    pub requests: u64,
    /// Requests that were malformed or too long.
    pub errors: u64,
    /// Requests refused because those under way held too much memory.
    pub no_memory: u64,
    /// Requests without an answer now. A get of several keys counts once.
    pub active: u64,
    /// Bytes that requests and replies under way hold now.
    pub held_bytes: u64,
    /// Its pools, by name.
    pub pools: Vec<ProxyPoolStats>,
    /// Its backends, by name.
    pub backends: Vec<ProxyBackendStats>,
    /// The names that it looks up.
    pub names: Vec<ProxyNameStats>,
}

/// Statistics of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProxyPoolStats {
    /// Its name in the configuration.
    pub name: String,
    /// Requests for backends of the pool.
    pub requests: u64,
    /// Of these, those that got an error or no reply.
    pub errors: u64,
    /// Its backends, those of its sources included.
    pub backends: u64,
    /// Of these, those that are down: by its probes, or by their configuration.
    pub down: u64,
}

/// Statistics of a name that is looked up.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProxyNameStats {
    /// The name, with `SRV` or `ElastiCache` before it if it is one of those.
    pub name: String,
    /// Time since the last look-up that succeeded, or since the first use of the name if there is
    /// none.
    pub age: Duration,
    /// Look-ups that have ended.
    pub lookups: u64,
    /// Of these, those that failed, or whose answer cannot be used.
    pub failures: u64,
}

/// Statistics of a backend, from all workers. Several pools may use it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProxyBackendStats {
    /// Its label, or else its address.
    pub name: String,
    /// The names of the pools that use it.
    pub pools: Vec<String>,
    /// Connections of all workers, open or not.
    pub connections: u64,
    /// Of these, open ones, whose backend has told its version.
    pub open: u64,
    /// Of these, bad ones, which refuse all requests.
    pub bad: u64,
    /// Pools whose probes have found it down.
    pub down: u64,
    /// Probes of all pools that have ended.
    pub probes: u64,
    /// Of these, those that failed.
    pub failed_probes: u64,
    /// Requests that wait for replies now.
    pub depth: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests without a reply, by memcached's word for the reason. Reasons without a request are
    /// left out.
    ///
    /// `bad` and `depth` are requests that were not sent.
    pub lost: Vec<(&'static str, u64)>,
    /// Replies that are error lines.
    pub error_replies: u64,
    /// Connections opened.
    pub connects: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of replies.
    pub bytes_received: u64,
    /// Nanoseconds of sampled requests from the worker to the backend and back.
    pub times: Histogram,
}

/// Returns the statistics of the proxy, or `None` if the server is none.
pub fn proxy_stats(context: &ServerState) -> Option<ProxyStats> {
    let routes = context.proxy.as_ref()?.routes();
    let configured: &[Pool] = routes.as_ref().map(|routes| routes.pools.as_slice()).unwrap_or_default();
    let (mut pools, mut members) = (Vec::<ProxyPoolStats>::new(), Vec::new());
    for (name, counters) in sorted(context, |worker| worker.pools.all()) {
        if pools.last().is_none_or(|pool| pool.name != name) {
            members.extend(counters.backends.lock().iter().map(|backend| (backend.clone(), name.clone())));
            pools.push(ProxyPoolStats { name, ..ProxyPoolStats::default() });
        }
        if let Some(pool) = pools.last_mut() {
            pool.requests += counters.requests.get();
            pool.errors += counters.errors.get();
        }
    }
    let by_name: HashMap<&str, &Pool> = configured.iter().map(|pool| (pool.name.as_str(), pool)).collect();
    for stats in &mut pools {
        let Some(pool) = by_name.get(stats.name.as_str()) else { continue };
        stats.backends = pool.backends.len() as u64;
        stats.down = (0..pool.backends.len()).filter(|index| pool.is_down(*index)).count() as u64;
    }
    let found = conditions_by_name(configured);
    members.sort_unstable();
    members.dedup();
    let backends = sorted(context, |worker| worker.backends.all());
    let backends = backends.chunk_by(|one, next| one.0 == next.0).map(|of_one| {
        let name = of_one.first().map_or_else(String::new, |(name, _)| name.clone());
        let begin = members.partition_point(|(backend, _)| *backend < name);
        let own = members.get(begin..).unwrap_or_default().iter().take_while(|(backend, _)| *backend == name);
        let pools = own.map(|(_, pool)| pool.clone()).collect();
        let all: Vec<&BackendCounters> = of_one.iter().map(|(_, counters)| &**counters).collect();
        let conditions = found.get(&name).map(Vec::as_slice).unwrap_or_default();
        backend(name, pools, &all, conditions)
    });
    let names = context.names.lookups().into_iter().map(|(name, of_one)| ProxyNameStats {
        name,
        age: of_one.age,
        lookups: of_one.count,
        failures: of_one.failures,
    });
    let sum = |pick: fn(&WorkerCounters) -> &Counter| sum(context, pick);
    Some(ProxyStats {
        requests: sum(|worker| &worker.requests),
        errors: sum(|worker| &worker.errors),
        no_memory: sum(|worker| &worker.no_memory),
        active: sum(|worker| &worker.active),
        held_bytes: sum(|worker| &worker.held),
        backends: backends.collect(),
        names: names.collect(),
        pools,
    })
}

/// Returns the conditions of each backend in the pools that probe it.
fn conditions_by_name(pools: &[Pool]) -> HashMap<String, Vec<&Condition>> {
    let mut found = HashMap::<String, Vec<&Condition>>::new();
    for (backend, condition) in pools.iter().flat_map(|pool| pool.backends.iter().zip(conditions(pool))) {
        found.entry(backend.address.to_string()).or_default().push(condition);
    }
    found
}

/// Returns the conditions of the backends of a pool, in their order, if it probes them.
fn conditions(pool: &Pool) -> impl Iterator<Item = &Condition> {
    pool.health.iter().flat_map(|health| &health.conditions).map(AsRef::as_ref)
}

/// Returns the number of conditions that are down.
fn down(conditions: &[&Condition]) -> u64 {
    conditions.iter().filter(|condition| condition.is_down()).count() as u64
}

/// Returns the statistics of a backend, given its counters in each worker, and its conditions in
/// pools that probe it.
fn backend(
    name: String,
    pools: Vec<String>,
    all: &[&BackendCounters],
    conditions: &[&Condition],
) -> ProxyBackendStats {
    let sum = |pick: fn(&BackendCounters) -> &Counter| {
        all.iter().map(|counters| pick(counters).get()).fold(0, u64::wrapping_add)
    };
    let lost = Reason::ALL.into_iter().map(|reason| {
        let of_reason =
            |counters: &&BackendCounters| counters.lost.get(reason as usize).map_or(0, Counter::get);
        (reason.word(), all.iter().map(of_reason).sum())
    });
    let refused = [("bad", sum(|counters| &counters.refused)), ("depth", sum(|counters| &counters.too_deep))];
    ProxyBackendStats {
        name,
        pools,
        connections: sum(|counters| &counters.connections),
        open: sum(|counters| &counters.open),
        bad: sum(|counters| &counters.bad),
        down: down(conditions),
        probes: conditions.iter().map(|condition| condition.probes.get()).sum(),
        failed_probes: conditions.iter().map(|condition| condition.failed_probes.get()).sum(),
        depth: sum(|counters| &counters.depth),
        requests: sum(|counters| &counters.requests),
        lost: lost.chain(refused).filter(|(_, count)| *count > 0).collect(),
        error_replies: sum(|counters| &counters.error_replies),
        connects: sum(|counters| &counters.connects),
        bytes_sent: sum(|counters| &counters.sent),
        bytes_received: sum(|counters| &counters.received),
        times: Durations::sum(all.iter().map(|counters| &counters.times)),
    }
}

/// Returns the named counters of all workers, by name.
fn sorted<T>(context: &ServerState, of: impl Fn(&WorkerCounters) -> Vec<(String, T)>) -> Vec<(String, T)> {
    let mut all: Vec<_> = counters(context).flat_map(of).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

fn sum(context: &ServerState, pick: fn(&WorkerCounters) -> &Counter) -> u64 {
    counters(context).map(|worker| pick(worker).get()).fold(0, u64::wrapping_add)
}

/// Iterates over the counters of all threads that have connections to backends.
fn counters(context: &ServerState) -> impl Iterator<Item = &WorkerCounters> {
    context.workers.iter().chain([&context.io_thread]).map(|worker| &*worker.proxy)
}

/// Resets the counters that are not those of a worker.
pub(super) fn reset(context: &ServerState) {
    context.names.reset();
    let routes = context.proxy.as_ref().and_then(|proxy| proxy.routes());
    for condition in routes.iter().flat_map(|routes| &routes.pools).flat_map(conditions) {
        condition.probes.reset();
        condition.failed_probes.reset();
    }
}

/// Writes the rows of `stats` that memcached has among those of connections.
pub(super) fn put_requests(context: &ServerState, out: &mut Lines<'_>) {
    if context.proxy.is_some() {
        out.put("proxy_conn_requests", sum(context, |worker| &worker.requests));
        out.put("proxy_conn_errors", sum(context, |worker| &worker.errors));
        out.put("proxy_conn_oom", sum(context, |worker| &worker.no_memory));
        out.put("proxy_req_active", sum(context, |worker| &worker.active));
    }
}

/// Writes the rows of `stats` that memcached has behind those of the log.
pub(super) fn put_program(context: &ServerState, out: &mut Lines<'_>) {
    let Some(program) = &context.proxy else { return };
    let program = program.statistics();
    let backends: usize = counters(context).map(|worker| worker.backends.all().len()).sum();
    out.put("proxy_config_reloads", program.reloads);
    out.put("proxy_config_reload_fails", program.reload_fails);
    out.put("proxy_config_cron_runs", program.cron_runs);
    out.put("proxy_config_cron_fails", program.cron_fails);
    out.put("proxy_backend_total", backends);
    out.put("proxy_backend_marked_bad", sum(context, |worker| &worker.marked_bad));
    out.put("proxy_backend_failed", sum(context, |worker| &worker.failed));
    out.put("proxy_request_failed_depth", sum(context, |worker| &worker.too_deep));
}

/// Writes the rows of `stats settings`.
pub(super) fn put_settings(context: &ServerState, out: &mut Lines<'_>) {
    if context.proxy.is_some() {
        out.put("proxy_enabled", "yes");
        out.put("proxy_uring_enabled", "no");
    }
}

/// A group of statistics of a proxy.
pub(super) type Group = fn(&ServerState, &dyn Program, Lines<'_>);

/// Returns the group of this name: `proxy`, `proxyfuncs`, `proxybe`, or `proxypools`, which
/// memcached does not have.
pub(super) fn group(name: &str) -> Option<Group> {
    match name {
        "proxy" => Some(of_requests),
        "proxyfuncs" => Some(of_functions),
        "proxybe" => Some(of_bad_backends),
        "proxypools" => Some(of_pools),
        _ => None,
    }
}

fn of_requests(context: &ServerState, program: &dyn Program, mut out: Lines<'_>) {
    let statistics = program.statistics();
    let workers = context.workers.len() as u64;
    for (name, value) in statistics.user {
        out.put(format_args!("user_{name}"), value);
    }
    out.put("active_req_limit", statistics.active_limit.saturating_mul(workers));
    out.put("buffer_memory_limit", statistics.held_limit.saturating_mul(workers));
    out.put("buffer_memory_used", sum(context, |worker| &worker.held));
    out.put("vm_gc_runs", sum(context, |worker| &worker.vm_collections));
    out.put("vm_memory_kb", sum(context, |worker| &worker.vm_memory));
    for word in COMMAND_ROWS {
        // `mn` is never routed.
        let index = COMMANDS.iter().position(|command| command.word == word);
        let of = |worker: &WorkerCounters| worker.commands.get(index?).map(Counter::get);
        let count: u64 = counters(context).filter_map(of).sum();
        out.put(format_args!("cmd_{word}"), count);
    }
    out.end();
}

fn of_functions(_: &ServerState, program: &dyn Program, mut out: Lines<'_>) {
    for (name, functions, slots) in program.statistics().functions {
        if functions > 0 {
            out.put(format_args!("funcs_{name}"), functions);
            out.put(format_args!("slots_{name}"), slots);
        }
    }
    out.end();
}

/// memcached has no probes, so that it has the bad ones alone.
fn of_bad_backends(context: &ServerState, program: &dyn Program, mut out: Lines<'_>) {
    let backends = sorted(context, |worker| worker.backends.all());
    let routes = program.routes();
    let found = routes.as_ref().map(|routes| conditions_by_name(&routes.pools)).unwrap_or_default();
    for of_one in backends.chunk_by(|one, next| one.0 == next.0) {
        let Some((name, _)) = of_one.first() else { continue };
        let bad: u64 = of_one.iter().map(|(_, counters)| counters.bad.get()).sum();
        let down = found.get(name).map_or(0, |conditions| down(conditions));
        for (word, count) in [("bad", bad), ("down", down)] {
            if count > 0 {
                out.put(format_args!("{word}_{name}"), count);
            }
        }
    }
    out.end();
}

fn of_pools(context: &ServerState, _: &dyn Program, mut out: Lines<'_>) {
    let stats = proxy_stats(context).unwrap_or_default();
    for (pool, number) in stats.pools.iter().zip(1..=MOST) {
        out.put(format_args!("pool:{number}:name"), &pool.name);
        out.put(format_args!("pool:{number}:requests"), pool.requests);
        out.put(format_args!("pool:{number}:errors"), pool.errors);
        out.put(format_args!("pool:{number}:backends"), pool.backends);
        out.put(format_args!("pool:{number}:down"), pool.down);
    }
    for (backend, number) in stats.backends.iter().zip(1..=MOST) {
        out.put(format_args!("backend:{number}:name"), &backend.name);
        out.put(format_args!("backend:{number}:pools"), backend.pools.join(","));
        let mut put = |name: &str, value: u64| out.put(format_args!("backend:{number}:{name}"), value);
        put("connections", backend.connections);
        put("open", backend.open);
        put("bad", backend.bad);
        put("down", backend.down);
        put("probes", backend.probes);
        put("failed_probes", backend.failed_probes);
        put("depth", backend.depth);
        put("requests", backend.requests);
        put("error_replies", backend.error_replies);
        for (reason, count) in &backend.lost {
            put(&format!("lost_{reason}"), *count);
        }
        put("connects", backend.connects);
        put("bytes_sent", backend.bytes_sent);
        put("bytes_received", backend.bytes_received);
        put("sampled", backend.times.count());
        for (quantile, share) in super::samples::QUANTILES {
            if let Some(bound) = backend.times.quantile(share) {
                put(&format!("{quantile}_ns"), bound);
            }
        }
    }
    for (name, number) in stats.names.iter().zip(1..=MOST) {
        out.put(format_args!("name:{number}:name"), &name.name);
        out.put(format_args!("name:{number}:age"), name.age.as_secs());
        out.put(format_args!("name:{number}:lookups"), name.lookups);
        out.put(format_args!("name:{number}:failures"), name.failures);
    }
    out.end();
}

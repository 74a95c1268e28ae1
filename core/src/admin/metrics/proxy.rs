//! Metrics of the proxy: pools and backends.

use super::family::{MetricFamily, MetricKind, label};
use super::samples::sample;
use crate::admin::proxy::{MOST, ProxyBackendStats, ProxyNameStats, ProxyPoolStats, proxy_stats};
use crate::state::ServerState;

/// Adds the families of this group, if the server is a proxy. The first [`MOST`] pools, backends
/// and names have samples.
pub(super) fn push(families: &mut Vec<MetricFamily>, context: &ServerState) {
    let Some(stats) = proxy_stats(context) else { return };
    let all = of_pools(&stats.pools).into_iter().chain(of_names(&stats.names));
    let all = all.chain(of_backends(&stats.backends));
    families.extend(all.filter(|family| !family.samples.is_empty()));
}

fn of_pools(pools: &[ProxyPoolStats]) -> [MetricFamily; 3] {
    let mut requests = counter("memcache_rs_proxy_pool_requests_total", "Requests for backends of a pool.");
    let mut errors = counter(
        "memcache_rs_proxy_pool_errors_total",
        "Requests for backends of a pool that got an error or no reply.",
    );
    let mut backends =
        gauge("memcache_rs_proxy_pool_backends", "Backends of a pool: those that are down, and the others.");
    for pool in pools.iter().take(MOST) {
        let name = label(pool.name.as_bytes());
        requests = requests.with(&[("pool", &name)], pool.requests as f64);
        errors = errors.with(&[("pool", &name)], pool.errors as f64);
        for (state, count) in [("up", pool.backends.saturating_sub(pool.down)), ("down", pool.down)] {
            backends = backends.with(&[("pool", &name), ("state", state)], count as f64);
        }
    }
    [requests, errors, backends]
}

fn of_names(names: &[ProxyNameStats]) -> [MetricFamily; 2] {
    let mut ages = gauge(
        "memcache_rs_proxy_name_age_seconds",
        "Time since the last look-up of a name that succeeded, or since its first use.",
    );
    let mut lookups = counter("memcache_rs_proxy_name_lookups_total", "Look-ups of a name, by result.");
    for name in names.iter().take(MOST) {
        let text = label(name.name.as_bytes());
        ages = ages.with(&[("name", &text)], name.age.as_secs_f64());
        for (result, count) in results(name.lookups, name.failures) {
            lookups = lookups.with(&[("name", &text), ("result", result)], count);
        }
    }
    [ages, lookups]
}

fn of_backends(backends: &[ProxyBackendStats]) -> Vec<MetricFamily> {
    let backends: Vec<(String, &ProxyBackendStats)> =
        backends.iter().take(MOST).map(|backend| (label(backend.name.as_bytes()), backend)).collect();
    let of_each = |mut family: MetricFamily, value: fn(&ProxyBackendStats) -> u64| {
        for (name, backend) in &backends {
            family = family.with(&[("backend", name)], value(backend) as f64);
        }
        family
    };
    let mut pools = gauge("memcache_rs_proxy_backend_info", "The pools that use a backend, 1 for each.");
    let mut connections =
        gauge("memcache_rs_proxy_backend_connections", "Connections to a backend, by state.");
    let mut lost = counter(
        "memcache_rs_proxy_backend_errors_total",
        "Requests for a backend that got an error or no reply, by memcached's word for the reason.",
    );
    let mut times = MetricFamily::new(
        MetricKind::Histogram,
        "memcache_rs_proxy_backend_duration_seconds",
        "Times of sampled requests from the proxy to a backend and back.",
    );
    let mut probes = counter("memcache_rs_proxy_probes_total", "Probes of a backend, by result.");
    let mut infos = 0;
    for (name, backend) in &backends {
        for pool in backend.pools.iter().take(MOST.saturating_sub(infos)) {
            infos += 1;
            pools = pools.with(&[("pool", &label(pool.as_bytes())), ("backend", name)], 1.0);
        }
        let closed = backend.connections.saturating_sub(backend.open + backend.bad);
        for (state, count) in [("open", backend.open), ("bad", backend.bad), ("closed", closed)] {
            connections = connections.with(&[("backend", name), ("state", state)], count as f64);
        }
        for (reason, count) in backend.lost.iter().copied().chain([("reply", backend.error_replies)]) {
            lost = lost.with(&[("backend", name), ("reason", reason)], count as f64);
        }
        if backend.probes > 0 {
            for (result, count) in results(backend.probes, backend.failed_probes) {
                probes = probes.with(&[("backend", name), ("result", result)], count);
            }
        }
        times.samples.push(sample(&backend.times, 1e9, Some(("backend", name))));
    }
    vec![
        pools,
        connections,
        lost,
        probes,
        of_each(
            gauge("memcache_rs_proxy_backend_down", "Pools whose probes have found the backend down."),
            |b| b.down,
        ),
        of_each(gauge("memcache_rs_proxy_backend_depth", "Requests that wait for replies."), |b| b.depth),
        of_each(counter("memcache_rs_proxy_backend_requests_total", "Requests sent."), |b| b.requests),
        of_each(counter("memcache_rs_proxy_backend_connects_total", "Connections opened."), |b| b.connects),
        of_each(counter("memcache_rs_proxy_backend_sent_bytes_total", "Bytes of requests."), |b| {
            b.bytes_sent
        }),
        of_each(counter("memcache_rs_proxy_backend_received_bytes_total", "Bytes of replies."), |b| {
            b.bytes_received
        }),
        times,
    ]
}

fn gauge(name: &'static str, help: &'static str) -> MetricFamily {
    MetricFamily::new(MetricKind::Gauge, name, help)
}

fn counter(name: &'static str, help: &'static str) -> MetricFamily {
    MetricFamily::new(MetricKind::Counter, name, help)
}

/// Returns the values of the label `result`, with their counts.
fn results(all: u64, failed: u64) -> [(&'static str, f64); 2] {
    [("ok", all.saturating_sub(failed) as f64), ("failed", failed as f64)]
}

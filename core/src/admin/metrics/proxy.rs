//! Metrics of the proxy: pools and backends.

use super::family::{MetricFamily, MetricKind, label};
use super::samples::sample;
use crate::admin::proxy::{MOST, ProxyBackendStats, proxy_stats};
use crate::state::ServerState;

/// Adds the families of this group, if the server is a proxy. The first [`MOST`] backends by name
/// have samples.
pub(super) fn push(families: &mut Vec<MetricFamily>, context: &ServerState) {
    let Some(stats) = proxy_stats(context) else { return };
    let gauge = |name, help| MetricFamily::new(MetricKind::Gauge, name, help);
    let counter = |name, help| MetricFamily::new(MetricKind::Counter, name, help);
    let mut requests = counter("memcache_rs_proxy_pool_requests_total", "Requests for backends of a pool.");
    let mut errors = counter(
        "memcache_rs_proxy_pool_errors_total",
        "Requests for backends of a pool that got an error or no reply.",
    );
    for pool in stats.pools.iter().take(MOST) {
        let name = label(pool.name.as_bytes());
        requests = requests.with(&[("pool", &name)], pool.requests as f64);
        errors = errors.with(&[("pool", &name)], pool.errors as f64);
    }
    let backends: Vec<(String, &ProxyBackendStats)> =
        stats.backends.iter().take(MOST).map(|backend| (label(backend.name.as_bytes()), backend)).collect();
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
        times.samples.push(sample(&backend.times, 1e9, Some(("backend", name))));
    }
    families.extend(
        [
            requests,
            errors,
            pools,
            connections,
            lost,
            of_each(gauge("memcache_rs_proxy_backend_depth", "Requests that wait for replies."), |b| b.depth),
            of_each(counter("memcache_rs_proxy_backend_requests_total", "Requests sent."), |b| b.requests),
            of_each(counter("memcache_rs_proxy_backend_connects_total", "Connections opened."), |b| {
                b.connects
            }),
            of_each(counter("memcache_rs_proxy_backend_sent_bytes_total", "Bytes of requests."), |b| {
                b.bytes_sent
            }),
            of_each(counter("memcache_rs_proxy_backend_received_bytes_total", "Bytes of replies."), |b| {
                b.bytes_received
            }),
            times,
        ]
        .into_iter()
        .filter(|family| !family.samples.is_empty()),
    );
}

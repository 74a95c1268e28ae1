//! Metrics: the state of a server as families of named values, for monitoring.
//!
//! A group is a table of rows or a file. Values come from the rows of `stats` where it has them, so
//! that both always agree.

mod exporter;
mod family;
mod memory;
mod own;
mod prefixes;
mod proxy;
mod rows;
mod samples;
mod text;

pub use self::family::{MetricFamily, MetricHistogram, MetricKind, MetricSample, MetricValue, Metrics};
use self::rows::{ByClass, Readings};
pub use self::text::{MetricsFormat, bound_text};
use super::server::VERSION;
use super::stats::each;
use crate::state::ServerState;

/// Returns the metrics of a server.
pub fn metrics(context: &ServerState) -> Metrics {
    let (mut general, mut settings) = (Readings::default(), Readings::default());
    let (mut items, mut slabs) = (ByClass::new(), ByClass::new());
    each(context, "", &mut |name, value| general.add(name, value));
    each(context, "settings", &mut |name, value| settings.add(name, value));
    each(context, "items", &mut |name, value| {
        rows::add_by_class(&mut items, name.strip_prefix("items:").unwrap_or(name), value);
    });
    each(context, "slabs", &mut |name, value| match name {
        // The exporter reads it with the statistics of `stats`.
        "total_malloced" => general.add(name, value),
        _ => rows::add_by_class(&mut slabs, name, value),
    });

    let gauge = |name, help| MetricFamily::new(MetricKind::Gauge, name, help);
    let mut families = vec![
        gauge("memcached_up", "1: the server answers.").with(&[], 1.0),
        gauge("memcached_version", "The version of memcached whose behaviour this server has.")
            .with(&[("version", VERSION)], 1.0),
        gauge("memcache_rs_info", "The version of memcache-rs.")
            .with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ];
    for table in
        [exporter::GENERAL, exporter::PROXY, own::REQUESTS, own::CONNECTIONS, own::TLS, own::SNAPSHOTS]
    {
        rows::push(&mut families, table, &general);
    }
    rows::push(&mut families, exporter::SETTINGS, &settings);
    rows::push(&mut families, own::SETTINGS, &settings);
    if settings.get("lru_crawler") == Some(1.0) {
        rows::push(&mut families, exporter::CRAWLER, &settings);
    }
    rows::push_by_class(&mut families, exporter::ITEMS, &items);
    rows::push_by_class(&mut families, exporter::SLABS, &slabs);
    memory::push(&mut families, context);
    samples::push(&mut families, context);
    prefixes::push(&mut families, context);
    proxy::push(&mut families, context);
    Metrics { families }
}
